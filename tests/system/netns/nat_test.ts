import assert from "node:assert/strict";
import type { MemberInfo } from "~/api/ports.ts";
import { HAS_NAMESPACES, TestNetwork } from "#support/netns.ts";
import { NetnsNode, printTook } from "#support/netns_node.ts";

const PORT = 4700;

/** Two nodes behind two routers; the one that both can reach serves, too. */
async function twoBehindNats(
  network: TestNetwork,
  check: (nodes: Readonly<Record<"a" | "b" | "common", NetnsNode>>) => Promise<void>,
  { isBlocked }: { readonly isBlocked: boolean },
): Promise<void> {
  const [left, right] = [await network.nat(), await network.nat()];
  if (isBlocked) await network.blockUdp(left, right);
  await using common = await NetnsNode.start(await network.host(), { model: "gamma" });
  const args = ["--join", await common.token()];
  await using a = await NetnsNode.start(await left.host(), { model: "alpha", args });
  await using b = await NetnsNode.start(await right.host(), { model: "beta", args });
  await check({ a, b, common });
}

Deno.test({
  name: "two behind two NATs with a third that both reach: they dial at once, and are linked",
  ignore: !HAS_NAMESPACES,
  async fn() {
    await using network = await TestNetwork.create();
    await twoBehindNats(network, async ({ a, b, common }) => {
      const startedMs = performance.now();
      const [idA, idB, idCommon] = [await a.id(), await b.id(), await common.id()];
      const isPunched = (id: string) => (members: ReadonlyMap<string, MemberInfo>) =>
        members.get(id)?.reached === "punched";
      const [seen] = await Promise.all([
        a.until("B, punched", isPunched(idB)),
        b.until("A, punched", isPunched(idA)),
      ]);
      assert.equal(seen.get(idB)?.via, null);
      assert.equal(seen.get(idCommon)?.reached, "direct");
      printTook("punched", startedMs);
      await Promise.all([a.untilServing(idB, "beta"), b.untilServing(idA, "alpha")]);
      assert.equal(await a.ask("beta"), idB);
      assert.equal(await b.ask("alpha"), idA);
      // That one came in by a door that was opened for it does not make the others try.
      const told = (await common.status()).peers.map(({ dialable }) => dialable);
      assert.deepEqual(told, ["no", "no"]);
    }, { isBlocked: false });
  },
});

Deno.test({
  name: "two behind NATs that let nothing through from each other: the third forwards",
  ignore: !HAS_NAMESPACES,
  async fn() {
    await using network = await TestNetwork.create();
    await twoBehindNats(network, async ({ a, b, common }) => {
      const [idA, idB, idCommon] = [await a.id(), await b.id(), await common.id()];
      for (const [near, id, model] of [[a, idB, "beta"], [b, idA, "alpha"]] as const) {
        const member = await near.untilServing(id, model);
        assert.deepEqual([member.reached, member.via, member.address], [
          "forwarded",
          idCommon,
          null,
        ]);
        assert.equal(await near.ask(model), id);
      }
    }, { isBlocked: true });
  },
});

Deno.test({
  name: "a node behind a NAT with a forwarded port is joined by what it advertises",
  ignore: !HAS_NAMESPACES,
  async fn() {
    await using network = await TestNetwork.create();
    const nat = await network.nat();
    const inner = await nat.host();
    await nat.forward(PORT, inner);
    const advertised = `${nat.publicIp}:${PORT}`;
    const args = ["--bind-port", `${PORT}`, "--advertise", advertised];
    await using a = await NetnsNode.start(inner, { model: "alpha", args });
    const joinArgs = ["--join", await a.token()];
    await using b = await NetnsNode.start(await network.host(), { model: "beta", args: joinArgs });
    const [idA, idB] = [await a.id(), await b.id()];
    const seen = await b.untilServing(idA, "alpha");
    assert.deepEqual([seen.reached, seen.address], ["direct", advertised]);
    assert.equal((await a.untilServing(idB, "beta")).reached, "direct");
    assert.equal(await b.ask("alpha"), idA);
    assert.equal(await a.ask("beta"), idB);
  },
});

Deno.test({
  name: "a client behind a NAT asks for what the mesh serves",
  ignore: !HAS_NAMESPACES,
  async fn() {
    await using network = await TestNetwork.create();
    await using host = await NetnsNode.start(await network.host(), { model: "alpha" });
    const args = ["--client", "--join", await host.token()];
    const nat = await network.nat();
    await using client = await NetnsNode.start(await nat.host(), { args });
    const id = await host.id();
    assert.equal((await client.untilServing(id, "alpha")).reached, "direct");
    assert.equal(await client.ask("alpha"), id);
    // It is in nobody's list.
    assert.deepEqual([...await host.members()], []);
  },
});
