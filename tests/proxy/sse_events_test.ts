import assert from "node:assert/strict";
import fc from "fast-check";
import { eventsIn } from "~/proxy/sse_events.ts";

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

Deno.test("eventsIn() reads events, comments and several lines of data", () => {
  const text = ": ping\n\nevent: a\ndata: 1\ndata:2\n\ndata: x\r\n\r\n";
  assert.deepEqual(eventsIn(bytes(text)), [
    { data: undefined, text: ": ping\n\n" },
    { data: "1\n2", text: "event: a\ndata: 1\ndata:2\n\n" },
    { data: "x", text: "data: x\r\n\r\n" },
  ]);
});

Deno.test("eventsIn() loses nothing of what it is given", () => {
  const part = fc.constantFrom("data: ", "a", "é", "\n", "\r\n", "\n\n", ":", " ");
  fc.assert(fc.property(fc.array(part), (parts) => {
    const whole = parts.join("");
    assert.equal(eventsIn(bytes(whole)).map(({ text }) => text).join(""), whole);
  }));
});
