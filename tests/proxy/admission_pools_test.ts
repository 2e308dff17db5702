import assert from "node:assert/strict";
import fc from "fast-check";
import { nowhere } from "#support/memory_upstream.ts";
import { VirtualTime } from "#support/virtual_time.ts";
import { AdmissionDesk } from "~/proxy/admission_desk.ts";
import { admit, type Admitted, poolOf } from "~/proxy/admission_pools.ts";
import { DoorError } from "~/proxy/errors.ts";
import type { Target } from "~/proxy/ports.ts";

const HERE: Target = { nodeId: "here", upstream: nowhere, slots: 1 };
const FAR: Target = { nodeId: "far", upstream: nowhere, slots: 2, isRemote: true };

function setup(queueMax = 4): {
  readonly desk: AdmissionDesk;
  readonly time: VirtualTime;
  readonly enter: (targets: readonly Target[], signal?: AbortSignal) => Promise<Admitted>;
} {
  const time = new VirtualTime();
  const limits = { queueMax, waitMsMax: 1_000 };
  const desk = new AdmissionDesk({ clock: time, timers: time, limits });
  const enter = (targets: readonly Target[], signal = new AbortController().signal) =>
    admit(desk, "m", { targets, signal });
  return { desk, time, enter };
}

Deno.test("admit() prefers this node, then others, and counts them apart", async () => {
  const { enter } = setup();
  const pools: string[] = [];
  for (let i = 0; i < 3; i += 1) pools.push((await enter([HERE, FAR])).pool);
  assert.deepEqual(pools, ["here", "elsewhere", "elsewhere"]);
  assert.deepEqual([poolOf(HERE), poolOf(FAR)], ["here", "elsewhere"]);
});

Deno.test("requests for other nodes do not make this node's wait", async () => {
  const { enter } = setup();
  for (let i = 0; i < 2; i += 1) await enter([FAR]);
  assert.equal((await enter([HERE])).pool, "here");
});

for (const pool of ["here", "elsewhere"] as const) {
  Deno.test(`who waits takes the first free slot, ${pool}, and leaves the other line`, async () => {
    const { desk, enter, time } = setup();
    const running = [];
    for (let i = 0; i < 3; i += 1) running.push(await enter([HERE, FAR]));
    const waiting = enter([HERE, FAR]);
    assert.equal(desk.waitingCount, 2);
    running.find((one) => one.pool === pool)?.ticket.release();
    const got = await waiting;
    assert.equal(got.pool, pool);
    assert.equal(desk.waitingCount, 0);
    assert.equal(time.pendingCount, 0);
  });
}

Deno.test("peers and clients wait in one line for this node, in order", async () => {
  const { enter } = setup();
  const first = await enter([HERE]);
  for (let i = 0; i < 2; i += 1) await enter([HERE, FAR]);
  const order: string[] = [];
  const enterAs = async (name: string, targets: readonly Target[]): Promise<Admitted> => {
    const got = await enter(targets);
    order.push(name);
    return got;
  };
  const client = enterAs("client", [HERE, FAR]);
  const peer = enterAs("peer", [HERE]);
  first.ticket.release();
  (await client).ticket.release();
  await peer;
  assert.deepEqual(order, ["client", "peer"]);
});

Deno.test("admit() refuses only when both lines are full, with the sooner time", async () => {
  const { enter, time } = setup(1);
  await enter([HERE, FAR]);
  time.advance(2_000);
  for (let i = 0; i < 2; i += 1) await enter([HERE, FAR]);
  const leave = new AbortController();
  const waiting = enter([HERE, FAR], leave.signal);
  const error = await enter([HERE, FAR]).then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof DoorError);
  assert.equal(error.code, "queue_full");
  // 5 s for each request, and what runs here has run for two of them.
  assert.equal(error.facts.retryAfterS, 3);
  leave.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
});

Deno.test("admit() waits in the line that has room when the other has none", async () => {
  const { enter } = setup(1);
  const running = [];
  for (let i = 0; i < 3; i += 1) running.push(await enter([HERE, FAR]));
  void enter([HERE]);
  const waiting = enter([HERE, FAR]);
  running.find((one) => one.pool === "elsewhere")?.ticket.release();
  assert.equal((await waiting).pool, "elsewhere");
});

Deno.test("no slot is lost or given twice, whoever comes and leaves", async () => {
  const steps = fc.array(
    fc.record({
      what: fc.constantFrom("client", "peer", "release", "leave"),
      which: fc.nat(9),
    }),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (list) => {
      const { desk, enter, time } = setup(8);
      const running: Admitted[] = [];
      const leaves = new Map<AbortController, Promise<void>>();
      const settle = () => new Promise((turned) => setTimeout(turned, 0));
      for (const { what, which } of list) {
        if (what === "client" || what === "peer") {
          const leave = new AbortController();
          const coming = enter(what === "peer" ? [HERE] : [HERE, FAR], leave.signal)
            .then((got) => void running.push(got), () => {})
            .finally(() => leaves.delete(leave));
          leaves.set(leave, coming);
        } else if (what === "release") running.splice(which, 1)[0]?.ticket.release();
        else [...leaves.keys()][which]?.abort(new Error("gone"));
        await settle();
        const here = running.filter(({ pool }) => pool === "here").length;
        assert.ok(here <= 1 && running.length - here <= 2, "more run than there are slots");
      }
      for (const leave of [...leaves.keys()]) leave.abort(new Error("gone"));
      for (const { ticket } of running) ticket.release();
      await settle();
      assert.equal(desk.waitingCount, 0);
      assert.equal(time.pendingCount, 0);
      const again = await Promise.all([enter([HERE]), enter([FAR]), enter([FAR])]);
      assert.equal(again.length, 3, "every slot is free again");
    }),
    { numRuns: 60 },
  );
});

Deno.test("admit() takes the preferred of two free pools, and the other when that is full", async () => {
  const { desk } = setup();
  const { signal } = new AbortController();
  const enter = () => admit(desk, "m", { targets: [HERE, FAR], signal, preferred: "elsewhere" });
  const pools: string[] = [];
  for (let i = 0; i < 3; i += 1) pools.push((await enter()).pool);
  assert.deepEqual(pools, ["elsewhere", "elsewhere", "here"]);
});

Deno.test("admit() lets the rest of an answer go first", async () => {
  const { desk, enter } = setup();
  const first = await enter([HERE]);
  const order: string[] = [];
  const late = enter([HERE]).then(({ ticket }) => (order.push("new"), ticket.release()));
  const { signal } = new AbortController();
  const rest = admit(desk, "m", { targets: [HERE], signal, isContinuation: true })
    .then(({ ticket }) => (order.push("rest"), ticket.release()));
  first.ticket.release();
  await Promise.all([late, rest]);
  assert.deepEqual(order, ["rest", "new"]);
});

Deno.test("admit() counts what one peer has in the queue, and nobody else's", async () => {
  const { desk, enter } = setup(2);
  const { signal } = new AbortController();
  const asPeer = (peer: string) => admit(desk, "m", { targets: [HERE], signal, peer });
  const first = await asPeer("greedy");
  const waiting = [asPeer("greedy")];
  await assert.rejects(asPeer("greedy"), DoorError);
  waiting.push(enter([HERE]));
  first.ticket.release();
  for (const one of waiting) (await one).ticket.release();
});
