/**
 * Publishes what this node says about itself: looks when it is told that something changed, waits a moment for
 * more, and signs a new record only when it would say something else.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Timers } from "~/base/clock.ts";
import { messageOf } from "~/base/errors.ts";
import { Lane } from "~/base/lane.ts";
import type { Certificate, Signed } from "~/mesh/credentials.ts";
import type { NodeRecord, SignedRecord } from "~/mesh/record.ts";
import { contentOf, type OwnFacts, type RecordContent, saysTheSame } from "./own_record.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** Changes come in bursts: a model that loads, links that come up. */
const GATHER_MS = 50;

/** What the voice works with. */
export interface OwnVoiceOptions {
  /** What is true now. */
  readonly facts: () => OwnFacts;
  /** The certificate that goes with it; undefined while there is none: then nothing is said. */
  readonly certificate: () => Signed<Certificate> | undefined;
  /** Signs a record, with the certificate in it. */
  readonly sign: (record: NodeRecord, certificateJws: string) => Promise<string>;
  /** Hands a new record on. */
  readonly publish: (record: SignedRecord) => void;
  readonly timers: Timers;
  /** Unix milliseconds of the start: later lives of the node say newer things. */
  readonly startedUnixMs: number;
}

/** Says what changed, once. */
export class OwnVoice {
  readonly #options: OwnVoiceOptions;
  readonly #lane = new Lane();
  #incarnation: number;
  #said: { readonly content: RecordContent; readonly certificateJws: string } | undefined;
  #pending: CancelTimer | undefined;
  #isOver = false;

  constructor(options: OwnVoiceOptions) {
    this.#options = options;
    this.#incarnation = options.startedUnixMs;
  }

  /** Something may have changed. */
  changed(): void {
    if (this.#isOver) return;
    this.#pending ??= this.#options.timers.after(GATHER_MS, () => {
      this.#pending = undefined;
      void this.speak();
    });
  }

  /** Says now what changed; resolves when it was handed on. Never rejects. */
  speak(): Promise<void> {
    return this.#lane.run(() => this.#speak());
  }

  /** Somebody has a newer record of this node: the next one is newer still, and said now. */
  outrun(incarnation: number): Promise<void> {
    this.#incarnation = Math.max(this.#incarnation, incarnation);
    this.#said = undefined;
    return this.speak();
  }

  /** Says no more. */
  close(): void {
    this.#isOver = true;
    this.#pending?.();
    this.#pending = undefined;
  }

  async #speak(): Promise<void> {
    const { facts, certificate, sign, publish } = this.#options;
    const paper = certificate();
    if (this.#isOver || paper === undefined) return;
    const content = contentOf(facts());
    const isOld = this.#said !== undefined && saysTheSame(this.#said.content, content) &&
      this.#said.certificateJws === paper.jws;
    if (isOld) return;
    this.#incarnation += 1;
    const record: NodeRecord = { ...content, incarnation: this.#incarnation };
    try {
      const jws = await sign(record, paper.jws);
      this.#said = { content, certificateJws: paper.jws };
      publish({ jws, record, certificate: paper });
    } catch (error) {
      log.error("Cannot publish the record of this node: {reason}", { reason: messageOf(error) });
    }
  }
}
