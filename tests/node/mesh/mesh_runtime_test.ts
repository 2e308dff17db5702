import assert from "node:assert/strict";
import { roleOf } from "~/mesh/credentials.ts";
import { standInId, standInJws } from "#support/stand_in_signer.ts";
import { meshOf, RuntimeWorld } from "#support/runtime_mesh.ts";

Deno.test("runtime: a node begins a mesh and can invite", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  assert.equal(a.meshId, (await a.store.meshKey())?.id);
  assert.deepEqual(a.invites, [a.token]);
  assert.deepEqual(a.members, []);
  await world.end();
});

Deno.test("runtime: who joins by a token sees the others, and they see it", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const b = await world.joined("b", a);
  assert.deepEqual(b.joins, [`${a.meshId} 1`]);
  await world.agreed([a, b]);
  await world.run(1_000);
  const c = await world.joined("c", a);
  assert.deepEqual(c.joins, [`${a.meshId} 2`]);
  await world.agreed([a, b, c]);
  await world.until(() => b.linked.join() === [a.id, c.id].sort().join());
  await world.end();
});

Deno.test("runtime: five nodes that join at once all see each other, each linked with each", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const others = ["b", "c", "d", "e"].map((name) => world.start(name));
  await world.done(Promise.all(others.map(({ runtime }) => runtime.join([a.token]))));
  const all = [a, ...others];
  await world.agreed(all);
  await world.until(() => all.every(({ linked }) => linked.length === 4));
  await world.end();
});

Deno.test("runtime: who leaves says goodbye, and is gone at once", async () => {
  const { world, a, b, c } = await meshOf(["b", "c"]);
  await world.run(2_000);
  const closing = b.runtime.close();
  const tookMs = await world.agreed([a, c], 1_000);
  assert.ok(tookMs <= 100, `it took ${tookMs} ms`);
  await world.done(closing);
  assert.equal(a.seen(b).at(-1), "left");
  assert.ok(!a.seen(b).includes("suspect"));
  await world.run(60_000);
  await world.agreed([a, c], 0);
  await world.end();
});

Deno.test("runtime: who is killed is suspect after 2 s and gone within 5 s", async () => {
  const { world, a, b, c } = await meshOf(["b", "c"]);
  await world.run(2_000);
  b.kill();
  const suspectMs = await world.until(
    () => a.seen(b).at(-1) === "suspect" && c.seen(b).at(-1) === "suspect",
  );
  assert.ok(suspectMs >= 1_400 && suspectMs <= 2_500, `suspect after ${suspectMs} ms`);
  const goneMs = suspectMs + await world.agreed([a, c]);
  assert.ok(goneMs <= 5_000, `gone after ${goneMs} ms`);
  assert.equal(a.seen(b).at(-1), "gone");
  await world.end();
});

for (const where of ["the same port", "another port"] as const) {
  Deno.test(`runtime: a killed node that is started again on ${where} is back within 5 s, without a token`, async () => {
    const world = new RuntimeWorld();
    const a = await world.resumed("a");
    const b = await world.joined("b", a);
    const c = await world.joined("c", a);
    await world.agreed([a, b, c]);
    await world.run(3_000);
    b.kill();
    const again = b.again(where === "the same port" ? { port: b.transport.port } : {});
    assert.equal(await world.done(again.runtime.resume()), true);
    await world.agreed([a, again, c]);
    await world.until(() => again.linked.length === 2 && a.linked.length === 2);
    assert.equal(again.meshId, a.meshId);
    await world.run(30_000);
    await world.agreed([a, again, c], 0);
    await world.end();
  });
}

Deno.test("runtime: all that are started again find each other by what they kept", async () => {
  const { world, a, b, c } = await meshOf(["b", "c"]);
  await world.run(3_000);
  for (const node of [a, b, c]) node.kill();
  await world.run(60_000);
  // One has moved, and its old port leads nowhere.
  const again = [a.again(), b.again({ port: b.transport.port }), c.again()];
  for (const node of again) await world.done(node.runtime.resume());
  await world.agreed(again, 10_000);
  await world.end();
});

Deno.test("runtime: members that were away for days are still looked for after a restart", async () => {
  const { world, a, b } = await meshOf(["b"]);
  await world.run(3_000);
  await world.done(b.runtime.close());
  await world.run(3_000);
  // Nothing is left of b in a but what the file says; a is started twice without it.
  for (const _ of [1, 2]) {
    const last = world.nodes.findLast(({ name }) => name === "a");
    assert.ok(last !== undefined);
    await world.done(last.runtime.close());
    const again = last.again({ port: a.transport.port });
    await world.done(again.runtime.resume());
    await world.run(3_000);
  }
  const last = world.nodes.findLast(({ name }) => name === "a");
  assert.ok(last !== undefined);
  assert.deepEqual((await last.store.load())?.peers.map(({ nodeId }) => nodeId), [b.id]);
  await world.end();
});

Deno.test("runtime: to join a second mesh is to leave the first", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const x = await world.resumed("x");
  const b = await world.joined("b", a);
  await world.agreed([a, b]);
  await world.run(1_000);
  await world.done(b.runtime.join([x.token]));
  assert.equal(b.meshId, x.meshId);
  await world.agreed([x, b]);
  await world.agreed([a], 1_000);
  assert.equal(a.seen(b).at(-1), "left");
  assert.equal((await b.store.load())?.meshId, x.meshId);
  await world.run(60_000);
  assert.deepEqual(a.members, []);
  await world.end();
});

Deno.test("runtime: of several tokens the first that works wins, and the others' meshes are left", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const x = await world.resumed("x");
  const dead = await world.resumed("dead");
  const { token: deadToken } = dead;
  dead.kill();
  const b = world.start("b");
  await world.done(b.runtime.join([deadToken, a.token, x.token]));
  const winner = b.meshId === a.meshId ? a : x;
  const loser = winner === a ? x : a;
  assert.equal(b.meshId, winner.meshId);
  await world.agreed([winner, b]);
  await world.run(30_000);
  assert.deepEqual([loser.members, loser.linked], [[], []]);
  await world.end();
});

Deno.test("runtime: two tokens of one mesh make one member with steady links", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const b = await world.joined("b", a);
  await world.run(2_000);
  const c = world.start("c");
  await world.done(c.runtime.join([a.token, await b.invite("member")]));
  await world.agreed([a, b, c]);
  await world.run(30_000);
  assert.ok(!a.seen(c).includes("suspect"), `${a.seen(c)}`);
  assert.ok(!b.seen(c).includes("suspect"), `${b.seen(c)}`);
  await world.end();
});

Deno.test("runtime: a token that cannot be used gets one sentence that says why", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const expired = await a.invite("member", 60_000);
  const [body = "", payload = ""] = a.token.split(".");
  const changed = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
  const newer = standInJws(a.meshId ?? "", "mesh-llm-invite", { ...changed, v: 2 });
  const revoked = await a.invite("member");
  await world.done(a.life.flows.revoke({ serial: serialIn(revoked) }, false));
  world.sleptMs += 3_600_000;
  const b = world.start("b");
  const cases: readonly (readonly [string, RegExp])[] = [
    ["rubbish", /^Cannot join: The invite token is malformed, perhaps not copied whole$/],
    [`${body}.${payload}.AAAA`, /^Cannot join: The invite token is not signed by its mesh/],
    [newer, /^Cannot join: The invite token is of a version .* use a newer mesh-llm$/],
    [expired, /^Cannot join: The invite token expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC$/],
    [revoked, /^Cannot join: The invite token was revoked$/],
  ];
  for (const [token, message] of cases) {
    await assert.rejects(world.done(b.runtime.join([token])), { name: "UserError", message });
    assert.equal(b.runtime.life, undefined);
  }
  const { token } = a;
  a.kill();
  await assert.rejects(world.done(b.runtime.join([token])), {
    name: "UserError",
    message: /^Cannot join: cannot reach the one peer of the token \(.*no answer in 5000 ms.*\)$/,
  });
  await assert.rejects(world.done(b.runtime.join(["rubbish", "more"])), {
    message: "Cannot join: The invite token is malformed, perhaps not copied whole",
  });
  await world.end();
});

Deno.test("runtime: its own token leads a node nowhere, and it says so", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const { token } = a;
  await world.done(a.runtime.close());
  const same = world.start("a");
  await assert.rejects(world.done(same.runtime.join([token])), {
    message: "Cannot join: the token names only this node itself",
  });
  await world.end();
});

Deno.test("runtime: an expired token for the mesh that a home has papers of is no reason to stay outside", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const { token } = a;
  const b = await world.joined("b", a);
  await world.agreed([a, b]);
  await world.run(2_000);
  await world.done(b.runtime.close());
  world.sleptMs += 8 * 86_400_000;
  const again = b.again();
  await world.done(again.runtime.join([token]));
  await world.agreed([a, again]);
  const stranger = world.start("c");
  await assert.rejects(world.done(stranger.runtime.join([token])), { message: /expired/ });
  await world.end();
});

Deno.test("runtime: with --client a member's token makes a client, which is in nobody's list", async () => {
  const { world, a, b } = await meshOf(["b"]);
  await world.run(1_000);
  const c = await world.joined("c", a, { isClient: true });
  await world.until(() => c.members.length === 2);
  assert.equal(c.life.role, "client");
  assert.equal(c.runtime.invite, undefined);
  await world.run(10_000);
  assert.deepEqual([a.members, b.members], [[b.id], [a.id]]);
  assert.ok(a.life.session.clients().includes(c.id) || b.life.session.clients().includes(c.id));
  await world.end();
});

Deno.test("runtime: a client's token makes a client without --client, and a member's token makes more of it", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const c = world.start("c");
  await world.done(c.runtime.join([await a.invite("client")]));
  assert.equal(c.life.role, "client");
  await world.until(() => c.members.join() === a.id);
  await world.done(c.runtime.join([await a.invite("client")]));
  assert.equal(c.life.role, "client");
  await world.done(c.runtime.join([a.token]));
  assert.equal(c.life.role, "member");
  assert.equal(roleOf(c.life.authority.certificate?.paper.rights ?? []), "member");
  await world.agreed([a, c]);
  await world.run(30_000);
  await world.agreed([a, c], 0);
  assert.deepEqual(a.life.session.clients(), []);
  await world.end();
});

Deno.test("runtime: a client goes to another gateway when one dies", async () => {
  const { world, a, b, d } = await meshOf(["b", "d"]);
  await world.run(1_000);
  const c = await world.joined("c", a, { isClient: true });
  await world.until(() => c.members.length === 3 && c.linked.length >= 2);
  await world.run(10_000);
  const gateway = [a, b, d].find(({ id }) => c.linked.includes(id));
  gateway?.kill();
  await world.until(() => c.members.length === 2 && c.linked.length === 2, 20_000);
  await world.end();
});

Deno.test("runtime: a client without a mesh is told what to do, and its socket can be closed", async () => {
  const world = new RuntimeWorld();
  const c = world.start("c", { isClient: true });
  await assert.rejects(c.runtime.resume(), {
    message: "Cannot be a client: this home was in no mesh before. Pass --join TOKEN",
  });
  await world.done(c.runtime.close());
  assert.equal(world.network.at(c.transport.address), undefined);
  await world.end();
});

Deno.test("runtime: to be closed ends a join that is under way, and one that waits", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const { token } = a;
  a.kill();
  const b = world.start("b");
  const first = assert.rejects(b.runtime.join([token]), { message: /it was given up/ });
  const second = assert.rejects(b.runtime.join([token]), {
    message: "Cannot join: this node is about to end",
  });
  await world.run(300);
  const startMs = world.time.nowMs();
  await world.done(b.runtime.close());
  assert.ok(world.time.nowMs() - startMs <= 1_100);
  await first;
  await second;
  await assert.rejects(b.runtime.resume(), { message: /about to end/ });
  await world.end();
});

Deno.test("runtime: to be closed in the moment of joining leaves nobody behind who is looked for", async () => {
  for (const afterMs of [2, 5, 8, 12, 20]) {
    const world = new RuntimeWorld();
    const a = await world.resumed("a");
    const b = world.start("b");
    const joining = b.runtime.join([a.token]).catch(() => {});
    await world.run(afterMs);
    await world.done(b.runtime.close());
    await world.done(joining);
    await world.run(20_000);
    assert.deepEqual([a.members, a.linked], [[], []], `closed after ${afterMs} ms`);
    await world.end();
  }
});

Deno.test("runtime: a caller who leaves ends its join", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const { token } = a;
  a.kill();
  const b = await world.resumed("b");
  const before = b.meshId;
  const caller = new AbortController();
  const join = assert.rejects(b.runtime.join([token], caller.signal), { message: /given up/ });
  await world.run(300);
  caller.abort();
  await world.done(join, 1_200);
  assert.equal(b.meshId, before);
  await world.end();
});

Deno.test("runtime: a node without a link to it answers nobody of another mesh", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const x = await world.resumed("x");
  const forged = standInJws(standInId("mallory"), "mesh-llm-invite", { v: 1 });
  await assert.rejects(world.done(x.runtime.join([forged])), { message: /malformed/ });
  await assert.rejects(
    world.done(x.life.session.table.dial({
      peer: a.id,
      leafHash: a.transport.leafHash,
      addresses: [a.transport.address],
    })),
    { message: /in another mesh/ },
  );
  assert.deepEqual([a.linked, x.linked], [[], []]);
  await world.end();
});

function serialIn(token: string): string {
  const [, payload = ""] = token.split(".");
  return JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))).jti;
}

Deno.test("runtime: regression: a member that moved is kept where it is now, though no link came or went", async () => {
  const { world, a, b } = await meshOf(["b"]);
  await world.run(3_000);
  const advertised = { ip: "203.0.113.9", port: 7 };
  b.advertised.push(advertised);
  b.runtime.changed();
  await world.run(3_000);
  const kept = await a.store.load();
  assert.deepEqual(kept?.peers[0]?.addresses[0], advertised);
  const { saves } = a.store;
  for (const _ of [1, 2, 3]) {
    b.slot = { ...b.slot };
    b.runtime.changed();
    await world.run(2_000);
  }
  assert.equal(a.store.saves, saves, "what says the same is not written again");
  await world.end();
});
