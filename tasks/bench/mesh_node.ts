/** A node that joins another's mesh and asks for its model over one link. */
import { NodeProcess } from "#support/node_process.ts";
import { HttpConnection } from "./http_client.ts";
import { newHome, portOf } from "./program.ts";
import { getRequest, type Target } from "./requests.ts";

/** Between two questions for the list of models. */
const LOOK_PAUSE_MS = 2;
/** A mesh that takes this long is none. */
const LISTED_MS_MAX = 60_000;

/** A client of a mesh of which the model is known. */
export class MeshNode implements AsyncDisposable {
  readonly pid: number;
  /** Its OpenAI door. */
  readonly api: Target;
  /** From the command to the line that says where its door is. */
  readonly openMs: number;
  /** From that line to the model in its list. */
  readonly listedMs: number;
  readonly #node: NodeProcess;

  private constructor(node: NodeProcess, api: Target, times: readonly [number, number]) {
    this.#node = node;
    this.pid = node.pid;
    this.api = api;
    [this.openMs, this.listedMs] = times;
  }

  /** Starts a client with an invite, in a new home in `dir`; resolves when it answers for `model`. */
  static async join(
    dir: string,
    { token, model }: { readonly token: string; readonly model: string },
  ): Promise<MeshNode> {
    const homeDir = await newHome(dir);
    const startMs = performance.now();
    const node = await NodeProcess.start({
      args: ["--client"],
      env: { MESH_LLM_JOIN: token },
      homeDir,
    });
    try {
      const port = portOf(await node.apiBase());
      const openedMs = performance.now();
      await awaitModel({ port, model });
      const times = [openedMs - startMs, performance.now() - openedMs] as const;
      return new MeshNode(node, { port, model }, times);
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node[Symbol.asyncDispose]();
  }
}

async function awaitModel(api: Target): Promise<void> {
  using connection = await HttpConnection.open(api.port);
  const request = getRequest(api, "/v1/models");
  const decoder = new TextDecoder();
  const endMs = performance.now() + LISTED_MS_MAX;
  while (performance.now() < endMs) {
    let text = "";
    await connection.exchange(request, (part) => text += decoder.decode(part));
    if (text.includes(`"${api.model}"`)) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE_MS));
  }
  throw new Error(`A client of the mesh does not list ${api.model}`);
}
