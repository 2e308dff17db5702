/** `mesh-llm doctor`: what works here, what does not, and what to do about it. */
import { join } from "node:path";
import { messageOf } from "~/base/errors.ts";
import { ensureDir, makeTempDir, readTextIfAny, removeIfAny } from "~/base/io/files.ts";
import { formatBytes } from "~/base/units.ts";
import { EngineNotFoundError } from "~/engine/find.ts";
import { readHardware } from "~/engine/io/hardware.ts";
import { findRunningNode } from "~/engine/io/run_dir.ts";
import { MEMORY_BYTES_MAX } from "~/mesh/mesh_memory.ts";
import { API_PORT_DEFAULT } from "~/node/settings.ts";
import { localModels } from "../compose.ts";
import type { CommandContext } from "../context.ts";
import { jsonText } from "../json_text.ts";
import { describeMemory, describeMesh } from "../mesh_checks.ts";
import { prepareEngine } from "./engine.ts";
import { clientOf } from "./running.ts";

/** Whichever the system gives. */
const ANY_PORT = 0;

/** The result of one check. */
export interface Finding {
  readonly what: string;
  readonly isGood: boolean;
  /** What was found and, where it is not good, what to do. */
  readonly detail: string;
}

/** Runs all checks; exit status 1 when one of them found a hindrance. */
export async function doctor(context: CommandContext): Promise<number> {
  const findings = [
    await check("home folder", () => checkHome(context.homeDir)),
    await check("engine", () => checkEngine(context)),
    await check("memory", checkMemory),
    await check("models", () => checkModels(context)),
    ...await checkPorts(context),
  ];
  if (context.isJson) context.print(jsonText(findings));
  else for (const finding of findings) context.print(formatFinding(finding));
  return findings.every(({ isGood }) => isGood) ? 0 : 1;
}

/** One line for people. */
export function formatFinding({ what, isGood, detail }: Finding): string {
  return `${isGood ? "ok     " : "PROBLEM"} ${what}: ${detail}`;
}

async function check(what: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { what, isGood: true, detail: await look() };
  } catch (error) {
    return { what, isGood: false, detail: messageOf(error) };
  }
}

async function checkHome(homeDir: string): Promise<string> {
  await ensureDir(homeDir, 0o700);
  await removeIfAny(await makeTempDir(homeDir, ".doctor-"));
  return `${homeDir} can be written`;
}

async function checkEngine(context: CommandContext): Promise<string> {
  const prepared = await prepareEngine(context).catch((error) => {
    if (error instanceof EngineNotFoundError) return undefined;
    throw error;
  });
  if (prepared === undefined) {
    return 'none here yet: the next start fetches one, and "mesh-llm engine install" does it now';
  }
  const { install, facts } = prepared;
  return `llama.cpp ${facts.version ?? "of unknown version"} from ${install.source}`;
}

async function checkMemory(): Promise<string> {
  const { availableMemoryBytes, totalMemoryBytes, cpuCount, cpuName } = await readHardware();
  if (availableMemoryBytes === undefined) throw new Error("cannot be read on this machine");
  const total = totalMemoryBytes === undefined ? "" : ` of ${formatBytes(totalMemoryBytes)}`;
  return `${formatBytes(availableMemoryBytes)} free${total}, ${cpuCount ?? "?"} threads` +
    (cpuName === undefined ? "" : ` of ${cpuName}`);
}

async function checkModels(context: CommandContext): Promise<string> {
  const inventory = await localModels({ modelsDir: context.modelsDir }, context.env).inventory();
  if (inventory.length > 0) return `${inventory.length} on disk`;
  return "none on disk yet: the starter model is fetched at the first start";
}

/** Of the node that runs; before a start, whether its ports can be had. */
async function checkPorts(context: CommandContext): Promise<Finding[]> {
  const { consolePort, isConsoleGiven } = context;
  const own = await findRunningNode(context.homeDir);
  if (isConsoleGiven && own?.consolePort !== consolePort) {
    const there = await check("mesh", () => askMesh(context, consolePort));
    // What is wrong at its port is told by the check of the port.
    if (there.isGood) return [ports(`a node answers on console port ${consolePort}`), there];
  }
  if (own === undefined) return await checkFree(context);
  const detail = `a node of this home runs, process ${own.pid}`;
  if (isConsoleGiven && own.consolePort !== consolePort) {
    return [ports(`no node answers on console port ${consolePort}; ${detail}`, false)];
  }
  return [ports(detail), await check("mesh", () => askMesh(context, own.consolePort))];
}

function ports(detail: string, isGood = true): Finding {
  return { what: "ports", isGood, detail };
}

async function checkFree(context: CommandContext): Promise<Finding[]> {
  const apiPort = context.config.port ?? API_PORT_DEFAULT;
  return [
    await check(`port ${apiPort} (API)`, () => checkPort(apiPort, "--port")),
    await check(
      `port ${context.consolePort} (console)`,
      () => checkPort(context.consolePort, "--console"),
    ),
    await check("peer port", () => checkPeerPort(context.config.bindPort ?? ANY_PORT)),
    await check("mesh", () => readMemory(context.homeDir)),
  ];
}

/** What the running node knows of its mesh. */
async function askMesh(context: CommandContext, consolePort: number | undefined): Promise<string> {
  if (consolePort === undefined) return "the node is starting: ask again soon";
  const status = await clientOf(context, consolePort).status();
  return describeMesh(status);
}

/** What the home remembers of its mesh; nothing is changed there. */
async function readMemory(homeDir: string): Promise<string> {
  const text = await readTextIfAny(join(homeDir, "mesh.json"), MEMORY_BYTES_MAX);
  return describeMemory(text, Math.floor(Date.now() / 1000));
}

/** Links between nodes are QUIC: UDP on all addresses. */
function checkPeerPort(port: number): Promise<string> {
  const isAny = port === ANY_PORT;
  try {
    Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port }).close();
    return Promise.resolve(
      isAny ? "UDP can be used, any free one is taken" : `UDP ${port} is free`,
    );
  } catch (error) {
    const reason = messageOf(error);
    const told = isAny
      ? `no UDP port can be opened (${reason}): this program may not use the network`
      : `UDP ${port} cannot be used (${reason}): choose another with --bind-port`;
    return Promise.reject(new Error(told));
  }
}

function checkPort(port: number, flag: string): Promise<string> {
  try {
    using _listener = Deno.listen({ hostname: "127.0.0.1", port });
    return Promise.resolve("free");
  } catch (error) {
    return Promise.reject(
      new Error(`cannot be used (${messageOf(error)}): choose another with ${flag}`),
    );
  }
}
