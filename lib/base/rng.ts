/** Chance as an argument, so that a seed can be printed and a run repeated. */
export interface Rng {
  /** A float in [0, 1). Not for secrets. */
  next(): number;
}

/** Unpredictable bytes for keys and identifiers; its own port, so that no seed ever makes a key. */
export interface SecretSource {
  /** Returns `length` bytes that nobody can guess. */
  bytes(length: number): Uint8Array<ArrayBuffer>;
}
