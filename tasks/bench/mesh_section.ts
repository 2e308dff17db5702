/** What a request costs through one link of a mesh: from a client node to a host, both processes on this machine. */
import type { Bar, Figure } from "./figures.ts";
import type { ThroughputResult } from "./jobs.ts";
import { timeBareLink } from "./link_process.ts";
import { LoadProcess } from "./load_process.ts";
import {
  bareLinkFigures,
  joinFigures,
  latencyFigures,
  loadFigures,
  type MeshView,
  slowFigures,
  type SlowRound,
  transferFigures,
} from "./mesh_figures.ts";
import { MeshNode } from "./mesh_node.ts";
import type { Sizes } from "./options.ts";
import { type ProcessMemory, readMemory } from "./proc.ts";
import { Program, trivialEngine } from "./program.ts";
import type { Shape, Target } from "./requests.ts";
import type { SectionContext } from "./section.ts";
import { warmUp } from "./warm_up.ts";

const MIB = 1024 * 1024;
/** Bars on what host and link add together, in milliseconds. */
const SMALL_P50: Bar = { kind: "at-most", value: 1 };
const SMALL_P99: Bar = { kind: "at-most", value: 6 };
const LAG_P50: Bar = { kind: "at-most", value: 0.4 };

const VIEWS: Readonly<Record<"small" | "paced", readonly MeshView[]>> = {
  small: [{
    name: "small completion",
    take: ({ totalMs }) => totalMs,
    p50Bar: SMALL_P50,
    p99Bar: SMALL_P99,
  }],
  paced: [
    { name: "paced stream, first", take: ({ firstMs }) => firstMs },
    { name: "paced stream, lag of a chunk", take: ({ lagMs }) => lagMs, p50Bar: LAG_P50 },
  ],
};

const CLIENTS = 64;
/** A little below the largest body that a door takes. */
const UPLOAD_BYTES = 60 * MIB;
const ANSWER_BYTES = 128 * MIB;
const TRANSFER_WARMUP_ROUNDS = 2;
/** One takes 20 KiB/s of an answer that never ends; the others, with a slot each, must not feel it. */
const SLOW_READERS = 1;
const SLOW_ANSWER_BYTES = 1024 * MIB;
const SLOW_PAUSE_MS = 50;
/** Until all buffers on the way are full: only then it is slow. */
const SLOW_LEAD_MS = 1_000;
const OTHER_CLIENTS = 3;

/** Measures what goes through a link. */
export async function measureMesh({ sizes, dir, tell }: SectionContext): Promise<Figure[]> {
  await using host = await Program.start(await trivialEngine(dir));
  const invite = { token: await host.token(), model: host.api.model };
  const joins: MeshNode[] = [];
  for (let join = 0; join < sizes.joins - 1; join += 1) {
    tell(`mesh: join ${join + 1} of ${sizes.joins}`);
    await using node = await MeshNode.join(dir, invite);
    joins.push(node);
  }
  await using near = await MeshNode.join(dir, invite);
  joins.push(near);
  await using load = new LoadProcess();
  await using slow = new LoadProcess();
  const bench = new MeshBench({ host, near, load, slow }, sizes, tell);
  await bench.warmUp();
  return [
    ...joinFigures(joins),
    ...await bench.latencies(),
    ...await bench.transfers(),
    ...await bench.slowReaders(),
    ...await bench.longLoad(),
    ...await bench.bareLink(),
  ];
}

interface Parts {
  readonly host: Program;
  readonly near: MeshNode;
  readonly load: LoadProcess;
  readonly slow: LoadProcess;
}

class MeshBench {
  readonly #parts: Parts;
  readonly #sizes: Sizes;
  readonly #tell: (line: string) => void;

  constructor(parts: Parts, sizes: Sizes, tell: (line: string) => void) {
    this.#parts = parts;
    this.#sizes = sizes;
    this.#tell = tell;
  }

  async warmUp(): Promise<void> {
    this.#tell("mesh: warming up");
    const { load, near, host } = this.#parts;
    await warmUp(load, { targets: [near.api, host.api], loadMs: this.#sizes.loadMs });
  }

  async latencies(): Promise<Figure[]> {
    const { rounds, smallRequests, pacedRequests, warmupRequests } = this.#sizes;
    const requests: Partial<Record<Shape, number>> = { small: smallRequests, paced: pacedRequests };
    const figures: Figure[] = [];
    for (const shape of ["small", "paced"] as const) {
      this.#tell(`mesh: ${shape}, ${rounds} rounds of ${requests[shape]} requests each way`);
      const result = await this.#parts.load.run({
        kind: "latency",
        targets: this.#targets,
        shape,
        warmupRequests: shape === "small" ? warmupRequests : 2,
        rounds,
        requests: requests[shape] ?? 0,
      });
      figures.push(...VIEWS[shape].flatMap((view) => latencyFigures(view, result.rounds)));
    }
    return figures;
  }

  async transfers(): Promise<Figure[]> {
    const figures: Figure[] = [];
    for (const direction of ["down", "up"] as const) {
      const sizeBytes = direction === "up" ? UPLOAD_BYTES : ANSWER_BYTES;
      const name = `${direction === "up" ? "question" : "answer"} of ${sizeBytes / MIB} MiB`;
      this.#tell(`mesh: ${name}, ${this.#sizes.transfers} each way`);
      const { roundsMs } = await this.#parts.load.run({
        kind: "transfer",
        targets: this.#targets,
        direction,
        sizeBytes,
        warmupRounds: TRANSFER_WARMUP_ROUNDS,
        rounds: this.#sizes.transfers,
      });
      // A question is taken whole before it goes on, at each door: that is no rate of a link.
      figures.push(
        ...transferFigures(name, { roundsMs, sizeBytes, isJudged: direction === "down" }),
      );
    }
    return figures;
  }

  async slowReaders(): Promise<Figure[]> {
    const { rounds } = this.#sizes;
    const done: SlowRound[] = [];
    const memory: (readonly [ProcessMemory, ProcessMemory])[] = [];
    await this.#others();
    for (let round = 0; round < rounds; round += 1) {
      this.#tell(`mesh: slow readers, round ${round + 1} of ${rounds}`);
      const before = round % 2 === 0 ? await this.#others() : undefined;
      const beside = await this.#besideSlow(memory);
      done.push({ alone: before ?? await this.#others(), beside });
    }
    return slowFigures(done, memory);
  }

  /** The others, while somebody hardly reads; notes the memory at the end. */
  async #besideSlow(
    memory: (readonly [ProcessMemory, ProcessMemory])[],
  ): Promise<ThroughputResult> {
    const { slow, near } = this.#parts;
    const slowRun = slow.run({
      kind: "slow",
      target: near.api,
      readers: SLOW_READERS,
      sizeBytes: SLOW_ANSWER_BYTES,
      pauseMs: SLOW_PAUSE_MS,
      durationMs: SLOW_LEAD_MS + this.#sizes.loadMs * 1.2,
    });
    await new Promise((resolve) => setTimeout(resolve, SLOW_LEAD_MS));
    const result = await this.#others();
    memory.push(await this.#memory());
    await slowRun;
    return result;
  }

  #others(): Promise<ThroughputResult> {
    return this.#parts.load.run({
      kind: "throughput",
      target: this.#parts.near.api,
      shape: "stream",
      clients: OTHER_CLIENTS,
      durationMs: this.#sizes.loadMs,
      cpuPids: [],
    });
  }

  async longLoad(): Promise<Figure[]> {
    const { load, near, host } = this.#parts;
    const { meshLoadMs } = this.#sizes;
    this.#tell(`mesh: ${CLIENTS} clients for ${meshLoadMs / 1000} s`);
    const before = await this.#memory();
    const result = await load.run({
      kind: "throughput",
      target: near.api,
      shape: "small",
      clients: CLIENTS,
      durationMs: meshLoadMs,
      cpuPids: [near.pid, host.pid],
    });
    return loadFigures({ clients: CLIENTS, result, before, after: await this.#memory() });
  }

  async bareLink(): Promise<Figure[]> {
    this.#tell("mesh: a bare link");
    const times = await timeBareLink(UPLOAD_BYTES, this.#sizes.transfers);
    return bareLinkFigures(times, UPLOAD_BYTES);
  }

  get #targets(): readonly Target[] {
    const { host, near } = this.#parts;
    return [host.engine, host.api, near.api];
  }

  async #memory(): Promise<readonly [ProcessMemory, ProcessMemory]> {
    const { host, near } = this.#parts;
    return await Promise.all([readMemory(near.pid), readMemory(host.pid)]);
  }
}
