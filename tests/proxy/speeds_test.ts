import assert from "node:assert/strict";
import fc from "fast-check";
import { Speeds, timingsIn } from "~/proxy/speeds.ts";

const TIMINGS = {
  promptTokens: 100,
  promptMs: 200,
  cachedTokens: 5,
  decodedTokens: 10,
  decodeMs: 300,
};

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

Deno.test("Speeds follows what is measured, slowly, and takes the unknown for the best", () => {
  const speeds = new Speeds();
  assert.deepEqual(speeds.of(["a"], "m")[0], { prefillMs: 1, decodeMs: 20, serviceMs: 5_000 });
  speeds.measured("a", "m", { timings: TIMINGS, serviceMs: 1_000 });
  speeds.measured("a", "m", { timings: { ...TIMINGS, promptMs: 700 }, serviceMs: 2_000 });
  const [a, b] = speeds.of(["a", "b"], "m");
  assert.deepEqual(a, { prefillMs: 3, decodeMs: 30, serviceMs: 1_200 });
  assert.deepEqual(b, a);
  assert.equal(speeds.of(["a"], "other")[0]?.decodeMs, 20);
});

Deno.test("Speeds learns no prefill speed from a prompt that was cached", () => {
  const speeds = new Speeds();
  speeds.measured("a", "m", { timings: { ...TIMINGS, promptTokens: 1, promptMs: 50 } });
  assert.deepEqual(speeds.of(["a"], "m")[0], { prefillMs: 1, decodeMs: 30, serviceMs: 5_000 });
});

Deno.test("timingsIn() finds the timings at the end of an answer", () => {
  const found = '"timings":{"cache_n":5,"prompt_n":100,"prompt_ms":200,"predicted_n":10,' +
    '"predicted_ms":300,"x":"y"}';
  const event = `data: {"choices":[],"usage":{"a":{}},${found}}\n\ndata: [DONE]\n\n`;
  assert.deepEqual(timingsIn(bytes(`${"x".repeat(10_000)}${event}`)), TIMINGS);
  assert.equal(timingsIn(bytes("data: {}\n\n")), undefined);
  assert.equal(timingsIn(bytes('"timings":{"prompt_n":')), undefined);
});

Deno.test("timingsIn() survives anything, and believes no nonsense", () => {
  assert.deepEqual(timingsIn(bytes('"timings":{"prompt_ms":-1,"prompt_n":"9"}'))?.promptMs, 0);
  fc.assert(fc.property(fc.string(), (text) => {
    timingsIn(bytes(`"timings":{${text}}`));
  }));
});
