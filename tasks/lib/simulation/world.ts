/** A mesh on a simulated network, and the question whether all agree on who is in it. */
import type { PeerAddress } from "~/mesh/address.ts";
import type { BootstrapPeer, Role } from "~/mesh/credentials.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { MemberEvent } from "~/mesh/membership_ports.ts";
import type { SignedRecord } from "~/mesh/record.ts";
import { Chance } from "./chance.ts";
import { EventQueue } from "./event_queue.ts";
import { type Host, type Nat, Network } from "./network.ts";
import { type Identity, SimProcess, simulatedId, type Surroundings } from "./process.ts";

/** Between two looks at whether all agree. */
const LOOK_MS = 100;
/** A member may be given up so long after it could not be reached: links are noticed late, and so are repairs. */
const EXCUSE_MS = 7_000;

/** How many of what. */
export interface WorldPlan {
  readonly seed: number;
  readonly members: number;
  readonly clients: number;
  /** Share of members behind a NAT that can be punched, and behind one that cannot. */
  readonly cone: number;
  readonly symmetric: number;
}

/** A node that exists, running or not. */
export interface SimNode {
  readonly number: number;
  readonly identity: Identity;
  process: SimProcess;
  saved: readonly SignedRecord[];
  isRevoked: boolean;
}

/** The world. */
export class World {
  readonly plan: WorldPlan;
  readonly queue = new EventQueue();
  readonly chance: Chance;
  readonly network: Network;
  readonly nodes: SimNode[] = [];
  /** Nodes that were given up while they could be reached. */
  readonly falseDeaths: string[] = [];
  readonly #around: Surroundings;
  readonly #hosts = new Map<string, Host>();
  /** Moments at which it changed who can be reached, with who could be reached before. */
  #past: { readonly untilMs: number; readonly key: ReadonlyMap<NodeId, string> }[] = [];
  #starts = 0;

  constructor(plan: WorldPlan) {
    this.plan = plan;
    this.chance = new Chance(plan.seed);
    this.network = new Network(this.queue, this.chance, {
      delayMs: [2, 50],
      jitter: 0.2,
      loss: 0.001,
    });
    this.#around = {
      queue: this.queue,
      chance: this.chance,
      network: this.network,
      signed: new Map(),
      hostAt: ({ ip }) => this.#hosts.get(ip),
      onMember: (process, event, node) => this.#onMember(process, event, node),
    };
  }

  /** A node that is not there yet; it starts at once, through `via` when it is given. */
  add(role: Role, via: SimNode | undefined): SimNode {
    const number = this.nodes.length;
    const host: Host = {
      name: `host-${number}`,
      nat: this.#natOf(role, number),
      side: 0,
      port: 4000,
    };
    const ip = `10.0.${number >> 8}.${number & 255}`;
    this.#hosts.set(ip, host);
    const address: PeerAddress = { ip, port: host.port };
    const identity = { node: simulatedId(number), role, host, address };
    const process = this.#run(identity, [], via === undefined ? [] : [seedOf(via)]);
    const node: SimNode = { number, identity, process, saved: [], isRevoked: false };
    this.nodes.push(node);
    return node;
  }

  #natOf(role: Role, number: number): Nat {
    if (role === "client") return "cone";
    const share = ((number * 7) % 32) / 32;
    if (number < 2 || share >= this.plan.cone + this.plan.symmetric) return "open";
    return share < this.plan.cone ? "cone" : "symmetric";
  }

  #run(
    identity: Identity,
    records: readonly SignedRecord[],
    seeds: readonly BootstrapPeer[],
  ): SimProcess {
    this.#remember();
    this.#starts += 1;
    const process = new SimProcess(identity, this.#starts, this.#around);
    process.start(records, seeds);
    return process;
  }

  kill(node: SimNode): void {
    this.#remember();
    node.saved = node.process.machine.records();
    node.process.kill();
  }

  leave(node: SimNode): void {
    this.#remember();
    node.saved = node.process.machine.records();
    node.process.leave();
  }

  /** Starts a node anew with what it had on disk, on the same port or another. */
  restart(node: SimNode, isOtherPort: boolean): void {
    const { host } = node.identity;
    if (isOtherPort) host.port += 1;
    const address = { ip: node.identity.address.ip, port: host.port };
    node.process = this.#run({ ...node.identity, address }, node.saved, []);
  }

  revoke(by: SimNode, node: SimNode): void {
    this.#remember();
    node.isRevoked = true;
    by.process.revoke(node.identity.node);
  }

  /** Puts each node on a side. */
  partition(sideOf: (node: SimNode) => number): void {
    this.#remember();
    for (const node of this.nodes) node.identity.host.side = sideOf(node);
    this.network.redraw();
  }

  /** Members that run and belong here. */
  members(): SimNode[] {
    return this.nodes.filter((node) => node.identity.role === "member" && this.isIn(node));
  }

  isIn({ process, isRevoked }: SimNode): boolean {
    return process.isAlive && !process.isLeaving && !isRevoked;
  }

  /** Which nodes can be reached from each other now: the same text on both. */
  #key(node: SimNode): string {
    return this.isIn(node) ? `${node.identity.host.side}` : `off ${node.number}`;
  }

  #remember(): void {
    const key = new Map(this.nodes.map((node) => [node.identity.node, this.#key(node)]));
    this.#past.push({ untilMs: this.queue.nowMs, key });
    this.#past = this.#past.filter(({ untilMs }) => untilMs >= this.queue.nowMs - EXCUSE_MS);
  }

  #onMember(process: SimProcess, event: MemberEvent, node: NodeId): void {
    if (event !== "gone" && event !== "left") return;
    const here = this.nodes.find((one) => one.process === process);
    const there = this.nodes.find((one) => one.identity.node === node);
    if (here === undefined || there === undefined || !this.isIn(here)) return;
    if (this.#key(here) !== this.#key(there)) return;
    const wasApart = this.#past.some(({ untilMs, key }) =>
      untilMs >= this.queue.nowMs - EXCUSE_MS && key.get(here.identity.node) !== key.get(node)
    );
    if (wasApart) return;
    const atS = (this.queue.nowMs / 1000).toFixed(2);
    this.falseDeaths.push(`at ${atS} s node ${here.number} said "${event}" of ${there.number}`);
  }

  /** The first disagreement that is found; undefined when all agree with the truth. */
  disagreement(): string | undefined {
    const members = this.members();
    for (const node of this.nodes) {
      if (!this.isIn(node)) continue;
      const wrong = this.#mistake(node, members);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }

  #mistake(node: SimNode, members: readonly SimNode[]): string | undefined {
    const { seen } = node.process;
    const side = this.#key(node);
    let right = 0;
    for (const other of members) {
      if (other === node || this.#key(other) !== side) continue;
      const incarnation = seen.get(other.identity.node);
      if (incarnation === undefined) return `node ${node.number} does not see ${other.number}`;
      if (incarnation !== other.process.incarnation) {
        return `node ${node.number} has an old record of ${other.number}`;
      }
      right += 1;
    }
    if (seen.size === right) return undefined;
    const ghost = this.nodes.find((other) =>
      seen.has(other.identity.node) && this.#key(other) !== side
    );
    return `node ${node.number} still sees ${ghost?.number}`;
  }

  /**
   * Lets `limitMs` pass; the milliseconds after which all agreed and went on to agree, or the disagreement that
   * was left.
   */
  agree(limitMs: number): number | string {
    const startMs = this.queue.nowMs;
    let tookMs = 0;
    let left = this.disagreement();
    while (this.queue.nowMs - startMs < limitMs) {
      this.pass(LOOK_MS);
      if (left !== undefined) tookMs = this.queue.nowMs - startMs;
      left = this.disagreement();
    }
    const odd = this.nodes.find((node) => this.isIn(node) && !node.process.isConsistent);
    if (odd !== undefined) return `node ${odd.number} knows something else than its events told`;
    return left ?? tookMs;
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.queue.runUntil(this.queue.nowMs + ms);
  }
}

/** What an invite says of a node. */
function seedOf({ process }: SimNode): BootstrapPeer {
  const { node, address } = process.identity;
  return { nodeId: node, addresses: [address], leafHash: node };
}
