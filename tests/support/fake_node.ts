/** The whole program with the scripted llama-server behind it and a tiny model to serve. */
import { join } from "node:path";
import {
  controlFake,
  fakeRecord,
  type FakeStart,
  fakeStarts,
  until,
  writeFakeBinDir,
} from "./fake_engine.ts";
import type { FakeRecord, FakeScript } from "./fake_llama_server.ts";
import { NodeProcess, type NodeProcessOptions } from "./node_process.ts";
import { writeRealBinDir } from "./real_bin_dir.ts";
import { type TinyModelOptions, writeTinyModel } from "./tiny_gguf.ts";

/** Name under which the tiny model is served. */
export const FAKE_MODEL = "tiny";

/** How a {@link FakeNode} is started. */
export interface FakeNodeOptions extends NodeProcessOptions {
  readonly script?: FakeScript;
  /** With "real" llama.cpp itself computes, as in {@link writeRealBinDir}. @default {"scripted"} */
  readonly engine?: "scripted" | "real";
  readonly model?: TinyModelOptions;
  /** False: the caller names what is served, or nothing. @default {true} */
  readonly servesTiny?: boolean;
}

/** A node that serves the tiny model by the scripted server. */
export class FakeNode implements AsyncDisposable {
  readonly node: NodeProcess;
  /** Holds the engine, the model and the record of starts. */
  readonly dir: string;

  private constructor(node: NodeProcess, dir: string) {
    this.node = node;
    this.dir = dir;
  }

  /** Starts it; does not wait for anything. */
  static async start(options: FakeNodeOptions = {}): Promise<FakeNode> {
    const { script = {}, model = {}, servesTiny = true, args = [], engine, ...rest } = options;
    const dir = await Deno.makeTempDir({ prefix: "mesh-llm-fake-" });
    const startsFile = join(dir, "starts");
    const binDir = engine === "real"
      ? await writeRealBinDir(dir)
      : await writeFakeBinDir(dir, { startsFile, ...script });
    const path = await writeTinyModel(join(dir, `${FAKE_MODEL}.gguf`), model);
    const own = ["--bin-dir", binDir, ...(servesTiny ? ["--model", path] : [])];
    return new FakeNode(await NodeProcess.start({ ...rest, args: [...own, ...args] }), dir);
  }

  /** Starts it and waits until it serves. */
  static async ready(options: FakeNodeOptions = {}): Promise<FakeNode> {
    const fake = await FakeNode.start(options);
    await fake.node.line("Ready: ");
    return fake;
  }

  /** Path of the tiny model. */
  get modelPath(): string {
    return join(this.dir, `${FAKE_MODEL}.gguf`);
  }

  /** Path of the folder with the scripted server. */
  get binDir(): string {
    return join(this.dir, "bin");
  }

  /** Every start of the engine so far, oldest first. */
  starts(): Promise<FakeStart[]> {
    return fakeStarts(join(this.dir, "starts"));
  }

  /** The engine that was started last. */
  async engine(): Promise<FakeStart> {
    const last = (await this.starts()).at(-1);
    if (last === undefined) throw new Error("Cannot find an engine: none was started yet");
    return last;
  }

  /** What the engine that was started last has received. */
  async record(): Promise<FakeRecord> {
    return await fakeRecord((await this.engine()).port);
  }

  /** Changes the script of the engine that was started last, not that of later ones. */
  async control(change: Parameters<typeof controlFake>[1]): Promise<void> {
    await controlFake((await this.engine()).port, change);
  }

  /** Ends a load that lasts `untilControl`; an engine that was just started may not listen yet. */
  async finishLoading(): Promise<void> {
    const finish = () => this.control({ finishLoading: true }).then(() => true, () => false);
    await until(finish, "an engine that listens");
  }

  /** Sends a chat request. */
  async chat(
    body: Readonly<Record<string, unknown>> = {},
    init: Pick<RequestInit, "signal" | "headers"> = {},
  ): Promise<Response> {
    return await fetch(`${await this.node.apiBase()}/v1/chat/completions`, {
      ...init,
      method: "POST",
      headers: { "content-type": "application/json", ...init.headers as Record<string, string> },
      body: JSON.stringify({ model: FAKE_MODEL, messages: [], ...body }),
    });
  }

  /** Sends a writing call to the management door. */
  async manage(method: string, path: string, body?: unknown): Promise<Response> {
    return await fetch(`${await this.node.consoleBase()}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await this.node.managementToken()}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** The status that the management door tells. */
  async status(): Promise<NodeStatusView> {
    return await (await fetch(`${await this.node.consoleBase()}/api/status`)).json();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** The members of the status that tests look at. */
export interface NodeStatusView {
  readonly "node_id": string;
  readonly "node_status": string;
  readonly "inflight_requests": number;
  readonly "queued_requests": number;
  readonly progress: { readonly phase: string; readonly percent: number | null } | null;
  readonly error: string | null;
}

/** The `error` of an answer of either door. */
export async function errorOf(response: Response): Promise<Readonly<Record<string, unknown>>> {
  const body = await response.json();
  return body.error;
}
