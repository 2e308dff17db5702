/**
 * The mesh as the node has it: which one it is in, how it got there, and how it goes to another. Owns the one life of
 * now, the socket that all lives share, and what is kept of them for the next start.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer } from "~/base/clock.ts";
import { messageOf, UserError } from "~/base/errors.ts";
import { Lane } from "~/base/lane.ts";
import { MeshAuthority, type SavedPapers } from "~/mesh/authority.ts";
import type { AskedModel } from "~/mesh/control.ts";
import {
  type BootstrapPeer,
  type Invite,
  type Role,
  roleOf,
  type Signed,
} from "~/mesh/credentials.ts";
import { type MeshId, type NodeId, shortId } from "~/mesh/ids.ts";
import type { Link, PeerStream } from "~/mesh/link_ports.ts";
import type { MemberEvent } from "~/mesh/membership_ports.ts";
import type { MeshMemory } from "~/mesh/mesh_memory.ts";
import type { Refusal } from "~/mesh/refusal.ts";
import type { Signer } from "~/mesh/signing.ts";
import { UnprovenGate } from "~/mesh/unproven.ts";
import { keptPeers } from "./kept_peers.ts";
import { MeshLife, type MeshLifeParts } from "./mesh_life.ts";
import { StandingInvite } from "./standing_invite.ts";
import { readTokens, type WayIn } from "./token_intake.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** How long a joiner waits for its first neighbour to tell who else is there. */
const SETTLE_MS = 1_000;
/** After so long alone it is no rejoining any more when somebody turns up. */
const REJOIN_MS = 60_000;
/** Changes come in bursts; a crash in between costs a few addresses. */
const SAVE_LATER_MS = 1_000;

/** Keeps the mesh for the next start; a throw-away node keeps nothing. */
export interface MeshStore {
  load(): Promise<MeshMemory | undefined>;
  save(mesh: MeshMemory): Promise<void>;
  clear(): Promise<void>;
  /** The mesh key of this home, if it began a mesh. */
  meshKey(): Promise<Signer | undefined>;
  /** The same, made when there is none. */
  ensureMeshKey(): Promise<Signer>;
}

/** What the mesh tells the node; must not throw. */
export interface MeshEvents {
  /** This node can invite for the first time in this mesh. */
  invite(token: string): void;
  joined(meshId: MeshId, peers: number): void;
  member(event: MemberEvent, node: NodeId): void;
  stream(link: Link, stream: PeerStream): void;
  /** Callers of a client that is linked with this member asked for models. */
  demand(client: NodeId, asked: readonly AskedModel[]): void;
  /** Peers, papers or addresses changed. */
  changed(): void;
  /** Another process runs with this node's key: this one has to end. */
  clash(): void;
}

/** What a runtime works with. */
export interface MeshRuntimeOptions
  extends Omit<MeshLifeParts, "authority" | "self" | "gate" | "events"> {
  readonly self: Omit<MeshLifeParts["self"], "role">;
  readonly isClient: boolean;
  readonly store: MeshStore;
  readonly events: MeshEvents;
}

/** What a join came to. */
export interface JoinResult {
  readonly meshId: MeshId;
  readonly peers: number;
}

interface Current {
  readonly life: MeshLife;
  readonly invite: StandingInvite;
  /** Peers that were kept last: members that are away for days leave no other trace. */
  kept: readonly BootstrapPeer[];
}

/** A life that is in its mesh, not yet taken up. */
interface Entry {
  readonly life: MeshLife;
  /** Peers that are known from before. */
  readonly before: readonly BootstrapPeer[];
}

/** The node's place in a mesh. */
export class MeshRuntime {
  readonly #options: MeshRuntimeOptions;
  readonly #gate = new UnprovenGate();
  readonly #lane = new Lane();
  readonly #saving = new Lane();
  readonly #accepting: Promise<void>;
  /** Lives that are about to end. */
  readonly #ending = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  #current: Current | undefined;
  #saveLater: CancelTimer | undefined;
  #closed: Promise<void> | undefined;
  /** What the store has, as text. */
  #saved = "";

  constructor(options: MeshRuntimeOptions) {
    this.#options = options;
    this.#accepting = this.#accept();
  }

  /** The life of now; undefined in no mesh. */
  get life(): MeshLife | undefined {
    return this.#current?.life;
  }

  /** The invite at hand; undefined when this node may not invite. */
  get invite(): Signed<Invite> | undefined {
    return this.#current?.invite.current;
  }

  /** UDP port of the links. */
  get port(): number {
    return this.#options.transport.port;
  }

  /**
   * Takes up the mesh of the last start, or begins one. When that fails the node is in no mesh, and `close` is still due.
   *
   * @returns true when there was one, so that somebody may be found in it
   * @throws {UserError} for a client without a mesh
   */
  resume(): Promise<boolean> {
    return this.#lane.run(async () => {
      this.#mustGoOn();
      const saved = await this.#options.store.load();
      const life = saved === undefined ? undefined : await this.#revive(saved);
      if (saved !== undefined && life !== undefined) {
        await this.#adopt({ life, before: saved.peers });
        life.seed(saved.peers);
        void this.#tellRejoined(life);
        return saved.peers.length > 0;
      }
      if (this.#options.isClient) {
        const why = saved === undefined
          ? "this home was in no mesh before"
          : "the papers of this home's last mesh do not hold any more";
        throw new UserError(`Cannot be a client: ${why}. Pass --join TOKEN`, { exitCode: 2 });
      }
      await this.#adopt({ life: await this.#found(), before: [] });
      return false;
    });
  }

  /**
   * Joins by the first of several tokens that works; leaves the mesh of before then.
   *
   * @param given gives it up
   * @throws {UserError} with one sentence, when none works
   */
  join(tokens: readonly string[], given?: AbortSignal): Promise<JoinResult> {
    return this.#lane.run(() => this.#join(tokens, given));
  }

  /** Tells the others of what changed here: models, memory, the engine. */
  changed(): void {
    this.#current?.life.voice.changed();
  }

  /** Tells it now, without gathering more; resolves when it was handed on. Never rejects. */
  speak(): Promise<void> {
    return this.#current?.life.voice.speak() ?? Promise.resolve();
  }

  /** Leaves, saves and closes the socket. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    // Ends a join that is under way; after it nothing else begins.
    this.#closing.abort();
    await this.#lane.run(async () => {
      await this.#save();
      await this.#current?.life.leave();
    });
    await Promise.all(this.#ending);
    await this.#options.transport.close();
    await this.#accepting;
  }

  /** Somebody of the mesh may be found at once, later, or never. */
  async #tellRejoined(life: MeshLife): Promise<void> {
    await life.session.settled(REJOIN_MS);
    const peers = life.session.members().length;
    if (peers === 0 || this.#current?.life !== life || this.#closing.signal.aborted) return;
    this.#options.events.joined(life.session.meshId, peers);
  }

  #mustGoOn(): void {
    if (this.#closing.signal.aborted) throw new UserError("Cannot join: this node is about to end");
  }

  async #join(tokens: readonly string[], given?: AbortSignal): Promise<JoinResult> {
    this.#mustGoOn();
    const saved = await this.#options.store.load();
    const ways = await this.#readTokens(tokens, saved?.meshId);
    const ended = new AbortController();
    const ends = [ended.signal, this.#closing.signal, ...(given === undefined ? [] : [given])];
    const signal = AbortSignal.any(ends);
    const tries = ways.map((way) => this.#enter(way, saved, signal));
    try {
      const entry = await Promise.any(tries);
      ended.abort();
      if (entry.life !== this.#current?.life) await this.#adopt(entry);
      const { session } = entry.life;
      entry.life.seed(entry.before);
      await session.settled(SETTLE_MS);
      const peers = session.members().length;
      this.#options.events.joined(session.meshId, peers);
      return { meshId: session.meshId, peers };
    } catch (error) {
      if (!(error instanceof AggregateError)) throw error;
      const messages = [...new Set(error.errors.map(messageOf))];
      throw new UserError(messages.join(". "), { cause: error });
    } finally {
      ended.abort();
      this.#endLater(this.#leaveOthers(tries));
    }
  }

  /** @throws {UserError} when no token can be used */
  async #readTokens(
    tokens: readonly string[],
    kept: MeshId | undefined,
  ): Promise<readonly WayIn[]> {
    const { verifier, clock } = this.#options;
    const { ways, problems } = await readTokens(tokens, { verifier, nowMs: clock.wallMs(), kept });
    if (ways.length === 0) throw new UserError(`Cannot join: ${problems.join(". ")}`);
    for (const message of problems) log.warn("A token cannot be used: {message}", { message });
    return ways;
  }

  /** A life in the mesh of `way`: that of now, that of the last start, or a new one by an invite. */
  async #enter(
    { meshId, invites, problem }: WayIn,
    saved: MeshMemory | undefined,
    signal: AbortSignal,
  ): Promise<Entry> {
    const kept = saved?.meshId === meshId ? saved : undefined;
    const before = [...invites.flatMap(({ paper }) => paper.peers), ...(kept?.peers ?? [])];
    const now = this.#current?.life;
    if (now?.session.meshId === meshId && !this.#isMoreThan(now, invites)) {
      return { life: now, before };
    }
    const revived = kept === undefined ? undefined : await this.#revive(kept);
    if (revived !== undefined && !this.#isMoreThan(revived, invites)) {
      return { life: revived, before };
    }
    await revived?.close("failed");
    const failures: unknown[] = [];
    for (const invite of invites) {
      const life = await this.#admitted(invite, kept?.papers, signal).catch((error) =>
        void failures.push(error)
      );
      if (life !== undefined) return { life, before };
    }
    throw failures[0] ?? new UserError(`Cannot join: ${problem}`);
  }

  /** Whether an invite would make a member of a node that may only ask so far. */
  #isMoreThan(life: MeshLife, invites: readonly Signed<Invite>[]): boolean {
    const rights = life.authority.certificate?.paper.rights ?? [];
    return !this.#options.isClient && roleOf(rights) === "client" &&
      invites.some(({ paper }) => roleOf(paper.rights) === "member");
  }

  /** A new life, let in by an invite. */
  async #admitted(
    invite: Signed<Invite>,
    known: SavedPapers | undefined,
    signal: AbortSignal,
  ): Promise<MeshLife> {
    const { meshId, rights } = invite.paper;
    const papers = known === undefined ? undefined : { ...known, certificate: undefined };
    const { authority } = await this.#authority(meshId, papers);
    const life = this.#makeLife(authority, this.#roleBy(roleOf(rights)));
    try {
      await life.join(invite, signal);
      return life;
    } catch (error) {
      await life.close("failed");
      throw error;
    }
  }

  /** Who was let in says goodbye, or it would be looked for. */
  async #leaveOthers(tries: readonly Promise<Entry>[]): Promise<void> {
    for (const result of await Promise.allSettled(tries)) {
      if (result.status !== "fulfilled" || result.value.life === this.#current?.life) continue;
      await result.value.life.leave();
    }
  }

  #endLater(ending: Promise<void>): void {
    const tracked = ending.catch(() => {}).finally(() => this.#ending.delete(tracked));
    this.#ending.add(tracked);
  }

  /** The mesh of before, when its papers still hold. */
  async #revive(saved: MeshMemory): Promise<MeshLife | undefined> {
    const { authority, problems } = await this.#authority(saved.meshId, saved.papers);
    for (const problem of problems) log.warn("{problem}", { problem });
    if (authority.isRenewalDue()) await authority.renewOwn();
    const { certificate } = authority;
    if (certificate === undefined) {
      log.warn("Cannot go back into mesh {mesh}: ask a member for a new invite token", {
        mesh: shortId(saved.meshId),
      });
      return undefined;
    }
    return this.#makeLife(authority, this.#roleBy(roleOf(certificate.paper.rights)));
  }

  /** A mesh of its own. */
  async #found(): Promise<MeshLife> {
    const meshKey = await this.#options.store.ensureMeshKey();
    const { authority } = await this.#authority(meshKey.id);
    await authority.renewOwn();
    return this.#makeLife(authority, "member");
  }

  async #authority(
    meshId: MeshId,
    papers?: SavedPapers,
  ): Promise<{ readonly authority: MeshAuthority; readonly problems: readonly string[] }> {
    const { signer, verifier, clock, secrets, isClosed, store } = this.#options;
    const key = await store.meshKey();
    const meshKey = key?.id === meshId ? key : undefined;
    return await MeshAuthority.open(
      { meshId, node: signer, meshKey, verifier, clock, secrets, isClosed },
      papers,
    );
  }

  #roleBy(allowed: Role): Role {
    if (this.#options.isClient) return "client";
    if (allowed === "client") {
      log.warn(
        "The invite lets this node ask, not serve: what it serves itself is for this machine only",
      );
    }
    return allowed;
  }

  #makeLife(authority: MeshAuthority, role: Role): MeshLife {
    const { events, self } = this.#options;
    const life: MeshLife = new MeshLife({
      ...this.#options,
      authority,
      self: { ...self, role },
      gate: this.#gate,
      events: {
        member: (event, node) => {
          if (this.#current?.life !== life) return;
          events.member(event, node);
          void this.#current.invite.refresh();
          // Killed within a second of it, this node would not know where to look for it.
          if (event === "joined") void this.#save();
          this.#saveSoon();
        },
        stream: events.stream,
        demand: events.demand,
        revoked: (node) => this.#onRevoked(life, node),
        changed: () => this.#onChanged(life),
        expelled: (why) => this.#onExpelled(life, why),
        looked: () => {
          if (this.#current?.life === life) void this.#current.invite.refresh();
        },
        clash: events.clash,
      },
    });
    return life;
  }

  async #adopt({ life, before }: Entry): Promise<void> {
    const { events, clock } = this.#options;
    const last = this.#current?.life;
    const invite = new StandingInvite(life, {
      nowUnixS: () => clock.wallMs() / 1000,
      onFirst: (token) => events.invite(token),
    });
    this.#current = { life, invite, kept: before };
    if (last !== undefined) this.#endLater(last.leave());
    await life.begin();
    // Those whom it met before anybody was told of this life.
    for (const { node } of life.session.members()) events.member("joined", node);
    await invite.refresh();
    await this.#save();
    events.changed();
  }

  #onChanged(life: MeshLife): void {
    if (this.#current?.life !== life || this.#closing.signal.aborted) return;
    void this.#current.invite.refresh();
    this.#options.events.changed();
    this.#saveSoon();
  }

  /** It would be looked for at each start. */
  #onRevoked(life: MeshLife, node: NodeId): void {
    if (this.#current?.life !== life) return;
    this.#current.kept = this.#current.kept.filter(({ nodeId }) => nodeId !== node);
    this.#saveSoon();
  }

  #saveSoon(): void {
    if (this.#closing.signal.aborted) return;
    this.#saveLater ??= this.#options.timers.after(SAVE_LATER_MS, () => {
      this.#saveLater = undefined;
      void this.#save();
    });
  }

  #onExpelled(life: MeshLife, why: Refusal): void {
    const isExpired = why.code === "expired";
    this.#endLater(life.close(isExpired ? "expired" : "revoked"));
    if (this.#current?.life !== life) return;
    log.error("This node is out of mesh {mesh}: {why}. It goes on alone", {
      mesh: shortId(life.session.meshId),
      why: why.message,
    });
    this.#current = undefined;
    // Who was late only is told so at the next start; the clock may be what is wrong.
    if (!isExpired) void this.#forget();
    this.#options.events.changed();
  }

  /** Never rejects. */
  #forget(): Promise<void> {
    return this.#saving.run(async () => {
      this.#saved = "";
      await this.#options.store.clear();
    }).catch((error) => {
      log.error("Cannot forget the mesh: {reason}", { reason: messageOf(error) });
    });
  }

  /** Never rejects: a full disk must not end a node that works. */
  #save(): Promise<void> {
    this.#saveLater?.();
    this.#saveLater = undefined;
    return this.#saving.run(async () => {
      if (this.#current === undefined) return;
      const { life: { session, authority }, kept: before } = this.#current;
      const { self, store, transport: { port } } = this.#options;
      const peers = keptPeers({
        members: session.members(),
        records: session.records(),
        before,
        self: self.nodeId,
        isRevoked: (node) => authority.isRevoked(node),
      });
      this.#current.kept = peers;
      try {
        const { meshId } = session;
        const memory = { meshId, papers: authority.papers(), port, peers };
        // Most of what happens changes nothing of it.
        const text = JSON.stringify(memory);
        if (text === this.#saved) return;
        await store.save(memory);
        this.#saved = text;
      } catch (error) {
        log.error("Cannot keep the mesh for the next start: {reason}", {
          reason: messageOf(error),
        });
      }
    });
  }

  async #accept(): Promise<void> {
    const { transport } = this.#options;
    for (let next = await transport.accept(); next !== undefined; next = await transport.accept()) {
      const table = this.#current?.life.session.table;
      if (table === undefined) next.close();
      else void table.accept(next);
    }
  }
}
