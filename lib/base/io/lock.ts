/**
 * Only one process, and only one call in a process, works on a thing at a time.
 *
 * The obvious ways fail: a lock file that is created exclusively stays behind when its maker is
 * killed, and two that find such a leftover can each remove the other's fresh lock. A lock of the
 * operating system ends with its holder, but waiting for one cannot be cancelled. So both are
 * joined: the owner's name stands in the file, for as long as the work takes; the file is read
 * and changed only under the system's lock, which is held for the blink of that change.
 *
 * Holds always: the file names an owner that lives, or it is free.
 *
 * @module
 */
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  asProcessIdentity,
  identifyProcess,
  isProcessAlive,
  type ProcessIdentity,
} from "./process_identity.ts";
import { ensureDir, refuseLink, statIfAny, writeAll } from "./files.ts";

/** How often one that waits looks again. */
const POLL_MS = 100;
/** An owner's name takes about 100 bytes. */
const OWNER_BYTES_MAX = 1024;

/** Settings of {@link withLock}. */
export interface WithLockOptions {
  /** Ends the wait (not the work). */
  readonly signal?: AbortSignal;
  /** Called once when another process, or another call of this one, is at work. */
  readonly onWait?: (owner: ProcessIdentity) => void;
}

/**
 * Runs `work` while holding the lock file `path`, which is made when absent. Waits without a limit
 * of its own: whoever holds the lock has limits on its work, and `signal` ends the wait.
 */
export async function withLock<T>(
  path: string,
  options: WithLockOptions,
  work: () => Promise<T>,
): Promise<T> {
  await ensureDir(dirname(path));
  await acquire(path, options);
  try {
    return await work();
  } finally {
    await release(path);
  }
}

async function acquire(path: string, { signal, onWait }: WithLockOptions): Promise<void> {
  const self = await identifyProcess() ?? { pid: Deno.pid };
  let hasWaited = false;
  for (;;) {
    signal?.throwIfAborted();
    const owner = await takeOrReadOwner(path, self);
    if (owner === undefined) return;
    if (!hasWaited) onWait?.(owner);
    hasWaited = true;
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}

/** Takes the lock and returns undefined, or returns the living owner. */
async function takeOrReadOwner(
  path: string,
  self: ProcessIdentity,
): Promise<ProcessIdentity | undefined> {
  for (;;) {
    using file = await Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
    await refuseLink(path);
    await file.lock(true);
    // Its last owner may have removed it between our opening and our locking it.
    if (!(await isStillAt(path, file))) continue;
    const owner = await readOwner(file);
    if (owner !== undefined && await isProcessAlive(owner)) return owner;
    await file.truncate(0);
    await file.seek(0, Deno.SeekMode.Start);
    await writeAll(file, new TextEncoder().encode(JSON.stringify(self)));
    return undefined;
  }
}

async function release(path: string): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
  await file.lock(true);
  await file.truncate(0);
  // Windows keeps the name of an open file; the empty file is free, too.
  if (Deno.build.os !== "windows") await Deno.remove(path).catch(() => {});
}

async function isStillAt(path: string, file: Deno.FsFile): Promise<boolean> {
  if (Deno.build.os === "windows") return true;
  const [opened, named] = await Promise.all([file.stat(), statIfAny(path)]);
  return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
}

async function readOwner(file: Deno.FsFile): Promise<ProcessIdentity | undefined> {
  const buffer = new Uint8Array(OWNER_BYTES_MAX);
  const count = await file.read(buffer);
  if (count === null) return undefined;
  try {
    return asProcessIdentity(JSON.parse(new TextDecoder().decode(buffer.subarray(0, count))));
  } catch {
    // Half a name: its writer died while writing, so nobody holds the lock.
    return undefined;
  }
}
