/**
 * What two linked nodes say to each other on their control stream. Each message is one frame: a JSON object
 * whose `t` names its kind. Unknown kinds and members are ignored, so that versions can be mixed.
 * The codec with its bounds is `control_codec.ts`.
 */
import type { PeerAddress } from "./address.ts";
import type { NodeId } from "./ids.ts";

/** Says which record of a node one has: enough to see who has the newer. */
export interface RecordMark {
  readonly node: NodeId;
  readonly incarnation: number;
}

/** How often callers of a client asked for a model. */
export interface AskedModel {
  readonly id: string;
  /** At least 1. */
  readonly requests: number;
}

/** Models in one message about demand, and requests for each. */
export const ASKED_MAX = { models: 8, requests: 64 } as const;

/** One message. */
export type ControlMessage =
  /** Records as the JWS that their subjects signed. */
  | { readonly t: "records"; readonly records: readonly string[] }
  /** Everything one has, after a connection and now and then: the other sends what is newer and asks for the rest. */
  | {
    readonly t: "digest";
    readonly have: readonly RecordMark[];
    /** Serials of revocations. */
    readonly revoked: readonly string[];
    /** False in the answer to a digest: it is not answered again. */
    readonly answer: boolean;
  }
  /** Asks for records. */
  | { readonly t: "want"; readonly nodes: readonly NodeId[] }
  /** Whom the sender is linked with and can forward to: all of them (`reset`), or what changed. */
  | {
    readonly t: "paths";
    readonly reset: boolean;
    readonly up: readonly NodeId[];
    readonly down: readonly NodeId[];
  }
  /** Revocations as JWS. */
  | { readonly t: "revocations"; readonly papers: readonly string[] }
  /** "Bring `target` to dial me at these addresses": a common neighbour passes it on, once. */
  | {
    readonly t: "dial_me";
    /** Who is to dial. */
    readonly target: NodeId;
    /** Who wants to be dialled, the pin of its leaf, and where it is seen. */
    readonly from: NodeId;
    readonly leafHash: string;
    readonly addresses: readonly PeerAddress[];
  }
  /** Asks an issuer for a fresh membership certificate; `certificate` is its answer (a JWS). */
  | { readonly t: "renew" }
  /** Wants the streams of the receiver back, each when its exchange is over: the sender is about to leave. */
  | { readonly t: "release" }
  | { readonly t: "renewed"; readonly certificate: string }
  /** From a client, which has no record to show it in: its own certificate (a JWS), newer than that of the handshake. */
  | { readonly t: "certificate"; readonly certificate: string }
  /** From who holds the mesh key, unasked, when a link to a member comes up: with it (a JWS) the member may issue papers. */
  | { readonly t: "grant"; readonly grant: string }
  /** From a client, which has no record, to one member: what its own callers asked for since it spoke last. */
  | { readonly t: "demand"; readonly asked: readonly AskedModel[] }
  /** Gives up a stream, in both directions; needed where the peer's writer is blocked. */
  | { readonly t: "cancel"; readonly stream: number; readonly byOpener: boolean }
  | { readonly t: "ping"; readonly n: number }
  | { readonly t: "pong"; readonly n: number }
  /** The sender closes the link, and why: "leaving", "replaced", "revoked", "duplicate", "full", … */
  | { readonly t: "bye"; readonly reason: string };
