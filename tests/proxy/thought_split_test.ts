import assert from "node:assert/strict";
import fc from "fast-check";
import { ThoughtSplit } from "~/proxy/thought_split.ts";

function split(pieces: readonly string[], isThinking = true) {
  const splitter = new ThoughtSplit({ isThinking });
  const parts = [...pieces.map((piece) => splitter.push(piece)), splitter.finish()];
  return {
    thought: parts.map(({ thought }) => thought).join(""),
    answer: parts.map(({ answer }) => answer).join(""),
  };
}

Deno.test("ThoughtSplit finds the end of the thoughts, however it is cut", () => {
  const text = "so a < b, </th, hm</think>\n\nFox </think> it is";
  fc.assert(fc.property(fc.array(fc.nat(text.length), { maxLength: 8 }), (places) => {
    const at = [0, ...places.sort((a, b) => a - b), text.length];
    const pieces = at.slice(1).map((to, i) => text.slice(at[i], to));
    assert.deepEqual(split(pieces), {
      thought: "so a < b, </th, hm",
      answer: "Fox </think> it is",
    });
  }));
});

Deno.test("ThoughtSplit leaves an answer alone, and loses no thought without an end", () => {
  assert.deepEqual(split([" a", "</think>"], false), { thought: "", answer: " a</think>" });
  assert.deepEqual(split(["hm </thi"]), { thought: "hm </thi", answer: "" });
});
