/** What this node says about itself to the mesh: built from what it knows, changed only where others care. */
import type { PeerAddress } from "~/mesh/address.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { LoadingRecord, NodeRecord, ServedRecord } from "~/mesh/record.ts";
import { loadingOf, type SlotState } from "../model_slot.ts";
import type { PreparedEngine } from "../ports.ts";

/** Memory that is told apart: free memory moves all the time, and each change costs the mesh a message. */
const MEMORY_STEP = 0.2;
/** Names of models in a record. */
const MODELS_MAX = 64;

/** Everything a record says, but its incarnation. */
export interface OwnFacts {
  readonly node: NodeId;
  readonly session: string;
  readonly version: string;
  readonly protocol: number;
  readonly leafHash: string;
  readonly addresses: readonly PeerAddress[];
  readonly dialable: NodeRecord["dialable"];
  readonly engine: PreparedEngine | undefined;
  /** Memory that is offered for models now, in bytes; 0 while unknown. */
  readonly offeredBytes: number;
  /** Names of models on disk. */
  readonly models: readonly string[];
  readonly slot: SlotState;
  readonly isLeaving: boolean;
}

/** A record without its place in time. */
export type RecordContent = Omit<NodeRecord, "incarnation">;

/** The record of now. */
export function contentOf(facts: OwnFacts): RecordContent {
  const { engine, slot } = facts;
  return {
    node: facts.node,
    session: facts.session,
    version: facts.version,
    protocol: facts.protocol,
    leafHash: facts.leafHash,
    addresses: facts.addresses,
    dialable: facts.dialable,
    devices: engine?.facts.devices.map(({ name, totalBytes }) => ({ name, totalBytes })) ?? [],
    offeredBytes: coarse(facts.offeredBytes),
    engine: engine === undefined ? undefined : {
      version: engine.facts.version ?? "unknown",
      rpcVersion: engine.facts.rpcVersion ?? "unknown",
    },
    models: facts.models.slice(0, MODELS_MAX),
    serving: facts.isLeaving ? [] : servedOf(slot),
    loading: facts.isLeaving ? [] : loadingRecords(slot),
    isLeaving: facts.isLeaving,
  };
}

function servedOf(slot: SlotState): readonly ServedRecord[] {
  if (slot.kind !== "ready") return [];
  const { id, slots, sizeBytes, contextTokens, meta, fingerprint } = slot.model;
  return [{
    id,
    createdUnixS: slot.sinceUnixS,
    slots,
    sizeBytes,
    ...(fingerprint === undefined ? {} : { fingerprint }),
    meta: { ...meta, n_ctx: contextTokens, n_slots: slots, size: sizeBytes },
  }];
}

/** Without percent: it changes many times a second, and the phase is what others act on. */
function loadingRecords(slot: SlotState): readonly LoadingRecord[] {
  const loading = loadingOf(slot);
  if (loading === undefined || loading.id.startsWith("(")) return [];
  return [{ id: loading.id, phase: loading.phase }];
}

/** Rounds down to steps of a fifth, so that small changes change nothing. */
function coarse(sizeBytes: number): number {
  if (sizeBytes <= 0) return 0;
  const step = Math.log(1 + MEMORY_STEP);
  return Math.floor(Math.exp(Math.floor(Math.log(sizeBytes) / step) * step));
}

/** Whether two records say the same. */
export function saysTheSame(a: RecordContent, b: RecordContent): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
