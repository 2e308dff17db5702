/** Checks that the tensors of an index lie where they can: whole, aligned, apart, inside the file. */
import { GgufFormatError } from "./errors.ts";
import type { GgufTensor } from "./header.ts";
import { tensorType } from "./tensor_types.ts";

/** A tensor as the index claims it. */
export interface TensorClaim {
  readonly name: string;
  readonly dims: readonly number[];
  readonly typeId: number;
  /** From the start of the tensor data. */
  readonly relativeOffset: number;
  /** Where in the index it stands, for messages. */
  readonly indexOffset: number;
}

/** The room for tensors. */
export interface DataRegion {
  readonly dataOffset: number;
  readonly alignment: number;
  readonly fileBytes: number;
}

/**
 * Places the tensors, in the order of the index.
 *
 * @throws {GgufFormatError} when they overlap, are misaligned or do not fit into the file
 */
export function placeTensors(claims: readonly TensorClaim[], region: DataRegion): GgufTensor[] {
  const starts = claims.map((claim) => startOf(claim, region));
  const order = claims.map((_, index) => index).sort((a, b) => starts[a]! - starts[b]!);
  const placed = new Array<GgufTensor>(claims.length);
  let neededBytes = 0;
  for (const [position, index] of order.entries()) {
    const next = order[position + 1];
    const limit = next === undefined ? Math.max(region.fileBytes, starts[index]!) : starts[next]!;
    const tensor = place(claims[index]!, { start: starts[index]!, limit });
    const end = tensor.offsetBytes + tensor.sizeBytes;
    if (next !== undefined && end > limit) {
      fail(claims[next]!, `Has tensor "${claims[next]!.name}" overlapping "${tensor.name}"`);
    }
    neededBytes = Math.max(neededBytes, end);
    placed[index] = tensor;
  }
  if (neededBytes > region.fileBytes) {
    throw new GgufFormatError(
      `Is truncated: needs ${neededBytes} bytes, has ${region.fileBytes}`,
      region.fileBytes,
    );
  }
  return placed;
}

function startOf(claim: TensorClaim, { dataOffset, alignment }: DataRegion): number {
  if (claim.relativeOffset % alignment !== 0) {
    fail(claim, `Has tensor "${claim.name}" at an offset that is no multiple of ${alignment}`);
  }
  const start = dataOffset + claim.relativeOffset;
  if (!Number.isSafeInteger(start)) fail(claim, `Has tensor "${claim.name}" beyond any file`);
  return start;
}

function place(
  claim: TensorClaim,
  { start, limit }: { readonly start: number; readonly limit: number },
): GgufTensor {
  const { name, dims, typeId } = claim;
  const elements = elementsOf(claim);
  const type = tensorType(typeId);
  const base = { name, dims, typeId, offsetBytes: start, elements };
  // A type that is newer than this program: the engine may know it, so its room is taken as its size.
  if (type === undefined) return { ...base, typeName: `type ${typeId}`, sizeBytes: limit - start };
  const row = dims[0] ?? 1;
  if (row % type.blockElements !== 0) {
    fail(claim, `Has tensor "${name}" with rows of ${row}, no multiple of ${type.blockElements}`);
  }
  const sizeBytes = (elements / type.blockElements) * type.blockBytes;
  if (!Number.isSafeInteger(start + sizeBytes)) fail(claim, `Has tensor "${name}" beyond any file`);
  return { ...base, typeName: type.name, sizeBytes };
}

function elementsOf(claim: TensorClaim): number {
  let elements = 1;
  for (const size of claim.dims) {
    elements *= size;
    if (!Number.isSafeInteger(elements)) {
      fail(claim, `Has tensor "${claim.name}" of more elements than any file holds`);
    }
  }
  return elements;
}

function fail(claim: TensorClaim, message: string): never {
  throw new GgufFormatError(message, claim.indexOffset);
}
