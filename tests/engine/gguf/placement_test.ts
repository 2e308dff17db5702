import assert from "node:assert/strict";
import fc from "fast-check";
import { GgufFormatError } from "~/engine/gguf/errors.ts";
import { placeTensors, type TensorClaim } from "~/engine/gguf/placement.ts";
import { fileTypeName, tensorType } from "~/engine/gguf/tensor_types.ts";

const REGION = { dataOffset: 96, alignment: 32, fileBytes: 10_000 };

function claim(name: string, relativeOffset: number, more: Partial<TensorClaim> = {}): TensorClaim {
  return { name, dims: [16], typeId: 0, relativeOffset, indexOffset: 24, ...more };
}

Deno.test("placeTensors() keeps the order of the index, whatever the order in the file", () => {
  const placed = placeTensors([claim("late", 640), claim("early", 0)], REGION);
  assert.deepEqual(placed.map(({ name, offsetBytes }) => [name, offsetBytes]), [
    ["late", 736],
    ["early", 96],
  ]);
});

Deno.test("placeTensors() counts the bytes of packed types by their blocks", () => {
  const [q4, scalar] = placeTensors([
    claim("q4", 0, { dims: [256, 3], typeId: 12 }),
    claim("scalar", 1024, { dims: [] }),
  ], REGION);
  assert.deepEqual([q4?.sizeBytes, q4?.elements, q4?.typeName], [3 * 144, 768, "Q4_K"]);
  assert.deepEqual([scalar?.sizeBytes, scalar?.elements], [4, 1]);
});

Deno.test("placeTensors() gives an unknown type at the end the rest of the file", () => {
  const [tensor] = placeTensors([claim("new", 32, { typeId: 200 })], REGION);
  assert.equal(tensor?.sizeBytes, 10_000 - 128);
});

Deno.test("placeTensors() names the tensor that is wrong and where its entry stands", () => {
  const overlapping = [claim("a", 0), claim("b", 32, { indexOffset: 60 })];
  assert.throws(() => placeTensors(overlapping, REGION), (error) => {
    assert.ok(error instanceof GgufFormatError);
    assert.deepEqual([error.offset, /"b" overlapping "a"/.test(error.message)], [60, true]);
    return true;
  });
});

Deno.test("placeTensors() places tensors inside the file and apart, or refuses", () => {
  const anyClaim = fc.record({
    relativeOffset: fc.nat(400).map((step) => step * 32),
    dims: fc.array(fc.integer({ min: 1, max: 64 }), { maxLength: 3 }),
    typeId: fc.constantFrom(0, 1, 2, 8, 99),
  });
  fc.assert(fc.property(fc.array(anyClaim, { maxLength: 5 }), (claims) => {
    try {
      const named = claims.map((one, index) => ({ ...one, name: `t${index}`, indexOffset: 0 }));
      const placed = placeTensors(named, REGION).toSorted((a, b) => a.offsetBytes - b.offsetBytes);
      let end = REGION.dataOffset;
      for (const { offsetBytes, sizeBytes } of placed) {
        assert.ok(offsetBytes >= end);
        end = offsetBytes + sizeBytes;
      }
      assert.ok(end <= REGION.fileBytes);
    } catch (error) {
      assert.ok(error instanceof GgufFormatError, `threw ${error}`);
    }
  }));
});

Deno.test("tensorType() knows how many bits a weight of each type takes", () => {
  const bits = [0, 1, 2, 8, 10, 12, 14, 30, 39].map((id) => {
    const type = tensorType(id);
    return type === undefined ? undefined : (8 * type.blockBytes) / type.blockElements;
  });
  assert.deepEqual(bits, [32, 16, 4.5, 8.5, 2.625, 4.5, 6.5625, 16, 4.25]);
  assert.deepEqual([tensorType(4), tensorType(5), tensorType(-1)], [
    undefined,
    undefined,
    undefined,
  ]);
});

Deno.test("fileTypeName() knows the names that people use", () => {
  assert.deepEqual([15, 18, 7, 1024].map(fileTypeName), ["Q4_K_M", "Q6_K", "Q8_0", undefined]);
});
