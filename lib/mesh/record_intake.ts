/** Takes records in: what is new is kept and passed on; a record of ourselves shows who else uses our key. */
import type { RecordMark } from "./control.ts";
import type { NodeId } from "./ids.ts";
import type { RecordVerdict } from "./membership_ports.ts";
import type { MembershipState } from "./membership_state.ts";
import type { SignedRecord } from "./record.ts";

/** How far ours goes ahead of a record that another session left: more changes than it can have made meanwhile. */
const OUTRUN = 60_000;

/** The intake. */
export class RecordIntake {
  readonly #state: MembershipState;
  /** The session that holds a newer record of us than ours, and how new. */
  #foreign: { readonly session: string; readonly incarnation: number } | undefined;

  constructor(state: MembershipState) {
    this.#state = state;
  }

  /** Whether a record is worth checking. Takes from what `from` may send. */
  judge(from: NodeId, { node, incarnation }: RecordMark, nowMs: number): RecordVerdict {
    const { neighbours, store, self, role } = this.#state;
    const neighbour = neighbours.get(from);
    if (neighbour === undefined || neighbour.role === "client" || neighbour.isClosing) {
      return "refused";
    }
    if (role === "client" && node === self) return "known";
    const known = store.get(node)?.signed.record.incarnation ?? -1;
    if (incarnation <= known) return "known";
    return neighbour.recordsIn.take(1, nowMs) ? "news" : "refused";
  }

  /** Keeps a record; says whether it is new to us. */
  take(signed: SignedRecord, nowMs: number): boolean {
    const { node } = signed.record;
    if (node === this.#state.self) {
      this.#meetSelf(signed);
      return false;
    }
    const before = this.#state.store.present(node);
    const result = this.#state.store.put(signed, nowMs);
    if (result === "known" || result === "full") return false;
    if (before !== undefined && !signed.record.isLeaving && this.#isHere(node)) {
      this.#state.emit({ kind: "member", event: "changed", node });
    }
    return true;
  }

  #isHere(node: NodeId): boolean {
    return this.#state.store.get(node)?.absentSinceMs === undefined;
  }

  /**
   * A record of ours that we did not publish. Most likely we ran before and the clock was set back: ours takes the
   * lead. Whoever answers that with a newer one is alive.
   */
  #meetSelf({ record: { session, incarnation } }: SignedRecord): void {
    const own = this.#state.own?.record;
    if (this.#state.role === "client" || session === own?.session) return;
    if (own !== undefined && incarnation <= own.incarnation) return;
    const foreign = this.#foreign;
    const wasOutrun = foreign !== undefined && own !== undefined && foreign.session === session &&
      own.incarnation > foreign.incarnation;
    this.#foreign = { session, incarnation };
    if (wasOutrun) this.#state.emit({ kind: "clash", session });
    else this.#state.emit({ kind: "outrun", incarnation: incarnation + OUTRUN });
  }
}
