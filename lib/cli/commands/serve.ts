/** `mesh-llm serve`: runs a node in the foreground until it is told to end. */
import { getLogger } from "@logtape/logtape";
import { messageOf, UserError } from "~/base/errors.ts";
import { ensureDir } from "~/base/io/files.ts";
import { openRunDir, type RunDir } from "~/engine/io/run_dir.ts";
import type { LocalModel } from "~/node/local_model.ts";
import type { SlotState } from "~/node/model_slot.ts";
import { DRAIN_MS, logSlot } from "~/node/node.ts";
import type { NodeSettings } from "~/node/settings.ts";
import { type Announcement, formatAnnouncement } from "../announce.ts";
import { type ComposedNode, composeNode, type OpenDoors, openDoors } from "../compose.ts";
import { type CommandContext, readApiKeys } from "../context.ts";
import type { ServeFlags } from "../flags.ts";
import { readJoinTokens } from "../join_tokens.ts";
import { resolveSettings } from "../settings.ts";
import { StopRequest } from "../stop_request.ts";

const log = getLogger(["mesh-llm", "cli"]);

/** Runs a node; resolves with the exit status when it has ended. */
export async function serve(context: CommandContext, flags: ServeFlags): Promise<number> {
  const { env, config } = context;
  const apiKeys = await readApiKeys(flags.apiKeys, env);
  const joinTokens = await readJoinTokens(flags.join, env);
  const settings = resolveSettings({ flags, env, config, apiKeys, joinTokens });
  const runDir = await openHome(settings);
  const announce = (announcement: Announcement): void =>
    context.print(formatAnnouncement(announcement, context.isJson));
  using stop = new StopRequest();
  using _guard = surviveRejections();
  try {
    announce({ event: "pid", pid: Deno.pid });
    const composed = await composeNode({
      settings,
      runDir,
      env,
      report: context.report,
      onSourceFailure: context.onSourceFailure,
      requestStop: () => stop.request(),
    });
    const doors = await openDoors(composed);
    await runDir.noteDoors({ apiPort: doors.api.port, consolePort: doors.console.port });
    announce({ event: "api", url: `http://localhost:${doors.api.port}/v1` });
    announce({ event: "console", url: `http://localhost:${doors.console.port}` });
    return await run({ composed, doors, stop, announce });
  } finally {
    await runDir.close();
  }
}

/**
 * Whoever can write into the home could name any process as a child of ours and have the next start
 * end it, or put another engine there.
 */
async function refuseForeignHome(homeDir: string): Promise<void> {
  const { mode, uid } = await Deno.stat(homeDir);
  const own = Deno.uid();
  if (mode !== null && (mode & 0o022) !== 0) {
    throw new UserError(
      `Refusing ${homeDir}: others can write there (mode ${(mode & 0o777).toString(8)}). ` +
        `Run: chmod go-w ${homeDir}`,
    );
  }
  // Root runs on folders of others in containers, and chose to.
  if (uid !== null && own !== null && own !== 0 && uid !== own) {
    throw new UserError(`Refusing ${homeDir}: it belongs to another user (uid ${uid})`);
  }
}

/**
 * A promise that nobody waits for must not end a program that others rely on: Deno 2.4's `node:http`
 * rejects one inside itself when an engine breaks off an answer that we handle already.
 */
function surviveRejections(): Disposable {
  const onRejection = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    log.error("A promise was rejected and nobody waited for it: {reason}", {
      reason: messageOf(event.reason),
    });
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  return {
    [Symbol.dispose]: () => globalThis.removeEventListener("unhandledrejection", onRejection),
  };
}

/** @throws {UserError} when another node has the home, or nothing can be kept there */
async function openHome({ homeDir, isEphemeral }: NodeSettings): Promise<RunDir> {
  try {
    await ensureDir(homeDir, 0o700);
    await refuseForeignHome(homeDir);
    return await openRunDir(homeDir, { isEphemeral });
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const reason = messageOf(cause);
    throw new UserError(`Cannot use ${homeDir} as home: ${reason}; choose another with --home`, {
      cause,
    });
  }
}

interface Run {
  readonly composed: ComposedNode;
  readonly doors: OpenDoors;
  readonly stop: StopRequest;
  readonly announce: (announcement: Announcement) => void;
}

async function run({ composed, doors, stop, announce }: Run): Promise<number> {
  const { local, settings } = composed;
  local.subscribe(logSlot);
  announceReady(local, announce);
  try {
    await Promise.race([firstLoad(local, settings.model), stop.first]);
    await stop.first;
    return 0;
  } finally {
    await end({ composed, doors, stop });
  }
}

/** Resolves when the first model is ready; fails when it cannot be. */
async function firstLoad(local: LocalModel, model: string | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const unsubscribe = local.subscribe((state) => {
    if (state.kind === "ready") resolve();
    if (state.kind === "failed") reject(new UserError(state.reason));
  });
  // Whoever races with this may have left already.
  promise.catch(() => {});
  try {
    await local.load(model);
    await promise;
  } finally {
    unsubscribe();
  }
}

function announceReady(local: LocalModel, announce: Run["announce"]): void {
  let ready: string | undefined;
  local.subscribe((state: SlotState) => {
    if (state.kind === "ready" && ready !== state.model.id) {
      ready = state.model.id;
      announce({ event: "ready", model: ready });
    }
    if (state.kind === "empty") ready = undefined;
  });
}

/**
 * No new requests, running ones get their time, then the engine ends. A second signal cuts what still
 * runs, so that nothing is left to wait for.
 */
async function end({ composed, doors, stop }: Omit<Run, "announce">): Promise<void> {
  const graceful = Promise.all([composed.local.close(DRAIN_MS), doors.close(DRAIN_MS)]);
  await Promise.race([graceful, stop.second]);
  if (stop.isUrgent) await doors.close(0);
  await graceful;
}
