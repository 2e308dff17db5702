/**
 * The newest record of every node that we heard of. A record says nothing about whether its node is here; it is
 * kept a day longer, so that the node can be dialled, and a farewell ten minutes, so that older ones stay out.
 */
import type { RecordMark } from "./control.ts";
import type { NodeId } from "./ids.ts";
import type { MembershipLimits } from "./membership_ports.ts";
import type { SignedRecord } from "./record.ts";

/** How long a farewell is remembered. */
const FAREWELL_MS = 10 * 60_000;
/** How long the record of a node is kept that is not here. */
const ABSENT_MS = 24 * 3_600_000;

/** A record and what we know around it. */
export interface StoredRecord {
  readonly signed: SignedRecord;
  /** Since when the node is not here; undefined while it is. */
  absentSinceMs: number | undefined;
  /** It was linked with us once: of many absent ones it is the first to dial. */
  isMet: boolean;
  /** When its last news was passed on. */
  spreadMs: number;
}

/** What became of a record. */
export type PutResult = "new" | "newer" | "known" | "full";

/** The records. */
export class RecordStore {
  readonly #limits: MembershipLimits;
  readonly #canGo: (node: NodeId) => boolean;
  readonly #entries = new Map<NodeId, StoredRecord>();
  #sizeBytes = 0;
  #evicted: NodeId[] = [];

  /** @param canGo whether a node that is here may make room: not when we have a link with it */
  constructor(limits: MembershipLimits, canGo: (node: NodeId) => boolean) {
    this.#limits = limits;
    this.#canGo = canGo;
  }

  get size(): number {
    return this.#entries.size;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  entries(): IterableIterator<[NodeId, StoredRecord]> {
    return this.#entries.entries();
  }

  /** Also what a node said when it left. */
  get(node: NodeId): StoredRecord | undefined {
    return this.#entries.get(node);
  }

  /** The record of a node that did not leave. */
  present(node: NodeId): SignedRecord | undefined {
    const signed = this.#entries.get(node)?.signed;
    return signed === undefined || signed.record.isLeaving ? undefined : signed;
  }

  /** Keeps `signed` when it is newer than what is there. */
  put(signed: SignedRecord, nowMs: number): PutResult {
    const { node, incarnation, isLeaving } = signed.record;
    const old = this.#entries.get(node);
    if (old !== undefined && old.signed.record.incarnation >= incarnation) return "known";
    const wasHere = old !== undefined && old.absentSinceMs === undefined;
    this.#remove(node);
    if (!this.#makeRoom(sizeOf(signed))) {
      if (old !== undefined) this.#add(node, old);
      return "full";
    }
    this.#add(node, {
      signed,
      absentSinceMs: wasHere && !isLeaving ? undefined : nowMs,
      isMet: old?.isMet ?? false,
      spreadMs: old?.spreadMs ?? Number.NEGATIVE_INFINITY,
    });
    return old === undefined ? "new" : "newer";
  }

  /** Nodes whose records made room since the last call. */
  takeEvicted(): readonly NodeId[] {
    const evicted = this.#evicted;
    this.#evicted = [];
    return evicted;
  }

  #add(node: NodeId, entry: StoredRecord): void {
    this.#sizeBytes += sizeOf(entry.signed);
    this.#entries.set(node, entry);
  }

  remove(node: NodeId): void {
    this.#remove(node);
  }

  #remove(node: NodeId): void {
    const entry = this.#entries.get(node);
    if (entry === undefined) return;
    this.#entries.delete(node);
    this.#sizeBytes -= sizeOf(entry.signed);
  }

  /** What a peer needs to hear to know what we have: those who are here first. */
  marks(max: number): readonly RecordMark[] {
    const all = [...this.#entries.values()];
    const ordered = all.length <= max ? all : [
      ...all.filter(({ absentSinceMs }) => absentSinceMs === undefined),
      ...all.filter(({ absentSinceMs }) => absentSinceMs !== undefined),
    ].slice(0, max);
    return ordered.map(({ signed: { record: { node, incarnation } } }) => ({ node, incarnation }));
  }

  /** Nodes of which we have a newer record than `have` says, those who are here first. */
  newerThan(have: readonly RecordMark[]): readonly NodeId[] {
    const theirs = new Map(have.map(({ node, incarnation }) => [node, incarnation]));
    const here: NodeId[] = [];
    const others: NodeId[] = [];
    for (const [node, { signed, absentSinceMs }] of this.#entries) {
      if (signed.record.incarnation <= (theirs.get(node) ?? -1)) continue;
      (absentSinceMs === undefined ? here : others).push(node);
    }
    return [...here, ...others];
  }

  /** Nodes of which `have` says a newer record than we have. */
  olderThan(have: readonly RecordMark[]): readonly NodeId[] {
    return have.filter(({ node, incarnation }) =>
      incarnation > (this.#entries.get(node)?.signed.record.incarnation ?? -1)
    ).map(({ node }) => node);
  }

  /** Forgets what is too old. */
  expire(nowMs: number): void {
    for (const [node, { signed, absentSinceMs }] of this.#entries) {
      if (absentSinceMs === undefined) continue;
      const limitMs = signed.record.isLeaving ? FAREWELL_MS : ABSENT_MS;
      if (nowMs - absentSinceMs >= limitMs) this.#remove(node);
    }
  }

  /** The longest absent go first, then the last that came of those who are known by hearsay only. */
  #makeRoom(neededBytes: number): boolean {
    const hasRoom = (): boolean =>
      this.#entries.size < this.#limits.records &&
      this.#sizeBytes + neededBytes <= this.#limits.recordsBytes;
    if (hasRoom()) return true;
    const all = [...this.#entries];
    const absent = all.filter(([, { absentSinceMs }]) => absentSinceMs !== undefined)
      .sort(([, a], [, b]) => (a.absentSinceMs ?? 0) - (b.absentSinceMs ?? 0));
    const heard = all.filter(([node, { absentSinceMs }]) =>
      absentSinceMs === undefined && this.#canGo(node)
    ).reverse();
    for (const [node] of [...absent, ...heard]) {
      if (hasRoom()) return true;
      if (!this.#canGo(node)) continue;
      this.#remove(node);
      this.#evicted.push(node);
    }
    return hasRoom();
  }
}

function sizeOf({ jws }: SignedRecord): number {
  return jws.length;
}
