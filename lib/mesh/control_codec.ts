/**
 * Control messages as frames: u32 length, then JSON of at most 256 KiB. What comes is checked member by member;
 * only members that we know are kept. Messages of unknown kinds are passed over, so that versions can be mixed. Pure.
 */
import type { JsonObject, JsonValue } from "../base/json.ts";
import { KIB } from "../base/units.ts";
import { formatAddress, parseAddress, type PeerAddress } from "./address.ts";
import { ASKED_MAX, type AskedModel, type ControlMessage, type RecordMark } from "./control.ts";
import { isKeyId, isSerial } from "./ids.ts";
import { isName } from "./record_fields.ts";
import { JWS_CHARS_MAX } from "./signing.ts";
import { isPrintable, isU32, jsonFrame, ProtocolError, readJsonObject } from "./wire.ts";

/** Longest JSON of one message. */
export const CONTROL_BYTES_MAX = 256 * KIB;
/** Room for what stands around a list of papers: `{"t":"revocations","papers":[]}`. */
const AROUND_BYTES = 64;
/** Entries of a list of nodes, marks or serials. */
const LIST_MAX = 1024;
const ADDRESSES_MAX = 8;
const REASON_CHARS_MAX = 200;
/** Papers in one message; their bytes are bounded by the frame. */
const PAPERS_MAX = 1024;

/**
 * `message` as frames: one, or several where papers do not fit into one.
 *
 * @throws {RangeError} when the message is larger than the protocol allows
 */
export function controlFrames(message: ControlMessage): readonly Uint8Array<ArrayBuffer>[] {
  if (message.t === "records") {
    return cutPapers(message.records).map((records) => frameOf({ ...message, records }));
  }
  if (message.t === "revocations") {
    return cutPapers(message.papers).map((papers) => frameOf({ ...message, papers }));
  }
  return [frameOf(message)];
}

function frameOf(message: ControlMessage): Uint8Array<ArrayBuffer> {
  const frame = jsonFrame(message);
  if (frame.length <= CONTROL_BYTES_MAX) return frame;
  throw new RangeError(
    `Found a message "${message.t}" of ${frame.length} bytes; wanted at most ${CONTROL_BYTES_MAX}`,
  );
}

/** Groups papers (ASCII) so that each group fits into a message; none at all makes no message. */
function cutPapers(papers: readonly string[]): readonly (readonly string[])[] {
  const groups: string[][] = [];
  let left = 0;
  for (const paper of papers) {
    const size = paper.length + 3;
    const group = groups.at(-1);
    if (group === undefined || size > left || group.length === PAPERS_MAX) {
      groups.push([paper]);
      left = CONTROL_BYTES_MAX - AROUND_BYTES - size;
    } else {
      group.push(paper);
      left -= size;
    }
  }
  return groups;
}

/**
 * Reads one message; undefined when its kind is not known here.
 *
 * @throws {ProtocolError} when a known kind is not written as it must be
 */
export function readControl(bytes: Uint8Array): ControlMessage | undefined {
  const json = readJsonObject(bytes);
  const kind = json["t"];
  if (typeof kind !== "string") throw new ProtocolError("Found a control message without a kind");
  if (!Object.hasOwn(READERS, kind)) return undefined;
  return READERS[kind as ControlMessage["t"]](json);
}

type Readers = {
  readonly [Kind in ControlMessage["t"]]: (
    json: JsonObject,
  ) => Extract<ControlMessage, { t: Kind }>;
};

const READERS: Readers = {
  records: (json) => ({ t: "records", records: list(json, "records", isPaper, PAPERS_MAX) }),
  digest: (json) => ({
    t: "digest",
    have: list(json, "have", isMark, LIST_MAX).map(({ node, incarnation }) => ({
      node,
      incarnation,
    })),
    revoked: list(json, "revoked", isSerial, LIST_MAX),
    answer: member(json, "answer", isBoolean),
  }),
  want: (json) => ({ t: "want", nodes: list(json, "nodes", isKeyId, LIST_MAX) }),
  paths: (json) => ({
    t: "paths",
    reset: member(json, "reset", isBoolean),
    up: list(json, "up", isKeyId, LIST_MAX),
    down: list(json, "down", isKeyId, LIST_MAX),
  }),
  revocations: (json) => ({
    t: "revocations",
    papers: list(json, "papers", isPaper, PAPERS_MAX),
  }),
  "dial_me": (json) => ({
    t: "dial_me",
    target: member(json, "target", isKeyId),
    from: member(json, "from", isKeyId),
    // A SHA-256 is written like a key: 32 bytes.
    leafHash: member(json, "leafHash", isKeyId),
    addresses: list(json, "addresses", isAddress, ADDRESSES_MAX).map(({ ip, port }) => ({
      ip,
      port,
    })),
  }),
  renew: () => ({ t: "renew" }),
  release: () => ({ t: "release" }),
  renewed: (json) => ({ t: "renewed", certificate: member(json, "certificate", isPaper) }),
  certificate: (json) => ({
    t: "certificate",
    certificate: member(json, "certificate", isPaper),
  }),
  grant: (json) => ({ t: "grant", grant: member(json, "grant", isPaper) }),
  demand: (json) => ({
    t: "demand",
    asked: list(json, "asked", isAsked, ASKED_MAX.models).map(({ id, requests }) => ({
      id,
      requests,
    })),
  }),
  cancel: (json) => ({
    t: "cancel",
    stream: member(json, "stream", isU32),
    byOpener: member(json, "byOpener", isBoolean),
  }),
  ping: (json) => ({ t: "ping", n: member(json, "n", isU32) }),
  pong: (json) => ({ t: "pong", n: member(json, "n", isU32) }),
  bye: (json) => ({ t: "bye", reason: member(json, "reason", isReason) }),
};

type Guard<T> = (value: unknown) => value is T;

function member<T>(json: JsonObject, name: string, isWanted: Guard<T>): T {
  const value: JsonValue | undefined = json[name];
  if (isWanted(value)) return value;
  throw wrong(json, name);
}

function list<T>(json: JsonObject, name: string, isWanted: Guard<T>, countMax: number): T[] {
  const value: unknown = json[name];
  if (!Array.isArray(value) || value.length > countMax) throw wrong(json, name);
  const entries: T[] = [];
  for (const entry of value) {
    if (!isWanted(entry)) throw wrong(json, name);
    entries.push(entry);
  }
  return entries;
}

function wrong(json: JsonObject, name: string): ProtocolError {
  return new ProtocolError(`Found a control message "${json["t"]}" with a wrong "${name}"`);
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function isReason(value: unknown): value is string {
  return isPrintable(value, REASON_CHARS_MAX);
}

/** Three parts in base64url; what they say is checked by whoever verifies the signature. */
function isPaper(value: unknown): value is string {
  return typeof value === "string" && value.length <= JWS_CHARS_MAX &&
    /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(value);
}

function isMark(value: unknown): value is RecordMark {
  if (typeof value !== "object" || value === null) return false;
  const { node, incarnation } = value as Partial<Record<keyof RecordMark, unknown>>;
  return isKeyId(node) && Number.isSafeInteger(incarnation) && Number(incarnation) >= 0;
}

function isAsked(value: unknown): value is AskedModel {
  if (typeof value !== "object" || value === null) return false;
  const { id, requests } = value as { readonly id?: JsonValue; readonly requests?: unknown };
  return isName(id) && Number.isInteger(requests) && Number(requests) >= 1 &&
    Number(requests) <= ASKED_MAX.requests;
}

function isAddress(value: unknown): value is PeerAddress {
  if (typeof value !== "object" || value === null) return false;
  const { ip, port } = value as Partial<Record<keyof PeerAddress, unknown>>;
  if (typeof ip !== "string" || typeof port !== "number" || !Number.isInteger(port)) return false;
  return parseAddress(formatAddress({ ip, port })) !== undefined;
}
