/**
 * Payloads of the mesh's papers: what is in the JWS, and what it says in our words. The names of members are those of
 * JWT (RFC 7519) where it has one. Members that are not known are skipped, so that later versions can add some.
 *
 * Reading is strict: it also refuses what no issuer can mean, such as a grant by somebody who holds one.
 */
import type { JsonObject } from "../base/json.ts";
import type { Certificate, Grant, Invite, PaperBase, Revocation, Revoked } from "./credentials.ts";
import { isIssuerPart, isKeyId, isSerial, isSerialOf } from "./ids.ts";
import { asPeers, asRights, asSerialIfAny, asUnixS, peerJson } from "./paper_fields.ts";

const DAY_S = 86_400;
/** Papers are dated back by so much, so that a clock that is behind does not refuse them. */
export const BACKDATE_S = DAY_S;
/** How far clocks may be apart. */
export const CLOCK_SKEW_S = 600;
const VERSION = 1;

/** Every kind of paper, by its `typ`. */
export interface PaperKinds {
  readonly "mesh-llm-grant": Grant;
  readonly "mesh-llm-invite": Invite;
  readonly "mesh-llm-certificate": Certificate;
  readonly "mesh-llm-revocation": Revocation;
}
export type PaperKind = keyof PaperKinds;

/** What a reader and a writer must keep to. */
interface PaperLimits {
  /** Longest life, not counting the day that it is dated back. */
  readonly lifeS: number;
  /** Longest JWS. */
  readonly charsMax: number;
}

const GRANT_LIFE_S = 5 * 365 * DAY_S;
export const PAPER_LIMITS: Readonly<Record<PaperKind, PaperLimits>> = {
  "mesh-llm-grant": { lifeS: GRANT_LIFE_S, charsMax: 1024 },
  "mesh-llm-invite": { lifeS: 365 * DAY_S, charsMax: 2048 },
  "mesh-llm-certificate": { lifeS: 30 * DAY_S, charsMax: 2048 },
  // As long as the longest thing that it can end.
  "mesh-llm-revocation": { lifeS: GRANT_LIFE_S, charsMax: 2048 },
};

/** A paper as read, not yet verified. */
export interface ReadPaper<T> {
  readonly paper: T;
  /** The grant that its issuer holds; undefined when the mesh key signed. */
  readonly grantJws: string | undefined;
}

/** Why a payload is no paper. `scope`: it claims more than its issuer may. */
export type PaperFault = "malformed" | "version" | "scope";

/** Reads a payload. */
export function readPaper<K extends PaperKind>(
  kind: K,
  payload: JsonObject,
): ReadPaper<PaperKinds[K]> | PaperFault {
  if (payload["v"] !== VERSION) return Number.isInteger(payload["v"]) ? "version" : "malformed";
  const base = readBase(payload, PAPER_LIMITS[kind].lifeS);
  const grantJws = readGrantJws(payload, base);
  if (base === undefined || grantJws === "malformed") return "malformed";
  const paper = READERS[kind](payload, base);
  return typeof paper === "string" ? paper : { paper, grantJws };
}

/** Writes a payload; {@link readPaper} reads the same from it. */
export function writePaper<K extends PaperKind>(
  kind: K,
  { paper, grantJws }: ReadPaper<PaperKinds[K]>,
): JsonObject {
  return {
    v: VERSION,
    mesh: paper.meshId,
    iss: paper.issuer,
    iat: paper.issuedUnixS,
    exp: paper.expiresUnixS,
    jti: paper.serial,
    ...WRITERS[kind](paper),
    ...(grantJws === undefined ? {} : { grant: grantJws }),
  };
}

function readBase(payload: JsonObject, lifeS: number): PaperBase | undefined {
  const { mesh, iss, jti } = payload;
  const [issuedUnixS, expiresUnixS] = [asUnixS(payload["iat"]), asUnixS(payload["exp"])];
  if (!isKeyId(mesh) || !isKeyId(iss) || !isSerial(jti) || !isSerialOf(jti, iss)) return undefined;
  if (issuedUnixS === undefined || expiresUnixS === undefined) return undefined;
  const totalS = expiresUnixS - issuedUnixS;
  if (totalS <= 0 || totalS > lifeS + BACKDATE_S) return undefined;
  return { meshId: mesh, issuer: iss, issuedUnixS, expiresUnixS, serial: jti };
}

/** The mesh key needs no grant and nobody else can do without. */
function readGrantJws(
  { grant }: JsonObject,
  base: PaperBase | undefined,
): string | undefined | "malformed" {
  if (base?.issuer === base?.meshId) return grant === undefined ? undefined : "malformed";
  const isText = typeof grant === "string" &&
    grant.length <= PAPER_LIMITS["mesh-llm-grant"].charsMax;
  return isText ? grant : "malformed";
}

type Readers = {
  readonly [K in PaperKind]: (
    payload: JsonObject,
    base: PaperBase,
  ) => PaperKinds[K] | PaperFault;
};

const READERS: Readers = {
  "mesh-llm-grant": (payload, base) => {
    const inviteSerial = asSerialIfAny(payload["inv"]);
    const { sub, by } = payload;
    if (!isKeyId(sub) || !isIssuerPart(by) || inviteSerial === "malformed") return "malformed";
    if (base.issuer !== base.meshId) return "scope";
    return { ...base, subject: sub, inviteSerial, certifier: by };
  },
  "mesh-llm-invite": (payload, base) => {
    const rights = asRights(payload["rights"]);
    const peers = asPeers(payload["peers"]);
    if (rights === undefined || peers === undefined) return "malformed";
    return { ...base, rights, peers };
  },
  "mesh-llm-certificate": (payload, base) => {
    const rights = asRights(payload["rights"]);
    const inviteSerial = asSerialIfAny(payload["inv"]);
    const { sub } = payload;
    if (!isKeyId(sub) || rights === undefined || inviteSerial === "malformed") return "malformed";
    if (inviteSerial === undefined && base.issuer !== base.meshId) return "scope";
    return { ...base, subject: sub, rights, inviteSerial };
  },
  "mesh-llm-revocation": (payload, base) => {
    const revoked = readRevoked(payload);
    if (revoked === "malformed") return revoked;
    const serial = revoked.kind === "serial" ? revoked.serial : revoked.closes;
    const isOwn = serial === undefined || isSerialOf(serial, base.issuer);
    return isOwn || base.issuer === base.meshId ? { ...base, revoked } : "scope";
  },
};

function readRevoked({ node, closes, serial }: JsonObject): Revoked | "malformed" {
  if (node === undefined) return isSerial(serial) ? { kind: "serial", serial } : "malformed";
  const closed = asSerialIfAny(closes);
  if (!isKeyId(node) || closed === "malformed" || serial !== undefined) return "malformed";
  return { kind: "node", nodeId: node, closes: closed };
}

type Writers = { readonly [K in PaperKind]: (paper: PaperKinds[K]) => JsonObject };

const WRITERS: Writers = {
  "mesh-llm-grant": ({ subject, inviteSerial, certifier }) => ({
    sub: subject,
    by: certifier,
    ...invitedBy(inviteSerial),
  }),
  "mesh-llm-invite": ({ rights, peers }) => ({
    rights,
    peers: peers.map(peerJson),
  }),
  "mesh-llm-certificate": ({ subject, rights, inviteSerial }) => ({
    sub: subject,
    rights,
    ...invitedBy(inviteSerial),
  }),
  "mesh-llm-revocation": ({ revoked }) => {
    if (revoked.kind === "serial") return { serial: revoked.serial };
    return {
      node: revoked.nodeId,
      ...(revoked.closes === undefined ? {} : { closes: revoked.closes }),
    };
  },
};

function invitedBy(serial: string | undefined): JsonObject {
  return serial === undefined ? {} : { inv: serial };
}
