import assert from "node:assert/strict";
import { parseGgufHeader } from "~/engine/gguf/reader.ts";
import { sha256 } from "#support/hugging_face.ts";
import { tinyModel } from "#support/tiny_gguf.ts";

Deno.test("tinyModel() makes the same bytes for the same options, others for another seed", () => {
  const digests = [{}, {}, { seed: 2 }].map((options) => sha256(tinyModel(options)));
  assert.equal(digests[0], digests[1]);
  assert.notEqual(digests[0], digests[2]);
});

Deno.test("tinyModel() gives each tensor bytes of its own, so that caches by content see no copies", () => {
  const model = tinyModel({ layers: 3 });
  const matrices = parseGgufHeader(model).tensors.filter(({ name }) => !/norm/.test(name));
  const digests = matrices.map(({ offsetBytes, sizeBytes }) =>
    sha256(model.subarray(offsetBytes, offsetBytes + sizeBytes))
  );
  assert.equal(new Set(digests).size, matrices.length);
});
