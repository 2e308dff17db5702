import assert from "node:assert/strict";
import fc from "fast-check";
import { DoorError } from "~/proxy/errors.ts";
import { errorEvent, isEventStream, SseTail } from "~/proxy/sse.ts";

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function text(piece: Uint8Array): string {
  return new TextDecoder().decode(piece);
}

Deno.test("SseTail passes whole events on as they are", () => {
  const tail = new SseTail();
  const piece = bytes("data: 1\n\ndata: 2\n\n");
  assert.equal(tail.push(piece), piece);
  assert.equal(text(tail.finish()), "");
});

Deno.test("SseTail holds the beginning of an event until its end came", () => {
  const tail = new SseTail();
  assert.equal(text(tail.push(bytes("data: 1\n\ndata: "))), "data: 1\n\n");
  assert.equal(text(tail.push(bytes("2"))), "");
  assert.equal(text(tail.push(bytes("\n"))), "");
  assert.equal(text(tail.push(bytes("\ndata: 3"))), "data: 2\n\n");
  assert.equal(text(tail.finish()), "data: 3");
});

Deno.test("SseTail knows CRLF, also when it is cut", () => {
  const tail = new SseTail();
  assert.equal(text(tail.push(bytes("data: 1\r\n\r"))), "");
  assert.equal(text(tail.push(bytes("\ndata: 2\r\n"))), "data: 1\r\n\r\n");
  assert.equal(text(tail.push(bytes("\r\n"))), "data: 2\r\n\r\n");
});

Deno.test("SseTail drops an unfinished event when the source breaks", () => {
  const tail = new SseTail();
  tail.push(bytes("data: 1\n\ndata: half"));
  assert.equal(text(tail.fail("data: error\n\n")), "data: error\n\n");
});

Deno.test("SseTail ends an event that was too long to hold before it tells the error", () => {
  const tail = new SseTail();
  const long = bytes(`data: ${"x".repeat(2 * 1024 * 1024)}`);
  assert.equal(tail.push(long).length, long.length);
  assert.equal(text(tail.fail("data: error\n\n")), "\n\ndata: error\n\n");
});

const EVENTS = fc.array(fc.stringMatching(/^[a-z]{0,8}$/), { maxLength: 10 })
  .map((words) => words.map((word) => `data: ${word}\n\n`).join(""));

Deno.test("SseTail neither loses nor adds a byte, however the stream is cut", () => {
  fc.assert(fc.property(EVENTS, fc.array(fc.nat(80)), (stream, cuts) => {
    const tail = new SseTail();
    let out = "";
    let from = 0;
    for (const to of [...cuts, stream.length].sort((a, b) => a - b)) {
      out += text(tail.push(bytes(stream.slice(from, to))));
      from = Math.max(from, Math.min(to, stream.length));
      assert.ok(out === "" || out.endsWith("\n\n"), "only whole events");
    }
    assert.equal(out + text(tail.finish()), stream);
  }));
});

Deno.test("SseTail leaves whole events and one error, wherever the source breaks", () => {
  fc.assert(fc.property(EVENTS, fc.nat(80), fc.nat(80), (stream, first, second) => {
    const tail = new SseTail();
    const [a, b] = [Math.min(first, second), Math.max(first, second)];
    const out = text(tail.push(bytes(stream.slice(0, a)))) +
      text(tail.push(bytes(stream.slice(a, b)))) + text(tail.fail("data: broken\n\n"));
    const events = out.split("\n\n");
    assert.equal(events.pop(), "");
    assert.equal(events.pop(), "data: broken");
    assert.ok(stream.startsWith(events.map((event) => `${event}\n\n`).join("")));
  }));
});

Deno.test("errorEvent() writes one line of data, with a name where clients look for one", () => {
  const error = new DoorError("upstream_failed", "line\nbreak");
  const plain = errorEvent(error, { dialect: "openai", isNamed: false });
  assert.match(plain, /^data: \{"error":\{"message":"line\\nbreak".*\}\}\n\n$/);
  const named = errorEvent(error, { dialect: "anthropic", isNamed: true });
  assert.match(named, /^event: error\ndata: \{"type":"error","error":\{"type":"api_error".*\n\n$/);
});

Deno.test("isEventStream() reads the content type", () => {
  assert.equal(isEventStream("text/event-stream"), true);
  assert.equal(isEventStream("Text/Event-Stream; charset=utf-8"), true);
  for (const other of [null, "", "application/json", "text/event-streams"]) {
    assert.equal(isEventStream(other), false);
  }
});
