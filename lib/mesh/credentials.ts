/**
 * What a mesh's papers say. Each is a JWS (RFC 7515, EdDSA) with its own `typ`; these are the payloads
 * after they were read, in our words. How they are written: `papers.ts`; how they are checked: `trust.ts`, `revocations.ts`.
 *
 * The chain has exactly two steps: the mesh key signs grants; the mesh key or who holds a grant signs
 * invites, certificates and revocations, each carrying the grant.
 */
import type { PeerAddress } from "./address.ts";
import type { MeshId, NodeId } from "./ids.ts";

/** What a credential allows. */
export type Right = "request" | "serve" | "split" | "invite";
/** All rights, in the order in which they are written. */
export const RIGHTS: readonly Right[] = ["request", "serve", "split", "invite"];
/** `client` may ask, `member` may do everything. */
export type Role = "member" | "client";

/** The rights of a role. */
export function rightsOf(role: Role): readonly Right[] {
  return role === "client" ? ["request"] : RIGHTS;
}

/** Who may serve is a member. */
export function roleOf(rights: readonly Right[]): Role {
  return rights.includes("serve") ? "member" : "client";
}

/** What all papers have. Times are Unix seconds; papers are dated back one day. */
export interface PaperBase {
  readonly meshId: MeshId;
  /** The mesh id when the mesh key signed, else the node id of who holds `grant`. */
  readonly issuer: MeshId | NodeId;
  readonly issuedUnixS: number;
  readonly expiresUnixS: number;
  readonly serial: string;
}

/** Lets a node issue papers. Signed by the mesh key only, for 5 years; ends with the membership that it hangs on. */
export interface Grant extends PaperBase {
  readonly subject: NodeId;
  /** Serial of the invite that the node came by: who may end that, ends the grant. Undefined for the originator. */
  readonly inviteSerial: string | undefined;
  /** How the id begins of who had certified the node then ({@link issuerPart}): the grant ends with that one, too. */
  readonly certifier: string;
}

/** Where a joiner can begin. */
export interface BootstrapPeer {
  readonly nodeId: NodeId;
  readonly addresses: readonly PeerAddress[];
  /** SHA-256 of its leaf certificate, base64url. */
  readonly leafHash: string;
}

/** What `--join` takes. */
export interface Invite extends PaperBase {
  readonly rights: readonly Right[];
  /** Issuers that turn the invite into a certificate. One to four. */
  readonly peers: readonly BootstrapPeer[];
}

/** Membership of one node, for 30 days. */
export interface Certificate extends PaperBase {
  readonly subject: NodeId;
  readonly rights: readonly Right[];
  /** Serial of the invite it came by, also after renewals; undefined only for what the mesh key issued by itself. */
  readonly inviteSerial: string | undefined;
}

/** What a revocation ends. */
export type Revoked =
  /** A node: its certificates, its grant and what it issued; `closes`: the invite it came by admits nobody more. */
  | { readonly kind: "node"; readonly nodeId: NodeId; readonly closes: string | undefined }
  /** Everything issued from an invite, or one certificate or grant. */
  | { readonly kind: "serial"; readonly serial: string };

/** Signed word that something ended. The mesh key revokes anybody, an issuer only what it issued. */
export interface Revocation extends PaperBase {
  readonly revoked: Revoked;
}

/** A paper with the bytes that others verify. */
export interface Signed<T> {
  readonly jws: string;
  readonly paper: T;
}
