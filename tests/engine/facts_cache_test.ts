import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeFacts, encodeFacts, type LastingFacts } from "~/engine/facts_cache.ts";

const MARKS = [{ path: "/e/llama-server", sizeBytes: 14_000, changedMs: 1_700_000_000_000 }];
const FACTS: LastingFacts = {
  version: "0.7.0",
  build: 11669,
  commit: "Debian",
  rpcVersion: "8.0.0",
  flags: new Set(["-m", "--model"]),
};

Deno.test("decodeFacts() reads what encodeFacts() wrote for the same files", () => {
  assert.deepEqual(decodeFacts(encodeFacts(FACTS, MARKS), MARKS), FACTS);
});

Deno.test("decodeFacts() leaves absent what was not known", () => {
  const facts = { flags: new Set<string>() };
  assert.deepEqual(decodeFacts(encodeFacts(facts, MARKS), MARKS), facts);
});

const CHANGES = [
  { ...MARKS[0], path: "/other" },
  { ...MARKS[0], sizeBytes: 14_001 },
  { ...MARKS[0], changedMs: 1_700_000_000_001 },
];
for (const changed of CHANGES) {
  Deno.test(`decodeFacts() does not believe facts about other files: ${JSON.stringify(changed)}`, () => {
    const text = encodeFacts(FACTS, [{ ...MARKS[0], ...changed } as typeof MARKS[0] & object]);
    assert.equal(decodeFacts(text, MARKS), undefined);
  });
}

Deno.test("decodeFacts() believes nothing about no files at all", () => {
  assert.equal(decodeFacts(encodeFacts(FACTS, []), []), undefined);
});

const WRONG: Record<string, unknown>[] = [
  { format: 0 },
  { flags: "--model" },
  { flags: [1] },
  { flags: ["x".repeat(1000)] },
  { build: "11669" },
  { build: 1.5 },
  { version: {} },
  { rpcVersion: 8 },
];
for (const wrong of WRONG) {
  Deno.test(`decodeFacts() refuses a text with ${JSON.stringify(wrong).slice(0, 40)}`, () => {
    const text = JSON.stringify({ ...JSON.parse(encodeFacts(FACTS, MARKS)), ...wrong });
    assert.equal(decodeFacts(text, MARKS), undefined);
  });
}

Deno.test("decodeFacts() refuses every cut of a text, and never fails", () => {
  const whole = encodeFacts(FACTS, MARKS);
  for (let length = 0; length < whole.length; length += 1) {
    assert.equal(decodeFacts(whole.slice(0, length), MARKS), undefined);
  }
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    assert.equal(decodeFacts(text, MARKS), undefined);
  }));
});

Deno.test("decodeFacts() reads back any facts", () => {
  const facts = fc.record({
    version: fc.string({ maxLength: 100 }),
    build: fc.nat(),
    flags: fc.uniqueArray(fc.string({ maxLength: 100 })).map((names) => new Set(names)),
  }, { noNullPrototype: true });
  fc.assert(fc.property(facts, (one) => {
    assert.deepEqual(decodeFacts(encodeFacts(one, MARKS), MARKS), one);
  }));
});
