import assert from "node:assert/strict";
import type { MemberInfo } from "~/api/ports.ts";
import { peekPayload } from "~/mesh/signing.ts";
import { HAS_NAMESPACES, TestNetwork } from "#support/netns.ts";
import { NetnsNode, printTook } from "#support/netns_node.ts";

const TOKEN_CHARS_MAX = 65_536;

type Members = ReadonlyMap<string, MemberInfo>;
const stateOf = (id: string, state: MemberInfo["state"]) => (members: Members) =>
  members.get(id)?.state === state;

Deno.test({
  name: "a member that can only dial is cut off: suspect, gone, and back without a restart",
  ignore: !HAS_NAMESPACES,
  async fn() {
    await using network = await TestNetwork.create();
    await using a = await NetnsNode.start(await network.host(), { model: "alpha" });
    const args = ["--join", await a.token()];
    const nat = await network.nat();
    await using b = await NetnsNode.start(await nat.host(), { model: "beta", args });
    const [idA, idB] = [await a.id(), await b.id()];
    await Promise.all([a.untilServing(idB, "beta"), b.untilServing(idA, "alpha")]);
    await network.cutOff(b.host);
    await a.until("B, suspect", stateOf(idB, "suspect"));
    await Promise.all([
      a.until("B, gone", (members) => !members.has(idB)),
      b.until("A, gone", (members) => !members.has(idA)),
    ]);
    const cutMs = performance.now();
    await network.reconnect(b.host);
    await Promise.all([a.untilServing(idB, "beta"), b.untilServing(idA, "alpha")]);
    printTook("back", cutMs);
    assert.equal(await a.ask("beta"), idB);
    assert.equal(await b.ask("alpha"), idA);
  },
});

/** Waits until `node` has a link with a member at an address. */
async function untilAt(node: NetnsNode, id: string, ip: string): Promise<void> {
  await node.until(
    `${id} at ${ip}`,
    (members) => members.get(id)?.address?.startsWith(`${ip}:`) === true,
  );
}

Deno.test({
  name: "a host that gets another address is found again, by old members and by new ones",
  ignore: !HAS_NAMESPACES,
  async fn() {
    await using network = await TestNetwork.create();
    await using a = await NetnsNode.start(await network.host(), { model: "alpha" });
    const args = ["--join", await a.token()];
    await using b = await NetnsNode.start(await network.host(), { model: "beta", args });
    const [idA, idB] = [await a.id(), await b.id()];
    await Promise.all([a.untilServing(idB, "beta"), b.untilServing(idA, "alpha")]);

    // The link was dialled by B, and leads nowhere now: A has to dial.
    const second = await network.readdress(a.host);
    const movedMs = performance.now();
    await untilAt(b, idA, second.ip);
    printTook("found again", movedMs);
    assert.equal(await b.ask("alpha"), idA);

    // The link was dialled by A, and moves with it.
    const third = await network.readdress(second);
    await untilAt(b, idA, third.ip);
    assert.equal(await b.ask("alpha"), idA);
    const token = await a.untilToken(`A at ${third.ip}`, (jws) => {
      const named = JSON.stringify(peekPayload(jws, TOKEN_CHARS_MAX)?.["peers"]);
      return named.includes(third.ip) && !named.includes(second.ip);
    });
    const joinArgs = ["--client", "--join", token];
    await using client = await NetnsNode.start(await network.host(), { args: joinArgs });
    await untilAt(client, idA, third.ip);
    assert.equal(await client.ask("alpha"), idA);
  },
});
