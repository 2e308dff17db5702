import assert from "node:assert/strict";
import { HAS_NAMESPACES, TestNetwork } from "#support/netns.ts";
import { NetnsNode } from "#support/netns_node.ts";

Deno.test({
  name: "two nodes on a machine without any network are one mesh",
  ignore: !HAS_NAMESPACES,
  async fn() {
    await using network = await TestNetwork.create();
    const host = await network.lonelyHost();
    await using a = await NetnsNode.start(host, { model: "alpha" });
    const args = ["--join", await a.token()];
    await using b = await NetnsNode.start(host, { model: "beta", args, ports: [9338, 3132] });
    const [idA, idB] = [await a.id(), await b.id()];
    const { address } = await b.untilServing(idA, "alpha");
    assert.match(address ?? "", /^127\.0\.0\.1:/);
    await a.untilServing(idB, "beta");
    assert.equal(await b.ask("alpha"), idA);
    assert.equal(await a.ask("beta"), idB);
  },
});
