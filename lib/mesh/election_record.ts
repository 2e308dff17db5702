/**
 * What a record says for the election: what the node can hold, has, runs and is asked for. The same shapes as the
 * election's own (`lib/election/ports.ts`), declared here because this room knows no other.
 */

/** How fast a member computes: 2 accelerators, 1 memory shared with the processor, 0 the processor alone. */
export type RecordSpeed = 0 | 1 | 2;

/** Bytes of one pool of memory. */
export interface RecordNeed {
  readonly device: string;
  readonly bytes: number;
}

/** A model on disk, or one that can be fetched. */
export interface OfferedRecord {
  readonly id: string;
  readonly fingerprint: string | undefined;
  readonly sizeBytes: number;
  readonly needs: readonly RecordNeed[];
}

/** A model that the node serves, is about to serve, or lets go. */
export interface HostedRecord extends OfferedRecord {
  readonly state: "fetching" | "loading" | "serving" | "draining";
  readonly sinceUnixS: number;
  readonly slots: number;
  /** 0 to 1. */
  readonly busy: number;
  readonly serviceMs: number | undefined;
  readonly unusedMs: number;
  /** Why the node serves it, for people. */
  readonly why?: string;
}

/** The whole of it. */
export interface ElectionRecord {
  readonly mayServe: boolean;
  readonly speed: RecordSpeed;
  readonly modelsMax: number;
  /** Pools of memory. */
  readonly devices: readonly { readonly name: string; readonly capacityBytes: number }[];
  /** The most important first: of too many the last are left out. */
  readonly onDisk: readonly OfferedRecord[];
  readonly fetchable: readonly OfferedRecord[];
  readonly hosted: readonly HostedRecord[];
  readonly asksHere: readonly string[];
  readonly wants: readonly string[];
  readonly demand: readonly { readonly id: string; readonly perMinute: number }[];
  readonly avoids: readonly { readonly id: string; readonly cause: "failed" | "dropped" }[];
}
