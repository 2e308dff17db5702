/** This node as the election sees it, and as its record says it. Pure. */
import { estimateNeeds } from "~/election/capacity.ts";
import type {
  AvoidedModel,
  DemandReport,
  DeviceCapacity,
  HostedModel,
  HostedState,
  OfferedModel,
  SpeedClass,
} from "~/election/ports.ts";
import type { Usage } from "~/election/usage.ts";
import type { ElectionRecord } from "~/mesh/election_record.ts";
import type { SlotState } from "../model_slot.ts";

/** Models that can be fetched, of one record. */
const FETCHABLE_MAX = 16;

/** A model that this node knows where to fetch. */
export interface FetchableModel {
  readonly id: string;
  readonly sizeBytes: number;
}

/** Everything that decides what this node is in the election. */
export interface OwnElectionFacts {
  /** It has an engine, the right to serve, and was not started to serve nothing. */
  readonly mayServe: boolean;
  readonly speed: SpeedClass;
  readonly devices: readonly DeviceCapacity[];
  readonly onDisk: readonly OfferedModel[];
  readonly catalogue: readonly FetchableModel[];
  readonly slot: SlotState;
  /** When the slot's model began to load, by the wall clock. */
  readonly sinceUnixS: number;
  readonly usage: ReturnType<Usage["told"]> | undefined;
  /** Why the slot's model is served here, for people. */
  readonly why: string | undefined;
  readonly asksHere: readonly string[];
  readonly wants: readonly string[];
  readonly demand: readonly DemandReport[];
  readonly avoids: readonly AvoidedModel[];
  /** Models that somebody in the mesh wants or asks for now, this node too. */
  readonly wantedAnywhere: ReadonlySet<string>;
}

/** What the record says for the election. */
export function electionRecordOf(facts: OwnElectionFacts): ElectionRecord {
  const { mayServe, speed, devices, slot, wantedAnywhere: wanted } = facts;
  const onDisk = facts.onDisk.toSorted((a, b) =>
    Number(wanted.has(b.id)) - Number(wanted.has(a.id)) || (a.id < b.id ? -1 : 1)
  );
  const here = new Set(onDisk.map(({ id }) => id));
  const fetchable = facts.catalogue
    .filter(({ id }) => wanted.has(id) && !here.has(id))
    .slice(0, FETCHABLE_MAX)
    .map((model) => offerToFetch(model, devices));
  return {
    // What has no name yet cannot be said: until then nothing else is to be loaded.
    mayServe: mayServe && (slot.kind !== "preparing" || slot.isNamed === true),
    speed,
    modelsMax: 1,
    devices,
    onDisk,
    fetchable: mayServe ? fetchable : [],
    hosted: hostedOf(facts),
    asksHere: facts.asksHere,
    wants: facts.wants,
    demand: facts.demand,
    avoids: facts.avoids,
  };
}

/** What a model needs that is not here yet is only estimated. */
export function offerToFetch(
  { id, sizeBytes }: FetchableModel,
  devices: readonly DeviceCapacity[],
): OfferedModel {
  return { id, fingerprint: undefined, sizeBytes, needs: estimateNeeds(sizeBytes, devices) };
}

/** How far the slot is, in the election's words; undefined while it holds nothing. */
function stateOf(slot: SlotState): HostedState | undefined {
  switch (slot.kind) {
    case "preparing":
      if (slot.isNamed !== true) return undefined;
      return slot.transfers.size > 0 ? "fetching" : "loading";
    case "starting":
    case "restarting":
      return "loading";
    case "ready":
      return "serving";
    case "draining":
      return "draining";
    case "empty":
    case "failed":
      return undefined;
  }
}

function hostedOf(
  { slot, onDisk, catalogue, devices, sinceUnixS, usage, why }: OwnElectionFacts,
): readonly HostedModel[] {
  const state = stateOf(slot);
  if (state === undefined || slot.kind === "empty") return [];
  const model = "model" in slot ? slot.model : undefined;
  const id = "model" in slot ? slot.model.id : slot.id;
  const offer = onDisk.find((one) => one.id === id);
  const sizeBytes = model?.sizeBytes ?? offer?.sizeBytes ??
    catalogue.find((one) => one.id === id)?.sizeBytes ?? 0;
  return [{
    id,
    fingerprint: model?.fingerprint ?? offer?.fingerprint,
    sizeBytes,
    needs: offer?.needs ?? estimateNeeds(sizeBytes, devices),
    state,
    sinceUnixS: slot.kind === "ready" ? slot.sinceUnixS : sinceUnixS,
    slots: model?.slots ?? 0,
    busy: usage?.busy ?? 0,
    serviceMs: usage?.serviceMs,
    unusedMs: usage?.unusedMs ?? 0,
    ...(why === undefined ? {} : { why }),
  }];
}
