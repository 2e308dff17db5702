import assert from "node:assert/strict";
import fc from "fast-check";
import type { NodeEvent, NumberedEvent } from "~/api/ports.ts";
import { EventHub, requestEvent } from "~/node/events.ts";

const event = (n: number): NodeEvent => ({ kind: "model", data: { n } });
const ids = (events: readonly NumberedEvent[]): number[] => events.map(({ id }) => id);

Deno.test("EventHub.publish() numbers events from the first id upwards and tells all listeners", () => {
  const hub = new EventHub({ firstId: 1000 });
  const seen: NumberedEvent[] = [];
  hub.subscribe((told) => seen.push(told));
  hub.subscribe((told) => seen.push(told));
  assert.equal(hub.lastId, 999);
  assert.deepEqual(hub.publish(event(1)), { id: 1000, kind: "model", data: { n: 1 } });
  hub.publish(event(2));
  assert.deepEqual(ids(seen), [1000, 1000, 1001, 1001]);
  assert.equal(hub.lastId, 1001);
});

Deno.test("EventHub.subscribe() tells only what comes when no id is given", () => {
  const hub = new EventHub({ firstId: 1 });
  hub.publish(event(1));
  const seen: NumberedEvent[] = [];
  hub.subscribe((told) => seen.push(told));
  assert.deepEqual(seen, []);
  hub.publish(event(2));
  assert.deepEqual(ids(seen), [2]);
});

Deno.test("EventHub.subscribe() ends with the returned function, for that subscription only", () => {
  const hub = new EventHub({ firstId: 1 });
  const seen: NumberedEvent[] = [];
  const listener = (told: NumberedEvent): void => void seen.push(told);
  const stop = hub.subscribe(listener);
  hub.subscribe(listener);
  assert.equal(hub.listenerCount, 2);
  stop();
  stop();
  assert.equal(hub.listenerCount, 1);
  hub.publish(event(1));
  assert.deepEqual(ids(seen), [1]);
});

Deno.test.each(
  [
    { afterId: 0, expected: [3, 4, 5] },
    { afterId: 3, expected: [4, 5] },
    { afterId: 5, expected: [] },
    { afterId: 9, expected: [] },
  ],
)("EventHub.subscribe() replays what is kept after id $afterId", ({ afterId, expected }) => {
  const hub = new EventHub({ firstId: 1, replayMax: 3 });
  for (let n = 1; n <= 5; n++) hub.publish(event(n));
  const seen: NumberedEvent[] = [];
  hub.subscribe((told) => seen.push(told), { afterId });
  assert.deepEqual(ids(seen), expected);
});

Deno.test("EventHub.publish() goes on when a listener throws, in replay too", () => {
  const hub = new EventHub({ firstId: 1 });
  const seen: NumberedEvent[] = [];
  const broken = (): never => {
    throw new Error("broken listener");
  };
  hub.subscribe(broken);
  hub.subscribe((told) => seen.push(told));
  hub.publish(event(1));
  hub.subscribe(broken, { afterId: 0 });
  hub.publish(event(2));
  assert.deepEqual(ids(seen), [1, 2]);
});

Deno.test("EventHub.publish() does not tell a listener that another one just ended", () => {
  const hub = new EventHub({ firstId: 1 });
  const seen: NumberedEvent[] = [];
  let stopSecond = (): void => {};
  hub.subscribe(() => stopSecond());
  stopSecond = hub.subscribe((told) => seen.push(told));
  hub.publish(event(1));
  assert.deepEqual(seen, []);
});

Deno.test("EventHub keeps nothing at replay length 0", () => {
  const hub = new EventHub({ firstId: 1, replayMax: 0 });
  hub.publish(event(1));
  const seen: NumberedEvent[] = [];
  hub.subscribe((told) => seen.push(told), { afterId: 0 });
  assert.deepEqual(seen, []);
});

Deno.test("EventHub refuses a first id or length that is no whole number", () => {
  for (const firstId of [0, -1, 1.5, Number.NaN, 2 ** 60]) {
    assert.throws(() => new EventHub({ firstId }), /Broken invariant/);
  }
  assert.throws(() => new EventHub({ firstId: 1, replayMax: -1 }), /Broken invariant/);
});

Deno.test("EventHub: whenever a follower leaves and returns, it misses nothing that is kept", () => {
  const steps = fc.array(fc.constantFrom("publish", "leave", "return"), { maxLength: 200 });
  fc.assert(fc.property(steps, fc.integer({ min: 1, max: 20 }), (script, replayMax) => {
    const hub = new EventHub({ firstId: 100, replayMax });
    const seen: number[] = [];
    let stop: (() => void) | undefined = hub.subscribe(({ id }) => seen.push(id));
    for (const step of script) {
      if (step === "publish") hub.publish(event(0));
      if (step === "leave") stop = void stop?.();
      if (step !== "return" || stop !== undefined) continue;
      const afterId = seen.at(-1) ?? 99;
      const missed = hub.lastId - afterId;
      const before = seen.length;
      stop = hub.subscribe(({ id }) => seen.push(id), { afterId });
      assert.equal(seen.length - before, Math.min(missed, replayMax));
    }
    assert.ok(seen.every((id, i) => i === 0 || id > (seen[i - 1] ?? 0)), "ids grow");
  }));
});

Deno.test("requestEvent() names what the live view shows, with null for what is not known", () => {
  const told = requestEvent({
    kind: "finished",
    requestId: "r1",
    endpoint: "/v1/completions",
    outcome: "refused",
    status: 404,
    code: "model_not_found",
    durationMs: 1.5,
    queuedMs: 0,
    requestBytes: 10,
    responseBytes: 20,
  }, 1_700_000_000_000);
  assert.deepEqual(told, {
    kind: "request",
    data: {
      "at_unix_ms": 1_700_000_000_000,
      "request_id": "r1",
      "endpoint": "/v1/completions",
      "model": null,
      "node_id": null,
      "outcome": "refused",
      "status": 404,
      "code": "model_not_found",
      "duration_ms": 1.5,
      "queued_ms": 0,
      "first_byte_ms": null,
      "request_bytes": 10,
      "response_bytes": 20,
    },
  });
});
