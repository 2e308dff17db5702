/** Conversations over several replicas whose caches hold what they answered: how much of the prompts is found there. */
import assert from "node:assert/strict";
import { nowhere } from "#support/memory_upstream.ts";
import { seeded } from "#support/seeded.ts";
import { beginningOf } from "~/proxy/conversation.ts";
import { JsonScanner } from "~/proxy/json_scan.ts";
import { Router } from "~/proxy/route.ts";

const REPLICAS = ["a", "b", "c"];
const RULES = { role: "system", content: "Follow these rules. ".repeat(400) };

interface Turn {
  readonly role: string;
  readonly content: string;
}

function commonLength(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at += 1;
  return at;
}

/** The share of all prompt text that was in the cache of the replica that `choose` named. */
function cachedShare(choose: (body: Uint8Array) => string): number {
  const caches = new Map(REPLICAS.map((name) => [name, [] as string[]]));
  let [cached, all] = [0, 0];
  for (let talk = 0; talk < 4; talk += 1) {
    const turns: Turn[] = [RULES];
    for (let turn = 0; turn < 5; turn += 1) {
      turns.push({ role: "user", content: `question ${turn} of conversation ${talk}` });
      const text = JSON.stringify(turns);
      const body = new TextEncoder().encode(JSON.stringify({ model: "m", messages: turns }));
      const cache = caches.get(choose(body)) ?? [];
      cached += Math.max(0, ...cache.map((known) => commonLength(known, text)));
      all += text.length;
      cache.push(text);
      turns.push({ role: "assistant", content: `answer ${turn} ${"and so on ".repeat(10)}` });
    }
  }
  return cached / all;
}

Deno.test("four conversations with shared instructions find nine tenths of their prompts in a cache", () => {
  const router = new Router(seeded(1));
  // One replica is warm: it has answered somebody with these instructions.
  const candidates = REPLICAS.map((nodeId) => ({
    target: { nodeId, upstream: nowhere, slots: 4, isRemote: true },
    busyCount: 0,
  }));
  const routed = cachedShare((body) => {
    const scanner = new JsonScanner();
    scanner.push(body);
    scanner.finish();
    const beginning = beginningOf(body, scanner.beginning);
    const { order } = router.rank({ model: "m", bodyBytes: body.length, beginning }, candidates, 0);
    const nodeId = order[0]?.target.nodeId ?? "";
    router.handle({ kind: "answered", nodeId, model: "m", beginning }, 0);
    return nodeId;
  });
  const rng = seeded(2);
  const random = cachedShare(() => REPLICAS[Math.floor(rng.next() * REPLICAS.length)] ?? "");
  assert.ok(routed >= 0.9, `routed ${routed}`);
  assert.ok(routed > random, `routed ${routed}, random ${random}`);
});
