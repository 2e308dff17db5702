/** Names of the models on this node's disk, as they were last looked at: a look takes many reads. */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "~/base/errors.ts";

const log = getLogger(["mesh-llm", "node"]);

/** Remembers a list that takes time to make. */
export class DiskModels {
  readonly #look: () => Promise<readonly string[]>;
  readonly #changed: () => void;
  #names: readonly string[] = [];
  #looking: Promise<void> | undefined;

  /** @param changed called when a look found other names than the one before */
  constructor(look: () => Promise<readonly string[]>, changed: () => void) {
    this.#look = look;
    this.#changed = changed;
  }

  /** Sorted, each once. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** Looks again; calls during a look share it. Never rejects. */
  refresh(): Promise<void> {
    return this.#looking ??= this.#refresh().finally(() => this.#looking = undefined);
  }

  async #refresh(): Promise<void> {
    try {
      const names = [...new Set(await this.#look())].sort();
      if (names.join("\n") === this.#names.join("\n")) return;
      this.#names = names;
      this.#changed();
    } catch (error) {
      log.debug("Cannot look at the models on disk: {reason}", { reason: messageOf(error) });
    }
  }
}
