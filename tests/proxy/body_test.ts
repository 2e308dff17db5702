import assert from "node:assert/strict";
import fc from "fast-check";
import type { BodySink, IncomingBody } from "~/base/http_door.ts";
import { type BodyLimits, type BodyReading, ByteBudget, readBody } from "~/proxy/body.ts";
import { DoorError, type ErrorCode } from "~/proxy/errors.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const LIMITS: BodyLimits = {
  sizeBytesMax: 1_000,
  graceMs: 10_000,
  bytesPerSecondMin: 100,
  silenceMs: 5_000,
  totalMs: 600_000,
};

class HandBody implements IncomingBody {
  readonly declaredBytes: number | undefined;
  sink: BodySink | undefined;
  isStopped = false;

  constructor(declaredBytes?: number) {
    this.declaredBytes = declaredBytes;
  }

  read(sink: BodySink): () => void {
    this.sink = sink;
    return () => {
      this.isStopped = true;
    };
  }
}

interface Setup {
  readonly body: HandBody;
  readonly time: VirtualTime;
  readonly budget: ByteBudget;
  readonly reading: BodyReading;
  readonly inspected: Uint8Array[];
}

function setup(
  options: { declaredBytes?: number; limits?: BodyLimits; budget?: number } = {},
): Setup {
  const time = new VirtualTime();
  const body = new HandBody(options.declaredBytes);
  const budget = new ByteBudget(options.budget ?? 10_000);
  const inspected: Uint8Array[] = [];
  const reading = readBody(body, {
    limits: options.limits ?? LIMITS,
    budget,
    clock: time,
    timers: time,
    inspect: (bytes) => inspected.push(bytes),
  });
  return { body, time, budget, reading, inspected };
}

async function assertFails(reading: BodyReading, code: ErrorCode): Promise<DoorError> {
  const error = await reading.whole.then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof DoorError);
  assert.equal(error.code, code);
  return error;
}

/** Only a body that did not come with its head gets a timer. */
async function afterThisTurn(): Promise<void> {
  await Promise.resolve();
}

Deno.test("readBody() joins pieces and shows each in passing", async () => {
  const { body, reading, inspected, time, budget } = setup();
  body.sink?.chunk(Uint8Array.of(1, 2));
  body.sink?.chunk(Uint8Array.of(3));
  body.sink?.end();
  assert.deepEqual([...await reading.whole], [1, 2, 3]);
  assert.equal(inspected.length, 2);
  assert.equal(time.pendingCount, 0);
  assert.deepEqual([reading.budgetedBytes, budget.takenBytes], [3, 3]);
});

Deno.test("readBody() returns what came, however it was cut and declared", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 30 }),
    fc.constantFrom("right", "absent", "small"),
    async (pieces, declared) => {
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
      const declaredBytes = declared === "right" ? length : declared === "small" ? 1 : undefined;
      const limits = { ...LIMITS, sizeBytesMax: 100_000 };
      const options = declaredBytes === undefined ? {} : { declaredBytes };
      const { body, reading } = setup({ limits, budget: 100_000, ...options });
      for (const piece of pieces) body.sink?.chunk(piece);
      body.sink?.end();
      const whole = await reading.whole;
      assert.equal(Buffer.compare(whole, Buffer.concat(pieces)), 0);
    },
  ));
});

Deno.test("readBody() keeps a body of a million tiny pieces in few blocks", async () => {
  const limits = { ...LIMITS, sizeBytesMax: 4_000_000 };
  const { body, reading } = setup({ limits, budget: 4_000_000 });
  for (let i = 0; i < 1_200_000; i += 1) body.sink?.chunk(Uint8Array.of(i & 0xff));
  body.sink?.end();
  const whole = await reading.whole;
  assert.equal(whole.length, 1_200_000);
  assert.ok(whole.every((byte, i) => byte === (i & 0xff)));
});

Deno.test("readBody() refuses a declared size beyond the limit without reading", async () => {
  const { body, reading } = setup({ declaredBytes: 1_001 });
  const error = await assertFails(reading, "body_too_large");
  assert.equal(error.status, 413);
  assert.equal(body.sink, undefined);
});

Deno.test("readBody() stops at the limit when no size was declared", async () => {
  const { body, reading, budget, time } = setup();
  body.sink?.chunk(new Uint8Array(1_000));
  body.sink?.chunk(new Uint8Array(1));
  await assertFails(reading, "body_too_large");
  assert.equal(body.isStopped, true);
  assert.equal(time.pendingCount, 0);
  assert.equal(budget.takenBytes, reading.budgetedBytes);
});

Deno.test("readBody() takes a body 300 ms after its head", async () => {
  const { body, reading, time } = setup();
  time.advance(300);
  body.sink?.chunk(Uint8Array.of(1));
  body.sink?.end();
  assert.equal((await reading.whole).length, 1);
});

Deno.test("readBody() gives up on a byte per second after the grace", async () => {
  const { body, reading, time } = setup();
  await afterThisTurn();
  for (let second = 0; second < 11; second += 1) {
    body.sink?.chunk(Uint8Array.of(1));
    time.advance(1_000);
  }
  const error = await assertFails(reading, "request_timeout");
  assert.equal(error.facts.headers?.["connection"], "close");
  assert.equal(body.isStopped, true);
  assert.equal(time.pendingCount, 0);
});

Deno.test("readBody() lets a slow body pass that keeps the pace", async () => {
  const { body, reading, time } = setup();
  for (let second = 0; second < 9; second += 1) {
    body.sink?.chunk(new Uint8Array(110));
    time.advance(1_000);
  }
  body.sink?.end();
  assert.equal((await reading.whole).length, 990);
});

Deno.test("readBody() gives up on silence, even after many bytes", async () => {
  const { body, reading, time } = setup();
  await afterThisTurn();
  body.sink?.chunk(new Uint8Array(990));
  time.advance(4_999);
  assert.equal(body.isStopped, false);
  time.advance(1);
  await assertFails(reading, "request_timeout");
});

Deno.test("readBody() refuses when all bodies together are too large, and keeps the count", async () => {
  const { body, reading, budget } = setup({ budget: 10 });
  body.sink?.chunk(new Uint8Array(8));
  body.sink?.chunk(new Uint8Array(8));
  await assertFails(reading, "queue_full");
  assert.equal(budget.takenBytes, 8);
  budget.give(reading.budgetedBytes);
  assert.equal(budget.takenBytes, 0);
});

Deno.test("readBody() tells a body that broke off, and ignores what comes later", async () => {
  const { body, reading, inspected } = setup();
  body.sink?.chunk(Uint8Array.of(1));
  body.sink?.fail(new Error("gone"));
  await assertFails(reading, "invalid_request_error");
  body.sink?.chunk(Uint8Array.of(2));
  body.sink?.end();
  assert.equal(inspected.length, 1);
});

Deno.test("readBody() gives a fast beginning no credit for an endless end", async () => {
  const limits = { ...LIMITS, totalMs: 12_000, bytesPerSecondMin: 1 };
  const { body, time, reading } = setup({ limits });
  await afterThisTurn();
  // By its pace alone this body could take 900 s.
  body.sink?.chunk(new Uint8Array(900));
  for (let second = 0; second < 12; second += 1) {
    time.advance(1_000);
    body.sink?.chunk(new Uint8Array(1));
  }
  await assertFails(reading, "request_timeout");
});
