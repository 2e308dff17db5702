/** What the parts of the membership machine share: who we are, the records, the neighbours, and the effects. */
import type { Rng } from "../base/rng.ts";
import type { Role } from "./credentials.ts";
import type { NodeId } from "./ids.ts";
import { isUsable, type Neighbour, Neighbours } from "./neighbours.ts";
import type { MembershipLimits, MeshEffect } from "./membership_ports.ts";
import type { SignedRecord } from "./record.ts";
import { RecordStore } from "./record_store.ts";

/** Who a {@link Membership} is. */
export interface MembershipOptions {
  readonly self: NodeId;
  readonly role: Role;
  readonly rng: Rng;
  readonly limits: MembershipLimits;
}

/** The shared part. */
export class MembershipState {
  readonly self: NodeId;
  readonly role: Role;
  readonly rng: Rng;
  readonly limits: MembershipLimits;
  readonly store: RecordStore;
  readonly neighbours: Neighbours;
  #effects: MeshEffect[] = [];

  constructor({ self, role, rng, limits }: MembershipOptions) {
    this.self = self;
    this.role = role;
    this.rng = rng;
    this.limits = limits;
    this.neighbours = new Neighbours(limits.pathsPerPeer);
    this.store = new RecordStore(
      limits,
      (node) => node !== self && this.neighbours.get(node) === undefined,
    );
  }

  /** Our own record; a client has none. */
  get own(): SignedRecord | undefined {
    return this.store.get(this.self)?.signed;
  }

  /** Adds an effect to those of the input that is being handled. */
  emit(effect: MeshEffect): void {
    this.#effects.push(effect);
  }

  /** The effects so far; they are given out once. */
  takeEffects(): readonly MeshEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /**
   * The link with a member that counts as a way to it: heard, and with the very process that published the record
   * that we have. Right after a restart one of the two is still of the old process.
   */
  directLink(node: NodeId): Neighbour | undefined {
    const neighbour = this.neighbours.get(node);
    if (neighbour === undefined || neighbour.role === "client" || !isUsable(neighbour)) {
      return undefined;
    }
    const record = this.store.present(node)?.record;
    return record?.session === neighbour.session ? neighbour : undefined;
  }

  /** Whether a dial would gain nothing: there is a link, or one whose peer is about to send its record. */
  needsNoDial(node: NodeId): boolean {
    const neighbour = this.neighbours.get(node);
    if (neighbour === undefined || !isUsable(neighbour)) return false;
    const record = this.store.get(node)?.signed.record;
    if (record === undefined || record.session === neighbour.session) return true;
    // A record that came after the link, from another session: the link is the one that is outdated.
    return record.incarnation === neighbour.incarnation;
  }

  /** Whether any member is linked and heard. */
  get isConnected(): boolean {
    for (const neighbour of this.neighbours.all()) {
      if (neighbour.role === "member" && isUsable(neighbour)) return true;
    }
    return false;
  }
}
