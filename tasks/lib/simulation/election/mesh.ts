/** A simulated mesh in which records take their time and requests come and go. */
import { planMesh } from "~/election/plan.ts";
import type { ElectionMember, MeshPlan, MeshView } from "~/election/ports.ts";
import { GIB } from "~/base/units.ts";
import { Chance } from "../chance.ts";
import { EventQueue } from "../event_queue.ts";
import { Judge } from "./judge.ts";
import { type NodePlan, SimHost, SLOTS, type Surroundings } from "./node.ts";

const TRAFFIC_MS = 1_000;
const USE_MS = 5_000;
const LOOK_MS = 250;
/** A silent member is gone after this; members that were apart find each other again within it. */
const GONE_MS = 5_000;
/** Plans that are shared among nodes which see the same. */
const PLANS_MAX = 256;

/** How a model is asked for. */
interface Traffic {
  readonly perMinute: number;
  readonly entries: readonly number[];
  readonly serviceMs: number;
}

/** The mesh. */
export class ElectionMesh {
  readonly queue = new EventQueue();
  readonly chance: Chance;
  readonly hosts: SimHost[] = [];
  readonly judge: Judge;
  readonly models: readonly string[];
  /** Share of loads that fail. */
  failing = 0;
  readonly #around: Surroundings;
  readonly #traffic = new Map<string, Traffic>();
  readonly #lags: readonly number[];
  messages = 0;
  bytes = 0;

  constructor(
    seed: number,
    { nodes, models }: { readonly nodes: number; readonly models: number },
  ) {
    this.chance = new Chance(seed);
    this.models = Array.from({ length: models }, (_, n) => `model-${n}`);
    this.#lags = Array.from({ length: nodes }, () => this.chance.between(1, 60));
    const nowMs = (): number => this.queue.nowMs;
    this.judge = new Judge({
      get nowMs() {
        return nowMs();
      },
      hosts: this.hosts,
      rate: (id, side) => this.#rate(id, side),
      serviceMs: (id) => this.#traffic.get(id)?.serviceMs ?? 0,
    });
    this.#around = {
      queue: this.queue,
      chance: this.chance,
      plan: sharedPlans(),
      publish: (from) => this.#publish(from),
      onLoad: (host, id) => this.judge.load(host, id),
      onDrop: (host, id) => this.judge.drop(host, id),
      onLoaded: (host, id, isOk) => {
        if (isOk) this.judge.look();
        else this.judge.failed(host, id);
      },
      loadMs: () => ({
        ms: this.chance.between(1_000, 5_000),
        isOk: this.chance.next() >= this.failing,
      }),
    };
    for (const plan of this.#nodePlans(nodes)) this.hosts.push(new SimHost(plan, this.#around));
    this.#every(TRAFFIC_MS, () => this.#ask());
    this.#every(USE_MS, () => this.#use());
    this.#every(LOOK_MS, () => this.judge.look());
  }

  #every(periodMs: number, run: () => void): void {
    this.queue.after(periodMs, () => {
      run();
      this.#every(periodMs, run);
    });
  }

  /** Large and small machines, each with some of the models; every model is where it fits at least twice. */
  #nodePlans(nodes: number): readonly NodePlan[] {
    const sizes = this.models.map(() => this.chance.between(0.5, 14) * GIB);
    const capacities = Array.from({ length: nodes }, () => this.chance.pick([8, 16, 24, 48]) * GIB);
    capacities.splice(0, 2, 48 * GIB, 48 * GIB);
    return capacities.map((capacityBytes, n) => ({
      node: `node-${String(n).padStart(2, "0")}`,
      capacityBytes,
      speed: this.chance.pick([0, 1, 2] as const),
      onDisk: this.models.flatMap((id, index) => {
        const isHere = this.chance.next() < 0.35 || index % nodes === n ||
          (index * 7 + 3) % nodes === n;
        return isHere ? [{ id, sizeBytes: sizes[index] ?? 0 }] : [];
      }),
      asksHere: [],
      wants: [],
    }));
  }

  /** Replaces what a node is made of, before it starts or when it is dead. */
  remake(n: number, changes: Partial<NodePlan>): void {
    const host = this.hosts[n];
    if (host === undefined) return;
    const anew = new SimHost({ ...host.plan, ...changes }, this.#around);
    anew.side = host.side;
    this.hosts[n] = anew;
  }

  /** Starts a node; it and the others see each other soon. */
  start(n: number): void {
    this.hosts[n]?.start();
    this.#meet();
  }

  startAll(): void {
    for (const host of this.hosts) host.start();
    this.#meet();
  }

  kill(n: number): void {
    const host = this.hosts[n];
    if (host === undefined) return;
    host.isAlive = false;
    this.judge.upset();
    this.queue.after(this.chance.between(2_000, GONE_MS), () => {
      for (const other of this.hosts) {
        if (this.hosts[n] === host) other.lose(host.plan.node);
      }
    });
  }

  /** A node ends in good order: its record says so first. */
  leave(n: number): void {
    const host = this.hosts[n];
    if (host === undefined) return;
    host.isLeaving = true;
    host.handle({ kind: "leaving" });
    host.refresh();
    host.isAlive = false;
    this.judge.upset();
  }

  partition(sideOf: (n: number) => number): void {
    this.judge.divided();
    for (const [n, host] of this.hosts.entries()) host.side = sideOf(n);
    for (const host of this.hosts) {
      this.queue.after(this.chance.between(2_000, GONE_MS), () => {
        for (const other of this.hosts) {
          if (host.side !== other.side) host.lose(other.plan.node);
        }
      });
    }
    this.#meet();
  }

  /** Everybody hears the records of all that can be reached, each pair at its own moment. */
  #meet(): void {
    for (const host of this.hosts) {
      for (const other of this.hosts) {
        if (host === other) continue;
        this.queue.after(this.chance.between(50, 2_000), () => {
          if (this.#reaches(other, host)) host.hear(other.record);
        });
      }
    }
  }

  #reaches(from: SimHost, to: SimHost): boolean {
    return from.isAlive && to.isAlive && from.side === to.side && this.hosts.includes(from) &&
      this.hosts.includes(to);
  }

  #publish(from: SimHost): void {
    const { record, side } = from;
    const size = JSON.stringify(record).length;
    for (const [n, to] of this.hosts.entries()) {
      if (to === from || !to.isAlive || to.side !== side) continue;
      this.messages += 1;
      this.bytes += size;
      const lagMs = (this.#lags[n] ?? 0) + (this.#lags[this.hosts.indexOf(from)] ?? 0);
      this.queue.after(lagMs, () => {
        if (to.side === side && to.isAlive) to.hear(record);
      });
    }
  }

  /** From now on so many requests a minute come in for a model, at so many nodes. */
  ask(id: string, perMinute: number, { entries, serviceMs }: {
    readonly entries: number;
    readonly serviceMs: number;
  }): void {
    for (const side of new Set(this.hosts.map((host) => host.side))) this.judge.turning(id, side);
    if (perMinute === 0) this.#traffic.delete(id);
    else {
      const all = this.hosts.map((_, n) => n);
      this.#traffic.set(id, { perMinute, serviceMs, entries: this.chance.some(all, entries) });
    }
  }

  #rate(id: string, side: number): number {
    const traffic = this.#traffic.get(id);
    if (traffic === undefined) return 0;
    const here = traffic.entries.filter((n) =>
      this.hosts[n]?.isAlive === true && this.hosts[n].side === side
    );
    return traffic.perMinute * here.length / traffic.entries.length;
  }

  #ask(): void {
    for (const [id, { perMinute, entries }] of this.#traffic) {
      for (const n of entries) {
        const host = this.hosts[n];
        if (host === undefined || !host.isAlive) continue;
        const requests = poisson(perMinute / entries.length * TRAFFIC_MS / 60_000, this.chance);
        if (requests === 0) continue;
        this.judge.asked(id, host.side);
        host.count(id, requests);
      }
    }
    this.judge.look();
  }

  #use(): void {
    for (const host of this.hosts) {
      if (!host.isAlive) continue;
      const { hosted, side } = host;
      if (hosted?.state === "serving") {
        const hosts = this.hosts.filter((other) =>
          other.isAlive && other.side === side && other.hosted?.id === hosted.id &&
          other.hosted.state === "serving"
        );
        const serviceMs = this.#traffic.get(hosted.id)?.serviceMs ?? 0;
        const atOnce = this.#rate(hosted.id, side) / 60_000 * serviceMs;
        host.use(Math.min(1, atOnce / (SLOTS * hosts.length)), serviceMs);
      }
      host.publish();
    }
  }

  pass(ms: number): void {
    this.queue.runUntil(this.queue.nowMs + ms);
  }
}

function poisson(mean: number, chance: Chance): number {
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = chance.next(); product > limit; product *= chance.next()) count += 1;
  return count;
}

/** The plan of a view, made once for all nodes that see the same records. */
function sharedPlans(): (view: MeshView) => MeshPlan {
  const numbers = new WeakMap<ElectionMember, number>();
  const plans = new Map<string, MeshPlan>();
  let last = 0;
  const numberOf = (member: ElectionMember): number => {
    const known = numbers.get(member) ?? (last += 1);
    numbers.set(member, known);
    return known;
  };
  return (view) => {
    const key = view.members.map(numberOf).sort((a, b) => a - b).join();
    const plan = plans.get(key) ?? planMesh(view);
    plans.delete(key);
    plans.set(key, plan);
    const [oldest] = plans.keys();
    if (plans.size > PLANS_MAX && oldest !== undefined) plans.delete(oldest);
    return plan;
  };
}
