/**
 * What a client says of itself. It has no record, so it tells one of the members that it is linked with what its own
 * callers ask for, and that member counts it as asked for there.
 */
import type { CancelTimer, Timers } from "~/base/clock.ts";
import { ASKED_MAX } from "~/mesh/control.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { Link } from "~/mesh/link_ports.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import { isName } from "~/mesh/record_fields.ts";

/** Between two messages: what is asked for meanwhile goes with the next. */
const GATHER_MS = 1_000;

/** What the voice works with. */
export interface ClientVoiceOptions {
  readonly members: () => readonly MemberView[];
  readonly link: (peer: NodeId) => Link | undefined;
  readonly timers: Timers;
}

/** Tells members what is asked for at a client. */
export class ClientVoice {
  readonly #options: ClientVoiceOptions;
  /** Requests by model that were not told yet. */
  readonly #asked = new Map<string, number>();
  #pause: CancelTimer | undefined;
  #lastEar: NodeId | undefined;
  #isOver = false;

  constructor(options: ClientVoiceOptions) {
    this.#options = options;
  }

  /** Whether there is a member to tell. */
  get isHeard(): boolean {
    return this.#ears().length > 0;
  }

  /** A caller asked for a model. */
  ask(id: string): void {
    // A name that no record could hold means nothing to others, and would end the link.
    if (this.#isOver || !isName(id)) return;
    const requests = this.#asked.get(id) ?? 0;
    if (requests === 0 && this.#asked.size >= ASKED_MAX.models) return;
    this.#asked.set(id, Math.min(requests + 1, ASKED_MAX.requests));
    if (this.#pause === undefined) this.#speak();
  }

  /** Says no more. */
  close(): void {
    this.#isOver = true;
    this.#pause?.();
    this.#pause = undefined;
  }

  #speak(): void {
    this.#pause = undefined;
    if (this.#asked.size === 0) return;
    const asked = [...this.#asked].map(([id, requests]) => ({ id, requests }));
    // What nobody hears is forgotten: whoever still wants it asks again.
    this.#asked.clear();
    this.#nextEar()?.send({ t: "demand", asked });
    this.#pause = this.#options.timers.after(GATHER_MS, () => this.#speak());
  }

  /** By turns, so that one member that does not listen cannot keep a model from the client. */
  #nextEar(): Link | undefined {
    const ears = this.#ears();
    const ear = ears.find(({ peer }) => peer.nodeId > (this.#lastEar ?? "")) ?? ears[0];
    this.#lastEar = ear?.peer.nodeId;
    return ear;
  }

  /** Live links with members that take part in the election, in the order of ids; older programs do not. */
  #ears(): readonly Link[] {
    const { members, link } = this.#options;
    return members().flatMap(({ node, record: { record } }) => {
      const found = record.election === undefined ? undefined : link(node);
      return found?.health === "live" ? [found] : [];
    });
  }
}
