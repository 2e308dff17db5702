import assert from "node:assert/strict";
import fc from "fast-check";
import { joined } from "~/base/bytes.ts";
import { ControlSender } from "~/mesh/control_sender.ts";
import type { ByteStream } from "~/mesh/transport.ts";
import { settle } from "#support/link_peers.ts";

/** Takes what is written when the test lets it. */
class Sink implements ByteStream {
  readonly written: Uint8Array[] = [];
  isEnded = false;
  #isFailing = false;
  #waiting: (() => void)[] = [];
  #isOpen: boolean;

  constructor(isOpen = true) {
    this.#isOpen = isOpen;
  }

  read(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#isOpen) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#isFailing) throw new Error("gone");
    this.written.push(bytes);
  }

  end(): Promise<void> {
    this.isEnded = true;
    return Promise.resolve();
  }

  abort(): void {}

  open(): void {
    this.#isOpen = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  fail(): void {
    this.#isFailing = true;
    this.open();
  }
}

function fails(): never {
  throw new Error("nothing was to fail");
}

Deno.test("everything is written once, in order, whenever it was sent", async () => {
  const frames = fc.array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.boolean()));
  await fc.assert(fc.asyncProperty(frames, async (sent) => {
    const sink = new Sink();
    const sender = new ControlSender(sink, fails);
    for (const [frame, pauses] of sent) {
      sender.send(frame);
      if (pauses) await Promise.resolve();
    }
    await sender.finish();
    assert.deepEqual(joined(sink.written), joined(sent.map(([frame]) => frame)));
    assert.equal(sink.isEnded, true);
  }));
});

Deno.test("what is sent in one turn goes in one piece, of 64 KiB at most", async () => {
  const sink = new Sink();
  const sender = new ControlSender(sink, fails);
  for (let count = 0; count < 100; count += 1) sender.send(new Uint8Array(1_000));
  await settle();
  assert.deepEqual(sink.written.map((piece) => piece.length), [65_000, 35_000]);
  const large = new Uint8Array(200_000);
  sender.send(large);
  await settle();
  assert.equal(sink.written.at(-1), large);
  await sender.finish();
});

Deno.test("a queue that nobody takes has an end, and says so once", async () => {
  const sink = new Sink(false);
  const failures: string[] = [];
  const sender = new ControlSender(sink, (failure) => failures.push(failure));
  const frame = new Uint8Array(1024 * 1024);
  for (let count = 0; count < 12; count += 1) sender.send(frame);
  assert.deepEqual(failures, ["slow"]);
  sink.fail();
  await settle();
  assert.deepEqual(failures, ["slow"]);
  assert.deepEqual(sink.written, []);
});

Deno.test("a stream that takes no more is told, and nothing is sent after it", async () => {
  const sink = new Sink(false);
  const failures: string[] = [];
  const sender = new ControlSender(sink, (failure) => failures.push(failure));
  sender.send(Uint8Array.of(1));
  await settle();
  sink.fail();
  await settle();
  sender.send(Uint8Array.of(2));
  await settle();
  assert.deepEqual([failures, sink.written], [["lost"], []]);
});
