/**
 * Checks the records that peers send before the membership machine sees them: signature, certificate, and that
 * both speak of the same node. Checking costs time, so what is known already is dropped first, and each peer
 * has a queue with a bound; what falls out of it comes again with the next digest.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "~/base/errors.ts";
import type { JsonObject } from "~/base/json.ts";
import type { RecordMark } from "~/mesh/control.ts";
import { type Certificate, roleOf, type Signed } from "~/mesh/credentials.ts";
import { type NodeId, shortId } from "~/mesh/ids.ts";
import type { RecordVerdict } from "~/mesh/membership_ports.ts";
import type { NodeRecord, SignedRecord } from "~/mesh/record.ts";
import { isRefusal, type Refusal } from "~/mesh/refusal.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** Records of one peer that wait; a digest of a full mesh brings as many. */
const QUEUED_MAX = 1024;
/** Checked in a row before others run: a signature takes about 0.15 ms. */
const BATCH = 32;

/** What the desk works with. */
export interface RecordDeskOptions {
  /** Whose it is and which, without any check; undefined for rubbish. */
  readonly peek: (jws: string) => RecordMark | undefined;
  /** Payload whose signature by `node` holds. */
  readonly verify: (jws: string, node: NodeId) => Promise<JsonObject | undefined>;
  /** Reads a payload; undefined when it is no record. */
  readonly read: (
    payload: JsonObject,
  ) => { readonly record: NodeRecord; readonly certificateJws: string } | undefined;
  readonly checkCertificate: (
    jws: string,
    node: NodeId,
  ) => Promise<Signed<Certificate> | Refusal>;
  /** Whether an incarnation is of a time that has not come yet. */
  readonly isFarAhead: (incarnation: number) => boolean;
  /** Whether it is worth the work. */
  readonly judge: (from: NodeId, mark: RecordMark) => RecordVerdict;
  readonly deliver: (from: NodeId, records: readonly SignedRecord[]) => void;
}

/** Checks records in the order in which each peer sent them. */
export class RecordDesk {
  readonly #options: RecordDeskOptions;
  /** Waiting ones by sender. */
  readonly #queues = new Map<NodeId, string[]>();
  #isWorking = false;
  /** Whose batch is being checked. */
  #checking: NodeId | undefined;
  readonly #waiting = new Map<NodeId, (() => void)[]>();

  constructor(options: RecordDeskOptions) {
    this.#options = options;
  }

  /** Takes records in; they are delivered later, those that hold. */
  take(from: NodeId, records: readonly string[]): void {
    const queue = this.#queues.get(from) ?? [];
    queue.push(...records.slice(0, Math.max(0, QUEUED_MAX - queue.length)));
    this.#queues.set(from, queue);
    if (this.#isWorking) return;
    this.#isWorking = true;
    void this.#work();
  }

  /** A peer is gone: what it sent is not looked at any more. */
  forget(from: NodeId): void {
    this.#queues.delete(from);
    this.#wake(from);
  }

  /** Resolves when all that a peer sent so far was looked at, or forgotten. */
  finished(from: NodeId): Promise<void> {
    if (!this.#isBusyWith(from)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.set(from, [...this.#waiting.get(from) ?? [], resolve]);
    });
  }

  #isBusyWith(from: NodeId): boolean {
    return this.#checking === from || this.#queues.has(from);
  }

  #wake(from: NodeId): void {
    if (this.#isBusyWith(from)) return;
    for (const resolve of this.#waiting.get(from) ?? []) resolve();
    this.#waiting.delete(from);
  }

  /** One after the other, a batch of each peer in turn. */
  async #work(): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [from] = next;
      this.#checking = from;
      try {
        await this.#checkBatch(...next);
      } catch (error) {
        // One batch is lost, and comes again with a digest; the others must not wait for ever.
        log.error("Cannot check records: {reason}", { reason: messageOf(error) });
      }
      this.#checking = undefined;
      this.#wake(from);
    }
    this.#isWorking = false;
  }

  async #checkBatch(from: NodeId, batch: readonly string[]): Promise<void> {
    const checked: SignedRecord[] = [];
    for (const jws of batch) {
      const record = await this.#check(from, jws);
      if (record !== undefined) checked.push(record);
    }
    if (checked.length > 0) this.#options.deliver(from, checked);
  }

  #next(): readonly [NodeId, readonly string[]] | undefined {
    const entry = this.#queues.entries().next().value;
    if (entry === undefined) return undefined;
    const [from, queue] = entry;
    const batch = queue.splice(0, BATCH);
    // Behind the others, or out.
    this.#queues.delete(from);
    if (queue.length > 0) this.#queues.set(from, queue);
    return [from, batch];
  }

  async #check(from: NodeId, jws: string): Promise<SignedRecord | undefined> {
    const { peek, verify, read, checkCertificate, isFarAhead, judge } = this.#options;
    const mark = peek(jws);
    if (mark === undefined || judge(from, mark) !== "news") return undefined;
    const { node, incarnation } = mark;
    if (isFarAhead(incarnation)) {
      log.debug("A record of {node} is of a time that has not come", { node: shortId(node) });
      return undefined;
    }
    const payload = await verify(jws, node);
    const claim = payload === undefined ? undefined : read(payload);
    if (claim === undefined) return undefined;
    const certificate = await checkCertificate(claim.certificateJws, node);
    // Whoever may only ask is no member, whatever it says of itself.
    if (isRefusal(certificate) || roleOf(certificate.paper.rights) !== "member") return undefined;
    return { jws, record: claim.record, certificate };
  }
}
