import assert from "node:assert/strict";
import { asChunk, headWithBody, makeScratch, statusLine } from "~/base/http1_answer.ts";

function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

Deno.test("statusLine() has a reason for what is in use and none for what is not", () => {
  assert.equal(statusLine(404), "HTTP/1.1 404 Not Found\r\n");
  assert.equal(statusLine(499), "HTTP/1.1 499 \r\n");
});

Deno.test("headWithBody() writes a character as a byte, as it came", () => {
  const bytes = headWithBody("x-name: caf\xe9\r\n\r\n", Uint8Array.of(1, 2));
  assert.equal(textOf(bytes), "x-name: caf\xe9\r\n\r\n\x01\x02");
  assert.equal(textOf(headWithBody("a\r\n\r\n", undefined)), "a\r\n\r\n");
});

Deno.test("asChunk() tells the size in hexadecimal digits", () => {
  assert.equal(textOf(asChunk(new Uint8Array(26).fill(97))), `1a\r\n${"a".repeat(26)}\r\n`);
});

Deno.test("headWithBody() and asChunk() use the scratch when it is large enough, and only then", () => {
  const scratch = makeScratch();
  const small = headWithBody("a\r\n\r\n", Uint8Array.of(98), scratch);
  assert.equal(textOf(small), "a\r\n\r\nb");
  assert.equal(small.buffer, scratch.buffer);
  const chunk = asChunk(Uint8Array.of(98), scratch);
  assert.equal(textOf(chunk), "1\r\nb\r\n");
  assert.equal(chunk.buffer, scratch.buffer);
  const large = new Uint8Array(scratch.length).fill(98);
  assert.equal(asChunk(large, scratch).length, large.length + 8);
  assert.notEqual(asChunk(large, scratch).buffer, scratch.buffer);
  assert.notEqual(headWithBody("a\r\n\r\n", large, scratch).buffer, scratch.buffer);
});
