/**
 * The folder `<home>/run/<pid>/` of one mesh-llm: `owner.json` says whose it is, `<pid>.json` names each
 * process that it started. When mesh-llm is killed, the next one finds the folder, sees that its owner is
 * gone, ends what is left of its children and removes it.
 *
 * Changes of `<home>/run` are made under a lock, so that two that start at once see each other.
 *
 * @module
 */
import { basename, join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { UserError } from "~/base/errors.ts";
import { ensureDir, readTextIfAny, removeIfAny, writeFileAtomic } from "~/base/io/files.ts";
import { withLock } from "~/base/io/lock.ts";
import {
  type ChildRecord,
  compareProcess,
  type OwnerRecord,
  parseChild,
  parseOwner,
  type ProcessMark,
} from "../run_record.ts";
import { markProcess } from "./process_mark.ts";
import { killGroup } from "./process_group.ts";

const log = getLogger(["mesh-llm", "engine"]);

/** A record takes about 150 bytes. */
const RECORD_BYTES_MAX = 4096;
/** Folders and records looked at: more are not ours. */
const ENTRIES_MAX = 1000;
/** Work under the lock takes milliseconds; a stuck disk must not hang a start for ever. */
const LOCK_TIMEOUT_MS = 15_000;
const OWNER_FILE = "owner.json";

/** The folder of this process. */
export interface RunDir {
  readonly path: string;
  /** Notes a process that was started; the returned function forgets it. */
  noteChild(pid: number, name: string): Promise<() => Promise<void>>;
  /** Tells other commands how this node is reached. */
  noteDoors(doors: { readonly apiPort?: number; readonly consolePort?: number }): Promise<void>;
  /** Removes the folder; call it when all children have ended. */
  close(): Promise<void>;
}

/** A node that runs on a home. */
export interface RunningNode {
  readonly pid: number;
  /**
   * False when the record tells too little to know it from a program that got its process id later:
   * then nothing may be done to the process.
   */
  readonly isCertain: boolean;
  readonly apiPort?: number;
  readonly consolePort?: number;
}

/** Another mesh-llm runs on the same home. */
export class HomeInUseError extends UserError {
  override readonly name = "HomeInUseError";
  readonly pid: number;

  constructor(home: string, pid: number) {
    super(
      `Cannot start on ${home}: mesh-llm runs there already, process ${pid}. ` +
        `End it with "mesh-llm stop", or give another folder with --home`,
    );
    this.pid = pid;
  }
}

/**
 * Takes the home for this process: ends what earlier ones left behind, refuses when one still runs
 * (nodes with a throw-away identity do not count, neither there nor here).
 *
 * @throws {HomeInUseError} when another node runs on this home
 */
export async function openRunDir(
  home: string,
  options: { readonly isEphemeral?: boolean } = {},
): Promise<RunDir> {
  const { isEphemeral = false } = options;
  const process = await markProcess() ?? { pid: Deno.pid };
  const path = join(home, "run", String(Deno.pid));
  const owner: OwnerRecord = { process, isEphemeral };
  await locked(home, async () => {
    await cleanRunFolder(home);
    const other = isEphemeral ? undefined : await findOwner(home);
    if (other !== undefined) throw new HomeInUseError(home, other.process.pid);
    await removeIfAny(path);
    await ensureDir(path, 0o700);
    await writeRecord(join(path, OWNER_FILE), owner);
  });
  return new OpenRunDir(path, owner);
}

/** Ends what dead owners left behind; returns the processes that were ended. */
export async function cleanOrphans(home: string): Promise<readonly ChildRecord[]> {
  return await locked(home, () => cleanRunFolder(home));
}

/** The node that runs on this home; undefined when none does. */
export async function findRunningNode(home: string): Promise<RunningNode | undefined> {
  const owner = await findOwner(home);
  if (owner === undefined) return undefined;
  const { process, apiPort, consolePort } = owner;
  const now = await markProcess(process.pid);
  return {
    pid: process.pid,
    isCertain: compareProcess(process, now) === "same",
    ...(apiPort === undefined ? {} : { apiPort }),
    ...(consolePort === undefined ? {} : { consolePort }),
  };
}

class OpenRunDir implements RunDir {
  readonly path: string;
  #owner: OwnerRecord;

  constructor(path: string, owner: OwnerRecord) {
    this.path = path;
    this.#owner = owner;
  }

  async noteChild(pid: number, name: string): Promise<() => Promise<void>> {
    const path = join(this.path, `${pid}.json`);
    const process = await markProcess(pid);
    // It ended already: there is nothing to note.
    if (process === undefined) return () => Promise.resolve();
    await writeRecord(path, { process, name });
    return () => removeIfAny(path);
  }

  async noteDoors(doors: Pick<OwnerRecord, "apiPort" | "consolePort">): Promise<void> {
    this.#owner = { ...this.#owner, ...doors };
    await writeRecord(join(this.path, OWNER_FILE), this.#owner);
  }

  async close(): Promise<void> {
    await removeIfAny(this.path);
  }
}

async function locked<T>(home: string, work: () => Promise<T>): Promise<T> {
  await ensureDir(join(home, "run"), 0o700);
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), LOCK_TIMEOUT_MS);
  try {
    return await withLock(join(home, "run", ".lock"), { signal: controller.signal }, work);
  } finally {
    clearTimeout(timer);
  }
}

async function writeRecord(path: string, record: OwnerRecord | ChildRecord): Promise<void> {
  await writeFileAtomic(path, JSON.stringify(record), { mode: 0o600 });
}

/** The owner that keeps others off the home. */
async function findOwner(home: string): Promise<OwnerRecord | undefined> {
  for (const dir of await ownerDirs(home)) {
    const owner = await readOwner(dir);
    if (owner === undefined || owner.isEphemeral || owner.process.pid === Deno.pid) continue;
    if (await isMaybeAlive(owner.process)) return owner;
  }
  return undefined;
}

async function cleanRunFolder(home: string): Promise<ChildRecord[]> {
  const ended: ChildRecord[] = [];
  for (const dir of await ownerDirs(home)) {
    // Without a record that can be read, the folder's name still tells the owner's id.
    const owner = (await readOwner(dir))?.process ?? { pid: Number(basename(dir)) };
    if (await isMaybeAlive(owner)) continue;
    for (const child of await readChildren(dir)) {
      if (await endOrphan(child)) ended.push(child);
    }
    await removeIfAny(dir);
  }
  return ended;
}

async function endOrphan(child: ChildRecord): Promise<boolean> {
  const { pid } = child.process;
  const liveness = compareProcess(child.process, await markProcess(pid));
  if (liveness === "unknown") {
    log.warn("Process {pid} may be a {name} that was left behind; it is not touched", {
      pid,
      name: child.name,
    });
  }
  if (liveness !== "same") return false;
  killGroup(pid, "SIGKILL");
  log.info("Ended {name}, process {pid}, which an earlier mesh-llm left behind", {
    pid,
    name: child.name,
  });
  return true;
}

/** False only when it is certain that it does not run any more. */
async function isMaybeAlive(recorded: ProcessMark): Promise<boolean> {
  return compareProcess(recorded, await markProcess(recorded.pid)) !== "gone";
}

async function ownerDirs(home: string): Promise<string[]> {
  const root = join(home, "run");
  return (await namesIn(root)).filter((name) => /^\d+$/.test(name)).map((name) => join(root, name));
}

async function namesIn(dir: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(dir)) {
      names.push(name);
      if (names.length === ENTRIES_MAX) break;
    }
  } catch (error) {
    const isNoFolder = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory;
    if (!isNoFolder) throw error;
  }
  return names.sort();
}

async function readOwner(dir: string): Promise<OwnerRecord | undefined> {
  return parseOwner(await readRecord(join(dir, OWNER_FILE)));
}

async function readChildren(dir: string): Promise<ChildRecord[]> {
  const names = (await namesIn(dir)).filter((name) => /^\d+\.json$/.test(name));
  const texts = await Promise.all(names.map((name) => readRecord(join(dir, name))));
  return texts.map(parseChild).filter((child) => child !== undefined);
}

/** Its text; nothing when it cannot be read, like a record that is not one. */
async function readRecord(path: string): Promise<string> {
  try {
    return await readTextIfAny(path, RECORD_BYTES_MAX) ?? "";
  } catch {
    return "";
  }
}
