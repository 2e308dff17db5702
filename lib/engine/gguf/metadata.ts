import { GgufFormatError } from "./errors.ts";
import type { GgufHeader, GgufValue } from "./header.ts";
import { LAYERS_MAX } from "./limits.ts";

/** Largest number that is believed of a shape: contexts, widths and vocabularies stay far below. */
const SHAPE_MAX = 2 ** 31;

/** Looks up the metadata of one model: plain keys, and those that begin with its architecture. */
export class Metadata {
  readonly #values: ReadonlyMap<string, GgufValue>;
  /** What `general.architecture` says. */
  readonly architecture: string;

  /** @throws {GgufFormatError} when no architecture is named */
  constructor(header: GgufHeader) {
    this.#values = header.metadata;
    const architecture = this.text("general.architecture");
    if (architecture === undefined || !/^[\w.-]{1,64}$/.test(architecture)) {
      throw new GgufFormatError(`Names no architecture ("general.architecture")`, 0);
    }
    this.architecture = architecture;
  }

  /** The value of a key; "~.x" stands for the architecture's own "x". */
  value(key: string): GgufValue | undefined {
    return this.#values.get(this.#full(key));
  }

  has(key: string): boolean {
    return this.value(key) !== undefined;
  }

  text(key: string): string | undefined {
    const found = this.value(key);
    return found?.kind === "scalar" && typeof found.value === "string" ? found.value : undefined;
  }

  flag(key: string): boolean | undefined {
    const found = this.value(key);
    return found?.kind === "scalar" && typeof found.value === "boolean" ? found.value : undefined;
  }

  /** A count; the largest where there is one per layer. Undefined when the key is absent. */
  count(key: string): number | undefined {
    const list = this.counts(key);
    return list === undefined ? undefined : Math.max(0, ...list);
  }

  /** One count per layer, or a single one. Undefined when the key is absent. */
  counts(key: string): readonly number[] | undefined {
    const found = this.value(key);
    if (found === undefined) return undefined;
    if (found.kind === "scalar") return [this.#asCount(key, found.value)];
    if (found.kind === "list" && found.values.length <= LAYERS_MAX) {
      return found.values.map((value) => this.#asCount(key, value));
    }
    throw new GgufFormatError(`Has no usable number in "${this.#full(key)}"`, 0);
  }

  /** How many elements a list has. Undefined when the key is absent or no list. */
  lengthOf(key: string): number | undefined {
    const found = this.value(key);
    if (found?.kind === "list") return found.values.length;
    return found?.kind === "large" ? found.length : undefined;
  }

  #full(key: string): string {
    return key.startsWith("~.") ? `${this.architecture}${key.slice(1)}` : key;
  }

  #asCount(key: string, value: unknown): number {
    const isCount = typeof value === "number" && Number.isInteger(value) && value >= 0;
    if (isCount && value <= SHAPE_MAX) return value;
    throw new GgufFormatError(`Has the number ${String(value)} in "${this.#full(key)}"`, 0);
  }
}
