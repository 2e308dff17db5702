/** Commands about the node that runs on this home: `stop`, `status`, `drop`. */
import { join } from "node:path";
import { type ManagementClient, managementClient } from "~/api/io/client.ts";
import { MANAGEMENT_TOKEN_FILE } from "~/api/io/token_file.ts";
import type { StatusSnapshot } from "~/api/ports.ts";
import { UserError } from "~/base/errors.ts";
import { findRunningNode, type RunningNode } from "~/engine/io/run_dir.ts";
import { formatMs } from "~/base/units.ts";
import type { CommandContext } from "../context.ts";
import { jsonText } from "../json_text.ts";
import { meshLine, peerLines } from "../mesh_output.ts";

/** How long a node may take to end: its running requests, its engine, and some more. */
const STOP_MS_MAX = 60_000;
/** How often it is looked at meanwhile. */
const STOP_LOOK_MS = 100;

/** Ends the node of this home, or the one with the given console, and waits until it has ended. */
export async function stop(context: CommandContext): Promise<number> {
  if (context.isConsoleGiven) return await stopByConsole(context);
  const node = await findRunningNode(context.homeDir);
  if (node === undefined) {
    throw new UserError(`Cannot stop a node: none runs on ${context.homeDir}`);
  }
  await requestStop(context, node);
  const giveUpMs = performance.now() + STOP_MS_MAX;
  while ((await findRunningNode(context.homeDir))?.pid === node.pid) {
    if (performance.now() > giveUpMs) {
      throw new UserError(
        `Cannot stop the node: process ${node.pid} still runs after ${formatMs(STOP_MS_MAX)}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, STOP_LOOK_MS));
  }
  context.print(
    context.isJson ? jsonText({ stopped: node.pid }) : `Stopped the node, process ${node.pid}`,
  );
  return 0;
}

/** A throw-away node has no record that tells its process: it has ended when its console has. */
async function stopByConsole(context: CommandContext): Promise<number> {
  const client = clientOf(context, context.consolePort);
  await client.shutdown();
  const giveUpMs = performance.now() + STOP_MS_MAX;
  while (await client.status().then(() => true, () => false)) {
    if (performance.now() > giveUpMs) {
      throw new UserError(
        `Cannot stop the node: its console still answers after ${formatMs(STOP_MS_MAX)}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, STOP_LOOK_MS));
  }
  context.print(
    context.isJson
      ? jsonText({ stoppedConsole: context.consolePort })
      : `Stopped the node with console port ${context.consolePort}`,
  );
  return 0;
}

/** By its console where it answers; by signal while it has no doors yet, or its console hangs. */
async function requestStop(context: CommandContext, node: RunningNode): Promise<void> {
  try {
    if (node.consolePort === undefined) throw new UserError("The node has no doors yet");
    await clientOf(context, node.consolePort).shutdown();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (!node.isCertain) throw uncertainNode(context, node);
    Deno.kill(node.pid, "SIGTERM");
  }
}

/** A process id alone is given to another program sooner or later. */
function uncertainNode({ homeDir }: CommandContext, { pid }: RunningNode): UserError {
  const record = join(homeDir, "run", String(pid));
  return new UserError(
    `Cannot stop a node: it does not answer, and process ${pid} may be another program by now. ` +
      `If it is the node, end it with "kill ${pid}"; if not, remove ${record}`,
  );
}

/** Prints what the running node does. */
export async function status(context: CommandContext): Promise<number> {
  const snapshot = await (await clientOfRunning(context)).status();
  context.print(context.isJson ? jsonText(snapshot) : formatStatus(snapshot));
  return 0;
}

/** Stops serving a model on the running node. */
export async function drop(context: CommandContext, model: string): Promise<number> {
  await (await clientOfRunning(context)).dropModel(model);
  context.print(context.isJson ? jsonText({ dropped: model }) : `Dropped ${model}`);
  return 0;
}

/** Facts for people, one a line. */
export function formatStatus(status: StatusSnapshot): string {
  const { engine, progress } = status;
  const percent = progress?.percent === null || progress === null ? "" : `, ${progress.percent} %`;
  const lines = [
    ["Node", `${status.node_id} (mesh-llm ${status.version})`],
    [
      "State",
      progress === null ? status.node_status : `${status.node_status}: ${progress.phase}${percent}`,
    ],
    ["Model", status.model_name ?? "none"],
    ...(status.reason === null ? [] : [["Why", status.reason]]),
    ["API", `http://localhost:${status.api_port}/v1`],
    ["Requests", `${status.inflight_requests} open, ${status.queued_requests} of them waiting`],
    ["Memory", `${status.my_vram_gb} GiB offered, model ${status.model_size_gb} GiB`],
    ["Engine", engineLine(engine)],
    ["Mesh", meshLine(status)],
    ...(status.peer_port === null ? [] : [["Peers on", `UDP port ${status.peer_port}`]]),
    ["Up", formatMs(status.uptime_secs * 1000)],
    ...(status.error === null ? [] : [["Error", status.error]]),
  ];
  const facts = lines.map(([name, value]) => `${`${name}:`.padEnd(10)}${value}`);
  // Alone there is one model, and why it is served stands above.
  const models = status.peers.length === 0 ? [] : modelLines(status.mesh_models);
  return [...facts, ...peerLines(status.peers), ...models].join("\n");
}

/** A line for each model of the mesh; none where there is nothing to say of any. */
function modelLines(models: StatusSnapshot["mesh_models"]): readonly string[] {
  const told = models.filter(({ why }) => why !== null);
  return told.length === 0
    ? []
    : ["Models of the mesh:", ...told.map(({ name, why }) => `  ${name}: ${why}`)];
}

function engineLine(engine: StatusSnapshot["engine"]): string {
  if (engine.name === null) return "none yet";
  const build = engine.build === null ? "" : ` (build ${engine.build})`;
  const devices = engine.devices.map(({ name }) => name).join(", ") || "CPU";
  return `llama.cpp ${
    engine.version ?? "of unknown version"
  }${build} on ${devices}, ${engine.name}`;
}

/**
 * The node with the given console, or that of this home; never another that happens to listen on the usual port.
 *
 * @throws {UserError} when none runs on this home
 */
export async function clientOfRunning(context: CommandContext): Promise<ManagementClient> {
  if (context.isConsoleGiven) return clientOf(context, context.consolePort);
  const node = await findRunningNode(context.homeDir);
  if (node === undefined) {
    throw new UserError(
      `No node runs on ${context.homeDir}: start one with "mesh-llm", or name another home with ` +
        "--home or a console port with --console",
    );
  }
  return clientOf(context, node.consolePort ?? context.consolePort);
}

/**
 * Console port of the node that is meant: what --console says, or that of the node of this home. Undefined when none
 * runs there, or it has no doors yet.
 */
export async function consoleOfRunning(context: CommandContext): Promise<number | undefined> {
  if (context.isConsoleGiven) return context.consolePort;
  return (await findRunningNode(context.homeDir))?.consolePort;
}

/** Talks to the console of a node. */
export function clientOf(context: CommandContext, port: number): ManagementClient {
  return managementClient({ port, tokenPath: join(context.homeDir, MANAGEMENT_TOKEN_FILE) });
}
