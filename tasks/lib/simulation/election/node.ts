/** One simulated node: the machine of the election, its meters, and an engine that takes its time. */
import { estimateNeeds } from "~/election/capacity.ts";
import { DemandMeter } from "~/election/demand.ts";
import { Election, type ElectionEffect, type ElectionInput } from "~/election/election.ts";
import type {
  AvoidedModel,
  ElectionMember,
  HostedModel,
  MeshPlan,
  MeshView,
  OfferedModel,
} from "~/election/ports.ts";
import { Usage } from "~/election/usage.ts";
import type { Chance } from "../chance.ts";
import type { EventQueue } from "../event_queue.ts";

/** Records that came one after another are looked at together. */
const GATHER_MS = 50;
/** Between two records of one node. */
const PUBLISH_MS = 1_000;
/** Requests of a model end within this. */
const DRAIN_MS = 10_000;
/** Requests at once on one host. */
export const SLOTS = 4;

/** What a node is made of. */
export interface NodePlan {
  readonly node: string;
  readonly capacityBytes: number;
  readonly speed: ElectionMember["speed"];
  readonly onDisk: readonly { readonly id: string; readonly sizeBytes: number }[];
  readonly asksHere: readonly string[];
  readonly wants: readonly string[];
}

/** What surrounds a node. */
export interface Surroundings {
  readonly queue: EventQueue;
  readonly chance: Chance;
  readonly plan: (view: MeshView) => MeshPlan;
  /** Tells a record to all who can be reached. */
  readonly publish: (from: SimHost) => void;
  readonly onLoad: (host: SimHost, id: string) => void;
  /** A load ended, well or not. */
  readonly onLoaded: (host: SimHost, id: string, isOk: boolean) => void;
  readonly onDrop: (host: SimHost, id: string) => void;
  /** Milliseconds that a load takes; undefined for one that fails. */
  readonly loadMs: (host: SimHost, id: string) => { readonly ms: number; readonly isOk: boolean };
}

interface Held {
  readonly id: string;
  readonly state: HostedModel["state"];
  readonly sinceUnixS: number;
  readonly usage: Usage;
}

/** The node. */
export class SimHost {
  readonly plan: NodePlan;
  readonly machine: Election;
  readonly seen = new Map<string, ElectionMember>();
  readonly demand = new DemandMeter();
  readonly #around: Surroundings;
  readonly #devices: ElectionMember["devices"];
  readonly #onDisk: readonly OfferedModel[];
  side = 0;
  isAlive = true;
  isLeaving = false;
  record: ElectionMember;
  #model: Held | undefined;
  #avoids: readonly AvoidedModel[] = [];
  #publishedMs = Number.NEGATIVE_INFINITY;
  #isPublishing = false;
  #isGathering = false;
  #wakeMs = Number.POSITIVE_INFINITY;

  constructor(plan: NodePlan, around: Surroundings) {
    this.plan = plan;
    this.#around = around;
    this.#devices = [{ name: "ram", capacityBytes: plan.capacityBytes }];
    this.#onDisk = plan.onDisk.map(({ id, sizeBytes }) => ({
      id,
      fingerprint: id,
      sizeBytes,
      needs: estimateNeeds(sizeBytes, this.#devices),
    }));
    this.machine = new Election({ self: plan.node, rng: around.chance, plan: around.plan });
    this.record = this.#content();
    this.seen.set(plan.node, this.record);
  }

  /** The model that it serves, or is about to. */
  get hosted(): { readonly id: string; readonly state: HostedModel["state"] } | undefined {
    return this.#model;
  }

  start(): void {
    this.publish();
    this.look();
  }

  /** Requests came in from its own callers. */
  count(id: string, requests: number): void {
    if (this.demand.count(id, this.#around.queue.nowMs, requests)) this.publish();
  }

  /** So much of its slots is in use from now on. */
  use(share: number, answeredMs: number): void {
    const nowMs = this.#around.queue.nowMs;
    this.#model?.usage.load({ running: share * SLOTS, waiting: 0 }, nowMs);
    if (share > 0) this.#model?.usage.answered(answeredMs);
  }

  #content(): ElectionMember {
    const nowMs = this.#around.queue.nowMs;
    const { node, speed, asksHere, wants } = this.plan;
    return {
      node,
      mayServe: true,
      isLeaving: this.isLeaving,
      devices: this.#devices,
      speed,
      modelsMax: 1,
      onDisk: this.#onDisk,
      fetchable: [],
      hosted: this.#hosted(nowMs),
      asksHere,
      wants,
      demand: this.demand.report(nowMs),
      avoids: this.#avoids,
    };
  }

  #hosted(nowMs: number): readonly HostedModel[] {
    const model = this.#model;
    const offer = this.#onDisk.find(({ id }) => id === model?.id);
    if (model === undefined || offer === undefined) return [];
    const { state, sinceUnixS, usage } = model;
    return [{ ...offer, state, sinceUnixS, slots: SLOTS, ...usage.told(nowMs) }];
  }

  /** Publishes its record when it says something new; at most once a second. */
  publish(): void {
    if (this.#isPublishing || !this.isAlive) return;
    this.#isPublishing = true;
    const { queue } = this.#around;
    queue.at(this.#publishedMs + PUBLISH_MS, () => {
      this.#isPublishing = false;
      if (!this.isAlive) return;
      this.refresh();
    });
  }

  /** The record of now, told when it is another than before. */
  refresh(): void {
    const content = this.#content();
    if (JSON.stringify(content) === JSON.stringify(this.record)) return;
    this.record = content;
    this.#publishedMs = this.#around.queue.nowMs;
    this.seen.set(this.plan.node, content);
    this.#around.publish(this);
    this.look();
  }

  /** Somebody said something. */
  hear(record: ElectionMember): void {
    if (record.isLeaving) this.seen.delete(record.node);
    else this.seen.set(record.node, record);
    this.look();
  }

  /** Somebody is not heard any more. */
  lose(node: string): void {
    if (this.seen.delete(node)) this.look();
  }

  /** Hands what it sees to the machine, in a moment. */
  look(): void {
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#around.queue.after(GATHER_MS, () => {
      this.#isGathering = false;
      this.handle({ kind: "view", view: { members: [...this.seen.values()] } });
    });
  }

  handle(input: ElectionInput): void {
    if (!this.isAlive) return;
    const { queue } = this.#around;
    for (const effect of this.machine.handle(input, queue.nowMs)) this.#obey(effect);
    const wakeMs = this.machine.wakeAtMs(queue.nowMs) ?? Number.POSITIVE_INFINITY;
    if (wakeMs === this.#wakeMs || !Number.isFinite(wakeMs)) return;
    this.#wakeMs = wakeMs;
    queue.at(wakeMs, () => {
      if (this.#wakeMs === wakeMs) this.handle({ kind: "tick" });
    });
  }

  #obey(effect: ElectionEffect): void {
    switch (effect.kind) {
      case "load":
        return this.#load(effect.id);
      case "drop":
        return this.drop(effect.id);
      case "avoid":
        this.#avoids = effect.models;
        return this.publish();
      case "stand_by":
        return;
    }
  }

  #load(id: string): void {
    if (this.#model !== undefined) throw new Error(`${this.plan.node} holds ${this.#model.id}`);
    const { queue } = this.#around;
    const sinceUnixS = Math.floor(queue.nowMs / 1000);
    const model: Held = { id, state: "loading", sinceUnixS, usage: new Usage(SLOTS, queue.nowMs) };
    this.#around.onLoad(this, id);
    this.#change(model);
    const { ms, isOk } = this.#around.loadMs(this, id);
    queue.after(ms, () => {
      if (this.#model !== model || !this.isAlive) return;
      this.#change(isOk ? { ...model, state: "serving" } : undefined);
      this.#around.onLoaded(this, id, isOk);
      if (!isOk) this.handle({ kind: "failed", id });
    });
  }

  /** Lets a model go. */
  drop(id: string): void {
    const model = this.#model;
    if (model === undefined || model.id !== id || model.state === "draining") return;
    this.#around.onDrop(this, id);
    const draining: Held = { ...model, state: "draining" };
    const isIdle = model.usage.told(this.#around.queue.nowMs).busy === 0;
    this.#change(draining);
    this.#around.queue.after(isIdle ? 100 : this.#around.chance.between(500, DRAIN_MS), () => {
      if (this.#model === draining) this.#change(undefined);
    });
  }

  #change(model: Held | undefined): void {
    this.#model = model;
    // What it serves is told at once.
    if (this.isAlive) this.refresh();
  }
}
