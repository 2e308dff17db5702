/**
 * Records of running programs: which mesh-llm owns a folder, and which processes it started. Pure.
 *
 * A record is believed only as far as its facts go: a process id alone is given to another program sooner
 * or later. So it also holds when the process started and in which boot, and a process is ended only when
 * all of it is known and the same.
 */
import { isJsonObject, type JsonValue } from "../base/json.ts";

/** Names one process for ever, as far as the system tells. */
export interface ProcessMark {
  readonly pid: number;
  /** When it started, in the system's own words: clock ticks since boot (Linux), else a date. */
  readonly started?: string;
  /** Identifier of the boot (Linux); a date needs none. */
  readonly bootId?: string;
}

/** Who owns a folder of running programs, and how it is reached. */
export interface OwnerRecord {
  readonly process: ProcessMark;
  /** A node with a throw-away identity: others may run on the same home. */
  readonly isEphemeral: boolean;
  readonly apiPort?: number;
  readonly consolePort?: number;
}

/** A program that was started. */
export interface ChildRecord {
  readonly process: ProcessMark;
  /** For people: "llama-server". */
  readonly name: string;
}

/** Whether the process of a record runs. `unknown`: one with its id does, and nothing tells them apart. */
export type Liveness = "same" | "gone" | "unknown";

/** Compares a record with the process that has its id now, if there is one. */
export function compareProcess(recorded: ProcessMark, now: ProcessMark | undefined): Liveness {
  if (now === undefined || now.pid !== recorded.pid) return "gone";
  const isStarted = compare(recorded.started, now.started);
  const isBoot = compare(recorded.bootId, now.bootId);
  if (isStarted === "different" || isBoot === "different") return "gone";
  if (isStarted === "unknown") return "unknown";
  // Ticks since boot repeat with each boot, so a boot that was noted must be confirmed.
  const isBootless = recorded.bootId === undefined && now.bootId === undefined;
  return isBoot === "same" || isBootless ? "same" : "unknown";
}

function compare(a: string | undefined, b: string | undefined): "same" | "different" | "unknown" {
  if (a === undefined || b === undefined) return "unknown";
  return a === b ? "same" : "different";
}

const NAME_CHARS_MAX = 200;
const PORT_MAX = 65_535;

/** Reads the record of an owner; undefined when the text is none. */
export function parseOwner(text: string): OwnerRecord | undefined {
  const value = parse(text);
  if (!isJsonObject(value)) return undefined;
  const process = asMark(value["process"]);
  if (process === undefined) return undefined;
  const { apiPort, consolePort, isEphemeral } = value;
  return {
    process,
    isEphemeral: isEphemeral === true,
    ...(isPort(apiPort) ? { apiPort } : {}),
    ...(isPort(consolePort) ? { consolePort } : {}),
  };
}

/** Reads the record of a child; undefined when the text is none. */
export function parseChild(text: string): ChildRecord | undefined {
  const value = parse(text);
  if (!isJsonObject(value)) return undefined;
  const process = asMark(value["process"]);
  const { name } = value;
  if (process === undefined || !isName(name)) return undefined;
  return { process, name };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function asMark(value: JsonValue | undefined): ProcessMark | undefined {
  if (!isJsonObject(value)) return undefined;
  const { pid, started, bootId } = value;
  // 1 is the system's first process, and signals to 0 and below go to whole groups.
  if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid <= 1) return undefined;
  return {
    pid,
    ...(isName(started) ? { started } : {}),
    ...(isName(bootId) ? { bootId } : {}),
  };
}

function isName(value: JsonValue | undefined): value is string {
  return typeof value === "string" && value !== "" && value.length <= NAME_CHARS_MAX;
}

function isPort(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= PORT_MAX;
}
