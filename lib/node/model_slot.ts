/**
 * The one model that this node serves: which it is and how far it is. Pure; `LocalModel` drives it.
 *
 * empty → preparing (engine and files are found or fetched) → starting (llama-server loads it) →
 * ready ⇄ restarting → draining → empty. `failed` is left by a new load only.
 */
import { assertNever } from "~/base/errors.ts";
import { percentOf, type TransferProgress } from "~/base/progress.ts";
import type { NodeStatus } from "~/api/ports.ts";
import type { LoadingModel } from "~/proxy/ports.ts";

/** What is known of a model once its file is here. */
export interface SlotModel {
  /** Name that clients use. */
  readonly id: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** What the model is, whatever its name: SHA-256 of its header, ":", its size. Absent where nobody looked. */
  readonly fingerprint?: string;
  /** Context length of one request in tokens. */
  readonly contextTokens: number;
  /** Requests answered at once. */
  readonly slots: number;
  /** What its file says, for clients. */
  readonly meta: Readonly<Record<string, string | number>>;
}

/** Where the model stands. */
export type SlotState =
  | { readonly kind: "empty" }
  | {
    readonly kind: "preparing";
    readonly id: string;
    /** Running transfers by what they fetch. */
    readonly transfers: ReadonlyMap<string, TransferProgress>;
  }
  | { readonly kind: "starting"; readonly model: SlotModel; readonly percent?: number }
  | { readonly kind: "ready"; readonly model: SlotModel; readonly sinceUnixS: number }
  | { readonly kind: "restarting"; readonly model: SlotModel; readonly reason: string }
  | { readonly kind: "draining"; readonly model: SlotModel }
  | { readonly kind: "failed"; readonly id: string; readonly reason: string };

/** What may happen to it. */
export type SlotInput =
  | { readonly kind: "load"; readonly id: string }
  | { readonly kind: "named"; readonly id: string }
  | { readonly kind: "transfer"; readonly progress: TransferProgress }
  | { readonly kind: "start"; readonly model: SlotModel }
  | { readonly kind: "loading"; readonly percent?: number }
  | { readonly kind: "ready"; readonly nowUnixS: number }
  | { readonly kind: "restarting"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "drain" }
  | { readonly kind: "emptied" };

/** The state before anything was asked for. */
export const EMPTY_SLOT: SlotState = { kind: "empty" };

/** The state after `input`; the same object when nothing changes. */
export function nextSlot(state: SlotState, input: SlotInput): SlotState {
  switch (input.kind) {
    case "load":
      return { kind: "preparing", id: input.id, transfers: new Map() };
    case "named":
      return state.kind === "preparing" ? { ...state, id: input.id } : state;
    case "transfer":
      return state.kind === "preparing" ? withTransfer(state, input.progress) : state;
    case "start":
      return { kind: "starting", model: input.model };
    case "failed":
      return state.kind === "empty"
        ? state
        : { kind: "failed", id: idOf(state) ?? "", reason: input.reason };
    case "drain":
      return "model" in state ? { kind: "draining", model: state.model } : state;
    case "emptied":
      return EMPTY_SLOT;
    case "loading":
    case "ready":
    case "restarting":
      return nextRunning(state, input);
    default:
      return assertNever(input);
  }
}

/** What the engine's own life changes: only for a model that it runs and that is not on its way out. */
function nextRunning(
  state: SlotState,
  input: Extract<SlotInput, { kind: "loading" | "ready" | "restarting" }>,
): SlotState {
  if (!("model" in state) || state.kind === "draining") return state;
  const { model } = state;
  if (input.kind === "restarting") return { kind: "restarting", model, reason: input.reason };
  if (input.kind === "ready") {
    return state.kind === "ready" ? state : { kind: "ready", model, sinceUnixS: input.nowUnixS };
  }
  return { kind: "starting", model, ...percentMember(input.percent) };
}

function withTransfer(
  state: Extract<SlotState, { kind: "preparing" }>,
  progress: TransferProgress,
): SlotState {
  const transfers = new Map(state.transfers);
  if (progress.isDone === true) transfers.delete(progress.what);
  else transfers.set(progress.what, progress);
  return { ...state, transfers };
}

function percentMember(percent: number | undefined): { readonly percent?: number } {
  return percent === undefined ? {} : { percent };
}

/** Name of the model that the slot is about. */
export function idOf(state: SlotState): string | undefined {
  if ("model" in state) return state.model.id;
  return "id" in state ? state.id : undefined;
}

/** What the OpenAI door tells callers while the model is on its way; undefined when it is not. */
export function loadingOf(state: SlotState): LoadingModel | undefined {
  switch (state.kind) {
    case "preparing": {
      const transfer = slowestTransfer(state.transfers);
      if (transfer === undefined) return { id: state.id, phase: "preparing" };
      const phase = `downloading ${transfer.what}`;
      return { id: state.id, phase, ...percentMember(percentOf(transfer)) };
    }
    case "starting":
      return { id: state.model.id, phase: "loading", ...percentMember(state.percent) };
    case "restarting":
      return { id: state.model.id, phase: "restarting" };
    case "empty":
    case "ready":
    case "draining":
    case "failed":
      return undefined;
    default:
      return assertNever(state);
  }
}

/** The transfer that will end last, as far as one can tell: the one with the most bytes to come. */
function slowestTransfer(
  transfers: ReadonlyMap<string, TransferProgress>,
): TransferProgress | undefined {
  const missing = (transfer: TransferProgress): number =>
    (transfer.totalBytes ?? Infinity) - transfer.doneBytes;
  return [...transfers.values()].sort((a, b) => missing(b) - missing(a))[0];
}

/** The word for the status. */
export function nodeStatusOf(state: SlotState): NodeStatus {
  switch (state.kind) {
    case "empty":
      return "idle";
    case "preparing":
      return state.transfers.size > 0 ? "downloading" : "loading";
    case "starting":
    case "restarting":
      return "loading";
    case "ready":
      return "serving";
    case "draining":
      return "draining";
    case "failed":
      return "failed";
    default:
      return assertNever(state);
  }
}
