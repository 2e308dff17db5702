import assert from "node:assert/strict";
import type { Link } from "~/mesh/link_ports.ts";
import type { Connection } from "~/mesh/transport.ts";
import { LinkTable } from "~/node/mesh/link_table.ts";
import { FakeConnection, FakeLink } from "#support/fake_link.ts";
import { VirtualTime } from "#support/virtual_time.ts";

/** A table whose connections turn into the links that the test puts up. */
class Bench {
  readonly time = new VirtualTime();
  readonly told: string[] = [];
  readonly dialled: string[] = [];
  readonly connections: FakeConnection[] = [];
  /** What the next handshakes come to. */
  readonly next: (Link | Error)[] = [];
  readonly revoked = new Set<string>();
  readonly table: LinkTable;

  constructor(self = "m") {
    this.table = new LinkTable({
      self,
      transport: {
        dial: (address) => {
          this.dialled.push(`${address.ip}:${address.port}`);
          const connection = new FakeConnection();
          this.connections.push(connection);
          return Promise.resolve(connection);
        },
      },
      maker: { dial: () => this.#make(), accept: () => this.#make() },
      isRevoked: (peer) => this.revoked.has(peer),
      timers: this.time,
      events: {
        up: (link) => this.told.push(`up ${link.peer.nodeId} ${link.peer.session}`),
        message: (link, { t }) => this.told.push(`message ${link.peer.nodeId} ${t}`),
        stream: (link) => this.told.push(`stream ${link.peer.nodeId}`),
        health: (link, health) => this.told.push(`${health} ${link.peer.nodeId}`),
        quiet: (link) => this.told.push(`quiet ${link.peer.nodeId}`),
        down: (link, end) => this.told.push(`down ${link.peer.nodeId} ${end.reason}`),
      },
    });
  }

  async accept(link: Link | Error): Promise<FakeConnection> {
    this.next.push(link);
    const connection = new FakeConnection();
    await this.table.accept(connection as Connection);
    return connection;
  }

  dial(link: Link | Error): Promise<Link> {
    this.next.push(link);
    return this.table.dial({ peer: "z", leafHash: "l", addresses: [{ ip: "192.0.2.7", port: 7 }] });
  }

  #make(): Promise<Link> {
    const made = this.next.shift();
    if (made === undefined) return Promise.reject(new Error("nothing was put up"));
    return made instanceof Error ? Promise.reject(made) : Promise.resolve(made);
  }
}

Deno.test("link table: a link that comes in is up, and its events are told", async () => {
  const bench = new Bench();
  const link = new FakeLink("p");
  await bench.accept(link);
  assert.equal(bench.table.get("p"), link);
  link.events?.message({ t: "renew" });
  link.events?.quiet();
  link.turn("suspect");
  link.lose();
  assert.deepEqual(bench.told, [
    "up p s",
    "message p renew",
    "quiet p",
    "suspect p",
    "down p lost",
  ]);
  assert.equal(bench.table.get("p"), undefined);
});

Deno.test("link table: a connection whose handshake fails is closed", async () => {
  const bench = new Bench();
  const connection = await bench.accept(new Error("wrong proof"));
  assert.equal(connection.isClosed, true);
  assert.deepEqual(bench.told, []);
});

Deno.test("link table: dialling gives the link, or says why not and closes the connection", async () => {
  const bench = new Bench();
  assert.equal((await bench.dial(new FakeLink("z"))).peer.nodeId, "z");
  await assert.rejects(bench.dial(new Error("full")), { message: "192.0.2.7:7: full" });
  assert.equal(bench.connections[1]?.isClosed, true);
});

Deno.test("link table: remembers whom it dialled, were it in vain", async () => {
  const bench = new Bench();
  await bench.accept(new FakeLink("p"));
  await assert.rejects(bench.dial(new Error("nobody there")));
  assert.deepEqual([bench.table.wasDialled("p"), bench.table.wasDialled("z")], [false, true]);
});

Deno.test("link table: of two dials at once the lower id's stays, and the other may end its requests", async () => {
  const bench = new Bench("m");
  const own = new FakeLink("z", { isDialer: true });
  const theirs = new FakeLink("z", { isDialer: false });
  await bench.accept(theirs);
  await bench.dial(own);
  assert.equal(bench.table.get("z"), own);
  assert.equal(theirs.closedFor, undefined);
  theirs.events?.message({ t: "renew" });
  bench.time.advance(10_000);
  assert.equal(theirs.closedFor, "duplicate");
  assert.deepEqual(bench.told, ["up z s", "up z s", "message z renew"]);
});

Deno.test("link table: the higher id's dial that comes second is put aside, and its requests are served", async () => {
  const bench = new Bench("zz");
  const theirs = new FakeLink("z", { isDialer: false });
  const own = new FakeLink("z", { isDialer: true });
  await bench.accept(theirs);
  await bench.dial(own);
  assert.equal(bench.table.get("z"), theirs);
  own.events?.quiet();
  own.turn("suspect");
  bench.time.advance(10_000);
  assert.equal(own.closedFor, "duplicate");
  assert.deepEqual(bench.told, ["up z s"]);
});

Deno.test("link table: a peer that was started anew replaces its old link at once", async () => {
  const bench = new Bench();
  const before = new FakeLink("p", { session: "old", isDialer: false });
  await bench.accept(before);
  await bench.accept(new FakeLink("p", { session: "new", isDialer: false }));
  assert.equal(before.closedFor, "replaced");
  assert.deepEqual(bench.told, ["up p old", "up p new"]);
});

Deno.test("link table: clients beyond the limit are told that there is no room; members are not", async () => {
  const bench = new Bench();
  for (let n = 0; n < 256; n++) await bench.accept(new FakeLink(`c${n}`, { role: "client" }));
  const late = new FakeLink("late", { role: "client" });
  await bench.accept(late);
  assert.equal(late.closedFor, "full");
  const member = new FakeLink("member");
  await bench.accept(member);
  assert.equal(bench.table.get("member"), member);
});

Deno.test("link table: closing ends all links, the replaced ones too, and refuses new ones", async () => {
  const bench = new Bench("m");
  const theirs = new FakeLink("z", { isDialer: false });
  const own = new FakeLink("z", { isDialer: true });
  await bench.accept(theirs);
  await bench.dial(own);
  await bench.table.close("leaving");
  assert.deepEqual([theirs.closedFor, own.closedFor], ["leaving", "leaving"]);
  const late = new FakeLink("late");
  await bench.accept(late);
  assert.equal(late.closedFor, "leaving");
  await assert.rejects(bench.dial(new FakeLink("z")), { message: /given up|no address/ });
});

Deno.test("link table: dropping a peer ends what leads to it", async () => {
  const bench = new Bench("m");
  const theirs = new FakeLink("z", { isDialer: false });
  const own = new FakeLink("z", { isDialer: true });
  await bench.accept(theirs);
  await bench.dial(own);
  bench.table.drop("z", "revoked");
  assert.deepEqual([theirs.closedFor, own.closedFor], ["revoked", "revoked"]);
});

Deno.test("link table: regression: a late dial that its dialer gave up does not take the good link with it", async () => {
  const bench = new Bench("m");
  const good = new FakeLink("z", { isDialer: false });
  const late = new FakeLink("z", { isDialer: false });
  await bench.accept(good);
  await bench.accept(late);
  late.lose();
  assert.equal(bench.table.get("z"), good);
  bench.time.advance(20_000);
  assert.equal(good.closedFor, undefined);
  assert.deepEqual(bench.told, ["up z s", "up z s", "up z s"]);
  good.lose();
  assert.equal(bench.told.at(-1), "down z lost");
});

Deno.test("link table: a replaced link of another process, or one that is not heard, does not come back", async () => {
  const bench = new Bench("m");
  const silent = new FakeLink("z", { isDialer: false });
  const second = new FakeLink("z", { isDialer: false });
  await bench.accept(silent);
  await bench.accept(second);
  silent.turn("suspect");
  second.lose();
  assert.equal(bench.table.get("z"), undefined);
  assert.equal(bench.told.at(-1), "down z lost");
});

Deno.test("link table: what is dropped is gone with all that it replaced", async () => {
  const bench = new Bench("m");
  await bench.accept(new FakeLink("z", { isDialer: false }));
  await bench.accept(new FakeLink("z", { isDialer: false }));
  bench.table.drop("z", "revoked");
  assert.equal(bench.table.get("z"), undefined);
  assert.deepEqual(bench.told.filter((text) => text.startsWith("down")), ["down z revoked"]);
});

Deno.test("link table: a peer that dials again and again has a few links at a time", async () => {
  const bench = new Bench("m");
  const links = Array.from({ length: 20 }, () => new FakeLink("z", { isDialer: false }));
  for (const link of links) await bench.accept(link);
  assert.equal(links.filter(({ closedFor }) => closedFor === undefined).length, 5);
  assert.equal(bench.table.get("z"), links.at(-1));
});

Deno.test("link table: regression: a link that ended before it began is told up, then down", async () => {
  const bench = new Bench();
  const link = new FakeLink("p");
  link.start = (events) => events.closed({ reason: "lost", byPeer: false });
  await bench.accept(link);
  assert.deepEqual(bench.told, ["up p s", "down p lost"]);
  assert.equal(bench.table.get("p"), undefined);
});

Deno.test("link table: regression: a dial whose link has no room fails", async () => {
  const bench = new Bench();
  for (let n = 0; n < 128; n++) await bench.accept(new FakeLink(`m${n}`));
  const link = new FakeLink("z");
  await assert.rejects(bench.dial(link), { message: /no use for another link \(full\)/ });
  assert.equal(link.closedFor, "full");
});

Deno.test("link table: a dial can be given up from outside", async () => {
  const bench = new Bench();
  const outside = new AbortController();
  outside.abort();
  const target = { peer: "z", leafHash: "l", addresses: [{ ip: "192.0.2.7", port: 7 }] };
  await assert.rejects(bench.table.dial(target, outside.signal), {
    message: /no address|given up/,
  });
  assert.deepEqual(bench.dialled, []);
});

Deno.test("link table: who was revoked is not dialled: not one packet is sent", async () => {
  const bench = new Bench();
  bench.revoked.add("z");
  await assert.rejects(bench.dial(new FakeLink("z")), {
    name: "RefusedError",
    message: "The node was revoked",
  });
  assert.deepEqual([bench.dialled, bench.table.wasDialled("z")], [[], false]);
});

Deno.test("link table: waits for peers to take their answers, not for ever", async () => {
  const bench = new Bench();
  const links = [new FakeLink("p"), new FakeLink("q")];
  for (const link of links) await bench.accept(link);
  await bench.table.answersTaken(2_000);
  assert.equal(bench.time.pendingCount, 0);
  links[1]!.taken = new Promise(() => {});
  const waiting = bench.table.answersTaken(2_000);
  bench.time.advance(2_000);
  await waiting;
});
