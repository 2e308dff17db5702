import assert from "node:assert/strict";
import { AnnouncedChild } from "../../../../tasks/bench/announced_child.ts";

const FORWARDER = new URL("../../../../tasks/bench/forwarder.ts", import.meta.url).pathname;

Deno.test("the forwarder passes bytes on both ways, and the end of what a client says", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using forwarder = await AnnouncedChild.start([FORWARDER, String(listener.addr.port)]);
  const port = Number(forwarder.line);
  assert.notEqual(port, listener.addr.port);
  const accepting = listener.accept();
  using client = await Deno.connect({ hostname: "127.0.0.1", port });
  const question = new Uint8Array(200_000).map((_, i) => i % 251);
  const asking = client.write(question.subarray(0, 1)).then(async () => {
    for (let at = 1; at < question.length;) at += await client.write(question.subarray(at));
  });
  using engine = await accepting;
  assert.deepEqual(await take(engine, question.length), question);
  await asking;
  const answer = question.toReversed();
  const answering = (async () => {
    for (let at = 0; at < answer.length;) at += await engine.write(answer.subarray(at));
    await engine.closeWrite();
  })();
  assert.deepEqual(await take(client, answer.length), answer);
  await answering;
  assert.equal(await client.read(new Uint8Array(1)), null);
});

async function take(conn: Deno.Conn, sizeBytes: number): Promise<Uint8Array> {
  const all = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes;) {
    const count = await conn.read(all.subarray(at));
    assert.ok(count !== null, `${at} of ${sizeBytes} bytes came`);
    at += count;
  }
  return all;
}
