import assert from "node:assert/strict";
import type { MeshEffect } from "~/mesh/membership_ports.ts";
import { addressOf, dialled, id, ids, recordOf, TestMember, told } from "#support/membership.ts";

const members = Array.from({ length: 12 }, (_, n) => n + 1);

/** A client that knows twelve members and dials. */
function startedClient(): { client: TestMember; first: readonly MeshEffect[] } {
  const client = new TestMember(0, { role: "client" });
  const first = client.records(undefined, ...members.map((n) => recordOf(n)));
  return { client, first };
}

/** Lets the dials among `effects` succeed; returns whom. */
function answer(client: TestMember, effects: readonly MeshEffect[]): number[] {
  const who = dialled(effects);
  for (const n of who) {
    client.link(n, { isDialer: true });
    client.give({ kind: "dialed", peer: id(n), outcome: "up" });
  }
  return [...who];
}

function closed(effects: readonly MeshEffect[]): number[] {
  return effects.flatMap((effect) => effect.kind === "close" ? [ids.indexOf(effect.peer)] : []);
}

Deno.test("a client without a gateway tries many at once and keeps the two nearest", () => {
  const { client, first } = startedClient();
  const up = answer(client, first);
  assert.equal(up.length, 8);
  up.forEach((n, index) => client.give({ kind: "rtt", peer: id(n), rttMs: 10 + index }));
  const gone = closed(client.pass(60_000));
  assert.deepEqual(gone, up.slice(2).reverse());
  assert.deepEqual(dialled(client.pass(600_000)), [], "two gateways are enough");
});

Deno.test("a client with one gateway looks for another", () => {
  const { client, first } = startedClient();
  const [one = 0, two = 0, ...rest] = answer(client, first);
  for (const n of rest) client.health(n, "closed");
  assert.deepEqual(dialled(client.pass(60_000)), []);
  const effects = client.health(one, "suspect");
  assert.equal(dialled(effects).length, 2);
  assert.ok(!dialled(effects).includes(two));
});

Deno.test("a client makes links of its own for what it has requests for, and keeps two of them later", () => {
  const { client, first } = startedClient();
  const up = answer(client, first);
  client.pass(60_000);
  const wanted = members.filter((n) => !up.includes(n)).slice(0, 3);
  for (const n of wanted) {
    assert.deepEqual(answer(client, client.give({ kind: "want_direct", peer: id(n) })), [n]);
    client.give({ kind: "rtt", peer: id(n), rttMs: n });
  }
  const spare = closed(client.pass(4 * 60_000));
  assert.equal(spare.length, 2, "the gateways are not needed beside them");
  assert.ok(!spare.some((n) => wanted.includes(n)));
  assert.deepEqual(closed(client.pass(2 * 60_000)), [Math.max(...wanted)]);
});

Deno.test("a client dials nobody who cannot be dialled, and no client dials a client", () => {
  const client = new TestMember(0, { role: "client" });
  const effects = client.records(undefined, recordOf(1, { dialable: "no" }), recordOf(2));
  assert.deepEqual(dialled(effects), [2]);
});

Deno.test("a client begins with the nodes of its invite", () => {
  const client = new TestMember(0, { role: "client" });
  const seed = { nodeId: id(1), addresses: [addressOf(1)], leafHash: id(1) };
  assert.deepEqual(dialled(client.give({ kind: "seeds", seeds: [seed] })), [1]);
  client.give({ kind: "dialed", peer: id(1), outcome: "failed" });
  assert.deepEqual(dialled(client.pass(2_100)), [1]);
});

Deno.test("regression: a client whose only gateway said goodbye finds it again when it comes back", () => {
  const client = new TestMember(0, { role: "client" });
  const seed = { nodeId: id(1), addresses: [addressOf(1)], leafHash: id(1) };
  answer(client, client.give({ kind: "seeds", seeds: [seed] }));
  client.records(1, recordOf(1));
  client.records(1, recordOf(1, { incarnation: 1001, isLeaving: true }));
  const effects = client.health(1, "closed");
  assert.deepEqual(dialled([...effects, ...client.pass(2_100)]), [1]);
  client.give({ kind: "dialed", peer: id(1), outcome: "failed" });
  assert.deepEqual(dialled(client.pass(2_100)), [1], "it tries on");
  client.meet(1, { incarnation: 1002, session: "session-new" });
  assert.deepEqual(client.here, [1]);
});

Deno.test("a client with a gateway leaves those alone that said goodbye", () => {
  const client = new TestMember(0, { role: "client" });
  client.meet(1);
  client.records(1, recordOf(2, { isLeaving: true }));
  assert.deepEqual(dialled(client.pass(120_000)), []);
});

Deno.test("a client that loses its gateways dials those again that it put off, within two seconds", () => {
  const { client, first } = startedClient();
  const up = answer(client, first);
  for (const n of up.slice(1)) client.health(n, "closed");
  for (let times = 0; times < 8; times += 1) {
    for (const n of dialled(client.pass(60_000))) {
      client.give({ kind: "dialed", peer: id(n), outcome: "failed" });
    }
  }
  const effects = [...client.health(up[0] ?? 0, "closed"), ...client.pass(2_100)];
  assert.ok(dialled(effects).length >= 4);
});

Deno.test("a client sees the members through its gateway, and says nothing of itself", () => {
  const client = new TestMember(0, { role: "client" });
  client.meet(1);
  client.records(1, recordOf(2));
  const effects = client.paths(1, [2]);
  assert.deepEqual(told(effects), ["joined 2"]);
  assert.deepEqual(client.here, [1, 2]);
  const sent = [...effects, ...client.pass(10_000)].flatMap((effect) =>
    effect.kind === "send" ? [effect.message.t] : []
  );
  assert.deepEqual(sent, []);
  const asked = client.say(1, { t: "want", nodes: [id(1), id(2)] });
  assert.deepEqual(asked, []);
});
