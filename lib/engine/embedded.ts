/**
 * The list of an engine that is packed into the compiled program. Embedded files have no mode and no
 * links, so both stand here; contents lie beside it under the name of their digest. Pure.
 */
import { isJsonObject } from "~/base/json.ts";
import { isSha256 } from "~/base/transfer.ts";
import { isSafePath, judgeEntry } from "./archive.ts";
import { type EngineManifest, formatManifest, parseManifest } from "./manifest.ts";

/** Name of the list inside the embedded folder. */
export const EMBEDDED_NAME = "embedded-engine.json";
/** Folder of the contents beside it. */
export const BLOBS_NAME = "blobs";
/** A list of 500 files takes about 100 KiB. */
export const EMBEDDED_BYTES_MAX = 4 * 1024 * 1024;

const FORMAT = 1;

/** One file of the packed engine. */
export interface EmbeddedFile {
  readonly path: string;
  readonly isExecutable: boolean;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** A packed engine. */
export interface EmbeddedEngine {
  readonly manifest: EngineManifest;
  readonly files: readonly EmbeddedFile[];
  readonly links: readonly { readonly path: string; readonly target: string }[];
}

export function formatEmbedded({ manifest, files, links }: EmbeddedEngine): string {
  const engine: unknown = JSON.parse(formatManifest(manifest));
  return `${JSON.stringify({ format: FORMAT, engine, files, links }, null, 1)}\n`;
}

/** Reads the list; undefined when it is none, or names anything outside its folder. */
export function parseEmbedded(text: string): EmbeddedEngine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value) || value["format"] !== FORMAT) return undefined;
  const manifest = parseManifest(JSON.stringify(value["engine"] ?? null));
  const files = asList(value["files"], asFile);
  const links = asList(value["links"], asLink);
  if (manifest === undefined || files === undefined || links === undefined) return undefined;
  const paths = [...files, ...links].map(({ path }) => path);
  return new Set(paths).size === paths.length ? { manifest, files, links } : undefined;
}

function asList<T>(value: unknown, read: (entry: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const entries = value.map(read);
  return entries.every((entry) => entry !== undefined) ? entries as T[] : undefined;
}

function asFile(value: unknown): EmbeddedFile | undefined {
  if (!isJsonObject(value)) return undefined;
  const { path, isExecutable, sizeBytes, sha256 } = value;
  if (typeof path !== "string" || !isSafePath(path)) return undefined;
  if (typeof isExecutable !== "boolean" || typeof sha256 !== "string" || !isSha256(sha256)) {
    return undefined;
  }
  if (typeof sizeBytes !== "number" || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    return undefined;
  }
  return { path, isExecutable, sizeBytes, sha256 };
}

function asLink(value: unknown): { path: string; target: string } | undefined {
  if (!isJsonObject(value)) return undefined;
  const { path, target } = value;
  if (typeof path !== "string" || typeof target !== "string") return undefined;
  try {
    const verdict = judgeEntry({ kind: "symlink", path, target });
    return verdict.kind === "link" ? { path: verdict.path, target: verdict.target } : undefined;
  } catch {
    return undefined;
  }
}
