/** What the door promises to those who wait, on virtual time: the time to come back, and no wait beside a free host. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { SimulatedExchange } from "#support/simulated_exchange.ts";
import { TestDoor } from "#support/test_door.ts";
import { pass, TimedUpstream, turn } from "#support/timed_upstream.ts";

const CHAT = "/v1/chat/completions";
const BODY = { model: "tiny", messages: [{ role: "user", content: "go" }] };

function ask(door: TestDoor): Promise<Response> {
  return new SimulatedExchange().post(door, CHAT, BODY);
}

interface Crowd {
  readonly slots: number;
  readonly queueMax: number;
  readonly serviceMs: number;
  /** Part of the time in which a slot comes free that lies between two arrivals. */
  readonly hurry: number;
  /** Who is refused, and comes back. */
  readonly returning: number;
}

const CROWDS: fc.Arbitrary<Crowd> = fc.record({
  slots: fc.integer({ min: 1, max: 12 }),
  queueMax: fc.integer({ min: 1, max: 12 }),
  serviceMs: fc.oneof(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 1, max: 40_000 })),
  hurry: fc.constantFrom(0, 0.3, 0.9),
  returning: fc.integer({ min: 1, max: 12 }),
});

/** A door whose only host was measured, and then got more than it can take. */
async function crowded({ slots, queueMax, serviceMs, hurry }: Crowd) {
  const limits = { admission: { queueMax, waitMsMax: 100_000_000 } };
  const door = new TestDoor({ isEmpty: true, limits });
  const host = new TimedUpstream(door.time, { slots, serviceMs });
  door.table.serve("tiny", host, { slots });
  const first = ask(door);
  await pass(door.time, serviceMs);
  assert.equal((await first).status, 200);

  const admitted: Promise<Response>[] = [];
  for (;;) {
    let refused: Response | undefined;
    const asked = ask(door);
    void asked.then((response) => refused = response.status === 429 ? response : undefined);
    await turn();
    if (refused !== undefined) return { door, admitted, refused };
    admitted.push(asked);
    await pass(door.time, Math.floor((hurry * serviceMs) / slots));
  }
}

Deno.test("who comes back after the time that it was told is admitted", async () => {
  await fc.assert(fc.asyncProperty(CROWDS, async (crowd) => {
    const { door, admitted, refused } = await crowded(crowd);
    const others: Response[] = [];
    const count = Math.min(crowd.returning, crowd.queueMax);
    while (others.length + 1 < count) others.push(await ask(door));
    const told = [refused, ...others];
    assert.ok(told.every(({ status }) => status === 429));
    const returning = told.map(async (response) => {
      const waitS = Number(response.headers.get("retry-after"));
      assert.ok(Number.isInteger(waitS) && waitS >= 1, `${waitS} s`);
      // A moment later: what ends in the same moment has ended.
      await new Promise<void>((back) => door.time.after(waitS * 1_000 + 1, back));
      return await ask(door);
    });
    await pass(door.time, 2_000 * 1_000 + 30 * crowd.serviceMs);
    for (const response of await Promise.all([...returning, ...admitted])) {
      assert.equal(response.status, 200);
    }
  }));
});

/** What happens at one entry node, one after the other. */
type Step =
  | { readonly kind: "ask"; readonly count: number }
  | { readonly kind: "wait"; readonly ms: number };

const STEPS: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("ask" as const), count: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  ),
  { maxLength: 25 },
);

const HOST = fc.record({
  slots: fc.integer({ min: 1, max: 4 }),
  serviceMs: fc.integer({ min: 1, max: 9_000 }),
  isRemote: fc.boolean(),
});

/** Sees for how long a host is free while somebody waits. */
class Watch {
  readonly #hosts: readonly TimedUpstream[];
  readonly #freeSinceMs = new Map<TimedUpstream, number>();
  asked = 0;

  constructor(hosts: readonly TimedUpstream[]) {
    this.#hosts = hosts;
  }

  look(nowMs: number): void {
    const startedCount = this.#hosts.reduce((sum, { started }) => sum + started.length, 0);
    for (const host of this.#hosts) {
      if (host.freeCount <= 0 || startedCount === this.asked) this.#freeSinceMs.delete(host);
      else if (!this.#freeSinceMs.has(host)) this.#freeSinceMs.set(host, nowMs);
      const freeMs = nowMs - (this.#freeSinceMs.get(host) ?? nowMs);
      assert.ok(freeMs <= 1_000, `somebody waits beside a host that is free for ${freeMs} ms`);
    }
  }
}

Deno.test("nobody waits for more than a second while a replica is free", async () => {
  await fc.assert(fc.asyncProperty(HOST, HOST, STEPS, async (one, two, steps) => {
    const door = new TestDoor({ isEmpty: true });
    const hosts = [one, { ...two, isRemote: true }].map(({ isRemote, ...host }, i) => {
      const upstream = new TimedUpstream(door.time, host);
      const nodeId = `node-${i}`;
      const target = { nodeId, upstream, slots: host.slots, isRemote };
      if (i === 0) door.table.serve("tiny", upstream, { nodeId, slots: host.slots });
      door.table.targetsOf.set("tiny", [...door.table.targets("tiny").slice(0, i), target]);
      return upstream;
    });
    const watch = new Watch(hosts);
    const answers: Promise<Response>[] = [];
    const look = (): void => watch.look(door.time.nowMs());
    for (const step of steps) {
      if (step.kind === "wait") await pass(door.time, step.ms, look);
      else {
        for (let i = 0; i < step.count; i += 1) answers.push(ask(door));
        watch.asked += step.count;
        await turn();
        look();
      }
    }
    await pass(door.time, 9_000 * (answers.length + 1), look);
    assert.ok((await Promise.all(answers)).every(({ status }) => status === 200));
  }));
});
