/** The models on this node's disk, as they were last looked at: a look takes many reads. */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Timers } from "~/base/clock.ts";
import { messageOf } from "~/base/errors.ts";
import type { GgufFacts } from "~/engine/gguf/facts.ts";

/** Between two looks: models come by the command `download`, and by other programs. */
const LOOK_MS = 60_000;

const log = getLogger(["mesh-llm", "node"]);

/** One model on disk. */
export interface DiskModel {
  readonly id: string;
  readonly sizeBytes: number;
  /** What its file says; absent where nobody read it. */
  readonly header?: { readonly fingerprint: string; readonly facts: GgufFacts };
}

/** Remembers a list that takes time to make. */
export class DiskModels {
  readonly #look: () => Promise<readonly DiskModel[]>;
  readonly #changed: () => void;
  #models: readonly DiskModel[] = [];
  #looking: Promise<void> | undefined;
  #later: CancelTimer | undefined;
  #isOver = false;

  /** @param changed called when a look found other models than the one before */
  constructor(look: () => Promise<readonly DiskModel[]>, changed: () => void) {
    this.#look = look;
    this.#changed = changed;
  }

  /** In the order of names, each once; the same object while nothing changes. */
  get models(): readonly DiskModel[] {
    return this.#models;
  }

  /** Their names. */
  get names(): readonly string[] {
    return this.#models.map(({ id }) => id);
  }

  /** Looks again; calls during a look share it. Never rejects. */
  refresh(): Promise<void> {
    return this.#looking ??= this.#refresh().finally(() => this.#looking = undefined);
  }

  /** Looks now, and again a minute after each look, until it is closed. */
  watch(timers: Timers): void {
    void this.refresh().then(() => {
      if (!this.#isOver) this.#later = timers.after(LOOK_MS, () => this.watch(timers));
    });
  }

  /** Watches no more. */
  close(): void {
    this.#isOver = true;
    this.#later?.();
  }

  async #refresh(): Promise<void> {
    try {
      const byName = new Map((await this.#look()).map((model) => [model.id, model]));
      const models = [...byName.values()].sort((a, b) => a.id < b.id ? -1 : 1);
      if (textOf(models) === textOf(this.#models)) return;
      this.#models = models;
      this.#changed();
    } catch (error) {
      log.debug("Cannot look at the models on disk: {reason}", { reason: messageOf(error) });
    }
  }
}

function textOf(models: readonly DiskModel[]): string {
  return models.map((model) => `${model.id}\n${model.sizeBytes}\n${model.header?.fingerprint}`)
    .join("\n");
}
