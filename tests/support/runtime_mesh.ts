/** Whole nodes of a mesh in one process: real runtimes and links, a network in memory, virtual time. */
import assert from "node:assert/strict";
import type { Clock } from "~/base/clock.ts";
import type { PeerAddress } from "~/mesh/address.ts";
import type { AskedModel } from "~/mesh/control.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { Link, PeerStream } from "~/mesh/link_ports.ts";
import type { MemberEvent } from "~/mesh/membership_ports.ts";
import { decodeMemory, encodeMemory, type MeshMemory } from "~/mesh/mesh_memory.ts";
import type { Signer } from "~/mesh/signing.ts";
import type { LocalFacts, MeshLife } from "~/node/mesh/mesh_life.ts";
import { MeshRuntime, type MeshStore } from "~/node/mesh/mesh_runtime.ts";
import type { SlotState } from "~/node/model_slot.ts";
import { MemoryNetwork, type MemoryTransport } from "./memory_transport.ts";
import { CountedSecrets } from "./paper_mesh.ts";
import { standInId, standInSigner, standInVerifier } from "./stand_in_signer.ts";
import { VirtualTime } from "./virtual_time.ts";

/** One way on the network, in milliseconds. */
const DELAY_MS = 1;

/** A home: what is written into it is read back as text, as from a file. */
export class MemoryStore implements MeshStore {
  text: string | undefined;
  key: Signer | undefined;
  /** The process that wrote it was killed. */
  isFrozen = false;
  saves = 0;

  load(): Promise<MeshMemory | undefined> {
    return Promise.resolve(this.text === undefined ? undefined : decodeMemory(this.text));
  }

  save(memory: MeshMemory): Promise<void> {
    this.saves += 1;
    if (!this.isFrozen) this.text = encodeMemory(memory);
    return Promise.resolve();
  }

  clear(): Promise<void> {
    if (!this.isFrozen) this.text = undefined;
    return Promise.resolve();
  }

  meshKey(): Promise<Signer | undefined> {
    return Promise.resolve(this.key);
  }

  ensureMeshKey(): Promise<Signer> {
    this.key ??= standInSigner(standInId(`mesh key ${this.#id}`));
    return Promise.resolve(this.key);
  }

  readonly #id: string;

  constructor(id: string) {
    this.#id = id;
  }

  /** What a process finds that is started anew. */
  reopened(): MemoryStore {
    const store = new MemoryStore(this.#id);
    store.text = this.text;
    store.key = this.key;
    return store;
  }
}

/** How a node is started. */
export interface RunOptions {
  readonly isClient?: boolean;
  readonly isClosed?: boolean;
  readonly store?: MemoryStore;
  readonly ip?: string;
  readonly port?: number;
  readonly advertised?: readonly PeerAddress[];
  /** What its machine says its addresses are. @default {the one that it has on the network} */
  readonly interfaces?: readonly string[];
  /** Another name with the same key. */
  readonly key?: string;
  readonly stream?: (link: Link, stream: PeerStream) => void;
}

/** Everything that runs. */
export class RuntimeWorld {
  readonly time = new VirtualTime();
  readonly network: MemoryNetwork;
  readonly secrets = new CountedSecrets();
  readonly nodes: RunningNode[] = [];
  /** Wall clocks went on while nobody ran: a machine slept. */
  sleptMs = 0;
  #sessions = 0;

  readonly clock: Clock = {
    nowMs: () => this.time.nowMs(),
    wallMs: () => this.time.wallMs() + this.sleptMs,
  };

  /** Chance of all nodes, between 0 and 1. */
  readonly rng: () => number;

  /** @param options.delayMs one way on the network. @default {1} */
  constructor(
    { delayMs = () => DELAY_MS, rng = () => 0.5 }: {
      readonly delayMs?: () => number;
      readonly rng?: () => number;
    } = {},
  ) {
    this.rng = rng;
    this.network = new MemoryNetwork({ timers: this.time, delayMs });
  }

  /** Starts a node; it is in no mesh yet. */
  start(name: string, options: RunOptions = {}): RunningNode {
    this.#sessions += 1;
    const node = new RunningNode(this, { name, session: `session-${this.#sessions}`, options });
    this.nodes.push(node);
    return node;
  }

  /** Starts a node that begins a mesh, or takes up its own. */
  async resumed(name: string, options: RunOptions = {}): Promise<RunningNode> {
    const node = this.start(name, options);
    await this.done(node.runtime.resume());
    return node;
  }

  /** Starts a node that joins by the token of another. */
  async joined(name: string, by: RunningNode, options: RunOptions = {}): Promise<RunningNode> {
    const node = this.start(name, options);
    await this.done(node.runtime.join([by.token]));
    return node;
  }

  /** Lets so much time pass. */
  async run(forMs: number): Promise<void> {
    const untilMs = this.time.nowMs() + forMs;
    for (;;) {
      await turn();
      const nextMs = this.time.nextMs;
      if (nextMs === undefined || nextMs > untilMs) break;
      this.time.advance(nextMs - this.time.nowMs());
    }
    this.time.advance(untilMs - this.time.nowMs());
    await turn();
  }

  /** Lets time pass until something is so; returns how much, in milliseconds. */
  async until(isSo: () => boolean, limitMs = 10_000): Promise<number> {
    const startMs = this.time.nowMs();
    for (await turn(); !isSo(); await turn()) {
      const nextMs = this.time.nextMs;
      const isLate = nextMs === undefined || nextMs > startMs + limitMs;
      assert.ok(!isLate, `It did not come about in ${limitMs} ms: ${isSo}`);
      this.time.advance(nextMs - this.time.nowMs());
    }
    return this.time.nowMs() - startMs;
  }

  /** Lets time pass until a promise is settled, and gives what it came to. */
  async done<T>(promise: Promise<T>, limitMs = 30_000): Promise<T> {
    let isOver = false;
    const over = (): void => void (isOver = true);
    promise.then(over, over);
    await this.until(() => isOver, limitMs);
    return await promise;
  }

  /** Lets time pass until all of these see each other, and nobody else. */
  async agreed(nodes: readonly RunningNode[], limitMs = 5_000): Promise<number> {
    const all = nodes.map(({ id }) => id).sort();
    return await this.until(
      () =>
        nodes.every(({ id, members }) =>
          members.join() === all.filter((other) => other !== id).join()
        ),
      limitMs,
    );
  }

  /** Ends everybody; no timer may be left. */
  async end(): Promise<void> {
    await this.done(Promise.all(this.nodes.map(({ runtime }) => runtime.close())));
    await this.run(20_000);
    assert.equal(this.time.pendingCount, 0, "timers are left");
  }
}

/**
 * A mesh that `a` began and those with these names joined by its token, one after another; all see each other.
 *
 * @param options how `a` is started
 */
export async function meshOf<Name extends string>(
  names: readonly Name[],
  options: RunOptions = {},
): Promise<Record<"a" | Name, RunningNode> & { readonly world: RuntimeWorld }> {
  const world = new RuntimeWorld();
  const a = await world.resumed("a", options);
  const all: Partial<Record<string, RunningNode>> = { a };
  for (const name of names) all[name] = await world.joined(name, a);
  await world.agreed(world.nodes);
  return { ...all as Record<"a" | Name, RunningNode>, world };
}

/** A node that was started. */
export class RunningNode {
  readonly name: string;
  readonly session: string;
  readonly id: NodeId;
  readonly ip: string;
  readonly store: MemoryStore;
  /** May be changed while it runs. */
  readonly advertised: PeerAddress[];
  readonly transport: MemoryTransport;
  readonly runtime: MeshRuntime;
  /** Tokens that it printed. */
  readonly invites: string[] = [];
  readonly joins: string[] = [];
  /** "event name", oldest first. */
  readonly events: (readonly [MemberEvent, NodeId])[] = [];
  /** What its clients said that was asked for at them. */
  readonly demand: (readonly [NodeId, readonly AskedModel[]])[] = [];
  clashes = 0;
  changes = 0;
  /** What it serves. */
  slot: SlotState = { kind: "empty" };
  readonly #world: RuntimeWorld;

  constructor(
    world: RuntimeWorld,
    { name, session, options }: {
      readonly name: string;
      readonly session: string;
      readonly options: RunOptions;
    },
  ) {
    this.#world = world;
    this.name = name;
    this.session = session;
    this.id = standInId(options.key ?? name);
    this.store = options.store ?? new MemoryStore(name);
    this.advertised = [...options.advertised ?? []];
    this.ip = options.ip ?? `10.0.0.${world.nodes.length + 1}`;
    const leafHash = standInId(`leaf of ${options.key ?? name}`);
    this.transport = world.network.open(this.ip, leafHash, options.port);
    this.runtime = new MeshRuntime({
      self: { nodeId: this.id, session, version: "0.1.0" },
      signer: standInSigner(this.id),
      verifier: standInVerifier,
      transport: this.transport,
      secrets: world.secrets,
      rng: { next: world.rng },
      clock: world.clock,
      timers: world.time,
      advertised: this.advertised,
      interfaces: () => options.interfaces ?? [this.ip],
      facts: () => this.#facts(),
      isClient: options.isClient ?? false,
      isClosed: options.isClosed ?? false,
      store: this.store,
      events: {
        invite: (token) => this.invites.push(token),
        joined: (meshId, peers) => this.joins.push(`${meshId} ${peers}`),
        member: (event, node) => this.events.push([event, node]),
        demand: (client, asked) => this.demand.push([client, asked]),
        stream: options.stream ?? ((_, stream) => stream.cancel()),
        changed: () => void (this.changes += 1),
        clash: () => void (this.clashes += 1),
      },
    });
  }

  /** Its life in a mesh; fails when there is none. */
  get life(): MeshLife {
    const { life } = this.runtime;
    assert.ok(life !== undefined, `${this.name} is in no mesh`);
    return life;
  }

  get meshId(): string | undefined {
    return this.runtime.life?.session.meshId;
  }

  /** The invite at hand; fails when there is none. */
  get token(): string {
    const { invite } = this.runtime;
    assert.ok(invite !== undefined, `${this.name} may not invite`);
    return invite.jws;
  }

  /** Ids of the members that it sees. */
  get members(): string[] {
    return this.runtime.life?.session.members().map(({ node }) => node) ?? [];
  }

  /** Ids of those with a link. */
  get linked(): string[] {
    const links = this.runtime.life?.session.table.all() ?? [];
    return links.map(({ peer }) => peer.nodeId).sort();
  }

  /** What it saw of another, oldest first. */
  seen(other: RunningNode): MemberEvent[] {
    return this.events.filter(([, node]) => node === other.id).map(([event]) => event);
  }

  /** A token with some rights. */
  async invite(role: "member" | "client", expiresInMs?: number): Promise<string> {
    const rights = role === "client" ? ["request"] as const : this.life.authority.certificate?.paper
      .rights ?? [];
    return (await this.life.makeInvite(rights, expiresInMs)).jws;
  }

  /** Ends it as a signal does that cannot be caught. */
  kill(): void {
    this.transport.die();
    this.store.isFrozen = true;
    void this.runtime.close();
  }

  /** Starts it anew with what its home has. */
  again(options: RunOptions = {}): RunningNode {
    const { store, ip } = this;
    return this.#world.start(this.name, { store: store.reopened(), ip, ...options });
  }

  #facts(): LocalFacts {
    return { engine: undefined, offeredBytes: 0, models: [], slot: this.slot, election: undefined };
  }
}

/** Everything that hangs on promises only comes to rest. */
async function turn(): Promise<void> {
  await new Promise((turned) => setImmediate(turned));
}
