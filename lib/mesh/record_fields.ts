/** How the members of a record are read: strictly, and within bounds. */
import type { JsonValue } from "../base/json.ts";
import { isPrintable } from "./wire.ts";

const NAME_CHARS_MAX = 256;
/** SHA-256 of a header in hexadecimal, ":", a size in bytes. */
const FINGERPRINT = /^[0-9a-f]{64}:[0-9]{1,16}$/;

/** Names of models and devices have this length at most. */
export function isName(value: JsonValue | undefined): value is string {
  return isPrintable(value, NAME_CHARS_MAX);
}

/** A whole number from 0 on. */
export function isCount(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** What a model is, whatever its name. */
export function isFingerprint(value: JsonValue | undefined): value is string {
  return typeof value === "string" && FINGERPRINT.test(value);
}

/** A list of at most `max`, every item read; one that cannot be read spoils all. */
export function readList<T>(
  value: JsonValue | undefined,
  max: number,
  read: (item: JsonValue) => T | undefined,
): readonly T[] | undefined {
  if (!Array.isArray(value) || value.length > max) return undefined;
  const items: T[] = [];
  for (const item of value) {
    const one = read(item);
    if (one === undefined) return undefined;
    items.push(one);
  }
  return items;
}

/** For a list of names. */
export function readName(value: JsonValue): string | undefined {
  return isName(value) ? value : undefined;
}
