import assert from "node:assert/strict";
import fc from "fast-check";
import { type AdmissionEffect, AdmissionMachine } from "~/proxy/admission.ts";

const LIMITS = { queueMax: 3, waitMsMax: 1_000 };

function machine(slots: number): AdmissionMachine {
  const made = new AdmissionMachine(LIMITS);
  made.handle({ kind: "slots", count: slots }, 0);
  return made;
}

function arrive(on: AdmissionMachine, id: number, nowMs = 0, peer?: string): AdmissionEffect[] {
  return on.handle({ kind: "arrive", id, peer }, nowMs);
}

Deno.test("AdmissionMachine starts a request at once while a slot is free", () => {
  const one = machine(2);
  assert.deepEqual(arrive(one, 1), [{ kind: "start", id: 1, waitedMs: 0 }]);
  assert.deepEqual(arrive(one, 2), [{ kind: "start", id: 2, waitedMs: 0 }]);
  assert.deepEqual(arrive(one, 3), []);
  assert.deepEqual([one.runningCount, one.waitingCount], [2, 1]);
});

Deno.test("AdmissionMachine hands a slot to the oldest waiter", () => {
  const one = machine(1);
  for (const id of [1, 2, 3]) arrive(one, id, id);
  assert.deepEqual(one.handle({ kind: "leave", id: 1 }, 10), [
    { kind: "start", id: 2, waitedMs: 8 },
  ]);
  assert.deepEqual(one.handle({ kind: "leave", id: 2 }, 20), [
    { kind: "start", id: 3, waitedMs: 17 },
  ]);
});

Deno.test("AdmissionMachine frees a slot once, however often a request leaves", () => {
  const one = machine(1);
  for (const id of [1, 2, 3]) arrive(one, id);
  assert.equal(one.handle({ kind: "leave", id: 1 }, 1).length, 1);
  assert.deepEqual(one.handle({ kind: "leave", id: 1 }, 2), []);
  assert.deepEqual(one.handle({ kind: "leave", id: 99 }, 2), []);
  assert.deepEqual([one.runningCount, one.waitingCount], [1, 1]);
});

Deno.test("AdmissionMachine forgets a waiter that leaves", () => {
  const one = machine(1);
  for (const id of [1, 2, 3]) arrive(one, id);
  assert.deepEqual(one.handle({ kind: "leave", id: 2 }, 1), []);
  assert.deepEqual(one.handle({ kind: "leave", id: 1 }, 2), [
    { kind: "start", id: 3, waitedMs: 2 },
  ]);
});

Deno.test("AdmissionMachine refuses beyond its queue, with a time from measured ones", () => {
  const one = machine(2);
  for (const id of [1, 2, 3, 4, 5]) arrive(one, id);
  // Nothing was measured: five seconds each, two at a time, and the third who waits is third in line.
  assert.deepEqual(arrive(one, 6), [{ kind: "refuse", id: 6, retryAfterS: 10, placesMax: 3 }]);
  one.handle({ kind: "leave", id: 1 }, 20_000);
  arrive(one, 7, 20_000);
  // Twenty seconds each: one slot is free in a moment, both in twenty seconds.
  assert.deepEqual(arrive(one, 8, 20_000), [{
    kind: "refuse",
    id: 8,
    retryAfterS: 20,
    placesMax: 3,
  }]);
  // Who has run for longer than that may take as long again.
  assert.deepEqual(arrive(one, 9, 25_000), [{
    kind: "refuse",
    id: 9,
    retryAfterS: 35,
    placesMax: 3,
  }]);
});

Deno.test("AdmissionMachine tells nobody to come back before a slot can be free: many slots began at once", () => {
  const one = machine(8);
  for (let id = 1; id <= 11; id += 1) arrive(one, id);
  // It was the share of one slot in the time of one request: 2 s, when the first of eight ends after 5.
  assert.deepEqual(arrive(one, 12), [{ kind: "refuse", id: 12, retryAfterS: 5, placesMax: 3 }]);
});

Deno.test("AdmissionMachine expires waiters at their time, and says when to look", () => {
  const one = machine(1);
  arrive(one, 1, 0);
  assert.equal(one.wakeAtMs, undefined);
  arrive(one, 2, 100);
  arrive(one, 3, 200);
  assert.equal(one.wakeAtMs, 1_100);
  assert.deepEqual(one.handle({ kind: "tick" }, 1_099), []);
  assert.deepEqual(one.handle({ kind: "tick" }, 1_100), [
    { kind: "expire", id: 2, waitedMs: 1_000 },
  ]);
  assert.equal(one.wakeAtMs, 1_200);
});

Deno.test("AdmissionMachine starts waiters when there are more slots, and stops none when fewer", () => {
  const one = machine(1);
  for (const id of [1, 2, 3]) arrive(one, id);
  assert.equal(one.handle({ kind: "slots", count: 3 }, 5).length, 2);
  assert.deepEqual(one.handle({ kind: "slots", count: 0 }, 6), []);
  assert.equal(one.runningCount, 3);
  arrive(one, 4, 7);
  assert.deepEqual(one.handle({ kind: "leave", id: 1 }, 8), []);
});

/** Half of three places, in whole ones. */
const SHARE = 1;

Deno.test("AdmissionMachine leaves places to others when one peer sends more than its share", () => {
  const one = machine(1);
  arrive(one, 1);
  assert.deepEqual(arrive(one, 2, 0, "greedy"), []);
  assert.deepEqual(arrive(one, 3, 0, "greedy"), [
    { kind: "refuse", id: 3, retryAfterS: 5, placesMax: SHARE },
  ]);
  assert.deepEqual(arrive(one, 4, 0, "other"), []);
  assert.deepEqual(arrive(one, 5), []);
  assert.equal(one.waitingCount, 3);
});

Deno.test("AdmissionMachine gives a peer its place back when it runs, leaves or has waited too long", () => {
  const one = machine(1);
  arrive(one, 1);
  arrive(one, 2, 0, "peer");
  one.handle({ kind: "leave", id: 1 }, 1);
  assert.deepEqual(arrive(one, 3, 1, "peer"), [], "number 2 runs and waits no more");
  one.handle({ kind: "leave", id: 3 }, 2);
  assert.deepEqual(arrive(one, 4, 2, "peer"), []);
  assert.deepEqual(one.handle({ kind: "tick" }, 1_002).map(({ kind }) => kind), ["expire"]);
  assert.deepEqual(arrive(one, 5, 1_002, "peer"), []);
});

Deno.test("AdmissionMachine lets a peer have every slot that nobody waits for", () => {
  const one = machine(4);
  for (const id of [1, 2, 3, 4]) assert.equal(arrive(one, id, 0, "peer")[0]?.kind, "start");
  assert.deepEqual(arrive(one, 5, 0, "peer"), []);
});

Deno.test("AdmissionMachine bounds a peer's share of the line for rests of answers too", () => {
  const one = machine(1);
  arrive(one, 1);
  const rest = (id: number, peer: string) =>
    one.handle({ kind: "arrive", id, isContinuation: true, peer }, 0);
  assert.deepEqual(rest(2, "greedy"), []);
  assert.equal(rest(3, "greedy")[0]?.kind, "refuse");
  assert.deepEqual(rest(4, "other"), []);
  // The two lines are apart.
  assert.deepEqual(arrive(one, 5, 0, "greedy"), []);
});

Deno.test("AdmissionMachine has a place for a peer in the shortest of queues", () => {
  const one = new AdmissionMachine({ queueMax: 1, waitMsMax: 1_000 });
  arrive(one, 1);
  assert.deepEqual(arrive(one, 2, 0, "peer"), []);
  assert.equal(arrive(one, 3, 0, "peer")[0]?.kind, "refuse");
});

const PEERS = [undefined, undefined, "greedy", "greedy", "other"] as const;

type Step =
  | { readonly kind: "arrive"; readonly peer: string | undefined }
  | { readonly kind: "leave"; readonly of: number }
  | { readonly kind: "slots"; readonly count: number }
  | { readonly kind: "wait"; readonly ms: number };

const STEPS = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant("arrive" as const),
        peer: fc.constantFrom(...PEERS),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("leave" as const), of: fc.nat(40) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("slots" as const), count: fc.nat(4) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(700) }) },
  ),
  { maxLength: 80 },
);

/** Replays steps and checks, after each, what must hold in every state. */
class Replay {
  readonly #limits = { ...LIMITS, queueMax: 4 };
  readonly #machine = new AdmissionMachine(this.#limits);
  readonly #running = new Set<number>();
  readonly #peers = new Map<number, string | undefined>();
  #waiting: number[] = [];
  #slots = 1;
  #lastId = 0;
  #nowMs = 0;

  step(step: Step): void {
    if (step.kind === "wait") {
      this.#nowMs += step.ms;
      this.#apply(this.#machine.handle({ kind: "tick" }, this.#nowMs));
    } else if (step.kind === "slots") {
      this.#slots = Math.max(1, step.count);
      this.#apply(this.#machine.handle(step, this.#nowMs));
    } else if (step.kind === "leave") {
      this.#running.delete(step.of);
      this.#waiting = this.#waiting.filter((id) => id !== step.of);
      this.#apply(this.#machine.handle({ kind: "leave", id: step.of }, this.#nowMs));
    } else {
      const id = ++this.#lastId;
      const mayWait = this.#hasPlaceFor(step.peer);
      const mayRun = this.#waiting.length === 0 && this.#running.size < this.#slots;
      this.#peers.set(id, step.peer);
      this.#waiting.push(id);
      const effects = this.#machine.handle({ ...step, id }, this.#nowMs);
      const isRefused = effects.some(({ kind }) => kind === "refuse");
      assert.equal(isRefused, !mayRun && !mayWait, "refused when there is no place, and only then");
      this.#apply(effects);
    }
    this.#check();
  }

  #heldBy(peer: string): number {
    return this.#waiting.filter((id) => this.#peers.get(id) === peer).length;
  }

  #hasPlaceFor(peer: string | undefined): boolean {
    const { queueMax } = this.#limits;
    if (this.#waiting.length >= queueMax) return false;
    return peer === undefined || this.#heldBy(peer) < queueMax / 2;
  }

  #apply(effects: readonly AdmissionEffect[]): void {
    for (const effect of effects) {
      assert.ok(this.#waiting.includes(effect.id), "only waiters start, fail or expire");
      if (effect.kind === "start") {
        assert.equal(this.#waiting[0], effect.id, "in the order of arrival");
        this.#running.add(effect.id);
        assert.ok(this.#running.size <= this.#slots, "never more than the slots");
      }
      this.#waiting = this.#waiting.filter((id) => id !== effect.id);
    }
  }

  #check(): void {
    assert.equal(this.#machine.runningCount, this.#running.size);
    assert.equal(this.#machine.waitingCount, this.#waiting.length);
    assert.ok(this.#waiting.length <= this.#limits.queueMax);
    for (const peer of ["greedy", "other"]) assert.ok(this.#heldBy(peer) <= 2, "half of four");
    assert.ok(this.#waiting.length === 0 || this.#running.size >= this.#slots);
  }
}

Deno.test("AdmissionMachine keeps its promises whatever happens", () => {
  fc.assert(
    fc.property(STEPS, (steps) => {
      const replay = new Replay();
      for (const step of steps) replay.step(step);
    }),
    { numRuns: 500 },
  );
});

Deno.test("AdmissionMachine lets the rest of an answer go before new requests, in a line of the same length", () => {
  const one = machine(1);
  for (const id of [1, 2, 3, 4]) arrive(one, id, id);
  const rest = (id: number) => one.handle({ kind: "arrive", id, isContinuation: true }, id);
  for (const id of [5, 6, 7]) assert.deepEqual(rest(id), []);
  assert.equal(rest(8)[0]?.kind, "refuse");
  assert.equal(one.waitingCount, 6);
  const order: number[] = [];
  for (let running = 1; one.runningCount > 0;) {
    const [next] = one.handle({ kind: "leave", id: running }, 10);
    if (next === undefined) break;
    order.push(running = next.id);
  }
  assert.deepEqual(order, [5, 6, 7, 2, 3, 4]);
});

Deno.test("AdmissionMachine expires the rest of an answer too, and says when", () => {
  const one = machine(1);
  arrive(one, 1, 0);
  one.handle({ kind: "arrive", id: 2, isContinuation: true }, 300);
  arrive(one, 3, 200);
  assert.equal(one.wakeAtMs, 1_200);
  assert.deepEqual(one.handle({ kind: "tick" }, 1_300).map(({ id }) => id), [2, 3]);
});
