/**
 * What this node keeps for its part in the election: what was asked of it, what its callers ask for, how its model is
 * used, and how much memory it has. No timers, no decisions; `HostElection` drives it.
 */
import type { Clock } from "~/base/clock.ts";
import { DemandMeter } from "~/election/demand.ts";
import type { AvoidedModel, ElectionMember, OfferedModel } from "~/election/ports.ts";
import { Usage } from "~/election/usage.ts";
import type { Memory, PlanRequest } from "~/engine/memory_plan.ts";
import type { ElectionRecord } from "~/mesh/election_record.ts";
import { bareName, findInCatalogue } from "~/models/catalogue.ts";
import { plainName } from "~/proxy/models.ts";
import type { DiskModel } from "../disk_models.ts";
import { idOf, type SlotState } from "../model_slot.ts";
import { OwnOffers } from "./own_offers.ts";
import { electionRecordOf, type FetchableModel, offerToFetch } from "./own_member.ts";
import { Pools } from "./pools.ts";

/** Models asked for by hand at one node: one runs at a time, so more are forgotten, the oldest first. */
const ASKED_MAX = 8;

/** What the standing is made with. */
export interface OwnStandingOptions {
  readonly clock: Clock;
  /** Whether it may serve, as its papers and its engine are now. */
  readonly mayServe: () => boolean;
  readonly disk: () => readonly DiskModel[];
  /** Models that can be fetched, with their sizes. */
  readonly catalogue: readonly FetchableModel[];
  readonly requested: PlanRequest;
  /** Models asked of the mesh at the start, as they were typed. */
  readonly wants: readonly string[];
}

/** This node's own part. */
export class OwnStanding {
  readonly #options: OwnStandingOptions;
  readonly #demand = new DemandMeter();
  readonly #pools = new Pools();
  readonly #offers: OwnOffers;
  /** Models asked for here by id, with the words to load them by. */
  readonly #asked = new Map<string, string>();
  #usage: { readonly id: string; readonly meter: Usage } | undefined;
  #running = 0;
  #begun: { readonly id: string; readonly sinceUnixS: number } | undefined;
  avoids: readonly AvoidedModel[] = [];
  /** Why a model was taken on here, in words that others read too. */
  #why: { readonly id: string; readonly words: string } | undefined;

  constructor(options: OwnStandingOptions) {
    this.#options = options;
    this.#offers = new OwnOffers(options.requested);
  }

  /** A model was asked for, to be served here. */
  ask(id: string, name: string): void {
    this.#asked.delete(id);
    this.#asked.set(id, name);
    const oldest = this.#asked.keys().next().value;
    if (this.#asked.size > ASKED_MAX && oldest !== undefined) this.#asked.delete(oldest);
  }

  /** It was dropped by hand. */
  unask(id: string): void {
    this.#asked.delete(id);
  }

  /** A model is taken on: says why. */
  explain(id: string, words: string): void {
    this.#why = { id, words };
  }

  /** Why a model is served here; undefined where nobody said. */
  whyOf(id: string): string | undefined {
    return this.#why?.id === id ? this.#why.words : undefined;
  }

  hasAsked(id: string): boolean {
    return this.#asked.has(id);
  }

  /** What to load a model by: the file that was named, where one was. */
  nameOf(id: string): string {
    return this.#asked.get(id) ?? id;
  }

  /** Callers of this node, or of its clients, asked for a model; returns whether the mesh should hear of it. */
  count(id: string, requests = 1): boolean {
    return this.#demand.count(id, this.#options.clock.nowMs(), requests);
  }

  /** The memory of now; returns whether there is something else to tell. */
  measure(memory: Memory, slot: SlotState): boolean {
    const isRunning = slot.kind === "ready" || slot.kind === "restarting";
    return this.#pools.measure(memory, {
      held: isRunning ? slot.model.memoryParts ?? [] : [],
      isMoving: isMoving(slot),
      maxBytes: this.#options.requested.maxBytes,
      nowMs: this.#options.clock.nowMs(),
    });
  }

  /** Follows the model of this node. */
  follow(slot: SlotState): void {
    const { clock } = this.#options;
    const id = idOf(slot);
    if (id === undefined || slot.kind === "failed") {
      this.#usage = this.#begun = undefined;
      return;
    }
    if (this.#begun?.id !== id) {
      this.#begun = { id, sinceUnixS: Math.floor(clock.wallMs() / 1000) };
    }
    if (slot.kind !== "ready" || this.#usage?.id === id) return;
    this.#usage = { id, meter: new Usage(slot.model.slots, clock.nowMs()) };
    this.#load();
  }

  /** This node's engine got a request, its own callers' or a peer's. */
  began(): void {
    this.#running += 1;
    this.#load();
  }

  /** It is done with one. */
  ended(serviceMs: number): void {
    this.#running = Math.max(0, this.#running - 1);
    this.#usage?.meter.answered(serviceMs);
    this.#load();
  }

  /** What the record says, given what the others say. */
  record(slot: SlotState, others: readonly ElectionMember[]): ElectionRecord {
    const { clock, mayServe, disk, catalogue } = this.#options;
    const demand = this.#demand.report(clock.nowMs());
    const wants = this.#wants(others);
    const wantedAnywhere = new Set(
      [...others, { wants, demand }].flatMap((member) => [
        ...member.wants,
        ...member.demand.map(({ id }) => id),
      ]),
    );
    return electionRecordOf({
      mayServe: mayServe() && this.#pools.memory !== undefined,
      speed: this.#pools.speed,
      devices: this.#pools.told,
      onDisk: this.#offers.of(disk(), this.#pools),
      catalogue,
      slot,
      sinceUnixS: this.#begun?.sinceUnixS ?? 0,
      usage: this.#usage?.meter.told(clock.nowMs()),
      why: this.whyOf(idOf(slot) ?? ""),
      asksHere: [...this.#asked.keys()],
      wants,
      demand,
      avoids: this.avoids,
      wantedAnywhere,
    });
  }

  /** A model of the catalogue as an offer. */
  fetchable(model: FetchableModel): OfferedModel {
    return offerToFetch(model, this.#pools.told);
  }

  /** What was typed, by the name that members have for it. */
  #wants(others: readonly ElectionMember[]): readonly string[] {
    const known = [
      ...this.#options.disk().map(({ id }) => id),
      ...others.flatMap(({ onDisk, hosted }) => [...onDisk, ...hosted].map(({ id }) => id)),
    ];
    return this.#options.wants.map((text) => {
      const id = modelNameOf(text);
      return known.find((one) => one === id) ??
        known.find((one) => plainName(one) === plainName(id)) ?? id;
    });
  }

  #load(): void {
    const { clock } = this.#options;
    this.#usage?.meter.load({ running: this.#running, waiting: 0 }, clock.nowMs());
  }
}

/** The name that clients use for what somebody typed: a name, a path, an address. */
export function modelNameOf(text: string): string {
  const last = text.replace(/[?#].*$/, "").split(/[/\\]/).at(-1) ?? text;
  return findInCatalogue(last)?.name ?? bareName(last);
}

/** While an engine starts or stops, free memory is true for nobody. */
function isMoving({ kind }: SlotState): boolean {
  return kind === "preparing" || kind === "starting" || kind === "restarting" ||
    kind === "draining";
}
