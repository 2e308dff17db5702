import assert from "node:assert/strict";
import { isJsonObject } from "~/base/json.ts";
import { percentOf } from "~/base/progress.ts";
import { formatBytes, formatMs, GIB, KIB, MIB } from "~/base/units.ts";

const SIZES = [
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 KiB"],
  [98_362_432, "93.8 MiB"],
  [200 * MIB, "200 MiB"],
  [1.5 * GIB, "1.5 GiB"],
  [24 * 1024 * GIB, "24.0 TiB"],
  [10 * KIB, "10.0 KiB"],
] as const;

Deno.test("formatBytes() shows three digits at most", () => {
  for (const [sizeBytes, text] of SIZES) assert.equal(formatBytes(sizeBytes), text);
});

Deno.test("formatMs() picks the unit that people would", () => {
  assert.deepEqual([12.4, 999, 1500, 60_000, 125_000].map(formatMs), [
    "12 ms",
    "999 ms",
    "1.5 s",
    "1 min 0 s",
    "2 min 5 s",
  ]);
});

Deno.test("percentOf() is unknown without a total and never over 100", () => {
  const transfer = { what: "model", source: "disk", doneBytes: 50 };
  assert.equal(percentOf(transfer), undefined);
  assert.equal(percentOf({ ...transfer, totalBytes: 0 }), undefined);
  assert.equal(percentOf({ ...transfer, totalBytes: 101 }), 49);
  assert.equal(percentOf({ ...transfer, totalBytes: 40 }), 100);
});

Deno.test("isJsonObject() tells objects from everything else", () => {
  assert.ok(isJsonObject({}));
  for (const other of [null, [], "text", 3, true, undefined]) assert.ok(!isJsonObject(other));
});
