/**
 * What goes into the membership machine and what comes out of it. The machine knows no links, only peers: its
 * driver keeps one link per peer, checks signatures before the machine sees a record, and does what the effects
 * say, in their order.
 */
import type { PeerAddress } from "./address.ts";
import type { ControlMessage } from "./control.ts";
import type { BootstrapPeer, Role } from "./credentials.ts";
import type { NodeId } from "./ids.ts";
import type { LinkHealth } from "./link_ports.ts";
import type { SignedRecord } from "./record.ts";

/** Control messages that the machine answers; the others are the driver's. */
export type MeshMessage = Extract<
  ControlMessage,
  { readonly t: "digest" | "want" | "paths" | "dial_me" }
>;

/** Why a dial ended: a link came up, nobody answered, or the peer answered and does not want us. */
export type DialOutcome = "up" | "failed" | "refused";

/** What happened. */
export type MeshInput =
  /** Our own record, signed anew. Members only; a client never says it. */
  | { readonly kind: "self"; readonly record: SignedRecord }
  /** Where others see us, best first: told to whom we ask to dial us. Until then the addresses of our record. */
  | { readonly kind: "observed"; readonly addresses: readonly PeerAddress[] }
  /** A peer has a link, or a new one in the place of the old. `role`: what the peer is in this mesh now. */
  | {
    readonly kind: "link_up";
    readonly peer: NodeId;
    readonly role: Role;
    readonly session: string;
    readonly isDialer: boolean;
  }
  /** "closed": the peer has no link any more. */
  | { readonly kind: "health"; readonly peer: NodeId; readonly health: LinkHealth }
  /** Smoothed round trip of a link, now and then; only clients use it. */
  | { readonly kind: "rtt"; readonly peer: NodeId; readonly rttMs: number }
  | { readonly kind: "message"; readonly from: NodeId; readonly message: MeshMessage }
  /** Records whose signature and certificate hold. `from` undefined: out of our own file, at the start. */
  | {
    readonly kind: "records";
    readonly from: NodeId | undefined;
    readonly records: readonly SignedRecord[];
  }
  /** All revocations that we hold now; those not named before are passed on. `from`: who brought them. */
  | {
    readonly kind: "revocations";
    readonly from: NodeId | undefined;
    readonly serials: readonly string[];
  }
  /** The certificate of a node does not hold any more: its record and its link go. */
  | {
    readonly kind: "revoked";
    readonly node: NodeId;
    readonly reason: "revoked" | "expired";
  }
  /** Nodes to begin with, when there is no record of any: dialled while nobody is linked. */
  | { readonly kind: "seeds"; readonly seeds: readonly BootstrapPeer[] }
  /** The answer to a `dial`: exactly one for each, after the `link_up` that it led to. */
  | { readonly kind: "dialed"; readonly peer: NodeId; readonly outcome: DialOutcome }
  /** A client has requests for this member: a link of its own would be better than a gateway. */
  | { readonly kind: "want_direct"; readonly peer: NodeId }
  /** {@link Membership.wakeAtMs} has come. Harmless at any other time. */
  | { readonly kind: "tick" };

/**
 * `joined`: it is here; `changed`: it published another record; `rerouted`: how it is reached changed; `suspect`:
 * nothing heard, no new requests; `back`: heard again; `left`: said goodbye, or was revoked; `gone`: nobody hears it.
 */
export type MemberEvent =
  | "joined"
  | "changed"
  | "rerouted"
  | "suspect"
  | "back"
  | "left"
  | "gone";

/** What is to be done. */
export type MeshEffect =
  | { readonly kind: "send"; readonly to: NodeId; readonly message: ControlMessage }
  /** Send these revocations; the driver has the papers. */
  | {
    readonly kind: "send_revocations";
    readonly to: NodeId;
    readonly serials: readonly string[];
  }
  /** Dial, best address first; answer with `dialed`. */
  | {
    readonly kind: "dial";
    readonly peer: NodeId;
    readonly addresses: readonly PeerAddress[];
    readonly leafHash: string;
  }
  /** Close the link; a `health` "closed" is to follow. */
  | { readonly kind: "close"; readonly peer: NodeId; readonly reason: string }
  | { readonly kind: "member"; readonly event: MemberEvent; readonly node: NodeId }
  /**
   * Somebody holds a newer record of us from another session: most likely our clock was set back. Publish ours with
   * a higher incarnation than this.
   */
  | { readonly kind: "outrun"; readonly incarnation: number }
  /** And it was outrun in turn: another process runs with our key. This one ends. */
  | { readonly kind: "clash"; readonly session: string };

/** A member who is here, with everything that decides how it is reached. */
export interface MemberView {
  readonly node: NodeId;
  readonly record: SignedRecord;
  /** "suspect": not heard for a moment, on its own link or through others; no new requests. */
  readonly health: "live" | "suspect";
  /** There is a link that counts. */
  readonly isDirect: boolean;
  /** The link came about by both sides dialling at once. */
  readonly isPunched: boolean;
  /** Live neighbours that forward to it, at the moment when this is read. */
  readonly via: readonly NodeId[];
}

/** Whether a record is worth the work of checking its signature. */
export type RecordVerdict =
  /** Check it, and hand it over. */
  | "news"
  /** As new or newer is known. */
  | "known"
  /** Nobody listens to records from there, or it sends too many. */
  | "refused";

/** Bounds of what peers can make us keep. */
export interface MembershipLimits {
  readonly records: number;
  readonly recordsBytes: number;
  /** Names that one neighbour may say it is linked with. */
  readonly pathsPerPeer: number;
  /** Dials at once. */
  readonly dials: number;
}

/** For a mesh of this version, with room. */
export const MEMBERSHIP_LIMITS: MembershipLimits = {
  records: 1024,
  recordsBytes: 4 * 1024 * 1024,
  pathsPerPeer: 1024,
  dials: 8,
};
