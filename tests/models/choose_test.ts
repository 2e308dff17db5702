import assert from "node:assert/strict";
import fc from "fast-check";
import { STARTER } from "~/models/catalogue.ts";
import { type Candidate, chooseBest } from "~/models/choose.ts";
import { editDistance, suggestNames } from "~/models/suggest.ts";

function candidate(id: string, parameterCount: number, more: Partial<Candidate> = {}): Candidate {
  return { id, parameterCount, sizeBytes: parameterCount, isChatModel: true, ...more };
}

const STARTER_CANDIDATE = candidate(STARTER.name, 135);
const always = () => true;

Deno.test("chooseBest() takes the largest model that fits", () => {
  const models = [
    candidate("small", 1_000),
    candidate("large", 70_000),
    candidate("middle", 8_000),
  ];
  assert.equal(chooseBest(models, always)?.id, "large");
  assert.equal(chooseBest(models, ({ sizeBytes }) => sizeBytes < 9_000)?.id, "middle");
  assert.equal(chooseBest(models, () => false), undefined);
});

Deno.test("chooseBest() takes the finer quantised one of equals", () => {
  const models = [candidate("q4", 8, { sizeBytes: 4 }), candidate("q8", 8, { sizeBytes: 8 })];
  assert.equal(chooseBest(models, always)?.id, "q8");
});

Deno.test("chooseBest() takes the starter model only when nothing else fits", () => {
  const tiny = candidate("tiny", 10);
  assert.equal(chooseBest([STARTER_CANDIDATE, tiny], always)?.id, "tiny");
  assert.equal(chooseBest([STARTER_CANDIDATE, tiny], ({ id }) => id !== "tiny")?.id, STARTER.name);
});

Deno.test("chooseBest() never takes a model that cannot chat", () => {
  assert.equal(chooseBest([candidate("bert", 9, { isChatModel: false })], always), undefined);
});

Deno.test("chooseBest() does not depend on the order of what is on disk", () => {
  const any = fc.record({
    id: fc.constantFrom("a", "b", "c", STARTER.name),
    parameterCount: fc.nat(3),
    sizeBytes: fc.nat(3),
    isChatModel: fc.boolean(),
  });
  fc.assert(fc.property(fc.uniqueArray(any, { selector: ({ id }) => id }), (models) => {
    assert.deepEqual(chooseBest([...models].reverse(), always), chooseBest(models, always));
  }));
});

Deno.test("editDistance() counts letters to change", () => {
  assert.deepEqual(
    [["", ""], ["abc", ""], ["", "ab"], ["kitten", "sitting"], ["same", "same"]]
      .map(([a, b]) => editDistance(a ?? "", b ?? "")),
    [0, 3, 2, 3, 0],
  );
});

Deno.test("editDistance() is the same both ways and never more than the longer word", () => {
  const word = fc.string({ maxLength: 12 });
  fc.assert(fc.property(word, word, (a, b) => {
    assert.equal(editDistance(a, b), editDistance(b, a));
    assert.ok(editDistance(a, b) <= Math.max(a.length, b.length));
    assert.equal(editDistance(a, b) === 0, a === b);
  }));
});

Deno.test("suggestNames() lists at most three near names, nearest first", () => {
  const known = ["Qwen3-8B", "Qwen3-4B", "Qwen3-0.6B", "Qwen3-14B", "gemma"];
  assert.equal(suggestNames("Qwen3-9B", known).length, 3);
  assert.equal(suggestNames("qwen3-8", known)[0], "Qwen3-8B");
  assert.deepEqual(suggestNames("something else entirely", known), []);
  assert.deepEqual(suggestNames("gem", known), ["gemma"]);
});
