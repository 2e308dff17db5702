/**
 * {@link NodeRecord} as the payload of a JWS. Reading is strict and bounded: a record of another is hostile until
 * checked; members that we do not know are ignored, so that versions can be mixed. Writing keeps the bounds by
 * leaving out what is least needed, so that a node with many models is not shut out.
 */
import { Buffer } from "node:buffer";
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import { formatAddress, parseAddress, type PeerAddress } from "./address.ts";
import { isKeyId } from "./ids.ts";
import type { LoadingRecord, NodeRecord, RecordDevice, ServedRecord } from "./record.ts";
import { isPrintable } from "./wire.ts";

/** A record with its signature. */
export const RECORD_JWS_CHARS_MAX = 24 * 1024;
/** What fits into that as base64url beside header and signature. */
const PAYLOAD_BYTES_MAX = 18_000;
/** Incarnations count from the wall clock; a clock that is more than a day ahead is wrong. */
const AHEAD_MS_MAX = 24 * 3_600_000;

const ADDRESSES_MAX = 8;
const DEVICES_MAX = 16;
const MODELS_MAX = 64;
const SERVING_MAX = 16;
const SLOTS_MAX = 4096;
const META_CHARS_MAX = 4096;
const META_DEPTH_MAX = 4;
const CERTIFICATE_CHARS_MAX = 8 * 1024;
const NAME_CHARS_MAX = 256;
const PHASE_CHARS_MAX = 64;
const VERSION_CHARS_MAX = 64;
const JWS_TEXT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const FINGERPRINT = /^[0-9a-f]{64}:[0-9]{1,16}$/;
const SESSION_TEXT = /^[A-Za-z0-9_-]{8,64}$/;

/** A record that was read, and the certificate in it, still to be checked. */
export interface DecodedRecord {
  readonly record: NodeRecord;
  readonly certificateJws: string;
}

/** The payload that says `record`; less than all of it when all is too much. */
export function encodeRecord(record: NodeRecord, certificateJws: string): JsonObject {
  const whole = payloadOf(record, certificateJws);
  if (fits(whole)) return whole;
  const serving = record.serving.map((served) => ({ ...served, meta: {} }));
  for (let models = Math.min(MODELS_MAX, record.models.length); models > 0; models >>= 1) {
    const less = { ...record, serving, models: record.models.slice(0, models) };
    const payload = payloadOf(less, certificateJws);
    if (fits(payload)) return payload;
  }
  return payloadOf({ ...record, serving, models: [], loading: [] }, certificateJws);
}

function fits(payload: JsonObject): boolean {
  return Buffer.byteLength(JSON.stringify(payload)) <= PAYLOAD_BYTES_MAX;
}

function payloadOf(record: NodeRecord, certificate: string): JsonObject {
  const { engine } = record;
  return {
    node: record.node,
    incarnation: record.incarnation,
    session: record.session,
    version: clean(record.version, VERSION_CHARS_MAX),
    protocol: record.protocol,
    leaf: record.leafHash,
    addresses: record.addresses.slice(0, ADDRESSES_MAX).map(formatAddress),
    dialable: record.dialable,
    devices: record.devices.slice(0, DEVICES_MAX).map(({ name, totalBytes }) => ({
      name: clean(name, NAME_CHARS_MAX),
      total: totalBytes,
    })),
    offered: record.offeredBytes,
    ...(engine === undefined ? {} : {
      engine: {
        version: clean(engine.version, VERSION_CHARS_MAX),
        rpc: clean(engine.rpcVersion, VERSION_CHARS_MAX),
      },
    }),
    // A name that would have to be changed cannot be asked for: it is left out.
    models: record.models.filter(isName).slice(0, MODELS_MAX),
    serving: record.serving.filter(({ id }) => isName(id)).slice(0, SERVING_MAX).map(servedPayload),
    loading: record.loading.filter(({ id }) => isName(id)).slice(0, SERVING_MAX)
      .map(({ id, phase }) => ({ id, phase: clean(phase, PHASE_CHARS_MAX) })),
    leaving: record.isLeaving,
    certificate,
  };
}

function servedPayload(served: ServedRecord): JsonObject {
  return {
    id: served.id,
    created: served.createdUnixS,
    slots: Math.min(served.slots, SLOTS_MAX),
    size: served.sizeBytes,
    ...(served.fingerprint === undefined ? {} : { print: served.fingerprint }),
    meta: isMeta(served.meta) ? served.meta : {},
  };
}

/** Text that a reader accepts; never empty. */
function clean(text: string, charsMax: number): string {
  const readable = Array.from(text, (char) => isPrintable(char, char.length) ? char : "?");
  let cut = "";
  for (const char of readable) {
    if (cut.length + char.length > charsMax) break;
    cut += char;
  }
  return cut === "" ? "?" : cut;
}

/** Reads a payload; undefined when anything in it is not as it must be. */
export function decodeRecord(payload: JsonObject): DecodedRecord | undefined {
  const identity = readIdentity(payload);
  const offer = readOffer(payload);
  const certificateJws = payload["certificate"];
  if (identity === undefined || offer === undefined) return undefined;
  if (typeof certificateJws !== "string") return undefined;
  if (certificateJws.length > CERTIFICATE_CHARS_MAX || !JWS_TEXT.test(certificateJws)) {
    return undefined;
  }
  return { record: { ...identity, ...offer }, certificateJws };
}

type Identity = Pick<
  NodeRecord,
  | "node"
  | "incarnation"
  | "session"
  | "version"
  | "protocol"
  | "leafHash"
  | "addresses"
  | "dialable"
  | "isLeaving"
>;

function readIdentity(payload: JsonObject): Identity | undefined {
  const { node, incarnation, session, version, protocol, leaf, dialable, leaving } = payload;
  const addresses = readList(payload["addresses"], ADDRESSES_MAX, readAddress);
  if (!isKeyId(node) || !isCount(incarnation) || !isKeyId(leaf)) return undefined;
  if (typeof session !== "string" || !SESSION_TEXT.test(session)) return undefined;
  if (!isText(version, VERSION_CHARS_MAX) || !isCount(protocol)) return undefined;
  if (dialable !== "yes" && dialable !== "no" && dialable !== "unknown") return undefined;
  if (addresses === undefined || typeof leaving !== "boolean") return undefined;
  return {
    node,
    incarnation,
    session,
    version,
    protocol,
    leafHash: leaf,
    addresses,
    dialable,
    isLeaving: leaving,
  };
}

function readOffer(payload: JsonObject): Omit<NodeRecord, keyof Identity> | undefined {
  const devices = readList(payload["devices"], DEVICES_MAX, readDevice);
  const models = readList(
    payload["models"],
    MODELS_MAX,
    (value) => isName(value) ? value : undefined,
  );
  const serving = readList(payload["serving"], SERVING_MAX, readServed);
  const loading = readList(payload["loading"], SERVING_MAX, readLoading);
  const { offered, engine } = payload;
  if (devices === undefined || models === undefined) return undefined;
  if (serving === undefined || loading === undefined || !isCount(offered)) return undefined;
  const read = engine === undefined ? undefined : readEngine(engine);
  if (engine !== undefined && read === undefined) return undefined;
  return { devices, models, serving, loading, offeredBytes: offered, engine: read };
}

/** A list of at most `max`, every item read; one that cannot be read spoils all. */
function readList<T>(
  value: JsonValue | undefined,
  max: number,
  read: (item: JsonValue) => T | undefined,
): readonly T[] | undefined {
  if (!Array.isArray(value) || value.length > max) return undefined;
  const items: T[] = [];
  for (const item of value) {
    const one = read(item);
    if (one === undefined) return undefined;
    items.push(one);
  }
  return items;
}

function readAddress(value: JsonValue): PeerAddress | undefined {
  return typeof value === "string" ? parseAddress(value) : undefined;
}

function readDevice(value: JsonValue): RecordDevice | undefined {
  if (!isJsonObject(value)) return undefined;
  const { name, total } = value;
  if (!isName(name) || !isCount(total)) return undefined;
  return { name, totalBytes: total };
}

function readServed(value: JsonValue): ServedRecord | undefined {
  if (!isJsonObject(value)) return undefined;
  const { id, created, slots, size, meta, print } = value;
  if (!isName(id) || !isCount(created) || !isCount(slots) || !isCount(size)) return undefined;
  if (slots > SLOTS_MAX || !isMeta(meta)) return undefined;
  const served = { id, createdUnixS: created, slots, sizeBytes: size, meta };
  // What a later program may write there is no fault: its answers are just not continued.
  return typeof print === "string" && FINGERPRINT.test(print)
    ? { ...served, fingerprint: print }
    : served;
}

function readLoading(value: JsonValue): LoadingRecord | undefined {
  if (!isJsonObject(value)) return undefined;
  const { id, phase } = value;
  return isName(id) && isText(phase, PHASE_CHARS_MAX) ? { id, phase } : undefined;
}

function readEngine(value: JsonValue): NodeRecord["engine"] {
  if (!isJsonObject(value)) return undefined;
  const { version, rpc } = value;
  if (!isText(version, VERSION_CHARS_MAX) || !isText(rpc, VERSION_CHARS_MAX)) return undefined;
  return { version, rpcVersion: rpc };
}

function isText(value: JsonValue | undefined, charsMax: number): value is string {
  return isPrintable(value, charsMax);
}

function isName(value: JsonValue | undefined): value is string {
  return isText(value, NAME_CHARS_MAX);
}

function isCount(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isMeta(value: JsonValue | undefined): value is JsonObject {
  return isJsonObject(value) && isShallow(value, META_DEPTH_MAX) &&
    JSON.stringify(value).length <= META_CHARS_MAX;
}

function isShallow(value: JsonValue, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1));
}

/** Whether an incarnation lies so far ahead that nobody could ever outdo it. */
export function isFarAhead(incarnation: number, wallMs: number): boolean {
  return incarnation > wallMs + AHEAD_MS_MAX;
}
