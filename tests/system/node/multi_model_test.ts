/** Several models in one mesh: who takes on what was asked of the mesh, and who replaces a host that died. */
import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { errorOf } from "#support/fake_node.ts";
import { MeshTestNode, startNodes, tellFigure } from "#support/mesh_nodes.ts";
import { runProgram } from "#support/node_process.ts";

/** The one of the nodes that answers for the model, as `asked` finds out. */
async function hostOf(
  model: string,
  asked: MeshTestNode,
  nodes: readonly MeshTestNode[],
): Promise<MeshTestNode> {
  const response = await asked.chat(model);
  assert.equal(response.status, 200, await response.text());
  const id = response.headers.get("x-mesh-llm-node");
  const host = nodes.find((node) => node.id === id);
  assert.ok(host !== undefined, `${id} was to serve ${model}`);
  return host;
}

Deno.test("a wanted model is taken on by one of two standbys, and by the other when that dies", async (t) => {
  await using stack = new AsyncDisposableStack();
  const alpha = stack.use(await MeshTestNode.start({ serves: "alpha" }));
  const token = await alpha.token();
  const standby = { token, isStandby: true, onDisk: ["beta"] };
  const [wisher, ...standbys] = await startNodes(stack, [
    { serves: "alpha2", token, args: ["--model", "beta"] },
    standby,
    standby,
  ]);
  assert.ok(wisher !== undefined);
  const upMs = performance.now();
  await Promise.all([alpha, wisher, ...standbys].map((node) => node.listed("beta")));
  tellFigure(`a wanted model has a host after ${Math.round(performance.now() - upMs)} ms`);
  const host = await hostOf("beta", wisher, standbys);
  const other = standbys.find((node) => node !== host);
  assert.ok(other !== undefined);

  await t.step("one serves it and says why, the other stands by", async () => {
    await host.events.status(
      ({ node_status: status, reason }) =>
        status === "serving" && /^host of beta: .* free for it$/.test(reason ?? ""),
      "reason of the host",
    );
    await other.events.status(
      ({ node_status: status, reason }) => status === "standby" && reason !== null,
      "standby",
    );
  });

  await t.step("every node answers for every model", async () => {
    for (const node of [alpha, wisher, ...standbys]) {
      await Promise.all(["alpha", "alpha2", "beta"].map((model) => node.listed(model)));
      for (const model of ["alpha", "alpha2", "beta"]) {
        const response = await node.chat(model);
        assert.equal(response.status, 200, await response.text());
      }
    }
  });

  await t.step("plan says so in plain words", async () => {
    const { homeDir } = wisher.node;
    const told = await runProgram(["plan", "beta", "--home", homeDir]);
    assert.equal(told.code, 0, told.stderr);
    assert.ok(told.stdout.startsWith(`host of "beta" is ${host.id.slice(0, 8)}`), told.stdout);
    assert.match(told.stdout, /would have room, and is not needed/);
    const none = await runProgram(["plan", "nobody-has-this", "--home", homeDir, "--json"]);
    assert.equal(none.code, 1, none.stderr);
    assert.equal(JSON.parse(none.stdout).model, "nobody-has-this");
  });

  await t.step("the other promotes itself when the host dies", async () => {
    await host.die();
    const diedMs = performance.now();
    await other.events.status(
      ({ node_status: status, model_name: model }) => status === "serving" && model === "beta",
      "promotion",
    );
    tellFigure(`the other serves it after ${Math.round(performance.now() - diedMs)} ms`);
    await wisher.events.peer(host.id, "gone");
    const answers = async () => {
      const response = await wisher.chat("beta");
      await response.body?.cancel();
      return response.status === 200;
    };
    await until(answers, "an answer of the new host");
    assert.equal(await hostOf("beta", wisher, standbys), other);
  });
});

Deno.test("a model that is only on a standby's disk is loaded by being asked for", async () => {
  await using alpha = await MeshTestNode.start({ serves: "alpha" });
  const token = await alpha.token();
  await using standby = await MeshTestNode.start({ token, isStandby: true, onDisk: ["gamma"] });
  await standby.events.status(({ node_status: status }) => status === "standby", "standby");
  const isKnown = async () => {
    const path = `${await alpha.node.consoleBase()}/api/plan?model=gamma`;
    const { members } = await (await fetch(path)).json();
    return members.some(({ is_host: isHost }: { readonly "is_host": boolean }) => isHost);
  };
  await until(isKnown, "the standby's disk");
  const invented = await alpha.chat("invented");
  assert.equal(invented.status, 404);
  await invented.body?.cancel();
  const early = await alpha.chat("GAMMA.gguf");
  assert.deepEqual([early.status, early.headers.get("retry-after")], [503, "5"]);
  assert.equal((await errorOf(early))["code"], "model_loading");
  await alpha.listed("gamma");
  assert.equal(await hostOf("gamma", alpha, [standby]), standby);
});

Deno.test("regression: a model that is only on a member's disk is loaded when a client asks for it", async () => {
  await using alpha = await MeshTestNode.start({ serves: "alpha" });
  const token = await alpha.token();
  await using standby = await MeshTestNode.start({ token, isStandby: true, onDisk: ["gamma"] });
  await using client = await MeshTestNode.start({ isClient: true, token });
  await standby.events.status(({ node_status: status }) => status === "standby", "standby");
  await client.listed("alpha");
  const isComing = async (): Promise<boolean> => {
    const response = await client.chat("gamma");
    // The standby's record may not be here yet.
    return (await errorOf(response))["code"] === "model_loading" &&
      response.headers.get("retry-after") === "5";
  };
  await until(isComing, "the promise that gamma comes");
  await client.listed("gamma");
  assert.equal(await hostOf("gamma", client, [standby]), standby);
  const invented = await client.chat("invented");
  assert.equal(invented.status, 404);
  await invented.body?.cancel();
});
