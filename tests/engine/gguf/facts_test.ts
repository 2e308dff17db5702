import assert from "node:assert/strict";
import fc from "fast-check";
import { GgufFormatError } from "~/engine/gguf/errors.ts";
import { type GgufFacts, ggufFacts } from "~/engine/gguf/facts.ts";
import { parseGgufHeader } from "~/engine/gguf/reader.ts";
import { encodeHeader, type WriteValue } from "#support/gguf_writer.ts";
import { tinyModel } from "#support/tiny_gguf.ts";

type Pairs = Readonly<Record<string, WriteValue>>;

const SMALL: Pairs = {
  "general.architecture": ["str", "qwen3"],
  "qwen3.block_count": ["u32", 4],
  "qwen3.embedding_length": ["u32", 64],
  "qwen3.attention.head_count": ["u32", 8],
};

/** Facts of a header that holds `pairs` and one small tensor. */
function factsOf(pairs: Pairs): GgufFacts {
  const tensors = [{ name: "blk.0.x", dims: [32], typeId: 0, offset: 0 }];
  return ggufFacts([
    parseGgufHeader(encodeHeader({ metadata: Object.entries(pairs), tensors }), 5e5),
  ]);
}

Deno.test("ggufFacts() tells the shape and the weights of a dense model", () => {
  const facts = ggufFacts([parseGgufHeader(tinyModel({ name: "little", weights: "q8" }))]);
  const { architecture, name, purpose, quantisation, dominantTensorType, hasChatTemplate } = facts;
  assert.deepEqual({
    architecture,
    name,
    purpose,
    quantisation,
    dominantTensorType,
    hasChatTemplate,
  }, {
    architecture: "llama",
    name: "little",
    purpose: "text",
    quantisation: "Q8_0",
    dominantTensorType: "Q8_0",
    hasChatTemplate: true,
  });
  assert.deepEqual([facts.layerCount, facts.embeddingLength, facts.feedForwardLength], [
    2,
    64,
    128,
  ]);
  assert.deepEqual([facts.contextLength, facts.vocabularySize], [2048, 512]);
  assert.deepEqual([facts.headCounts, facts.kvHeadCounts], [[4, 4], [2, 2]]);
  assert.deepEqual([facts.keyLength, facts.valueLength, facts.recurrentElements], [16, 16, 0]);
  assert.equal(facts.expertCount, 0);
});

Deno.test("ggufFacts() counts every byte of the weights once", () => {
  const header = parseGgufHeader(tinyModel({ experts: 4 }));
  const facts = ggufFacts([header]);
  const layers = facts.layerBytes.reduce((sum, bytes) => sum + bytes, 0);
  const all = header.tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  assert.equal(layers + facts.embeddingBytes + facts.outputBytes + facts.otherBytes, all);
  assert.equal(facts.weightsBytes, all);
  assert.deepEqual([facts.embeddingBytes, facts.outputBytes, facts.otherBytes], [
    65_536,
    65_536,
    256,
  ]);
  assert.deepEqual([facts.expertCount, facts.expertUsedCount], [4, 2]);
});

Deno.test("ggufFacts() joins the tensors of all parts", () => {
  const whole = parseGgufHeader(tinyModel());
  const half = (from: number, to: number) => ({ ...whole, tensors: whole.tensors.slice(from, to) });
  const joined = ggufFacts([half(0, 5), half(5, 100)]);
  assert.deepEqual(joined, ggufFacts([whole]));
});

Deno.test("ggufFacts() reads one number for all layers or one for each", () => {
  const perLayer: WriteValue = ["list", "i32", [2, 0, 2, 0]];
  assert.deepEqual(
    factsOf({ ...SMALL, "qwen3.attention.head_count_kv": perLayer }).kvHeadCounts,
    [2, 0, 2, 0],
  );
  assert.deepEqual(
    factsOf({ ...SMALL, "qwen3.attention.head_count_kv": ["u32", 2] }).kvHeadCounts,
    [2, 2, 2, 2],
  );
});

Deno.test("ggufFacts() takes as many key/value heads as heads where the file names none", () => {
  const { kvHeadCounts, keyLength } = factsOf(SMALL);
  assert.deepEqual([kvHeadCounts, keyLength], [[8, 8, 8, 8], 8]);
});

Deno.test("ggufFacts() believes key and value lengths of their own", () => {
  const { keyLength, valueLength } = factsOf({
    ...SMALL,
    "qwen3.attention.key_length": ["u32", 576],
    "qwen3.attention.value_length": ["u32", 512],
  });
  assert.deepEqual([keyLength, valueLength], [576, 512]);
});

Deno.test("ggufFacts() believes a sliding window only where each layer says whether it slides", () => {
  const pairs = { ...SMALL, "qwen3.attention.sliding_window": ["u32", 128] } as const;
  const pattern = "qwen3.attention.sliding_window_pattern";
  const flags: WriteValue = ["list", "bool", [true, false, true, false]];
  assert.deepEqual(factsOf({ ...pairs, [pattern]: flags }).slidingLayers, [
    true,
    false,
    true,
    false,
  ]);
  assert.equal(factsOf({ ...pairs, [pattern]: ["u32", 6] }).slidingLayers, undefined);
  assert.equal(factsOf(pairs).slidingWindow, 128);
});

Deno.test("ggufFacts() counts the state of recurrent layers only", () => {
  const pairs = {
    ...SMALL,
    "qwen3.attention.head_count_kv": ["list", "i32", [2, 0, 2, 0]],
    "qwen3.ssm.conv_kernel": ["u32", 4],
    "qwen3.ssm.inner_size": ["u32", 128],
    "qwen3.ssm.state_size": ["u32", 16],
    "qwen3.ssm.group_count": ["u32", 1],
  } as const;
  assert.equal(factsOf(pairs).recurrentElements, 2 * (16 * 128 + 3 * (128 + 2 * 16)));
});

Deno.test("ggufFacts() assumes a large state where the file does not tell its size", () => {
  assert.equal(
    factsOf({ ...SMALL, "qwen3.wkv.head_size": ["u32", 64] }).recurrentElements,
    4 * 64 * 256,
  );
});

Deno.test("ggufFacts() tells chat models from those that answer with vectors, or not at all", () => {
  const purpose = (more: Pairs) => factsOf({ ...SMALL, ...more }).purpose;
  assert.equal(purpose({}), "text");
  assert.equal(purpose({ "qwen3.pooling_type": ["u32", 3] }), "embedding");
  assert.equal(purpose({ "qwen3.pooling_type": ["u32", 0] }), "text");
  assert.equal(purpose({ "qwen3.attention.causal": ["bool", false] }), "embedding");
  assert.equal(purpose({ "general.type": ["str", "adapter"] }), "other");
  const vocabulary = encodeHeader({ metadata: Object.entries(SMALL), tensors: [] });
  assert.equal(ggufFacts([parseGgufHeader(vocabulary)]).purpose, "other");
});

const REFUSED: readonly (readonly [string, Pairs, RegExp])[] = [
  ["no architecture", {}, /names no architecture/i],
  ["an odd architecture", { ...SMALL, "general.architecture": ["str", "a b"] }, /no architecture/],
  ["no layers", { ...SMALL, "qwen3.block_count": ["u32", 0] }, /without layers/],
  ["too many layers", { ...SMALL, "qwen3.block_count": ["u32", 5_000] }, /Claims 5000 layers/],
  ["no width", { ...SMALL, "qwen3.embedding_length": ["u32", 0] }, /without a width/],
  [
    "negative heads",
    { ...SMALL, "qwen3.attention.head_count": ["i32", -1] },
    /number -1 in "qwen3/,
  ],
  ["half a head", { ...SMALL, "qwen3.attention.head_count": ["f32", 0.5] }, /number 0.5/],
  [
    "a context of 2^63",
    { ...SMALL, "qwen3.context_length": ["u64", 2n ** 63n] },
    /9223372036854775808/,
  ],
  ["text for a number", { ...SMALL, "qwen3.block_count": ["str", "4"] }, /number 4/],
];

Deno.test("ggufFacts() refuses headers that describe no model", async (t) => {
  for (const [name, pairs, message] of REFUSED) {
    await t.step(name, () => {
      assert.throws(() => factsOf(pairs), (error) => {
        assert.ok(error instanceof GgufFormatError);
        return message.test(error.message);
      });
    });
  }
});

Deno.test("ggufFacts() gives facts or a format error for any numbers", () => {
  const keys = ["block_count", "embedding_length", "attention.head_count", "context_length"];
  const more = [
    "attention.key_length",
    "expert_count",
    "ssm.inner_size",
    "attention.sliding_window",
  ];
  const anyValue: fc.Arbitrary<WriteValue> = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value): WriteValue => ["u64", value]),
    fc.integer({ min: -10, max: 5_000 }).map((value): WriteValue => ["i32", value]),
    fc.double().map((value): WriteValue => ["f64", value]),
    fc.array(fc.nat(300)).map((value): WriteValue => ["list", "u32", value]),
  );
  const anyPairs = fc.dictionary(
    fc.constantFrom(...[...keys, ...more].map((key) => `qwen3.${key}`)),
    anyValue,
  );
  fc.assert(
    fc.property(anyPairs, (pairs) => {
      try {
        const facts = factsOf({ ...SMALL, ...pairs });
        assert.equal(facts.layerBytes.length, facts.layerCount);
        assert.equal(facts.kvHeadCounts.length, facts.layerCount);
      } catch (error) {
        assert.ok(error instanceof GgufFormatError, `threw ${error}`);
      }
    }),
    { numRuns: 500 },
  );
});
