import assert from "node:assert/strict";
import { HAS_NAMESPACES, TestNetwork } from "#support/netns.ts";
import { NetnsNode } from "#support/netns_node.ts";

Deno.test({
  name: "three hosts with addresses of their own, one without IPv6: each answers for every model",
  ignore: !HAS_NAMESPACES,
  async fn() {
    await using network = await TestNetwork.create();
    const old = await network.host();
    await network.dropIpv6(old);
    await using a = await NetnsNode.start(await network.host(), { model: "alpha" });
    const token = await a.token();
    const join = ["--join", token];
    await using b = await NetnsNode.start(await network.host(), { model: "beta", args: join });
    await using c = await NetnsNode.start(old, { model: "gamma", args: join });
    const nodes = [{ node: a, model: "alpha" }, { node: b, model: "beta" }, {
      node: c,
      model: "gamma",
    }];
    for (const near of nodes) {
      for (const far of nodes) {
        if (near === far) continue;
        const id = await far.node.id();
        // Heard of over the first one, a member may be reached over that one until the link is there.
        await near.node.untilServing(id, far.model, "direct");
        assert.equal(await near.node.ask(far.model), id);
      }
    }
  },
});
