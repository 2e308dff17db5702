import assert from "node:assert/strict";
import { MeshTestNode, startNodes, tellFigure } from "#support/mesh_nodes.ts";

const MEMBERS = 8;
const CLIENTS = 4;

/** Milliseconds since then. */
function since(startMs: number): number {
  return Math.round(performance.now() - startMs);
}

Deno.test("twelve nodes: three members are killed at once, and all others agree on it", async (t) => {
  await using stack = new AsyncDisposableStack();
  const host = stack.use(await MeshTestNode.start({ serves: "alpha" }));
  const token = await host.token();
  await host.node.line("Ready: alpha");
  const startedMs = performance.now();
  // One more host, to be among the killed; the other members have no model of their own.
  const second = stack.use(await MeshTestNode.start({ serves: "beta", token }));
  const clients = await startNodes(stack, Array(CLIENTS).fill({ token, isClient: true }));
  const others = await startNodes(stack, Array(MEMBERS - 2).fill({ token }));
  const members = [host, second, ...others];

  await t.step("all know all", async () => {
    await Promise.all([
      ...members.map(({ events }) =>
        events.status(({ peers }) => peers.length === MEMBERS - 1, "all other members")
      ),
      ...clients.map(({ events }) =>
        events.status(({ peers }) => peers.length === MEMBERS, "all members")
      ),
    ]);
    await Promise.all([...members, ...clients].map((node) => node.listed("beta")));
    tellFigure(
      `${MEMBERS} members and ${CLIENTS} clients agree ${
        since(startedMs)
      } ms after the first start`,
    );
  });

  await t.step("three are killed: gone from everybody's status", async () => {
    const victims = [second, ...members.slice(-2)];
    const left = [...members.filter((node) => !victims.includes(node)), ...clients];
    await Promise.all(victims.map((node) => node.die()));
    const killedMs = performance.now();
    const times = await Promise.all(left.map(async ({ events }) => {
      const news = await Promise.all(victims.map(async ({ id }) => ({
        suspectMs: (await events.peer(id, "suspect")).atMs - killedMs,
        goneMs: (await events.peer(id, "gone")).atMs - killedMs,
      })));
      const isGone = (id: string) => victims.some((victim) => victim.id === id);
      await events.status(({ peers }) => !peers.some(({ id }) => isGone(id)), "status");
      return news;
    }));
    const all = times.flat();
    const range = (values: readonly number[]) =>
      `${Math.round(Math.min(...values))} to ${Math.round(Math.max(...values))} ms`;
    tellFigure(`suspect after ${range(all.map(({ suspectMs }) => suspectMs))}`);
    tellFigure(`gone after ${range(all.map(({ goneMs }) => goneMs))}`);
    for (const node of left) assert.deepEqual(await node.models(), ["alpha"]);
    const response = await clients[0]!.chat("beta");
    await response.body?.cancel();
    assert.equal(response.status, 404);
    // Nobody else was taken for dead.
    const falsely = left.flatMap(({ events }) =>
      events.peers.filter(({ id, event }) =>
        event === "gone" && !victims.some((victim) => victim.id === id)
      )
    );
    assert.deepEqual(falsely, []);
  });
});
