/** What an engine said about itself, as text, so that the next start need not ask again. Pure. */
import { isJsonObject, type JsonValue } from "../base/json.ts";
import type { EngineFacts } from "./install.ts";

/** Everything that stays the same while the programs do. */
export type LastingFacts = Omit<EngineFacts, "devices">;

/** Tells one build of a program from another. */
export interface FileMark {
  readonly path: string;
  readonly sizeBytes: number;
  readonly changedMs: number;
}

/** Raised when what is asked changes, so that older texts are not believed. */
const FORMAT = 1;
/** The help of 0.7.0 names about 400. */
const FLAGS_MAX = 5_000;
const NAME_CHARS_MAX = 200;

/** Writes facts, with the files that they hold for. */
export function encodeFacts(facts: LastingFacts, marks: readonly FileMark[]): string {
  return JSON.stringify({ format: FORMAT, marks, ...facts, flags: [...facts.flags] });
}

/** Reads facts; undefined when the text is not one of ours, or is about other files than `marks`. */
export function decodeFacts(text: string, marks: readonly FileMark[]): LastingFacts | undefined {
  const value = parse(text);
  if (!isJsonObject(value) || value["format"] !== FORMAT || marks.length === 0) return undefined;
  const { version, build, commit, rpcVersion, flags } = value;
  if (JSON.stringify(value["marks"]) !== JSON.stringify(marks)) return undefined;
  if (!Array.isArray(flags) || flags.length > FLAGS_MAX || !flags.every(isName)) return undefined;
  if (![version, commit, rpcVersion].every((name) => name === undefined || isName(name))) {
    return undefined;
  }
  if (build !== undefined && !Number.isSafeInteger(build)) return undefined;
  return {
    ...(typeof version === "string" ? { version } : {}),
    ...(typeof build === "number" ? { build } : {}),
    ...(typeof commit === "string" ? { commit } : {}),
    ...(typeof rpcVersion === "string" ? { rpcVersion } : {}),
    flags: new Set(flags),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isName(value: JsonValue | undefined): value is string {
  return typeof value === "string" && value.length <= NAME_CHARS_MAX;
}
