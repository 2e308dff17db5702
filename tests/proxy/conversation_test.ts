import assert from "node:assert/strict";
import fc from "fast-check";
import { type Beginning, beginningOf } from "~/proxy/conversation.ts";
import { JsonScanner } from "~/proxy/json_scan.ts";

function beginning(value: unknown, pieceBytes = Infinity): Beginning {
  const body = new TextEncoder().encode(JSON.stringify(value));
  const scanner = new JsonScanner();
  for (let at = 0; at < body.length; at += pieceBytes) {
    scanner.push(body.subarray(at, Math.min(body.length, at + pieceBytes)));
  }
  assert.equal(scanner.finish().kind, "object");
  return beginningOf(body, scanner.beginning);
}

const system = { role: "system", content: "rules ".repeat(200) };
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

Deno.test("beginningOf() knows a conversation again at each of its turns", () => {
  const turns = [system, user("hello"), assistant("hi"), user("and now?")];
  const first = beginning({ model: "m", messages: turns.slice(0, 2) });
  assert.notEqual(first.conversation, undefined);
  assert.deepEqual(beginning({ messages: turns, model: "m", stream: true }), first);
  assert.notEqual(
    beginning({ messages: [system, user("bye")] }).conversation,
    first.conversation,
  );
});

Deno.test("beginningOf() tells long instructions that several conversations share", () => {
  const one = beginning({ messages: [system, user("one")] });
  const two = beginning({ messages: [system, user("two")] });
  assert.equal(one.shared, two.shared);
  assert.ok(one.sharedBytes > 1_000);
  const short = beginning({ messages: [{ ...system, content: "short" }, user("one")] });
  assert.equal(short.shared, undefined);
});

Deno.test("beginningOf() reads the other shapes of requests", () => {
  const long = "x".repeat(2_000);
  const anthropic = beginning({ system: long, messages: [user("a")] });
  assert.notEqual(anthropic.shared, undefined);
  const responses = beginning({ instructions: long, input: [user("a"), assistant("b")] });
  assert.deepEqual(beginning({ instructions: long, input: [user("a")] }), responses);
  const prompt = beginning({ prompt: long });
  assert.equal(beginning({ prompt: long + "y" }).conversation, prompt.conversation);
  assert.equal(beginning({ prompt: "short" }).conversation, undefined);
  assert.equal(beginning({ input: "short" }).conversation, undefined);
  for (const other of [{}, { messages: [] }, { messages: {} }, { messages: "x" }, { prompt: 1 }]) {
    assert.equal(beginning(other).conversation, undefined, JSON.stringify(other));
  }
});

Deno.test("beginningOf() does not mind in which pieces a body came, or what else it holds", () => {
  const json = fc.jsonValue({ maxDepth: 3 });
  fc.assert(fc.property(
    fc.array(json, { maxLength: 10 }),
    json,
    json,
    fc.integer({ min: 1, max: 40 }),
    (messages, prompt, other, pieceBytes) => {
      const value = { other: { messages: prompt }, messages, prompt, system: other };
      assert.deepEqual(beginning(value, pieceBytes), beginning(value));
    },
  ));
});
