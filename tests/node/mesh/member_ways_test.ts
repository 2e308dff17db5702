import assert from "node:assert/strict";
import type { Link, PeerStream } from "~/mesh/link_ports.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { NodeRecord } from "~/mesh/record.ts";
import { MemberWays } from "~/node/mesh/member_ways.ts";
import { MeshRouting } from "~/node/mesh_routing.ts";
import { createOpenAiApp } from "~/proxy/app.ts";
import { PeerDoor } from "~/proxy/peer_door.ts";
import { FakeLink } from "#support/fake_link.ts";
import { memoryDoor } from "#support/managed_node.ts";
import { MemoryUpstream } from "#support/memory_upstream.ts";
import { type RunningNode, RuntimeWorld } from "#support/runtime_mesh.ts";
import { TestTable } from "#support/test_door.ts";
import type { Silence } from "~/proxy/patience.ts";

/** A node with a door for its own clients, and one for peers. */
class DoorNode {
  readonly engine = new MemoryUpstream();
  readonly own = new TestTable();
  readonly misuses: string[] = [];
  readonly app: ReturnType<typeof createOpenAiApp>;
  readonly #peers: PeerDoor;
  readonly #name: string;
  #node: RunningNode | undefined;
  #lastId = 0;

  constructor(world: RuntimeWorld, name: string) {
    const { time } = world;
    this.#name = name;
    this.app = createOpenAiApp({
      rng: { next: () => 0 },
      nodeId: name,
      table: new MeshRouting({
        local: this.own,
        remotes: () => this.#node?.runtime.life?.ways.remotes() ?? [],
        known: () => undefined,
      }),
      localTable: this.own,
      policy: { hosts: "loopback" },
      keys: undefined,
      clock: time,
      timers: time,
      newRequestId: () => `${name}-${++this.#lastId}`,
      observe: () => {},
      metrics: () => Promise.resolve({ contentType: "text/plain", text: "" }),
    });
    this.#peers = new PeerDoor({
      // Which node it is decides only what it passes on.
      get nodeId(): string {
        return node().id;
      },
      fetch: (request, env) => this.app.fetch(request, env),
      wayTo: (peer) => node().runtime.life?.ways.wayTo(peer),
      misused: (_, what) => this.misuses.push(what),
      timers: time,
    });
    const node = (): RunningNode => {
      assert.ok(this.#node !== undefined);
      return this.#node;
    };
  }

  readonly stream = (link: Link, stream: PeerStream): void => {
    const { nodeId, certificate } = link.peer;
    void this.#peers.serve(stream, { nodeId, rights: certificate.paper.rights });
  };

  at(node: RunningNode): this {
    this.#node = node;
    return this;
  }

  /** Begins to serve a model of its own. */
  serve(id: string): void {
    this.own.serve(id, this.engine, { nodeId: this.#name });
    if (this.#node === undefined) return;
    this.#node.slot = {
      kind: "ready",
      sinceUnixS: 1_700_000_000,
      model: {
        id,
        path: `/models/${id}.gguf`,
        sizeBytes: 1_000,
        contextTokens: 4_096,
        slots: 4,
        meta: {},
      },
    };
    this.#node.runtime.changed();
  }

  async ask(model: string, signal?: AbortSignal): Promise<{ status: number; text: string }> {
    const body = JSON.stringify({ model, prompt: "hi" });
    const response = await this.app.fetch(
      new Request("http://localhost:9337/v1/completions", {
        method: "POST",
        headers: { host: "localhost:9337", "content-type": "application/json" },
      }),
      memoryDoor({
        parts: [body],
        declaredBytes: body.length,
        ...(signal === undefined ? {} : { clientGone: signal }),
      }),
    );
    return { status: response.status, text: await response.text() };
  }
}

/** Nodes with doors, all linked; the last one serves "tiny". */
async function meshWithDoors(
  names: readonly string[],
): Promise<{ world: RuntimeWorld; nodes: RunningNode[]; doors: DoorNode[] }> {
  const world = new RuntimeWorld();
  const doors = names.map((name) => new DoorNode(world, name));
  const nodes: RunningNode[] = [];
  for (const [n, name] of names.entries()) {
    const options = { stream: doors[n]?.stream ?? (() => {}) };
    const first = nodes[0];
    const node = first === undefined
      ? await world.resumed(name, options)
      : await world.joined(name, first, options);
    doors[n]?.at(node);
    nodes.push(node);
  }
  await world.agreed(nodes);
  await world.until(() => nodes.every(({ linked }) => linked.length === names.length - 1));
  doors.at(-1)?.serve("tiny");
  await world.run(2_000);
  return { world, nodes, doors };
}

const ANSWER = { whole: new TextEncoder().encode('{"ok":true}') };

Deno.test("ways: a request for a model of another node is answered by it, over their link", async () => {
  const { world, nodes: [, b], doors: [near, far] } = await meshWithDoors(["a", "b"]);
  assert.ok(near !== undefined && far !== undefined && b !== undefined);
  const seen = far.engine.script(ANSWER);
  const answer = await world.done(near.ask("tiny"));
  assert.deepEqual(answer, { status: 200, text: '{"ok":true}' });
  assert.equal((await seen).path, "/v1/completions");
  assert.deepEqual([near.misuses, far.misuses], [[], []]);
  await world.end();
});

Deno.test("ways: a client asks through its gateways, and whoever it has requests for gets a link of its own", async () => {
  const { world, nodes: [a, , c], doors: [, , far] } = await meshWithDoors(["a", "b", "c"]);
  assert.ok(a !== undefined && c !== undefined && far !== undefined);
  const door = new DoorNode(world, "client");
  const client = await world.joined("client", a, { isClient: true, stream: door.stream });
  door.at(client);
  await world.until(() => door.app !== undefined && client.members.length === 3);
  await world.run(10_000);
  void far.engine.script(ANSWER);
  assert.equal((await world.done(door.ask("tiny"))).status, 200);
  await world.until(() => client.linked.includes(c.id));
  void far.engine.script(ANSWER);
  assert.equal((await world.done(door.ask("tiny"))).status, 200);
  await world.end();
});

Deno.test("ways: two that are cut off from each other ask through a third", async () => {
  const { world, nodes, doors: [near, , far] } = await meshWithDoors(["a", "b", "c"]);
  const [a, b, c] = nodes;
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  assert.ok(near !== undefined && far !== undefined);
  world.network.cut(a.ip, c.ip);
  await world.until(() => !a.linked.includes(c.id) && !c.linked.includes(a.id), 20_000);
  void far.engine.script(ANSWER);
  const answer = await world.done(near.ask("tiny"));
  assert.deepEqual(answer, { status: 200, text: '{"ok":true}' });
  const view = a.life.session.member(c.id);
  assert.equal(view === undefined ? undefined : a.life.ways.relayOf(view), b.id);
  world.network.heal();
  await world.end();
});

Deno.test("ways: a host that dies before it answered is an error in time, not a hang", async () => {
  const { world, nodes: [, b], doors: [near, far] } = await meshWithDoors(["a", "b"]);
  assert.ok(near !== undefined && far !== undefined && b !== undefined);
  void far.engine.script({ isSilent: true });
  const asking = near.ask("tiny");
  await world.run(100);
  b.kill();
  const { status } = await world.done(asking, 20_000);
  assert.ok(status >= 500, `${status}`);
  await world.until(() => near.app !== undefined && b.transport !== undefined);
  const again = await world.done(near.ask("tiny"), 1_000);
  assert.equal(again.status, 503);
  await world.end();
});

Deno.test("ways: a request whose host is suspect goes to another one that serves the same", async () => {
  const { world, nodes, doors } = await meshWithDoors(["a", "b", "c"]);
  const [near, other, far] = doors;
  const [a, , c] = nodes;
  assert.ok(near !== undefined && other !== undefined && far !== undefined);
  assert.ok(a !== undefined && c !== undefined);
  world.network.cut(a.ip, c.ip);
  far.engine.script({ isSilent: true });
  other.serve("tiny");
  void other.engine.script(ANSWER);
  await world.run(500);
  const answer = await world.done(near.ask("tiny"), 6_000);
  assert.equal(answer.status, 200);
  world.network.heal();
  await world.end();
});

Deno.test("ways: a caller who leaves ends the computation at the far node", async () => {
  const { world, doors: [near, far] } = await meshWithDoors(["a", "b"]);
  assert.ok(near !== undefined && far !== undefined);
  const seen = far.engine.script({ isSilent: true });
  const caller = new AbortController();
  const asking = near.ask("tiny", caller.signal).catch(() => {});
  await world.run(100);
  const { cancelled } = await world.done(seen);
  caller.abort();
  await world.done(cancelled, 2_000);
  await world.done(asking);
  await world.end();
});

const RECORD = { serving: [{ id: "tiny" }], loading: [] } as unknown as NodeRecord;

function view(changes: Partial<MemberView>): MemberView {
  return {
    node: "far",
    record: { jws: "", record: RECORD, certificate: new FakeLink("far").peer.certificate },
    health: "live",
    isDirect: false,
    isPunched: false,
    via: [],
    ...changes,
  };
}

/** Links with round trips that the test sets. */
class Rtts {
  readonly of = new Map<string, number>();
  members: MemberView[] = [];
  readonly wanted: string[] = [];
  readonly links = new Map<string, FakeLink>();
  readonly ways = new MemberWays({
    members: () => this.members,
    link: (peer) => {
      const link = this.links.get(peer) ?? new FakeLink(peer);
      this.links.set(peer, link);
      return Object.assign(link, { rttMs: this.of.get(peer) });
    },
    wantDirect: (peer) => this.wanted.push(peer),
  });

  /** The way of now, after something was heard of the members. */
  upstream(): unknown {
    this.members = [...this.members];
    return this.ways.remotes()[0]?.upstream;
  }
}

Deno.test("ways: regression: a jitter of round trips does not change who passes on", () => {
  const rtts = new Rtts();
  rtts.members = [view({ via: ["one", "two"] })];
  rtts.of.set("one", 5).set("two", 6);
  const first = rtts.upstream();
  assert.equal(rtts.ways.relayOf(view({ via: ["one", "two"] })), "one");
  rtts.of.set("one", 7);
  assert.equal(rtts.upstream(), first);
  rtts.of.set("one", 50);
  assert.notEqual(rtts.upstream(), first, "who is much nearer takes over");
  rtts.of.set("two", 0.1).set("one", 0.04);
  assert.equal(rtts.ways.relayOf(view({ via: ["one", "two"] })), "two");
  rtts.members = [view({ via: ["one"] })];
  rtts.upstream();
  assert.equal(rtts.ways.relayOf(view({ via: ["one"] })), "one", "who leads there no more is out");
});

Deno.test("ways: nobody is looked for again until the members change, but for the round trip", () => {
  const rtts = new Rtts();
  rtts.members = [view({ isDirect: true })];
  rtts.of.set("far", 5);
  const hosts = rtts.ways.remotes();
  assert.equal(hosts[0]?.rttMs, 5);
  rtts.of.set("far", 7);
  assert.equal(rtts.ways.remotes(), hosts);
  assert.equal(hosts[0]?.rttMs, 7);
  rtts.members = [view({ isDirect: true, health: "suspect" })];
  assert.equal(rtts.ways.remotes()[0]?.isSuspect, true);
});

Deno.test("ways: who serves nothing, or cannot be reached, is no way", () => {
  const rtts = new Rtts();
  const idle = { ...RECORD, serving: [] };
  const { record } = view({});
  rtts.members = [
    view({ via: [] }),
    view({ node: "idle", isDirect: true, record: { ...record, record: idle } }),
  ];
  assert.deepEqual(rtts.ways.remotes(), []);
  assert.equal(rtts.ways.relayOf(view({ isDirect: true, via: ["one"] })), undefined);
});

Deno.test("ways: requests are passed on over live links only, and hear when one is not", () => {
  const rtts = new Rtts();
  const way = rtts.ways.wayTo("far");
  assert.ok(way !== undefined);
  let heard = 0;
  const end = way.onSilence(() => heard += 1);
  rtts.ways.onHealth("far", "live");
  assert.equal(heard, 0);
  rtts.ways.onHealth("far", "suspect");
  assert.equal(heard, 1);
  end();
  rtts.ways.onHealth("far", "closed");
  assert.equal(heard, 1);
  rtts.links.get("far")?.turn("suspect");
  assert.equal(rtts.ways.wayTo("far"), undefined);
  way.onSilence(() => heard += 1);
  assert.equal(heard, 2, "a link that is suspect already says so at once");
  const silences: Silence[] = [];
  way.onSilence((silence) => silences.push(silence));
  rtts.ways.onQuiet("far");
  rtts.ways.onQuiet("other");
  rtts.ways.onHealth("far", "silent");
  rtts.links.get("far")?.turn("silent");
  way.onSilence((silence) => silences.push(silence));
  assert.deepEqual(silences, ["suspect", "quiet", "silent", "silent"]);
});
