/** Where the OpenAI door can send requests: for now, to the model that this node serves itself. */
import type { LoadingModel, RoutingTable, ServedModel, Target, Upstream } from "~/proxy/ports.ts";
import { loadingOf, type SlotState } from "./model_slot.ts";

/** What the table is read from. */
export interface LocalRoutingOptions {
  readonly nodeId: string;
  /** The slot now. */
  readonly slot: () => SlotState;
  /** Towards the engine that runs now; undefined while none answers. */
  readonly upstream: () => Upstream | undefined;
}

/** The routing table of a node that has only itself. */
export class LocalRouting implements RoutingTable {
  readonly #options: LocalRoutingOptions;
  #told: { readonly state: SlotState; readonly models: readonly ServedModel[] } | undefined;

  constructor(options: LocalRoutingOptions) {
    this.#options = options;
  }

  served(): readonly ServedModel[] {
    const state = this.#options.slot();
    if (this.#told?.state !== state) this.#told = { state, models: servedIn(state) };
    return this.#told.models;
  }

  loading(): readonly LoadingModel[] {
    const loading = loadingOf(this.#options.slot());
    return loading === undefined ? [] : [loading];
  }

  targets(modelId: string): readonly Target[] {
    const state = this.#options.slot();
    if (state.kind !== "ready" || state.model.id !== modelId) return [];
    const upstream = this.#options.upstream();
    if (upstream === undefined) return [];
    const { slots, contextTokens, fingerprint } = state.model;
    return [{
      nodeId: this.#options.nodeId,
      upstream,
      slots,
      contextTokens,
      ...(fingerprint === undefined ? {} : { fingerprint }),
    }];
  }
}

function servedIn(state: SlotState): readonly ServedModel[] {
  if (state.kind !== "ready") return [];
  const { id, meta, contextTokens, slots, sizeBytes } = state.model;
  return [{
    id,
    createdUnixS: state.sinceUnixS,
    meta: { ...meta, n_ctx: contextTokens, n_slots: slots, size: sizeBytes },
  }];
}
