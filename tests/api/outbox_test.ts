import assert from "node:assert/strict";
import fc from "fast-check";
import { LAST_WORD_MS, Outbox } from "~/api/outbox.ts";
import { VirtualTime } from "#support/virtual_time.ts";

interface Setup {
  readonly time: VirtualTime;
  readonly outbox: Outbox;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  overs(): number;
}

function setUp(unsentBytesMax = 100): Setup {
  let overs = 0;
  const time = new VirtualTime();
  const onOver = (): void => void (overs += 1);
  const outbox = new Outbox({ timers: time, unsentBytesMax, tooSlowText: "SLOW", onOver });
  return { time, outbox, reader: outbox.stream.getReader(), overs: () => overs };
}

async function readText({ reader }: Setup): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += decoder.decode(part.value);
  }
  return text;
}

Deno.test("Outbox hands out what was sent before and while its reader waits", async () => {
  const setup = setUp();
  setup.outbox.send("a");
  const reading = readText(setup);
  setup.outbox.send("b");
  await Promise.resolve();
  setup.outbox.send("c");
  setup.outbox.end("z");
  assert.equal(await reading, "abcz");
  assert.equal(setup.overs(), 1);
  assert.equal(setup.time.pendingCount, 0);
});

Deno.test("Outbox.send() cuts off a reader that does not read, and keeps only the last text", async () => {
  const setup = setUp(100);
  for (let i = 0; i < 50; i++) setup.outbox.send("0123456789");
  assert.equal(setup.outbox.isOpen, false);
  assert.equal(setup.outbox.unsentBytes, 4);
  assert.equal(await readText(setup), "SLOW");
  assert.equal(setup.overs(), 1);
});

Deno.test("Outbox gives up a reader that does not even read the last text", async () => {
  const setup = setUp(1);
  setup.outbox.send("a");
  setup.outbox.send("b");
  setup.time.advance(LAST_WORD_MS - 1);
  assert.equal(setup.overs(), 0);
  setup.time.advance(1);
  assert.equal(setup.overs(), 1);
  assert.equal(setup.outbox.unsentBytes, 0);
  await assert.rejects(setup.reader.read(), /does not read/);
});

Deno.test("Outbox is over when its reader leaves, once, and forgets what is sent then", async () => {
  const setup = setUp();
  setup.outbox.send("a");
  await setup.reader.cancel();
  setup.outbox.send("b");
  setup.outbox.end("z");
  assert.equal(setup.overs(), 1);
  assert.equal(setup.outbox.unsentBytes, 0);
  assert.equal(setup.time.pendingCount, 0);
});

Deno.test("Outbox.end() counts once; later texts are forgotten", async () => {
  const setup = setUp();
  setup.outbox.end("first");
  setup.outbox.end("second");
  setup.outbox.send("third");
  assert.equal(await readText(setup), "first");
});

Deno.test("Outbox: whatever happens, it keeps a bounded amount and is over at most once", async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("send" as const), chars: fc.integer({ min: 1, max: 60 }) }),
    fc.constantFrom({ kind: "read" as const }, { kind: "end" as const }, { kind: "wait" as const }),
  );
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const setup = setUp(100);
    const { outbox, reader, time } = setup;
    for (const next of steps) {
      if (next.kind === "send") outbox.send("x".repeat(next.chars));
      if (next.kind === "end") outbox.end("END");
      if (next.kind === "wait") time.advance(LAST_WORD_MS);
      if (next.kind === "read" && outbox.unsentBytes > 0) await reader.read();
      assert.ok(outbox.unsentBytes < 160, "limit plus one text");
    }
    await reader.cancel().catch(() => {});
    assert.equal(setup.overs(), 1);
    assert.equal(time.pendingCount, 0);
  }));
});
