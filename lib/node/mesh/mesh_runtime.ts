/**
 * The mesh as the node has it: which one it is in, how it got there, and how it goes to another. Owns the one life of
 * now, the socket that all lives share, and what is kept of them for the next start.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer } from "~/base/clock.ts";
import { messageOf, UserError } from "~/base/errors.ts";
import { Lane } from "~/base/lane.ts";
import { MeshAuthority, type SavedPapers } from "~/mesh/authority.ts";
import { type Invite, type Role, roleOf, type Signed } from "~/mesh/credentials.ts";
import { type MeshId, type NodeId, shortId } from "~/mesh/ids.ts";
import type { Link, PeerStream } from "~/mesh/link_ports.ts";
import type { MemberEvent } from "~/mesh/membership_ports.ts";
import type { MeshMemory } from "~/mesh/mesh_memory.ts";
import { isRefusal } from "~/mesh/refusal.ts";
import type { Signer } from "~/mesh/signing.ts";
import { openInvite } from "~/mesh/trust.ts";
import { UnprovenGate } from "~/mesh/unproven.ts";
import { MeshLife, type MeshLifeParts } from "./mesh_life.ts";
import { StandingInvite } from "./standing_invite.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** How long a joiner waits for its first neighbour to tell who else is there. */
const SETTLE_MS = 1_000;
/** Changes come in bursts; a crash in between costs a few addresses. */
const SAVE_LATER_MS = 1_000;
/** Peers that are kept for the next start. */
const KEPT_PEERS_MAX = 16;

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
  readonly isClosed: boolean;
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
}

/** The node's place in a mesh. */
export class MeshRuntime {
  readonly #options: MeshRuntimeOptions;
  readonly #gate = new UnprovenGate();
  readonly #lane = new Lane();
  readonly #saving = new Lane();
  readonly #accepting: Promise<void>;
  #current: Current | undefined;
  #saveLater: CancelTimer | undefined;
  readonly #closing = new AbortController();

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
   * Takes up the mesh of the last start, or begins one.
   *
   * @returns true when there was one, so that somebody may be found in it
   * @throws {UserError} for a client without a mesh
   */
  resume(): Promise<boolean> {
    return this.#lane.run(async () => {
      const saved = await this.#options.store.load();
      const life = saved === undefined ? undefined : await this.#revive(saved);
      if (saved !== undefined && life !== undefined) {
        await this.#adopt(life);
        life.session.tell({ kind: "seeds", seeds: saved.peers });
        return saved.peers.length > 0;
      }
      if (this.#options.isClient) {
        throw new UserError(
          "Cannot be a client: this home was in no mesh before. Pass --join TOKEN",
          { exitCode: 2 },
        );
      }
      await this.#adopt(await this.#found());
      return false;
    });
  }

  /**
   * Joins by the first of several tokens that works; leaves the mesh of before then.
   *
   * @param signal gives the join up
   * @throws {UserError} with one sentence, when none works
   */
  join(tokens: readonly string[], signal?: AbortSignal): Promise<JoinResult> {
    return this.#lane.run(() => this.#join(tokens, signal));
  }

  /** Tells the others of what changed here: models, memory, the engine. */
  changed(): void {
    this.#current?.life.voice.changed();
  }

  /** Leaves, saves and closes the socket. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#save();
    await this.#current?.life.leave();
    await this.#options.transport.close();
    await this.#accepting;
  }

  async #join(tokens: readonly string[], wanted?: AbortSignal): Promise<JoinResult> {
    const invites = await this.#readTokens(tokens);
    const ended = new AbortController();
    const signal = AbortSignal.any([
      ended.signal,
      this.#closing.signal,
      ...(wanted === undefined ? [] : [wanted]),
    ]);
    const tries = invites.map((invite) => this.#tryInvite(invite, signal));
    try {
      const life = await Promise.any(tries);
      ended.abort();
      if (life !== this.#current?.life) await this.#adopt(life);
      await life.session.settled(SETTLE_MS);
      const peers = life.session.members().length;
      this.#options.events.joined(life.session.meshId, peers);
      return { meshId: life.session.meshId, peers };
    } catch (error) {
      if (!(error instanceof AggregateError)) throw error;
      const messages = [...new Set(error.errors.map(messageOf))];
      throw new UserError(messages.join(". "), { cause: error });
    } finally {
      ended.abort();
      void this.#closeOthers(tries);
    }
  }

  /** @throws {UserError} when no token can be used */
  async #readTokens(tokens: readonly string[]): Promise<readonly Signed<Invite>[]> {
    const { verifier, clock } = this.#options;
    const read = await Promise.all(
      tokens.map((token) => openInvite(token, { verifier, nowMs: clock.wallMs() })),
    );
    const good = read.flatMap((answer) => isRefusal(answer) ? [] : [answer]);
    const bad = read.flatMap((answer) => isRefusal(answer) ? [answer] : []);
    for (const { message } of good.length === 0 ? [] : bad) {
      log.warn("A token cannot be used: {message}", { message });
    }
    if (good.length > 0) return good;
    throw new UserError(`Cannot join: ${bad.map(({ message }) => message).join(". ")}`);
  }

  /** A life that is in by this invite: the one of now when it is in the same mesh already. */
  async #tryInvite(invite: Signed<Invite>, signal: AbortSignal): Promise<MeshLife> {
    const { meshId, rights, peers } = invite.paper;
    const now = this.#current?.life;
    if (now?.session.meshId === meshId) {
      now.session.tell({ kind: "seeds", seeds: peers });
      return now;
    }
    const saved = await this.#options.store.load();
    const kept = saved?.meshId === meshId ? await this.#revive(saved) : undefined;
    if (kept !== undefined) {
      kept.session.tell({ kind: "seeds", seeds: [...peers, ...(saved?.peers ?? [])] });
      return kept;
    }
    const { authority } = await this.#authority(meshId);
    const life = this.#makeLife(authority, this.#roleBy(roleOf(rights)));
    try {
      await life.join(invite, signal);
      return life;
    } catch (error) {
      await life.close("failed");
      throw error;
    }
  }

  async #closeOthers(tries: readonly Promise<MeshLife>[]): Promise<void> {
    for (const result of await Promise.allSettled(tries)) {
      if (result.status !== "fulfilled" || result.value === this.#current?.life) continue;
      await result.value.close("duplicate");
    }
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
        member: events.member,
        stream: events.stream,
        changed: () => this.#onChanged(life),
        expelled: (why) => this.#onExpelled(life, why),
        clash: events.clash,
      },
    });
    return life;
  }

  async #adopt(life: MeshLife): Promise<void> {
    const before = this.#current?.life;
    const invite = new StandingInvite(life, {
      nowUnixS: () => this.#options.clock.wallMs() / 1000,
      onFirst: (token) => this.#options.events.invite(token),
    });
    this.#current = { life, invite };
    await before?.leave();
    await life.begin();
    await invite.refresh();
    await this.#save();
  }

  #onChanged(life: MeshLife): void {
    if (this.#current?.life !== life || this.#closing.signal.aborted) return;
    void this.#current.invite.refresh();
    this.#options.events.changed();
    this.#saveLater ??= this.#options.timers.after(SAVE_LATER_MS, () => {
      this.#saveLater = undefined;
      void this.#save();
    });
  }

  #onExpelled(life: MeshLife, why: string): void {
    void life.close("revoked");
    if (this.#current?.life !== life) return;
    log.error("This node is out of mesh {mesh}: {why}. It goes on alone", {
      mesh: shortId(life.session.meshId),
      why,
    });
    this.#current = undefined;
    void this.#saving.run(() => this.#options.store.clear()).catch(() => {});
    this.#options.events.changed();
  }

  /** Never rejects: a full disk must not end a node that works. */
  #save(): Promise<void> {
    this.#saveLater?.();
    this.#saveLater = undefined;
    return this.#saving.run(async () => {
      const life = this.#current?.life;
      if (life === undefined) return;
      const peers = life.session.records().slice(0, KEPT_PEERS_MAX).map(({ record }) => ({
        nodeId: record.node,
        leafHash: record.leafHash,
        addresses: record.addresses,
      }));
      try {
        const { meshId } = life.session;
        const { session } = this.#options.self;
        await this.#options.store.save({
          meshId,
          papers: life.authority.papers(),
          session,
          peers,
        });
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
