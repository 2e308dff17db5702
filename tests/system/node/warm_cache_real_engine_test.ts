/** Conversations that share their instructions, two replicas of the real engine: how much of the prompts is in caches. */
import assert from "node:assert/strict";
import { type MeshNodeOptions, MeshTestNode, startNodes, tellFigure } from "#support/mesh_nodes.ts";
import { seeded } from "#support/seeded.ts";

const CONVERSATIONS = 4;
const TURNS = 5;
const SHARED_TOKENS = 2_000;
/** A tenth of the starter model: to read a prompt takes seconds and not minutes, and is still what takes the time. */
const HOST: MeshNodeOptions = {
  serves: "reader",
  engine: "real",
  model: { layers: 6, width: 384, heads: 6, feedForward: 1024, context: 4096, weights: "q8" },
  // The instructions, five turns, and some room.
  args: ["--ctx-size", "2816", "--parallel", "4"],
};

interface Message {
  readonly role: string;
  readonly content: string;
}

/** What of the prompts was computed, and what was there. */
interface Tokens {
  readonly cached: number;
  readonly all: number;
}

type Ask = (messages: readonly Message[]) => Promise<Tokens & { readonly text: string }>;

/** Some two thousand tokens that no other word has in common. */
function instructions(word: string): Message {
  const rules = Array.from({ length: 62 }, (_, i) => `${word} ${i}: the ${word} of ${i} is good.`);
  return { role: "system", content: rules.join("\n") };
}

async function askNode(node: MeshTestNode, messages: readonly Message[]) {
  const body = { messages, temperature: 0, "max_tokens": 8, "ignore_eos": true };
  const response = await node.chat("reader", body);
  assert.equal(response.status, 200);
  const { choices, timings } = await response.json();
  const cached: number = timings.cache_n;
  return {
    text: choices[0].message.content,
    cached,
    all: cached + timings.prompt_n,
    nodeId: response.headers.get("x-mesh-llm-node"),
  };
}

/** Has all conversations, one after the other, and sums up; warms one cache before. */
async function converse(shared: Message, ask: Ask): Promise<number> {
  const warm = await ask([shared, { role: "user", content: "Are you there?" }]);
  assert.ok(warm.cached < 50 && warm.all >= SHARED_TOKENS, `warming: ${warm.cached}/${warm.all}`);
  let [cached, all] = [0, 0];
  for (let talk = 0; talk < CONVERSATIONS; talk += 1) {
    const messages = [shared];
    for (let turn = 0; turn < TURNS; turn += 1) {
      messages.push({ role: "user", content: `Talk ${talk}: what is rule ${turn}?` });
      const answer = await ask(messages);
      messages.push({ role: "assistant", content: answer.text });
      [cached, all] = [cached + answer.cached, all + answer.all];
    }
  }
  return cached / all;
}

Deno.test("nine tenths of the prompts of conversations are in the cache of who is asked", async () => {
  await using stack = new AsyncDisposableStack();
  const one = stack.use(await MeshTestNode.start(HOST));
  const token = await one.token();
  const [two, entry] = await startNodes(stack, [
    { ...HOST, token },
    { isClient: true, token },
  ]);
  assert.ok(two !== undefined && entry !== undefined);
  await entry.events.status(
    ({ mesh_models: models }) => models.some(({ node_count: count }) => count === 2),
    "both hosts",
  );
  const routed = await converse(instructions("rule"), (messages) => askNode(entry, messages));

  const rng = seeded(1);
  const asked = new Set<string>();
  const random = await converse(instructions("norm"), async (messages) => {
    const host = rng.next() < 0.5 ? one : two;
    asked.add(host.id);
    const answer = await askNode(host, messages);
    assert.equal(answer.nodeId, host.id);
    return answer;
  });
  assert.equal(asked.size, 2);
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  tellFigure(`prompt tokens from caches: ${percent(routed)}, at random ${percent(random)}`);
  assert.ok(routed >= 0.9, `routed ${routed}`);
  assert.ok(routed > random, `routed ${routed}, random ${random}`);
});
