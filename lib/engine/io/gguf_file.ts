/** Reads the headers of GGUF files from disk, a piece at a time, so that nothing else has to wait. */
import { createHash, type Hash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { GgufFormatError } from "../gguf/errors.ts";
import { type GgufFacts, ggufFacts } from "../gguf/facts.ts";
import type { GgufHeader } from "../gguf/header.ts";
import { PARTS_MAX } from "../gguf/limits.ts";
import { ggufSteps } from "../gguf/reader.ts";
import { UserError } from "../../base/errors.ts";
import { WorkSlice } from "../../base/io/work_slice.ts";

/** Bytes per read: a few milliseconds of parsing even when they are all tiny strings. */
const CHUNK_BYTES = 64 * 1024;

/** A model file that cannot be used; the message is for people. */
export class ModelFileError extends UserError {
  override readonly name = "ModelFileError";
  readonly path: string;

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`Cannot use the model file "${path}": ${reason}`, options);
    this.path = path;
  }
}

/** Facts about a model, with those of its file. */
export interface GgufFileFacts extends GgufFacts {
  /** The file, or the first part of a split one. */
  readonly path: string;
  /** All parts together. */
  readonly fileBytes: number;
  readonly partCount: number;
  /** The same model everywhere: SHA-256 of the header(s) in hexadecimal, and the size. */
  readonly fingerprint: { readonly headerSha256: string; readonly fileBytes: number };
}

/**
 * Reads the facts of a model; of a split one, all parts.
 *
 * @throws {ModelFileError} when it is absent, not GGUF, cut off, damaged, or a part is missing
 */
export async function readGgufFacts(path: string, signal?: AbortSignal): Promise<GgufFileFacts> {
  const hash = createHash("sha256");
  const [first, ...others] = splitPaths(path);
  const head = await readHeader(first, { hash, signal });
  refuseUnnamedPart(first, { header: head.header, partCount: others.length + 1 });
  const headers: [GgufHeader, ...GgufHeader[]] = [head.header];
  let fileBytes = head.fileBytes;
  for (const part of others) {
    const next = await readHeader(part, { hash, signal });
    headers.push(next.header);
    fileBytes += next.fileBytes;
  }
  const facts = explained(first, () => ggufFacts(headers));
  const fingerprint = { headerSha256: hash.digest("hex"), fileBytes };
  return { ...facts, path, fileBytes, partCount: headers.length, fingerprint };
}

/** The paths of all parts, by the name of the first: "<stem>-00001-of-00003.gguf". */
function splitPaths(path: string): [string, ...string[]] {
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(basename(path));
  if (match === null) return [path];
  const [part, parts] = [Number(match[2]), Number(match[3])];
  if (part !== 1) {
    throw new ModelFileError(path, `it is part ${part} of ${parts}, the first part is wanted`);
  }
  if (parts < 1 || parts > PARTS_MAX) {
    throw new ModelFileError(path, `it claims ${parts} parts, more than ${PARTS_MAX}`);
  }
  const others = Array.from({ length: parts - 1 }, (_, index) => {
    const number = String(index + 2).padStart(5, "0");
    return join(dirname(path), `${match[1]}-${number}-of-${match[3]}.gguf`);
  });
  return [path, ...others];
}

/** A part under another name loads nowhere: llama.cpp finds its siblings by their names. */
function refuseUnnamedPart(
  path: string,
  { header, partCount }: { readonly header: GgufHeader; readonly partCount: number },
): void {
  const stated = header.metadata.get("split.count");
  const count = stated?.kind === "scalar" ? Number(stated.value) : 0;
  if (count <= 1 || count === partCount) return;
  const reason = `it is one of ${count} parts, but its name stands for ${partCount}`;
  throw new ModelFileError(path, reason);
}

interface ReadContext {
  readonly hash: Hash;
  readonly signal: AbortSignal | undefined;
}

interface HeaderOfFile {
  readonly header: GgufHeader;
  readonly fileBytes: number;
}

async function readHeader(path: string, { hash, signal }: ReadContext): Promise<HeaderOfFile> {
  using file = await openModel(path);
  const info = await file.stat();
  if (!info.isFile) throw new ModelFileError(path, "it is not a file");
  const source = new ChunkedSource(file, { hash, signal });
  const steps = ggufSteps(info.size);
  let piece: Uint8Array = NOTHING;
  for (;;) {
    const next = explained(path, () => steps.next(piece));
    if (next.done === true) {
      source.hashUsed();
      return { header: next.value, fileBytes: info.size };
    }
    const { kind, bytes } = next.value;
    // Most pieces are in memory already: waiting for each would cost more than parsing it.
    if (kind === "skip") {
      if (!source.pass(bytes)) await source.passSlowly(bytes, path);
      piece = NOTHING;
    } else {
      if (!source.has(bytes)) await source.fill(bytes, path);
      piece = source.take(bytes);
    }
  }
}

async function openModel(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { read: true });
  } catch (cause) {
    const isMissing = cause instanceof Deno.errors.NotFound;
    const reason = isMissing ? "there is no such file" : "it cannot be opened";
    throw new ModelFileError(path, reason, { cause });
  }
}

/** Turns what the parser says about bytes into what people say about files. */
function explained<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof GgufFormatError)) throw cause;
    const { message } = cause;
    throw new ModelFileError(path, sentenceOf(message), { cause });
  }
}

const NOTHING = new Uint8Array();

/** A file as a sequence of bytes in memory; those that were used are hashed, a chunk at a time. */
class ChunkedSource {
  readonly #file: Deno.FsFile;
  readonly #context: ReadContext;
  #buffer: Uint8Array = NOTHING;
  #at = 0;
  #hashed = 0;
  readonly #slice = new WorkSlice();

  constructor(file: Deno.FsFile, context: ReadContext) {
    this.#file = file;
    this.#context = context;
  }

  has(bytes: number): boolean {
    return this.#buffer.length - this.#at >= bytes;
  }

  /** Reads until at least `bytes` (never more than a chunk) are in memory. */
  async fill(bytes: number, path: string): Promise<void> {
    this.hashUsed();
    await this.#slice.yieldIfLong();
    const rest = this.#buffer.subarray(this.#at);
    const next = new Uint8Array(rest.length + CHUNK_BYTES);
    next.set(rest);
    let length = rest.length;
    while (length < bytes) {
      this.#context.signal?.throwIfAborted();
      const count = await this.#file.read(next.subarray(length));
      if (count === null) throw new ModelFileError(path, "it became shorter while it was read");
      length += count;
    }
    this.#buffer = next.subarray(0, length);
    this.#at = 0;
    this.#hashed = 0;
  }

  take(bytes: number): Uint8Array {
    this.#at += bytes;
    return this.#buffer.subarray(this.#at - bytes, this.#at);
  }

  /** Goes over bytes that nobody wants to see; false when they are not in memory yet. */
  pass(bytes: number): boolean {
    if (!this.has(bytes)) return false;
    this.#at += bytes;
    return true;
  }

  /** Goes over bytes that have to be read first; they count for the digest all the same. */
  async passSlowly(bytes: number, path: string): Promise<void> {
    for (let left = bytes; left > 0;) {
      if (!this.has(1)) await this.fill(1, path);
      const step = Math.min(left, this.#buffer.length - this.#at);
      this.#at += step;
      left -= step;
    }
  }

  hashUsed(): void {
    this.#context.hash.update(this.#buffer.subarray(this.#hashed, this.#at));
    this.#hashed = this.#at;
  }
}

/** The reader says what the file "Is …" or "Has …"; other words stand as they are. */
function sentenceOf(message: string): string {
  const lower = message.charAt(0).toLowerCase() + message.slice(1);
  return /^(?:is|has) /.test(lower) ? `it ${lower}` : lower;
}
