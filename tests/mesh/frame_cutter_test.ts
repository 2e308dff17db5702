import assert from "node:assert/strict";
import fc from "fast-check";
import { joined } from "~/base/bytes.ts";
import { FrameCutter } from "~/mesh/frame_cutter.ts";
import { LENGTH_BYTES, ProtocolError } from "~/mesh/wire.ts";

function framed(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, LENGTH_BYTES);
  return bytes;
}

Deno.test("frames come out as they went in, however the bytes are cut", () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 100 }));
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 });
  fc.assert(fc.property(bodies, sizes, (sent, cuts) => {
    const bytes = joined(sent.map(framed));
    const cutter = new FrameCutter();
    const got: Uint8Array[] = [];
    let turn = 0;
    for (let at = 0; at < bytes.length;) {
      const size = cuts[turn++ % cuts.length] ?? 1;
      cutter.push(bytes.subarray(at, at + size));
      at += size;
      for (let frame = cutter.next(100); frame !== undefined; frame = cutter.next(100)) {
        got.push(Uint8Array.from(frame));
      }
    }
    assert.deepEqual(got, sent.map((body) => Uint8Array.from(body)));
  }));
});

Deno.test("a frame of 4 GiB is refused as soon as it is announced", () => {
  const cutter = new FrameCutter();
  cutter.push(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  assert.throws(() => cutter.next(1_000), ProtocolError);
});

Deno.test("the limit is that of the moment", () => {
  const cutter = new FrameCutter();
  cutter.push(joined([framed(new Uint8Array(10)), framed(new Uint8Array(20))]));
  assert.equal(cutter.next(10)?.length, 10);
  assert.equal(cutter.next(20)?.length, 20);
});
