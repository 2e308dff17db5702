/**
 * What a line of llama-server's output says about its start. Pure.
 *
 * Steps come from its log at verbosity 3 ("info"). How much of the weights is loaded is not in the
 * log at any verbosity; llama-server tells it, several times a second, on its standard output in lines
 * that begin with `cmd_child_to_router:state:`, as soon as LLAMA_SERVER_ROUTER_PORT is in its environment (that
 * is how its own router follows its children). Where a build has no such lines the percentage is
 * absent, and nothing else changes.
 */
import { isJsonObject } from "../base/json.ts";

/** Where a start stands. `port-taken`: it cannot listen and is about to exit. */
export type LoadStep = "loading" | "warming" | "ready" | "port-taken";

/** One report about a start. */
export interface LoadProgress {
  readonly step: LoadStep;
  /** Share of the weights that is loaded, 0 to 100. */
  readonly percent?: number;
}

/** Beginning of the lines that llama-server writes for a program that started it. */
const STATE_PREFIX = "cmd_child_to_router:state:";
/** Longest line looked at; the longest known is the report of readiness, about 600 characters. */
const LINE_CHARS_MAX = 8192;
/** Parts of a load that are counted: the text model, a projector, a draft. */
const STAGES_MAX = 16;

const LOG_STEPS: readonly (readonly [RegExp, LoadStep])[] = [
  [/couldn't bind HTTP server socket/, "port-taken"],
  [/\bload_model: loading model\b/, "loading"],
  [/\bllama threadpool init\b|\bwarming up the model\b/, "warming"],
  [/\bserver is listening on\b|\bmodel loaded$/, "ready"],
];

/** Reads one line; undefined when it tells nothing about the start. */
export function parseLoadLine(line: string): LoadProgress | undefined {
  if (line.length > LINE_CHARS_MAX) return undefined;
  if (line.startsWith(STATE_PREFIX)) return parseState(line.slice(STATE_PREFIX.length));
  const found = LOG_STEPS.find(([pattern]) => pattern.test(line));
  return found === undefined ? undefined : { step: found[1] };
}

/** True for lines that are written for programs: they are followed, not logged. */
export function isControlLine(line: string): boolean {
  return line.startsWith("cmd_child_to_router:");
}

function parseState(json: string): LoadProgress | undefined {
  let message: unknown;
  try {
    message = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!isJsonObject(message)) return undefined;
  if (message["state"] === "ready") return { step: "ready", percent: 100 };
  if (message["state"] !== "loading") return undefined;
  const percent = percentOfStages(message["payload"]);
  return { step: "loading", ...(percent === undefined ? {} : { percent }) };
}

/** Stages count alike: how large each is, is not told. */
function percentOfStages(payload: unknown): number | undefined {
  if (!isJsonObject(payload)) return undefined;
  const { stages, current, value } = payload;
  if (typeof value !== "number" || !Number.isFinite(value)) return undefined;
  const names = Array.isArray(stages) && stages.length <= STAGES_MAX ? stages : [];
  const index = Math.max(0, names.indexOf(current));
  const share = (index + Math.min(1, Math.max(0, value))) / Math.max(1, names.length);
  return Math.floor(share * 100);
}
