import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { parseGgufHeader } from "~/engine/gguf/reader.ts";
import { ModelFileError, readGgufFacts } from "~/engine/io/gguf_file.ts";
import { encodeHeader, type WriteValue } from "#support/gguf_writer.ts";
import { ensureTestModel } from "#support/model.ts";
import { tinyModel } from "#support/tiny_gguf.ts";

async function inFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-gguf-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function refusal(path: string): Promise<string> {
  const error = await readGgufFacts(path).then(() => undefined, (error) => error);
  assert.ok(error instanceof ModelFileError, `got ${error}`);
  assert.equal(error.path.startsWith(path.slice(0, 5)), true);
  return error.message;
}

type Pairs = readonly (readonly [string, WriteValue])[];
const SMALL: Pairs = [
  ["general.architecture", ["str", "llama"]],
  ["llama.block_count", ["u32", 2]],
  ["llama.embedding_length", ["u32", 64]],
  ["llama.attention.head_count", ["u32", 4]],
];

/** A file with one tensor of 32 numbers. */
function small(tensor: string, metadata: Pairs = SMALL): Uint8Array {
  const header = encodeHeader({
    metadata,
    tensors: [{ name: tensor, dims: [32], typeId: 0, offset: 0 }],
  });
  const file = new Uint8Array(Math.ceil(header.length / 32) * 32 + 128);
  file.set(header);
  return file;
}

Deno.test("readGgufFacts() tells the facts of the starter model", async () => {
  const facts = await readGgufFacts(await ensureTestModel());
  assert.deepEqual([facts.architecture, facts.layerCount, facts.contextLength], [
    "llama",
    30,
    8192,
  ]);
  assert.deepEqual([facts.parameterCount, facts.weightsBytes], [134_515_008, 96_576_768]);
  assert.deepEqual([facts.quantisation, facts.vocabularySize], ["Q4_1", 49_152]);
  assert.deepEqual(facts.fingerprint, {
    headerSha256: "cd2d87a25589b59f222688858608478fd7ed55b0cefdc3e96076591029713ce4",
    fileBytes: 98_362_432,
  });
});

Deno.test("readGgufFacts() has the digest of the header's bytes and nothing else", async () => {
  await inFolder(async (dir) => {
    const path = join(dir, "m.gguf");
    const model = tinyModel();
    const digest = createHash("sha256");
    digest.update(model.subarray(0, parseGgufHeader(model).headerBytes));
    await Deno.writeFile(path, model);
    const { fingerprint } = await readGgufFacts(path);
    assert.equal(fingerprint.headerSha256, digest.digest("hex"));
    model[model.length - 1]! ^= 1;
    await Deno.writeFile(path, model);
    assert.deepEqual((await readGgufFacts(path)).fingerprint, fingerprint);
  });
});

Deno.test("readGgufFacts() lets others work while it reads a large vocabulary", async () => {
  await inFolder(async (dir) => {
    const path = join(dir, "words.gguf");
    const words = Array.from({ length: 150_000 }, (_, index) => `word number ${index}`);
    await Deno.writeFile(
      path,
      small("t", [...SMALL, ["tokenizer.ggml.tokens", ["list", "str", words]]]),
    );
    assert.equal((await readGgufFacts(path)).vocabularySize, 150_000);
    const controller = new AbortController();
    // Comes through only if the reader gives others a turn before it is done.
    setTimeout(() => controller.abort(new Error("called off")), 0);
    await assert.rejects(readGgufFacts(path, controller.signal), /called off/);
  });
});

Deno.test("readGgufFacts() joins the parts of a split model", async () => {
  await inFolder(async (dir) => {
    const split = (number: number): Pairs => [
      ["split.no", ["u16", number]],
      ["split.count", ["u16", 2]],
    ];
    const first = small("blk.0.w", [...SMALL, ...split(0)]);
    const second = small("blk.1.w", split(1));
    await Deno.writeFile(join(dir, "m-00001-of-00002.gguf"), first);
    assert.match(
      await refusal(join(dir, "m-00001-of-00002.gguf")),
      /m-00002-of-00002\.gguf": there is no such file/,
    );
    await Deno.writeFile(join(dir, "m-00002-of-00002.gguf"), second);
    const facts = await readGgufFacts(join(dir, "m-00001-of-00002.gguf"));
    assert.deepEqual([facts.partCount, facts.fileBytes], [2, first.length + second.length]);
    assert.deepEqual([facts.layerBytes, facts.parameterCount], [[128, 128], 64]);
    assert.match(
      await refusal(join(dir, "m-00002-of-00002.gguf")),
      /part 2 of 2, the first part is/,
    );
    await Deno.writeFile(join(dir, "renamed.gguf"), first);
    assert.match(
      await refusal(join(dir, "renamed.gguf")),
      /one of 2 parts, but its name stands for 1/,
    );
    await Deno.writeFile(join(dir, "m-00001-of-99999.gguf"), first);
    assert.match(await refusal(join(dir, "m-00001-of-99999.gguf")), /claims 99999 parts/);
  });
});

Deno.test("readGgufFacts() says what is wrong with a file that is no whole model", async () => {
  await inFolder(async (dir) => {
    const path = join(dir, "m.gguf");
    assert.match(await refusal(path), /there is no such file/);
    assert.match(await refusal(dir), /not a file|cannot be opened/);
    const model = tinyModel();
    const contents: readonly (readonly [Uint8Array, RegExp])[] = [
      [new TextEncoder().encode("<html>not found</html>"), /is not a GGUF file/],
      [new Uint8Array(), /is truncated: the header needs at least 4 bytes, has 0/],
      [model.subarray(0, 3_000), /is truncated: the header needs/],
      [model.subarray(0, model.length - 1), new RegExp(`truncated: needs ${model.length} bytes`)],
      [
        encodeHeader({ metadata: [], tensors: [], claimedTensors: 2n ** 60n }),
        /claims 1152921504606846976/,
      ],
      [encodeHeader({ metadata: [], tensors: [] }), /names no architecture/],
    ];
    for (const [bytes, message] of contents) {
      await Deno.writeFile(path, bytes);
      const said = await refusal(path);
      assert.match(said, message);
      assert.match(said, /^Cannot use the model file ".*m\.gguf": /);
    }
  });
});
