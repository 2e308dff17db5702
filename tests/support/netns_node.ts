/** A node in a network namespace, with doors that the test reaches from outside. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { MemberInfo, StatusSnapshot } from "~/api/ports.ts";
import { writeFakeBinDir } from "./fake_engine.ts";
import type { TestHost } from "./netns.ts";
import { NodeProcess } from "./node_process.ts";
import { SseReader } from "./sse.ts";
import { writeTinyModel } from "./tiny_gguf.ts";

const BRIDGE = join(import.meta.dirname ?? ".", "socket_bridge.ts");
const USUAL_PORTS = [9337, 3131] as const;
/** No change of a mesh takes this long; reaching it fails the test instead of hanging it. */
const DEADLINE_MS = 120_000;

/** Prints how long something took: a figure for people, never a verdict. */
export function printTook(what: string, sinceMs: number): void {
  const text = `${what} after ${Math.round(performance.now() - sinceMs)} ms\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

/** How a {@link NetnsNode} is started. */
export interface NetnsNodeOptions {
  /** Name of the model that it serves; none when absent. */
  readonly model?: string;
  readonly args?: readonly string[];
  /** Of the two doors. @default {the usual ones: each namespace has its own} */
  readonly ports?: readonly [api: number, console: number];
}

/** A running node. */
export class NetnsNode implements AsyncDisposable {
  readonly node: NodeProcess;
  readonly host: TestHost;
  readonly #dir: string;
  readonly #bridge: Deno.ChildProcess;
  readonly #api: Deno.HttpClient;
  readonly #console: Deno.HttpClient;

  private constructor(
    { node, host, dir, bridge }: {
      readonly node: NodeProcess;
      readonly host: TestHost;
      readonly dir: string;
      readonly bridge: Deno.ChildProcess;
    },
  ) {
    this.node = node;
    this.host = host;
    this.#dir = dir;
    this.#bridge = bridge;
    this.#api = clientOf(apiSocket(dir));
    this.#console = clientOf(consoleSocket(dir));
  }

  /** Starts it on a host; waits until its doors are open. */
  static async start(
    host: TestHost,
    { model, args = [], ports = USUAL_PORTS }: NetnsNodeOptions = {},
  ): Promise<NetnsNode> {
    const dir = await Deno.makeTempDir({ prefix: "mesh-llm-netns-" });
    const serves = model === undefined
      ? []
      : ["--model", await writeTinyModel(join(dir, `${model}.gguf`))];
    const own = ["--bin-dir", await writeFakeBinDir(dir, {}), ...serves];
    const doors = ["--port", `${ports[0]}`, "--console", `${ports[1]}`];
    const node = await NodeProcess.start({
      wrapper: host.wrapper,
      args: [...own, ...doors, "--log-level", "debug", ...args],
    });
    const started = new NetnsNode({ node, host, dir, bridge: startBridge(host, dir, ports) });
    try {
      await started.#untilBridged();
      await node.line("Console: ");
      return started;
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Its token, once it may invite. */
  token(): Promise<string> {
    return this.node.line("Invite token: ");
  }

  async status(): Promise<StatusSnapshot> {
    return await (await this.#fetchConsole("/api/status")).json();
  }

  /** What it says about the other members, by id. */
  async members(): Promise<ReadonlyMap<string, MemberInfo>> {
    const { members } = await (await this.#fetchConsole("/api/members")).json();
    const others = (members as readonly MemberInfo[]).filter((member) => !member.is_self);
    return new Map(others.map((member) => [member.id, member]));
  }

  async id(): Promise<string> {
    return (await this.status()).node_id;
  }

  /** Waits until `holds` of what it says about the others. */
  until(
    wanted: string,
    holds: (members: ReadonlyMap<string, MemberInfo>) => boolean,
  ): Promise<ReadonlyMap<string, MemberInfo>> {
    return this.#until(wanted, { read: () => this.members(), holds });
  }

  /** Waits until it has a token that says so. */
  async untilToken(wanted: string, holds: (token: string) => boolean): Promise<string> {
    const read = async (): Promise<string> => (await this.status()).token ?? "";
    return await this.#until(wanted, { read, holds });
  }

  /** Looks again at each event of the console. */
  async #until<T>(wanted: string, { read, holds }: {
    readonly read: () => Promise<T>;
    readonly holds: (seen: T) => boolean;
  }): Promise<T> {
    const events = new SseReader((await this.#fetchConsole("/api/events")).body);
    const limit = setTimeout(() => void events.cancel().catch(() => {}), DEADLINE_MS);
    try {
      for (;;) {
        const seen = await read();
        if (holds(seen)) return seen;
        if (await events.next() !== undefined) continue;
        const told = JSON.stringify([...await this.members()], undefined, 1);
        throw new Error(`Not seen in time: ${wanted}\n--- members\n${told}\n${this.#output}`);
      }
    } finally {
      clearTimeout(limit);
      await events.cancel().catch(() => {});
    }
  }

  /** Waits until another member serves a model, and is reached as wanted. */
  async untilServing(
    id: string,
    model: string,
    reached?: MemberInfo["reached"],
  ): Promise<MemberInfo> {
    const seen = await this.until(`${model} of ${id}`, (members) => {
      const member = members.get(id);
      return member?.serving.includes(model) === true &&
        (reached === undefined || member.reached === reached);
    });
    return seen.get(id) ?? assert.fail();
  }

  /** Asks for a streamed answer; the node that computed it. */
  async ask(model: string): Promise<string | null> {
    const response = await fetch("http://localhost/v1/chat/completions", {
      client: this.#api,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, messages: [{ role: "user", content: "Hi" }], stream: true }),
    });
    const text = await response.text();
    assert.equal(response.status, 200, `${text}\n${this.#output}`);
    assert.match(text, /^data: \[DONE\]$/m);
    return response.headers.get("x-mesh-llm-node");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#api.close();
    this.#console.close();
    await this.#bridge.stdin.close().catch(() => {});
    await this.#bridge.status;
    await this.node[Symbol.asyncDispose]();
    await Deno.remove(this.#dir, { recursive: true });
  }

  get #output(): string {
    return `--- stdout\n${this.node.stdout}\n--- stderr\n${this.node.stderr}`;
  }

  async #fetchConsole(path: string): Promise<Response> {
    return await fetch(`http://localhost${path}`, { client: this.#console });
  }

  async #untilBridged(): Promise<void> {
    const reader = this.#bridge.stdout.getReader();
    const { value } = await reader.read();
    assert.equal(new TextDecoder().decode(value), "ready\n");
    await reader.cancel();
  }
}

function startBridge(
  host: TestHost,
  dir: string,
  [api, console]: readonly [number, number],
): Deno.ChildProcess {
  const sockets = [apiSocket(dir), `${api}`, consoleSocket(dir), `${console}`];
  const program = [Deno.execPath(), "run", "-A", "--no-config", "--quiet", BRIDGE, ...sockets];
  const [command = "", ...args] = [...host.wrapper, ...program];
  return new Deno.Command(command, { args, stdin: "piped", stdout: "piped", stderr: "inherit" })
    .spawn();
}

function clientOf(path: string): Deno.HttpClient {
  return Deno.createHttpClient({ proxy: { transport: "unix", path } });
}

function apiSocket(dir: string): string {
  return join(dir, "api.sock");
}

function consoleSocket(dir: string): string {
  return join(dir, "console.sock");
}
