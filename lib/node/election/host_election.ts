/**
 * Makes the election decide what this node serves: tells the machine what the members' records and this node are
 * like, loads and drops what it says, and publishes what it has to say. Owns one timer for the machine and one for
 * looking at what only time changes.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Clock, Timers } from "~/base/clock.ts";
import { assertNever, messageOf, UserError } from "~/base/errors.ts";
import type { Rng } from "~/base/rng.ts";
import { PER_MINUTE_OF_ONE } from "~/election/demand.ts";
import { Election, type ElectionEffect, type ElectionInput } from "~/election/election.ts";
import { explainModel, type Explanation, hostWords } from "~/election/explain.ts";
import { planMesh } from "~/election/plan.ts";
import type { ElectionMember, MeshView } from "~/election/ports.ts";
import { whyHosted } from "~/election/why.ts";
import type { Memory } from "~/engine/memory_plan.ts";
import type { AskedModel } from "~/mesh/control.ts";
import type { ElectionRecord } from "~/mesh/election_record.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import { plainName } from "~/proxy/models.ts";
import type { LocalModel } from "../local_model.ts";
import { idOf, type SlotState } from "../model_slot.ts";
import type { PreparedEngine } from "../ports.ts";
import { ClientDemand } from "./client_demand.ts";
import { electionMemberOf } from "./other_member.ts";
import { modelNameOf, OwnStanding, type OwnStandingOptions } from "./own_standing.ts";

const log = getLogger(["mesh-llm", "election"]);

/** Changes come in bursts: records, links, what loads. */
const GATHER_MS = 50;
/** Memory, rates and use change with time alone. */
const LOOK_MS = 30_000;
/** Running requests get this long to end before a model that gives way goes. */
const DRAIN_MS = 10_000;

/** What the election works with. */
export interface HostElectionPorts extends Omit<OwnStandingOptions, "mayServe"> {
  readonly nodeId: NodeId;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly rng: Rng;
  readonly local: Pick<LocalModel, "state" | "engine" | "subscribe" | "load" | "drop">;
  /** The other members that are here, suspects too. */
  readonly others: () => readonly MemberView[];
  /** This node's papers let it serve, and it was not started to serve nothing. */
  readonly mayServe: () => boolean;
  /** Others read what this node says in its record, or it is alone: not a client. */
  readonly hasRecord: () => boolean;
  /** For a client: whether a member hears what is asked for here. */
  readonly isHeard: () => boolean;
  /** For a client: tells a member that a caller asked for a model. */
  readonly askMembers: (id: string) => void;
  /** Looks at this machine's memory. */
  readonly measure: (engine: PreparedEngine) => Promise<Memory>;
  /** The own record has something else to say. */
  readonly changed: () => void;
  /** Says it now; resolves when it was handed on. */
  readonly speak: () => Promise<void>;
  /** For whoever follows what this node does and why ({@link HostElection.standing}); must not throw. */
  readonly decided: (decision: Decision) => void;
}

/** What this node begins to do about models, and why. */
export interface Decision {
  readonly kind: "takes_on" | "drops" | "stands_by";
  /** Null when it has nothing to serve. */
  readonly model: string | null;
  readonly reason: string;
}

/** Why this node does what it does. */
export interface Standing {
  /** It has nothing to serve, by decision. */
  readonly isStandby: boolean;
  /** One clause; null when there is nothing to say. */
  readonly reason: string | null;
}

/** A model that somebody in the mesh has, can fetch or wants, though nobody need serve it. */
export interface KnownModel {
  readonly id: string;
  /** A member takes it on when it is asked for. */
  readonly isComing: boolean;
}

/** Drives the election of one node. */
export class HostElection {
  readonly #ports: HostElectionPorts;
  readonly #machine: Election;
  readonly #own: OwnStanding;
  readonly #clients = new ClientDemand();
  readonly #unsubscribe: () => void;
  #gather: CancelTimer | undefined;
  #wake: CancelTimer | undefined;
  #look: CancelTimer | undefined;
  #standby: string | undefined;
  /** What followed from others' records at the last look, as text. */
  #follows = "";
  #isOver = false;

  constructor(ports: HostElectionPorts) {
    this.#ports = ports;
    this.#machine = new Election({ self: ports.nodeId, rng: ports.rng });
    this.#own = new OwnStanding({
      ...ports,
      mayServe: () => ports.mayServe() && ports.local.engine !== undefined,
    });
    this.#unsubscribe = ports.local.subscribe((slot) => this.#onSlot(slot));
    this.#lookLater();
  }

  /** What the own record says for the election. */
  record(): ElectionRecord {
    return this.#own.record(this.#ports.local.state, this.#others());
  }

  /** Members, their records or the own state changed: what follows from it is decided a moment later. */
  look(): void {
    if (this.#isOver) return;
    this.#gather ??= this.#ports.timers.after(GATHER_MS, () => {
      this.#gather = undefined;
      const own = this.#member();
      this.#feed({ kind: "view", view: { members: [own, ...this.#others()] } });
      this.#tellWhatFollows(own);
    });
  }

  /** What others say may change what this node says: what it could fetch for them, the names of what it wants. */
  #tellWhatFollows({ fetchable, wants }: ElectionMember): void {
    const follows = JSON.stringify([fetchable.map(({ id }) => id), wants]);
    if (follows === this.#follows) return;
    this.#follows = follows;
    this.#ports.changed();
  }

  /** Looks at the memory of this machine now; resolves when it was looked at. Never rejects. */
  async measure(): Promise<void> {
    const { local: { engine }, measure, changed } = this.#ports;
    if (engine === undefined || this.#isOver) return;
    try {
      const memory = await measure(engine);
      if (this.#own.measure(memory, this.#ports.local.state)) changed();
      this.look();
    } catch (error) {
      log.warn("Cannot look at the memory of this machine: {reason}", {
        reason: messageOf(error),
      });
    }
  }

  /** A person, or a flag, asked for a model here, and it is being loaded. */
  askedHere(id: string, name: string): void {
    this.#own.ask(id, name);
    this.#takesOn(id, hostWords({ kind: "asked_here" }));
    this.#tell({ kind: "asked_by_hand", id });
  }

  /** Nobody asked for anything here, and the best that fits is being loaded. */
  choseHere(id: string): void {
    this.#takesOn(id, "the best of its models that fits, asked for by nobody");
    this.#tell();
  }

  /** A person dropped a model here. */
  droppedHere(id: string): void {
    this.#own.unask(id);
    this.#ports.decided({ kind: "drops", model: id, reason: "dropped by hand" });
    this.#tell({ kind: "dropped_by_hand", id });
  }

  /** A caller of this node asked for a model that is known in the mesh. */
  demanded(id: string): void {
    const { hasRecord, askMembers, local } = this.#ports;
    if (this.#isOver) return;
    if (hasRecord()) {
      if (this.#own.count(id)) this.#tell();
      return;
    }
    // What a client has of its own is for itself: nobody else need have it.
    if (idOf(local.state) !== id) askMembers(id);
  }

  /** Callers of a client asked for models: what counts of it counts as asked for here. */
  clientAsked(client: NodeId, asked: readonly AskedModel[]): void {
    if (this.#isOver) return;
    const nowMs = this.#ports.clock.nowMs();
    // Not what is only in the catalogue: clients must not make others fetch.
    const known = (): ReadonlySet<string> => new Set(namesOf(this.#view()));
    let isNews = false;
    for (const { id, requests } of this.#clients.admit(client, asked, { known, nowMs })) {
      if (this.#own.count(id, requests)) isNews = true;
    }
    if (isNews) this.#tell();
  }

  /** This node's own engine got a request. */
  began(): void {
    this.#own.began();
  }

  /** It is done with one. */
  ended(serviceMs: number): void {
    this.#own.ended(serviceMs);
  }

  /** The node goes: nothing is loaded or dropped by decision any more. */
  leave(): void {
    this.#feed({ kind: "leaving" });
    this.#isOver = true;
    this.#unsubscribe();
    for (const cancel of [this.#gather, this.#wake, this.#look]) cancel?.();
  }

  standing(): Standing {
    const id = idOf(this.#ports.local.state);
    if (id === undefined) {
      return { isStandby: this.#standby !== undefined, reason: this.#standby ?? null };
    }
    const words = this.#own.hasAsked(id) ? "asked for here" : this.#own.whyOf(id);
    return { isStandby: false, reason: words === undefined ? null : `host of ${id}: ${words}` };
  }

  /** Why models have the hosts that they have, by name. */
  reasons(): ReadonlyMap<string, string> {
    const { members } = this.#view();
    const needs = new Map(this.#machine.plan.models.map(({ id, need }) => [id, need]));
    const ids = new Set(members.flatMap(({ hosted }) => hosted.map(({ id }) => id)));
    const found = new Map<string, string>();
    for (const id of ids) {
      const why = whyHosted(id, members, needs.get(id));
      if (why !== undefined) found.set(id, why);
    }
    return found;
  }

  /** The model that a name means, when anybody in the mesh has, can fetch or wants it. */
  known(name: string): KnownModel | undefined {
    const view = this.#view();
    const all = [...namesOf(view), ...this.#ports.catalogue.map(({ id }) => id)];
    const id = all.find((one) => one === name) ??
      all.find((one) => plainName(one) === plainName(name));
    return id === undefined ? undefined : { id, isComing: this.#isComing(id, view) };
  }

  /** What becomes of a model, in plain words. */
  explain(name: string): Explanation {
    return explainModel(
      this.#view(),
      (this.known(name) ?? this.known(modelNameOf(name)))?.id ?? name,
    );
  }

  /** Whether somebody takes a model on once it is asked for here. */
  #isComing(id: string, { members }: MeshView): boolean {
    const { hasRecord, isHeard } = this.#ports;
    if (!hasRecord() && !isHeard()) return false;
    const asked = members.map((member) =>
      member.node === this.#ports.nodeId ? this.#member(id) : member
    );
    const found = planMesh({ members: asked }).models.find((model) => model.id === id);
    return found !== undefined && found.hosts.length > 0;
  }

  /** This node, as it would be with one more request for a model. */
  #member(wish?: string): ElectionMember {
    const record = this.record();
    const catalogue = this.#ports.catalogue.find(({ id }) => id === wish);
    const own = { ...record, node: this.#ports.nodeId, isLeaving: this.#isOver };
    if (wish === undefined) return own;
    const asked = own.demand.find(({ id }) => id === wish)?.perMinute ?? 0;
    const demand = [
      { id: wish, perMinute: asked + PER_MINUTE_OF_ONE },
      ...own.demand.filter(({ id }) => id !== wish),
    ];
    const wished = { ...own, demand };
    // What a wish makes fetchable is told with the demand that it becomes.
    if (catalogue === undefined || record.fetchable.some(({ id }) => id === wish)) return wished;
    return { ...wished, fetchable: [...own.fetchable, this.#own.fetchable(catalogue)] };
  }

  #others(): readonly ElectionMember[] {
    return this.#ports.others().map(electionMemberOf);
  }

  #view(): MeshView {
    return { members: [this.#member(), ...this.#others()] };
  }

  #onSlot(slot: SlotState): void {
    this.#own.follow(slot);
    if (slot.kind !== "empty") this.#standby = undefined;
    if (slot.kind === "failed" && slot.id !== "") this.#feed({ kind: "failed", id: slot.id });
    // Just before an engine takes it, and when it has taken or given it back.
    if (slot.kind !== "preparing" && slot.kind !== "draining") void this.measure();
    this.look();
  }

  /** The own record says something else, and perhaps something was done by hand. */
  #tell(input?: ElectionInput): void {
    if (input !== undefined) this.#feed(input);
    this.#ports.changed();
    this.look();
  }

  #lookLater(): void {
    this.#look = this.#ports.timers.after(LOOK_MS, () => {
      if (this.#isOver) return;
      this.#lookLater();
      this.#ports.changed();
      void this.measure();
    });
  }

  #feed(input: ElectionInput): void {
    if (this.#isOver) return;
    const { clock, timers } = this.#ports;
    // One moment for both: what becomes due between two looks at the clock would never be woken for.
    const nowMs = clock.nowMs();
    for (const effect of this.#machine.handle(input, nowMs)) this.#obey(effect);
    this.#wake?.();
    const wakeAtMs = this.#machine.wakeAtMs(nowMs);
    this.#wake = wakeAtMs === undefined
      ? undefined
      : timers.after(Math.max(0, wakeAtMs - clock.nowMs()), () => this.#feed({ kind: "tick" }));
  }

  #obey(effect: ElectionEffect): void {
    switch (effect.kind) {
      case "load":
        return void this.#load(effect.id, effect.reason);
      case "drop":
        return void this.#drop(effect.id, effect.reason);
      case "avoid":
        this.#own.avoids = effect.models;
        return this.#ports.changed();
      case "stand_by":
        log.info("Standby: {reason}", { reason: effect.reason });
        this.#standby = effect.reason;
        return this.#ports.decided({ kind: "stands_by", model: null, reason: effect.reason });
      default:
        assertNever(effect);
    }
  }

  async #load(id: string, reason: string): Promise<void> {
    this.#takesOn(id, reason);
    try {
      await this.#ports.local.load(this.#own.nameOf(id));
    } catch (error) {
      // A defect of ours must not be tried at once again either.
      log.warn("Cannot load {id}: {reason}", { id, reason: messageOf(error) });
      this.#feed({ kind: "failed", id });
      if (!(error instanceof UserError)) throw error;
    }
  }

  #takesOn(id: string, words: string): void {
    this.#own.explain(id, words);
    const reason = this.#own.hasAsked(id) ? "asked for here" : words;
    log.info("Host of {id}: {reason}", { id, reason });
    this.#ports.decided({ kind: "takes_on", model: id, reason });
  }

  /** The others hear first that it goes. */
  async #drop(id: string, reason: string): Promise<void> {
    if (idOf(this.#ports.local.state) !== id) return;
    log.info("Drops {id}: {reason}", { id, reason });
    this.#ports.decided({ kind: "drops", model: id, reason });
    const dropping = this.#ports.local.drop(DRAIN_MS);
    await this.#ports.speak();
    await dropping;
  }
}

/** Every name of a model that members have, can fetch, or were asked for by flag. */
function namesOf({ members }: MeshView): readonly string[] {
  return members.flatMap((member) => [
    ...[...member.hosted, ...member.onDisk, ...member.fetchable].map(({ id }) => id),
    ...member.asksHere,
    ...member.wants,
  ]);
}
