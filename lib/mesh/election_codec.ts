/**
 * {@link ElectionRecord} as a member of a record. Reading is strict and bounded. What cannot be read counts as none:
 * a later program may say more there, and its record is good for everything else.
 */
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import type { ElectionRecord, HostedRecord, OfferedRecord, RecordNeed } from "./election_record.ts";
import { isCount, isFingerprint, isName, readList, readName } from "./record_fields.ts";
import { isPrintable } from "./wire.ts";

/** Accelerators of a record, and main memory. */
const POOLS_MAX = 17;
const ON_DISK_MAX = 64;
const FETCHABLE_MAX = 16;
const HOSTED_MAX = 16;
const ASKED_MAX = 8;
const DEMAND_MAX = 16;
const AVOIDED_MAX = 16;
const MODELS_AT_ONCE_MAX = 16;
const SLOTS_MAX = 4096;
const STATES = ["fetching", "loading", "serving", "draining"] as const;
const WHY_CHARS_MAX = 256;
const PER_MINUTE_MAX = 1_000_000;

/** The member of a record; names that a reader would refuse, and what is too many, are left out. */
export function electionPayload(election: ElectionRecord): JsonObject {
  const named = <T extends { readonly id: string }>(list: readonly T[], max: number): T[] =>
    list.filter(({ id }) => isName(id)).slice(0, max);
  const names = (list: readonly string[]): string[] => list.filter(isName).slice(0, ASKED_MAX);
  return {
    serve: election.mayServe,
    speed: election.speed,
    max: Math.min(election.modelsMax, MODELS_AT_ONCE_MAX),
    pools: election.devices.filter(({ name }) => isName(name)).slice(0, POOLS_MAX)
      .map(({ name, capacityBytes }) => ({ name, bytes: capacityBytes })),
    disk: named(election.onDisk, ON_DISK_MAX).map(offerPayload),
    fetch: named(election.fetchable, FETCHABLE_MAX).map(offerPayload),
    hosted: named(election.hosted, HOSTED_MAX).map(hostedPayload),
    here: names(election.asksHere),
    wants: names(election.wants),
    demand: named(election.demand, DEMAND_MAX)
      .map(({ id, perMinute }) => ({ id, rate: Math.min(perMinute, PER_MINUTE_MAX) })),
    avoids: named(election.avoids, AVOIDED_MAX).map(({ id, cause }) => ({ id, cause })),
  };
}

/** Less of it, for a record that would be too large: `models` on disk at most, and a quarter of that to fetch. */
export function lessElection(election: ElectionRecord, models: number): ElectionRecord {
  return {
    ...election,
    onDisk: election.onDisk.slice(0, models),
    fetchable: election.fetchable.slice(0, models >> 2),
    // A record that is still too large with few models has names of the greatest length everywhere.
    ...(models >= 8 ? {} : { demand: [], avoids: election.avoids.slice(0, models) }),
  };
}

function offerPayload({ id, fingerprint, sizeBytes, needs }: OfferedRecord): JsonObject {
  return {
    id,
    ...(fingerprint === undefined ? {} : { print: fingerprint }),
    size: sizeBytes,
    needs: needs.filter(({ device }) => isName(device)).slice(0, POOLS_MAX)
      .map(({ device, bytes }) => ({ on: device, bytes })),
  };
}

function hostedPayload(hosted: HostedRecord): JsonObject {
  const { state, sinceUnixS, slots, busy, serviceMs, unusedMs, why } = hosted;
  return {
    ...offerPayload(hosted),
    state,
    since: sinceUnixS,
    slots: Math.min(slots, SLOTS_MAX),
    busy,
    ...(serviceMs === undefined ? {} : { service: serviceMs }),
    unused: unusedMs,
    ...(isPrintable(why, WHY_CHARS_MAX) ? { why } : {}),
  };
}

/** Reads the member; undefined when it is not there, or anything in it is not as it must be. */
export function readElection(value: JsonValue | undefined): ElectionRecord | undefined {
  if (value === undefined || !isJsonObject(value)) return undefined;
  const { serve, speed, max } = value;
  const devices = readList(value["pools"], POOLS_MAX, readPool);
  const onDisk = readList(value["disk"], ON_DISK_MAX, readOffer);
  const fetchable = readList(value["fetch"], FETCHABLE_MAX, readOffer);
  const hosted = readList(value["hosted"], HOSTED_MAX, readHosted);
  const asked = readAsked(value);
  if (typeof serve !== "boolean" || (speed !== 0 && speed !== 1 && speed !== 2)) return undefined;
  if (!isCount(max) || max < 1 || max > MODELS_AT_ONCE_MAX) return undefined;
  if (devices === undefined || onDisk === undefined || fetchable === undefined) return undefined;
  if (hosted === undefined || asked === undefined) return undefined;
  return { mayServe: serve, speed, modelsMax: max, devices, onDisk, fetchable, hosted, ...asked };
}

type Asked = Pick<ElectionRecord, "asksHere" | "wants" | "demand" | "avoids">;

function readAsked(value: JsonObject): Asked | undefined {
  const asksHere = readList(value["here"], ASKED_MAX, readName);
  const wants = readList(value["wants"], ASKED_MAX, readName);
  const demand = readList(value["demand"], DEMAND_MAX, readDemand);
  const avoids = readList(value["avoids"], AVOIDED_MAX, readAvoided);
  if (asksHere === undefined || wants === undefined) return undefined;
  if (demand === undefined || avoids === undefined) return undefined;
  return { asksHere, wants, demand, avoids };
}

function readPool(value: JsonValue): ElectionRecord["devices"][number] | undefined {
  if (!isJsonObject(value)) return undefined;
  const { name, bytes } = value;
  return isName(name) && isCount(bytes) ? { name, capacityBytes: bytes } : undefined;
}

function readNeed(value: JsonValue): RecordNeed | undefined {
  if (!isJsonObject(value)) return undefined;
  const { on, bytes } = value;
  return isName(on) && isCount(bytes) ? { device: on, bytes } : undefined;
}

function readOffer(value: JsonValue): OfferedRecord | undefined {
  if (!isJsonObject(value)) return undefined;
  const { id, print, size } = value;
  const needs = readList(value["needs"], POOLS_MAX, readNeed);
  if (!isName(id) || !isCount(size) || needs === undefined) return undefined;
  if (print !== undefined && !isFingerprint(print)) return undefined;
  return { id, fingerprint: print, sizeBytes: size, needs };
}

function readHosted(value: JsonValue): HostedRecord | undefined {
  const offer = readOffer(value);
  if (offer === undefined || !isJsonObject(value)) return undefined;
  const { since, slots, busy, service, unused, why } = value;
  const state = STATES.find((known) => known === value["state"]);
  if (state === undefined || !isCount(since) || !isCount(slots) || slots > SLOTS_MAX) {
    return undefined;
  }
  if (!isAmount(busy, 1) || !isAmount(unused, Number.MAX_SAFE_INTEGER)) return undefined;
  if (service !== undefined && !isAmount(service, Number.MAX_SAFE_INTEGER)) return undefined;
  return {
    ...offer,
    state,
    sinceUnixS: since,
    slots,
    busy,
    serviceMs: service,
    unusedMs: unused,
    // Nothing depends on it: one that cannot be shown is no fault.
    ...(isPrintable(why, WHY_CHARS_MAX) ? { why } : {}),
  };
}

function readDemand(value: JsonValue): ElectionRecord["demand"][number] | undefined {
  if (!isJsonObject(value)) return undefined;
  const { id, rate } = value;
  return isName(id) && isAmount(rate, PER_MINUTE_MAX) ? { id, perMinute: rate } : undefined;
}

function readAvoided(value: JsonValue): ElectionRecord["avoids"][number] | undefined {
  if (!isJsonObject(value)) return undefined;
  const { id, cause } = value;
  if (!isName(id) || (cause !== "failed" && cause !== "dropped")) return undefined;
  return { id, cause };
}

/** A number from 0 to `max`, whole or not. */
function isAmount(value: JsonValue | undefined, max: number): value is number {
  return typeof value === "number" && value >= 0 && value <= max;
}
