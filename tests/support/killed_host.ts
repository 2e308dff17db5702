/** Two hosts of one model and an entry node: a host dies under streams, and a fresh one takes its place. */
import { STARTER } from "~/models/catalogue.ts";
import { countingFault, countingRequest } from "./counting.ts";
import { until } from "./fake_engine.ts";
import { type MeshNodeOptions, MeshTestNode } from "./mesh_nodes.ts";
import { childrenOf } from "./processes.ts";
import { readStream, type StreamResult, StreamWatch } from "./stream_load.ts";

/** What dies. */
export type Victim = "host" | "engine" | "host in order";

/** How a round goes. */
export interface RoundOptions {
  readonly streams: number;
  /** Requests that want no stream, at the same time. */
  readonly unstreamed: number;
  readonly victim: Victim;
  /** Between two words of a scripted engine. @default {20} */
  readonly pauseMs?: number;
}

/** A stream, and what is wrong with it. */
export interface CheckedStream extends StreamResult {
  /** It has no end, or an error in it. */
  readonly isBroken: boolean;
  /** What it says is not the answer; undefined when it is. */
  readonly fault: string | undefined;
}

/** What a round showed. */
export interface RoundResult {
  readonly streams: readonly CheckedStream[];
  /** What became of the unstreamed requests: "200" and the name of the model for those that were answered. */
  readonly unstreamed: readonly string[];
  /** Whose end it was, or that of its engine. */
  readonly struck: MeshTestNode;
}

/** What computes in the hosts. */
export type HostEngine = "fake" | "real";

interface Load {
  readonly model: string;
  readonly host: MeshNodeOptions;
  readonly request: (index: number) => Readonly<Record<string, unknown>>;
  readonly fault: (index: number, answer: StreamResult) => string | undefined;
}

/** Words of one answer of a scripted engine: long enough to be cut in the middle. */
const WORDS = 60;
const WHOLE_ANSWER = Array.from({ length: WORDS }, (_, i) => `w${i}`).join(" ");
const PAUSE_MS = 20;
const HOSTS = 2;
/** Events that each stream has had before something dies. */
const BEGUN_EVENTS = 5;
/** Events after that by which each stream goes on again. */
const GONE_ON_EVENTS = 3;

const LOADS: Readonly<Record<HostEngine, Load>> = {
  fake: {
    model: "twin",
    host: {
      serves: "twin",
      args: ["--parallel", "64", "--ctx-size", "512"],
      script: { chunks: WORDS, isNumbered: true },
    },
    request: () => ({ stream: true, messages: [{ role: "user", content: "count" }] }),
    fault: (_, { text }) => text === WHOLE_ANSWER ? undefined : `other words: ${text}`,
  },
  real: {
    model: STARTER.name,
    host: { servesStarter: true, args: ["--parallel", "8", "--ctx-size", "512"] },
    request: countingRequest,
    fault: countingFault,
  },
};

/** A mesh with two hosts. Its entry node serves another model, which must never answer. */
export class KilledHosts implements AsyncDisposable {
  readonly entry: MeshTestNode;
  readonly #engine: HostEngine;
  readonly #token: string;
  #hosts: readonly MeshTestNode[] = [];
  #starting: Promise<void> = Promise.resolve();

  private constructor(entry: MeshTestNode, token: string, engine: HostEngine) {
    this.entry = entry;
    this.#token = token;
    this.#engine = engine;
  }

  static async start(engine: HostEngine = "fake"): Promise<KilledHosts> {
    const entry = await MeshTestNode.start({ serves: "other" });
    const mesh = new KilledHosts(entry, await entry.token(), engine);
    try {
      await mesh.restore();
      return mesh;
    } catch (error) {
      await mesh[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The model that the hosts serve. */
  get model(): string {
    return LOADS[this.#engine].model;
  }

  /** Loads the mesh, strikes in the middle, and waits for the end of all requests. */
  async round(options: RoundOptions): Promise<RoundResult> {
    const { streams, unstreamed, victim, pauseMs = PAUSE_MS } = options;
    if (this.#engine === "fake") {
      await Promise.all(this.#hosts.map(({ fake }) => fake.control({ pauseMs })));
    }
    const watch = new StreamWatch(streams);
    const begun = watch.goOn(BEGUN_EVENTS);
    const reading = Array.from({ length: streams }, (_, i) => this.#stream(i, watch));
    await begun;
    // Some are being answered when it happens, and some come before anybody knows.
    const early = Array.from({ length: Math.ceil(unstreamed / 2) }, () => this.#whole());
    const struck = await this.#strike(victim, watch);
    const late = Array.from({ length: Math.floor(unstreamed / 2) }, () => this.#whole());
    await watch.goOn(GONE_ON_EVENTS);
    // Not before: a start would take the machine from those whose pause is measured.
    if (victim !== "engine") this.#replace();
    const results = await Promise.all(reading);
    const answers = await Promise.all([...early, ...late]);
    if (victim !== "engine") await struck.node.exited;
    return { streams: results, unstreamed: answers, struck };
  }

  /** Makes the mesh as it was before the round. */
  async restore(): Promise<void> {
    await this.#starting;
    const ended = this.#hosts.filter(({ hasEnded }) => hasEnded);
    this.#hosts = this.#hosts.filter(({ hasEnded }) => !hasEnded);
    await Promise.all(ended.map((host) => host[Symbol.asyncDispose]()));
    const missing = Math.max(0, HOSTS - this.#hosts.length);
    await Promise.all(Array.from({ length: missing }, () => this.#addHost()));
    await this.#settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#starting.catch(() => {});
    await Promise.all(this.#hosts.map((host) => host[Symbol.asyncDispose]()));
    await this.entry[Symbol.asyncDispose]();
  }

  async #stream(index: number, watch: StreamWatch): Promise<CheckedStream> {
    const { model, request, fault } = LOADS[this.#engine];
    try {
      const response = await this.entry.chat(model, request(index));
      watch.sentTo(index, response.headers.get("x-mesh-llm-node") ?? "");
      const result = await readStream(response, (count) => watch.note(index, count));
      const { status, isDone, errors, models } = result;
      const isBroken = status !== 200 || !isDone || errors.length > 0;
      const isOther = models.some((name) => name !== model) || models.length !== 1;
      const why = isOther ? `the model is ${models.join()}` : fault(index, result);
      return { ...result, isBroken, fault: isBroken ? undefined : why };
    } finally {
      watch.end(index);
    }
  }

  async #whole(): Promise<string> {
    const { model, request } = LOADS[this.#engine];
    const body = { ...request(0), stream: false, "stream_options": undefined, "max_tokens": 20 };
    const response = await this.entry.chat(model, body);
    return `${response.status} ${(await response.json()).model}`;
  }

  /** Ends the host, or its engine, that has most to do. */
  async #strike(victim: Victim, watch: StreamWatch): Promise<MeshTestNode> {
    const busy = new Map<string, number>();
    for (const id of watch.running) busy.set(id, (busy.get(id) ?? 0) + 1);
    const [host] = this.#hosts.toSorted((a, b) => (busy.get(b.id) ?? 0) - (busy.get(a.id) ?? 0));
    if (host === undefined) throw new Error("There is no host to end");
    if (victim === "host") await host.die();
    else if (victim === "host in order") host.node.kill("SIGTERM");
    else for (const pid of await childrenOf(host.node.pid)) Deno.kill(pid, "SIGKILL");
    return host;
  }

  #replace(): void {
    this.#starting = this.#addHost();
    // Told to whoever restores the mesh.
    this.#starting.catch(() => {});
  }

  async #addHost(): Promise<void> {
    const host = await MeshTestNode.start({ ...LOADS[this.#engine].host, token: this.#token });
    this.#hosts = [...this.#hosts, host];
  }

  async #settled(): Promise<void> {
    const { model } = this;
    const ids = this.#hosts.map(({ id }) => id);
    await this.entry.events.status(({ peers }) => {
      const serving = peers.filter(({ serving }) => serving === model).map(({ id }) => id);
      return ids.every((id) => serving.includes(id)) && serving.length === ids.length;
    }, "both hosts");
    await until(async () => (await this.entry.models()).includes(model), "the model");
  }
}
