/** What Linux tells of a process in `/proc`: time on the CPU, memory, command line. */

/** Parses who started a process from `/proc/<pid>/stat` (proc(5)). @throws {SyntaxError} when it is none */
export function parseParentPid(text: string): number {
  // The second field is the program's name in parentheses and may hold anything, parentheses included.
  const parentPid = /^[A-Za-z] (\d+) /.exec(text.slice(text.lastIndexOf(")") + 2))?.[1];
  if (parentPid === undefined) throw new SyntaxError("Cannot parse the stat of a process");
  return Number(parentPid);
}

/** Memory of a process in bytes. */
export interface ProcessMemory {
  readonly residentBytes: number;
  /** The most it ever was. */
  readonly peakBytes: number;
}

/** Parses `/proc/<pid>/status`. @throws {SyntaxError} when it names no memory */
export function parseMemory(text: string): ProcessMemory {
  const read = (name: string): number => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
    if (kib === undefined) {
      throw new SyntaxError(`Cannot parse the status of a process: no ${name}`);
    }
    return Number(kib) * 1024;
  };
  return { residentBytes: read("VmRSS"), peakBytes: read("VmHWM") };
}

/** Parses lists that end each entry with NUL: `cmdline`, `environ`. */
export function parseNulList(text: string): string[] {
  return text.split("\0").slice(0, -1);
}

/** The value after a flag. */
export function flagValue(args: readonly string[], flag: string): string | undefined {
  const at = args.indexOf(flag);
  return at < 0 ? undefined : args[at + 1];
}

/** CPU time by thread, in nanoseconds. */
export type ThreadTimes = ReadonlyMap<string, number>;

/**
 * CPU time of each thread of a process so far. `/proc/<pid>/task/<tid>/schedstat` counts nanoseconds, where
 * `stat` counts hundredths of a second: too coarse for a stream of 64 tokens.
 */
export function readThreadTimes(pid: number): ThreadTimes {
  const times = new Map<string, number>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    try {
      const text = Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`);
      times.set(name, Number(text.split(" ")[0]));
    } catch (error) {
      // A thread that ended since the folder was read.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return times;
}

/** CPU time in milliseconds that went by between two readings; what ended threads did is lost. */
export function cpuMsBetween(before: ThreadTimes, after: ThreadTimes): number {
  let spentNs = 0;
  for (const [thread, ns] of after) spentNs += ns - (before.get(thread) ?? 0);
  return spentNs / 1e6;
}

/** Memory of a process now. */
export async function readMemory(pid: number): Promise<ProcessMemory> {
  return parseMemory(await Deno.readTextFile(`/proc/${pid}/status`));
}

/** How to reach the engine of a running node without the node. */
export interface EngineAddress {
  readonly pid: number;
  readonly port: number;
  readonly key: string;
}

/**
 * Finds the engine that a node runs: its child with a port and a key. Both are in the child's command line
 * and environment, which the system shows to the user who runs them, and to nobody else.
 *
 * @throws {Error} when the node has no such child
 */
export async function findEngine(nodePid: number): Promise<EngineAddress> {
  for (const pid of await childrenOf(nodePid)) {
    const [args, env] = await Promise.all(
      ["cmdline", "environ"].map((name) =>
        Deno.readTextFile(`/proc/${pid}/${name}`).catch(() => "")
      ),
    );
    const port = Number(flagValue(parseNulList(args!), "--port"));
    const key = parseNulList(env!).find((entry) => entry.startsWith("LLAMA_API_KEY="));
    if (port > 0 && key !== undefined) return { pid, port, key: key.slice(key.indexOf("=") + 1) };
  }
  throw new Error(`Cannot find the engine of process ${nodePid}: no child has a port and a key`);
}

async function childrenOf(parentPid: number): Promise<number[]> {
  const children: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await Deno.readTextFile(`/proc/${name}/stat`).catch(() => undefined);
    if (stat !== undefined && parseParentPid(stat) === parentPid) children.push(Number(name));
  }
  return children.sort((a, b) => a - b);
}
