import process from "node:process";
import { isJsonObject } from "../json.ts";
import { readTextBounded } from "./files.ts";

/**
 * Names one process for ever: a process id alone is given to another program sooner or later, so
 * the moment of its start and the boot it belongs to are part of the name where the system tells them.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start in clock ticks since boot (Linux); absent where the system does not tell it. */
  readonly startTicks?: number;
  /** Identifier of the boot (Linux); absent where there is none. */
  readonly bootId?: string;
}

/** Largest `/proc` text read here: `stat` is about 300 bytes, `boot_id` 37. */
const PROC_TEXT_BYTES_MAX = 4096;
/** Position of `starttime` in `/proc/<pid>/stat`, counted after the command name; see proc(5). */
const START_TICKS_FIELD = 19;

/** Identity of the process `pid`, or of this one. Absent when there is no such process. */
export async function identifyProcess(
  pid: number = Deno.pid,
): Promise<ProcessIdentity | undefined> {
  if (!exists(pid)) return undefined;
  const [startTicks, bootId] = await Promise.all([readStartTicks(pid), readBootId()]);
  return {
    pid,
    ...(startTicks === undefined ? {} : { startTicks }),
    ...(bootId === undefined ? {} : { bootId }),
  };
}

/** True while that very process, and not a later one with the same id, runs. */
export async function isProcessAlive(identity: ProcessIdentity): Promise<boolean> {
  const now = await identifyProcess(identity.pid);
  if (now === undefined) return false;
  return sameWhereKnown(now.bootId, identity.bootId) &&
    sameWhereKnown(now.startTicks, identity.startTicks);
}

/** Reads an identity that was kept as JSON; undefined when it is none. */
export function asProcessIdentity(value: unknown): ProcessIdentity | undefined {
  if (!isJsonObject(value)) return undefined;
  const { pid, startTicks, bootId } = value;
  if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return {
    pid,
    ...(typeof startTicks === "number" ? { startTicks } : {}),
    ...(typeof bootId === "string" ? { bootId } : {}),
  };
}

function sameWhereKnown<T>(a: T | undefined, b: T | undefined): boolean {
  return a === undefined || b === undefined || a === b;
}

function exists(pid: number): boolean {
  try {
    // Signal 0 asks for the process without touching it.
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code === "EPERM";
  }
}

async function readStartTicks(pid: number): Promise<number | undefined> {
  const stat = await readProc(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command name stands in parentheses and may hold anything, further parentheses included.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[START_TICKS_FIELD]);
  return Number.isSafeInteger(ticks) ? ticks : undefined;
}

async function readBootId(): Promise<string | undefined> {
  return (await readProc("/proc/sys/kernel/random/boot_id"))?.trim();
}

async function readProc(path: string): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  try {
    return await readTextBounded(path, PROC_TEXT_BYTES_MAX);
  } catch {
    return undefined;
  }
}
