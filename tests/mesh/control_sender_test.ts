import assert from "node:assert/strict";
import { ControlSender } from "~/mesh/control_sender.ts";
import { ByteSink } from "#support/byte_sink.ts";
import { settle } from "#support/link_peers.ts";

function fails(): never {
  throw new Error("nothing was to fail");
}

Deno.test("what was sent is on its way before the stream ends", async () => {
  const sink = new ByteSink({ isOpen: false });
  const sender = new ControlSender(sink, fails);
  sender.send(Uint8Array.of(1));
  const finished = sender.finish();
  await settle();
  assert.equal(sink.isEnded, false);
  sink.open();
  await finished;
  assert.deepEqual([sink.isEnded, [...sink.written[0] ?? []]], [true, [1]]);
});

Deno.test("a queue that nobody takes has an end, and says so once", async () => {
  const sink = new ByteSink({ isOpen: false });
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
  const sink = new ByteSink({ isOpen: false });
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
