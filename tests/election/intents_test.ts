import assert from "node:assert/strict";
import { Intents } from "~/election/intents.ts";

const wait = { baseMs: 100, chanceMs: 100 };

Deno.test("an intent is due after its wait, and keeps its moment while it holds", () => {
  const intents = new Intents({ next: () => 0.5 });
  intents.follow([{ key: "a", wait }], 0);
  intents.follow([{ key: "a", wait }, { key: "b", wait }], 100);
  assert.equal(intents.wakeAtMs(100), 150);
  assert.deepEqual([intents.isDue("a", 149), intents.isDue("a", 150)], [false, true]);
  assert.equal(intents.isDue("b", 150), false);
  assert.equal(intents.wakeAtMs(150), 250);
});

Deno.test("an intent that does not hold any more is forgotten, and begins anew", () => {
  const intents = new Intents({ next: () => 0 });
  intents.follow([{ key: "a", wait }], 0);
  intents.follow([], 99);
  assert.equal(intents.wakeAtMs(99), undefined);
  intents.follow([{ key: "a", wait }], 100);
  assert.deepEqual([intents.isDue("a", 199), intents.isDue("a", 200)], [false, true]);
});
