import assert from "node:assert/strict";
import fc from "fast-check";
import { EchoStrip } from "~/proxy/echo_strip.ts";

function strip(strip: EchoStrip, pieces: readonly string[]): string {
  return pieces.map((piece) => strip.push(piece)).join("") + strip.finish();
}

/** Cuts a text at any places. */
function cutAt(text: string, places: readonly number[]): string[] {
  const at = [0, ...places.map((place) => place % (text.length + 1)).sort((a, b) => a - b)];
  return at.map((from, i) => text.slice(from, at[i + 1] ?? text.length));
}

const places = fc.array(fc.nat(200), { maxLength: 6 });

Deno.test("EchoStrip takes off what is repeated, in whatever pieces it comes", () => {
  fc.assert(fc.property(fc.string(), fc.string(), places, (given, rest, at) => {
    assert.equal(strip(new EchoStrip(given, ""), cutAt(given + rest, at)), rest);
  }));
});

Deno.test("EchoStrip leaves a text that does not begin with what was given", () => {
  fc.assert(fc.property(fc.string({ minLength: 1 }), fc.string(), places, (given, text, at) => {
    fc.pre(!text.startsWith(given));
    assert.equal(strip(new EchoStrip(given, ""), cutAt(text, at)), text);
  }));
});

Deno.test("EchoStrip takes off the space that the client has, when it is said again", () => {
  assert.equal(strip(new EchoStrip("the", " "), [" fox", " runs"]), "fox runs");
  assert.equal(strip(new EchoStrip("the", " "), ["the", " fox"]), "fox");
  assert.equal(strip(new EchoStrip("", " "), ["fox"]), "fox");
});
