/** `mesh-llm serve`: runs a node in the foreground until it is told to end. */
import { getLogger } from "@logtape/logtape";
import { messageOf, UserError } from "~/base/errors.ts";
import { ensureDir } from "~/base/io/files.ts";
import { openRunDir, type RunDir } from "~/engine/io/run_dir.ts";
import type { LocalModel } from "~/node/local_model.ts";
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

const CLASH =
  "Another process runs with the key of this node: this one ends. A copied home is the same node; " +
  "remove the file key from the copy, or set MESH_LLM_EPHEMERAL_KEY";

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
  const clash = Promise.withResolvers<never>();
  // Whoever races with this may have left already.
  clash.promise.catch(() => {});
  try {
    announce({ event: "pid", pid: Deno.pid });
    const composed = await composeNode({
      settings,
      runDir,
      env,
      report: context.report,
      onSourceFailure: context.onSourceFailure,
      requestStop: () => stop.request(),
      onMesh: {
        invite: (token) => announce({ event: "invite", token }),
        joined: (meshId, peers) => announce({ event: "joined", mesh_id: meshId, peers }),
        clash: () => clash.reject(new UserError(CLASH)),
      },
    });
    try {
      if (settings.joinTokens.length === 0) await composed.mesh.resume();
      const doors = await openDoors(composed);
      await runDir.noteDoors({ apiPort: doors.api.port, consolePort: doors.console.port });
      announce({ event: "api", url: `http://localhost:${doors.api.port}/v1` });
      announce({ event: "console", url: `http://localhost:${doors.console.port}` });
      return await run({ composed, doors, stop, announce, clash: clash.promise });
    } finally {
      await composed.mesh.close();
    }
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
  /** Rejects when another process runs with this node's key. */
  readonly clash: Promise<never>;
}

async function run({ composed, doors, stop, announce, clash }: Run): Promise<number> {
  const { local, settings } = composed;
  announceReady(composed, announce);
  try {
    await Promise.race([begin(composed, settings), stop.first, clash]);
    // What fails before is the last thing that the program says.
    local.subscribe(logSlot);
    await Promise.race([stop.first, clash]);
    return 0;
  } finally {
    await end({ composed, doors, stop });
  }
}

/** Joins and loads at the same time: until its own model is ready, a node answers through the mesh. */
async function begin(composed: ComposedNode, settings: NodeSettings): Promise<void> {
  const { mesh } = composed;
  const joining = settings.joinTokens.length === 0
    ? Promise.resolve()
    : mesh.join(settings.joinTokens).then(() => {});
  const loading = settings.isClient ? Promise.resolve() : firstWork(composed, settings);
  loading.catch(() => {});
  await joining;
  try {
    await loading;
  } catch (error) {
    // Alone it would be of no use; in a mesh it answers for what others serve.
    if (!(error instanceof UserError) || composed.node.routing.served().length === 0) throw error;
    log.error("{reason}. This node goes on with what others serve", { reason: error.message });
  }
}

/**
 * The model that was asked for. Without one, whoever comes into the mesh of others stands by, and takes on what they
 * ask for; who began a mesh, or comes back into one, serves the best that fits, until others need its memory more.
 */
async function firstWork(
  { local, election }: ComposedNode,
  { model, joinTokens }: NodeSettings,
): Promise<void> {
  if (model === undefined && joinTokens.length > 0) {
    await local.findEngine();
    return await election.measure();
  }
  await firstLoad(local, model, (id) => {
    if (model === undefined) election.choseHere(id);
    else election.askedHere(id, model);
  });
}

/** Resolves when the first model is ready; fails when it cannot be. */
async function firstLoad(
  local: LocalModel,
  model: string | undefined,
  named: (id: string) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const unsubscribe = local.subscribe((state) => {
    if (state.kind === "ready") resolve();
    if (state.kind === "failed") reject(new UserError(state.reason));
  });
  // Whoever races with this may have left already.
  promise.catch(() => {});
  try {
    named(await local.load(model));
    await promise;
  } finally {
    unsubscribe();
  }
}

/** Tells of each model once it can be answered, from here or from the mesh. */
function announceReady({ node }: ComposedNode, announce: Run["announce"]): void {
  const ready = new Set<string>();
  const look = (): void => {
    const served = node.routing.served().map(({ id }) => id);
    for (const model of served.filter((id) => !ready.has(id))) {
      announce({ event: "ready", model });
    }
    for (const id of served) ready.add(id);
  };
  node.onNews(look);
  look();
}

/**
 * The others hear first that nothing is served here any more; then new requests are turned away, running ones get
 * their time, and the engine ends: what still runs for other nodes is continued elsewhere by them. A second signal
 * cuts what still runs, so that nothing is left to wait for.
 */
async function end(
  { composed, doors, stop }: Pick<Run, "composed" | "doors" | "stop">,
): Promise<void> {
  composed.disk.close();
  composed.election.leave();
  const closing = composed.local.close(DRAIN_MS);
  await composed.mesh.speak();
  composed.peers.stop();
  const graceful = Promise.all([closing, doors.close(DRAIN_MS)]);
  await Promise.race([graceful, stop.second]);
  if (stop.isUrgent) await doors.close(0);
  await graceful;
}
