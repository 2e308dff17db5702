/** Two hundred clients at a host of four slots: who is answered, in which order, and what the others are told. */
import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { errorOf, FakeNode } from "#support/fake_node.ts";

const CLIENTS = 200;
const SLOTS = 4;
/** Most requests that wait for one model. */
const QUEUE_MAX = 64;
const ADMITTED = SLOTS + QUEUE_MAX;

function idOf(client: number): string {
  return `client-${client}`;
}

async function ask(fake: FakeNode, client: number): Promise<Response> {
  const headers = { "x-request-id": idOf(client) };
  return await fake.chat({ messages: [{ role: "user", content: "go" }] }, { headers });
}

async function checkRefusal(response: Response): Promise<void> {
  assert.equal(response.status, 429);
  assert.match(response.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
  assert.equal((await errorOf(response))["code"], "queue_full");
}

async function checkAnswer(response: Response): Promise<void> {
  assert.equal(response.status, 200, await response.clone().text());
  assert.equal((await response.json()).object, "chat.completion");
}

Deno.test("200 clients at four slots: four run, 64 wait, first come first served, 132 are told when", async (t) => {
  await using fake = await FakeNode.ready({
    args: ["--parallel", String(SLOTS), "--ctx-size", "512"],
    script: { answersUpTo: 0 },
  });

  await t.step("one after the other, so that it is known who came first", async () => {
    const admitted: Promise<Response>[] = [];
    for (let client = 0; client < ADMITTED; client += 1) {
      admitted.push(ask(fake, client));
      await until(async () => {
        const { inflight_requests: open, queued_requests: waiting } = await fake.status();
        return open === client + 1 && waiting === Math.max(0, client + 1 - SLOTS) &&
          (await fake.record()).received === Math.min(client + 1, SLOTS);
      }, `request ${client}`);
    }
    const others = Array.from({ length: CLIENTS - ADMITTED }, (_, i) => ask(fake, ADMITTED + i));
    for (const response of await Promise.all(others)) await checkRefusal(response);
    assert.equal((await fake.record()).active, SLOTS);
    // Each answer makes room for one more: the engine sees them one by one.
    for (let count = 1; count <= QUEUE_MAX; count += 1) {
      await fake.control({ answersUpTo: count });
      await until(async () => (await fake.record()).received === SLOTS + count, `start ${count}`);
    }
    await fake.control({ answersUpTo: ADMITTED });
    for (const response of await Promise.all(admitted)) await checkAnswer(response);
    const arrived = Array.from({ length: ADMITTED }, (_, client) => idOf(client));
    assert.deepEqual((await fake.record()).requestIds, arrived);
  });

  await t.step("all at once", async () => {
    const answers = Array.from({ length: CLIENTS }, (_, client) => ask(fake, CLIENTS + client));
    const refused = Promise.withResolvers<void>();
    let refusedCount = 0;
    for (const answer of answers) {
      void answer.then(({ status }) => {
        if (status === 429 && (refusedCount += 1) === CLIENTS - ADMITTED) refused.resolve();
      });
    }
    await refused.promise;
    const { inflight_requests: open, queued_requests: waiting } = await fake.status();
    assert.deepEqual([open, waiting], [ADMITTED, QUEUE_MAX]);
    await until(async () => (await fake.record()).active === SLOTS, "four at the engine");
    await fake.control({ answersUpTo: 2 * ADMITTED });
    const responses = await Promise.all(answers);
    const good = responses.filter(({ status }) => status === 200);
    assert.equal(good.length, ADMITTED);
    await Promise.all(good.map(checkAnswer));
    await Promise.all(responses.filter(({ status }) => status !== 200).map(checkRefusal));
  });
});
