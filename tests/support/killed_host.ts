/** Two hosts of one model and an entry node: a host dies under streams, and a fresh one takes its place. */
import { until } from "./fake_engine.ts";
import { MeshTestNode } from "./mesh_nodes.ts";
import { readStream, type StreamResult } from "./stream_load.ts";

/** How a round goes. */
export interface RoundOptions {
  readonly streams: number;
  /** Requests that want no stream, at the same time. */
  readonly unstreamed: number;
  /** What dies. */
  readonly victim: "host" | "engine" | "host in order";
  /** Between two words. @default {20} */
  readonly pauseMs?: number;
}

/** What a round showed. */
export interface RoundResult {
  readonly streams: readonly StreamResult[];
  /** Statuses of the unstreamed requests. */
  readonly statuses: readonly number[];
}

/** Words of one answer, and the time between two: long enough to be cut in the middle. */
const WORDS = 60;
const PAUSE_MS = 20;
const HOST_ARGS = ["--parallel", "64", "--ctx-size", "512"];
const SCRIPT = { chunks: WORDS, pauseMs: PAUSE_MS, isNumbered: true };
const MODEL = "twin";

/** The text that a whole answer has. */
export const WHOLE_ANSWER = Array.from({ length: WORDS }, (_, i) => `w${i}`).join(" ");

/** A mesh with two hosts of scripted engines. */
export class KilledHosts implements AsyncDisposable {
  readonly entry: MeshTestNode;
  readonly #token: string;
  #hosts: MeshTestNode[] = [];

  private constructor(entry: MeshTestNode, token: string) {
    this.entry = entry;
    this.#token = token;
  }

  static async start(): Promise<KilledHosts> {
    const entry = await MeshTestNode.start({ serves: "other" });
    const mesh = new KilledHosts(entry, await entry.token());
    await Promise.all([mesh.#addHost(), mesh.#addHost()]);
    await mesh.#settled();
    return mesh;
  }

  /** Loads the mesh, kills in the middle, and waits for the end of all requests. */
  async round(
    { streams, unstreamed, victim, pauseMs = PAUSE_MS }: RoundOptions,
  ): Promise<RoundResult> {
    await Promise.all(this.#hosts.map(({ fake }) => fake.control({ pauseMs })));
    const seen = new Set<number>();
    const body = { stream: true, messages: [{ role: "user", content: "count" }] };
    const begun = Promise.withResolvers<void>();
    const reading = Array.from({ length: streams }, async (_, i) => {
      const response = await this.entry.chat(MODEL, body);
      return await readStream(response, (count) => {
        if (count >= 5) seen.add(i);
        if (seen.size === streams) begun.resolve();
      });
    });
    await begun.promise;
    const asking = Array.from({ length: unstreamed }, async () => {
      const response = await this.entry.chat(MODEL);
      await response.body?.cancel();
      return response.status;
    });
    await this.#strike(victim);
    const [results, statuses] = await Promise.all([Promise.all(reading), Promise.all(asking)]);
    return { streams: results, statuses };
  }

  /** Makes the mesh as it was before the round. */
  async restore(): Promise<void> {
    const living = this.#hosts.filter(({ hasEnded }) => !hasEnded);
    for (const host of this.#hosts.filter(({ hasEnded }) => hasEnded)) {
      await host[Symbol.asyncDispose]();
    }
    this.#hosts = living;
    while (this.#hosts.length < 2) await this.#addHost();
    await this.#settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host[Symbol.asyncDispose]()));
    await this.entry[Symbol.asyncDispose]();
  }

  /** Ends the host, or its engine, that has most to do. */
  async #strike(victim: RoundOptions["victim"]): Promise<void> {
    const active = await Promise.all(
      this.#hosts.map(async ({ fake }) => (await fake.record()).active),
    );
    const host = this.#hosts[active.indexOf(Math.max(...active))];
    if (host === undefined) throw new Error("There is no host to end");
    if (victim === "engine") {
      const { pid } = await host.fake.engine();
      Deno.kill(pid, "SIGKILL");
    } else if (victim === "host") await host.die();
    else host.node.kill("SIGTERM");
    if (victim === "host in order") await host.node.exited;
  }

  async #addHost(): Promise<void> {
    const host = await MeshTestNode.start({
      serves: MODEL,
      token: this.#token,
      args: HOST_ARGS,
      script: SCRIPT,
    });
    this.#hosts.push(host);
  }

  async #settled(): Promise<void> {
    const ids = this.#hosts.map(({ id }) => id);
    await this.entry.events.status(({ peers }) => {
      const serving = peers.filter(({ serving }) => serving === MODEL).map(({ id }) => id);
      return ids.every((id) => serving.includes(id)) && serving.length === ids.length;
    }, "both hosts");
    await until(async () => (await this.entry.models()).includes(MODEL), "the model");
  }
}
