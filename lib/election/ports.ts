/**
 * What the planner of a mesh sees, and what it decides. Everything seen comes out of the members' own records, in
 * coarse steps, so that all members that hold the same records make the same plan. What a record says of others
 * counts for nothing here: each member speaks for itself only.
 */
import type { NodeId } from "../mesh/ids.ts";

/** How fast a member computes: 2 accelerators, 1 memory shared with the processor, 0 the processor alone. */
export type SpeedClass = 0 | 1 | 2;

/** One pool of memory that holds models. */
export interface DeviceCapacity {
  /** Unique on its member. */
  readonly name: string;
  /** Free bytes and those that the member's own engines hold there, in coarse steps. */
  readonly capacityBytes: number;
}

/** What a model takes of one pool, at the least useful plan (one slot, the shortest context that will do). */
export interface DeviceNeed {
  readonly device: string;
  readonly bytes: number;
}

/** A model that a member has on disk, or could fetch. */
export interface OfferedModel {
  /** Name that clients use. */
  readonly id: string;
  /** Of the file's content; undefined while unknown: not fetched yet, or not read yet. */
  readonly fingerprint: string | undefined;
  readonly sizeBytes: number;
  /** By this member's own count, for its own devices. */
  readonly needs: readonly DeviceNeed[];
}

/** How far a hosted model is. */
export type HostedState = "fetching" | "loading" | "serving" | "draining";

/** A model that a member serves, or is about to serve, or is letting go. */
export interface HostedModel extends OfferedModel {
  readonly state: HostedState;
  /** When it began to fetch or load, in Unix seconds by its own clock. */
  readonly sinceUnixS: number;
  /** Requests answered at once; 0 while it is not known. */
  readonly slots: number;
  /** Share of its slots in use over the last half minute, 0 to 1, in quarters. */
  readonly busy: number;
  /** Mean time of one answer in milliseconds, in steps of two; undefined before the first. */
  readonly serviceMs: number | undefined;
  /** How long nobody asked for it there, in steps; 0 for less than an hour. */
  readonly unusedMs: number;
  /** Why it serves it, in its own words: for people, and of no weight here. */
  readonly why?: string;
  /** Takes far too long to load. Said by whoever makes the plan, never by a record. */
  readonly isStalled?: boolean;
}

/** Requests that came in at one member from its own callers. */
export interface DemandReport {
  readonly id: string;
  /** Requests a minute: a decaying rate, in steps. */
  readonly perMinute: number;
}

/** A model that a member must not load for now. */
export interface AvoidedModel {
  readonly id: string;
  /** "failed": the last load failed; "dropped": somebody dropped it there by hand. */
  readonly cause: "failed" | "dropped";
}

/** One member, as its record tells. */
export interface ElectionMember {
  readonly node: NodeId;
  /** It has the right to serve, an engine, and was not started to serve nothing. */
  readonly mayServe: boolean;
  readonly isLeaving: boolean;
  readonly devices: readonly DeviceCapacity[];
  readonly speed: SpeedClass;
  /** Models that it runs at once. */
  readonly modelsMax: number;
  readonly onDisk: readonly OfferedModel[];
  readonly fetchable: readonly OfferedModel[];
  readonly hosted: readonly HostedModel[];
  /** Models asked for at this member, to be served by it. */
  readonly asksHere: readonly string[];
  /** Models asked for at this member, to be served by anybody. */
  readonly wants: readonly string[];
  readonly demand: readonly DemandReport[];
  readonly avoids: readonly AvoidedModel[];
}

/** Everybody who is here, this node too. The order has no meaning. */
export interface MeshView {
  readonly members: readonly ElectionMember[];
}

/** Where a planned host has its model from. */
export type ModelSource = "disk" | "fetch";

/** Why a member is to serve a model. */
export type HostCause =
  /** Asked for there. */
  | { readonly kind: "asked_here" }
  /** It has it already, and it is needed. */
  | { readonly kind: "keeps"; readonly state: HostedState }
  /** Nobody serves it. */
  | {
    readonly kind: "first";
    readonly source: ModelSource;
    /** Members that would have done as well. */
    readonly rivals: number;
    readonly neededBytes: number;
    /** What it gives up for it. */
    readonly instead: GivenUp | undefined;
  }
  /** Those who serve it are full. */
  | {
    readonly kind: "replica";
    readonly source: ModelSource;
    readonly hosts: number;
    readonly neededBytes: number;
    readonly instead: GivenUp | undefined;
  };

/** A model that gives way, and why it may: nobody used it, or others serve it too. */
export interface GivenUp {
  readonly id: string;
  readonly why: "unused" | "replica";
}

/** One member that is to serve a model. */
export interface PlannedHost {
  readonly node: NodeId;
  readonly cause: HostCause;
}

/** Why a model matters. */
export interface ModelNeed {
  /** Members that asked for it, here or anywhere. */
  readonly askedBy: number;
  /** Requests a minute over all entry nodes, what is believed of them. */
  readonly perMinute: number;
}

/** What becomes of one model. */
export interface ModelPlan {
  readonly id: string;
  readonly need: ModelNeed;
  /** The file that is meant; undefined while nobody knows it. */
  readonly fingerprint: string | undefined;
  /** In the order of node ids; empty when nobody can hold it. */
  readonly hosts: readonly PlannedHost[];
}

/** The plan of a mesh: every model that is asked for, used or served, in the order of names. */
export interface MeshPlan {
  readonly models: readonly ModelPlan[];
}
