import assert from "node:assert/strict";
import fc from "fast-check";
import { formatDurationS, parseDurationS } from "~/base/duration.ts";

Deno.test.each([
  ["45s", 45],
  ["30m", 1800],
  ["12h", 43_200],
  ["7d", 604_800],
  ["2w", 1_209_600],
  ["0d", 0],
  ["007d", 604_800],
])("parseDurationS() reads '%s'", (text, wantedS) => {
  assert.equal(parseDurationS(text), wantedS);
});

Deno.test.each([
  "",
  "7",
  "d",
  "7 d",
  " 7d",
  "7d\n",
  "-7d",
  "1.5h",
  "7D",
  "1d12h",
  "1e3s",
  "1234567890s",
  "7y",
  "٧d",
  "7constructor",
])("parseDurationS() does not read %j", (text) => {
  assert.equal(parseDurationS(text), undefined);
});

Deno.test("parseDurationS() answers any text with whole seconds that JSON can carry, or not at all", () => {
  const texts = fc.oneof(fc.string(), fc.stringMatching(/^[0-9]{1,12}[smhdwy]?$/));
  fc.assert(fc.property(texts, (text) => {
    const seconds = parseDurationS(text);
    assert.ok(seconds === undefined || (Number.isSafeInteger(seconds) && seconds >= 0));
  }));
});

Deno.test.each([
  [0, "0 s"],
  [59, "59 s"],
  [60, "1 min"],
  [3599, "59 min"],
  [7200, "2 h"],
  [86_399, "23 h"],
  [30 * 86_400, "30 d"],
])("formatDurationS() says %s s in the unit that tells enough", (durationS, wanted) => {
  assert.equal(formatDurationS(durationS), wanted);
});
