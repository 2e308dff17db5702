/** Nodes of one mesh as processes on this machine, each with the scripted engine and a model of its own. */
import { join } from "node:path";
import { STARTER } from "~/models/catalogue.ts";
import { FakeNode, type FakeNodeOptions } from "./fake_node.ts";
import { ensureTestModel, TEST_MODELS_DIR } from "./model.ts";
import { NodeEvents } from "./node_events.ts";
import type { NodeProcess } from "./node_process.ts";
import { writeTinyModel } from "./tiny_gguf.ts";

const CHAT = "/v1/chat/completions";

/** How a {@link MeshTestNode} is started. */
export interface MeshNodeOptions extends Omit<FakeNodeOptions, "servesTiny"> {
  /** Name of the model that it serves, of the shape of `model`. Absent: a member goes on without one, if others have any. */
  readonly serves?: string;
  /** Serves the starter model, by the real engine. */
  readonly servesStarter?: boolean;
  /** Models in its folder of models: it can serve them when somebody asks. */
  readonly onDisk?: readonly string[];
  /** Asks for no model to serve. */
  readonly isStandby?: boolean;
  /** Invite to come in by; begins or resumes a mesh when absent. */
  readonly token?: string;
  readonly isClient?: boolean;
}

/** A node of a mesh. */
export class MeshTestNode implements AsyncDisposable {
  readonly node: NodeProcess;
  readonly events: NodeEvents;
  readonly id: string;
  /** When its doors were open (`performance.now()`). */
  readonly openedAtMs: number;
  /** Base of the OpenAI door, without `/v1`. */
  readonly api: string;
  readonly #fake: FakeNode;
  readonly #modelDir: string;

  private constructor(
    fake: FakeNode,
    open: Pick<MeshTestNode, "events" | "id" | "api" | "openedAtMs">,
    modelDir: string,
  ) {
    this.#fake = fake;
    this.node = fake.node;
    this.#modelDir = modelDir;
    this.events = open.events;
    this.api = open.api;
    this.id = open.id;
    this.openedAtMs = open.openedAtMs;
  }

  /** Starts a node; resolves when its doors are open. The token goes in by the environment, as a secret should. */
  static async start(options: MeshNodeOptions = {}): Promise<MeshTestNode> {
    const { serves, token, isClient = false, args = [], env = {}, ...more } = options;
    const { onDisk = [], isStandby = false, servesStarter = false, model = {}, ...rest } = more;
    const modelDir = await Deno.makeTempDir({ prefix: "mesh-llm-models-" });
    const path = join(modelDir, `${serves ?? "not-there"}.gguf`);
    if (serves !== undefined) await writeTinyModel(path, model);
    const diskDir = join(modelDir, "disk");
    await Deno.mkdir(diskDir);
    for (const name of onDisk) await writeTinyModel(join(diskDir, `${name}.gguf`), { name });
    const served = isStandby ? [] : ["--model", servesStarter ? STARTER.name : path];
    if (servesStarter) await ensureTestModel();
    const fake = await FakeNode.start({
      ...rest,
      ...(servesStarter ? { engine: "real" } : {}),
      servesTiny: false,
      args: [...(isClient ? ["--client"] : served), ...args],
      env: {
        MESH_LLM_MODELS_DIR: servesStarter ? TEST_MODELS_DIR : diskDir,
        ...(token === undefined ? {} : { MESH_LLM_JOIN: token }),
        ...env,
      },
    });
    try {
      const api = await fake.node.apiBase();
      const openedAtMs = performance.now();
      const events = await NodeEvents.open(fake.node);
      const { node_id: id } = await events.status(() => true, "status");
      return new MeshTestNode(fake, { events, id, api, openedAtMs }, modelDir);
    } catch (error) {
      await fake[Symbol.asyncDispose]();
      await Deno.remove(modelDir, { recursive: true });
      throw error;
    }
  }

  /** True once its process has ended. */
  get hasEnded(): boolean {
    return this.node.hasEnded;
  }

  /** The scripted engine. */
  get fake(): FakeNode {
    return this.#fake;
  }

  /** The invite that it printed. */
  token(): Promise<string> {
    return this.node.line("Invite token: ");
  }

  /** Waits until it answers for the model, from here or from the mesh. */
  async listed(model: string): Promise<void> {
    await this.events.status(
      ({ mesh_models: models }) =>
        models.some(({ name, status }) => name === model && status === "warm"),
      `model ${model}`,
    );
  }

  /** Names in `/v1/models`. */
  async models(): Promise<string[]> {
    const list = await (await fetch(`${this.api}/v1/models`)).json();
    return list.data.map(({ id }: { readonly id: string }) => id);
  }

  /** Sends a chat request. */
  async chat(
    model: string,
    body: Readonly<Record<string, unknown>> = {},
    init: Pick<RequestInit, "signal" | "headers"> = {},
  ): Promise<Response> {
    return await fetch(`${this.api}${CHAT}`, {
      ...init,
      method: "POST",
      headers: { "content-type": "application/json", ...init.headers as Record<string, string> },
      body: JSON.stringify({ model, messages: [], ...body }),
    });
  }

  /** Dies without a word, its engine with it. */
  async die(): Promise<void> {
    this.node.kill("SIGKILL");
    await this.node.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.events[Symbol.asyncDispose]();
    await this.#fake[Symbol.asyncDispose]();
    await Deno.remove(this.#modelDir, { recursive: true });
  }
}

/** More programs that start at a time only make each start slower, and handshakes have limits. */
const STARTS_MAX = 3;

/** Starts nodes, a few at once; when one cannot start, the others are disposed of all the same. */
export async function startNodes(
  stack: AsyncDisposableStack,
  all: readonly MeshNodeOptions[],
): Promise<readonly MeshTestNode[]> {
  const results: PromiseSettledResult<MeshTestNode>[] = [];
  for (let at = 0; at < all.length; at += STARTS_MAX) {
    const some = all.slice(at, at + STARTS_MAX).map((options) => MeshTestNode.start(options));
    results.push(...await Promise.allSettled(some));
  }
  const nodes = results.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
  // All at once: each says goodbye, and may wait a second or two for its peers.
  stack.defer(async () => {
    const ends = await Promise.allSettled(nodes.map((node) => node[Symbol.asyncDispose]()));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  });
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return nodes;
}

const ENCODER = new TextEncoder();

/** Prints something measured, for whoever reads the output of the tests. */
export function tellFigure(text: string): void {
  Deno.stdout.writeSync(ENCODER.encode(`  figure: ${text}\n`));
}
