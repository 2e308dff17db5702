/** The commands about a mesh, each against running nodes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { MeshTestNode, tellFigure } from "#support/mesh_nodes.ts";
import { NodeProcess, runProgram } from "#support/node_process.ts";

type Result = Awaited<ReturnType<typeof runProgram>>;

/** Runs a command on the home of a node. */
function run(homeDir: string, ...words: readonly string[]): Promise<Result> {
  return runProgram([...words, "--home", homeDir], { HOME: homeDir });
}

/** What a command prints that went well. */
async function dataOf(result: Promise<Result>): Promise<string> {
  const { code, stdout, stderr } = await result;
  assert.equal(code, 0, stderr);
  return stdout.trimEnd();
}

async function statusOf(node: MeshTestNode) {
  return await node.events.status(() => true, "status");
}

/** How somebody ends who has just this token, and what is said. */
async function tryJoin(options: { readonly token: string; readonly homeDir?: string }) {
  const args = ["--client", "--join", options.token];
  const { homeDir } = options;
  await using node = await NodeProcess.start(homeDir === undefined ? { args } : { args, homeDir });
  const { code } = await node.exited;
  return { code, told: node.stderr };
}

Deno.test("invite prints a token alone, that lets a client in and no more", async () => {
  await using host = await MeshTestNode.start({ serves: "alpha" });
  const hostHome = host.node.homeDir;
  const made = run(hostHome, "invite", "--role", "client", "--expires", "1h");
  const token = await dataOf(made);
  assert.match(token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.match((await made).stderr, /as client until .* mesh-llm revoke /);
  await using client = await MeshTestNode.start({ token, isClient: true });
  await client.listed("alpha");
  await host.events.status(({ clients }) => clients === 1, "one client");
  const bad = await run(hostHome, "invite", "--expires", "1y");
  assert.deepEqual([bad.code, bad.stdout], [2, ""]);
  assert.match(bad.stderr, /^mesh-llm: Cannot make this invite: --expires is "1y", wanted is/);
});

Deno.test("members, drop, stop, mesh-key export and rotate-key in a mesh of two", async (t) => {
  await using host = await MeshTestNode.start({ serves: "alpha" });
  const hostHome = host.node.homeDir;
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-home-" });
  const startMember = (token?: string) =>
    MeshTestNode.start({ serves: "beta", homeDir, ...(token === undefined ? {} : { token }) });

  await t.step("members and status show who is there, and how", async () => {
    await using member = await startMember(await host.token());
    await Promise.all([host.listed("beta"), member.listed("alpha"), member.listed("beta")]);
    const { mesh_id: meshId } = await statusOf(host);
    const [plain, json] = await Promise.all([
      dataOf(run(hostHome, "members")),
      dataOf(run(homeDir, "members", "--json")),
    ]);
    assert.match(plain, new RegExp(`^Mesh ${meshId}: 2 nodes\n`));
    assert.match(plain, new RegExp(`^${member.id.slice(0, 12)} .* live +direct .* beta$`, "m"));
    const listed = JSON.parse(json);
    assert.equal(listed["mesh_id"], meshId);
    assert.deepEqual(listed.members.map(({ id }: { id: string }) => id), [member.id, host.id]);
    assert.deepEqual(listed.members[1].rights, ["request", "serve", "split", "invite"]);

    await dataOf(run(homeDir, "drop", "beta"));
    await host.events.status(({ mesh_models: models }) => models.length === 1, "one model left");
    assert.deepEqual(await member.models(), ["alpha"]);
    const refused = await run(homeDir, "rotate-key");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^mesh-llm: Cannot change the certificate while a node runs/);

    const told = host.events.peers.length;
    assert.match(await dataOf(run(homeDir, "stop")), /^Stopped the node, process \d+$/);
    assert.equal((await member.node.exited).code, 0);
    await host.events.peer(member.id, "left");
    // Only what the end itself brought: before it, a busy machine may have kept somebody silent for a while.
    const ending = host.events.peers.slice(told).map(({ event }) => event);
    assert.deepEqual(ending.filter((event) => event === "suspect"), []);
  });

  await t.step("mesh-key export: where the mesh began, and nowhere else", async () => {
    const { mesh_id: meshId } = await statusOf(host);
    const told = JSON.parse(await dataOf(run(hostHome, "mesh-key", "export", "--json")));
    assert.equal(told["mesh_id"], meshId);
    assert.equal(told.pem, await Deno.readTextFile(join(hostHome, "mesh-key")));
    const refused = await run(homeDir, "mesh-key", "export");
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
  });

  await t.step(
    "rotate-key: another certificate, the same node, and the mesh takes it",
    async () => {
      const before = await Deno.readTextFile(join(homeDir, "link-cert.pem"));
      await dataOf(run(homeDir, "rotate-key"));
      assert.notEqual(await Deno.readTextFile(join(homeDir, "link-cert.pem")), before);
      await using member = await startMember();
      await Promise.all([member.listed("alpha"), host.listed("beta")]);
      const response = await host.chat("beta");
      await response.body?.cancel();
      assert.equal(response.headers.get("x-mesh-llm-node"), member.id);
    },
  );
  await Deno.remove(homeDir, { recursive: true });
});

Deno.test("a revoked node is out at once, and does not come back by its token or its key", async (t) => {
  await using stack = new AsyncDisposableStack();
  const host = stack.use(await MeshTestNode.start({ serves: "alpha" }));
  const hostHome = host.node.homeDir;
  const token = await host.token();
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-home-" });
  stack.defer(() => Deno.remove(homeDir, { recursive: true }));
  // All came by the same token: only the one that is named has to go.
  const client = stack.use(await MeshTestNode.start({ token, isClient: true }));
  const bystander = stack.use(await MeshTestNode.start({ serves: "gamma", token }));
  const others = [host, client, bystander];
  const victim = await MeshTestNode.start({ serves: "beta", token, homeDir });
  stack.use(victim);
  const models = ["alpha", "beta", "gamma"];
  await Promise.all(
    [...others, victim].flatMap((node) => models.map((model) => node.listed(model))),
  );

  await t.step("its links close everywhere, and nobody else's", async () => {
    const startedMs = performance.now();
    const told = await dataOf(run(hostHome, "revoke", victim.id.slice(0, 12)));
    assert.match(told, new RegExp(`^Revoked ${victim.id}, `));
    const news = await Promise.all(others.map(({ events }) => events.peer(victim.id, "left")));
    const latestMs = Math.max(...news.map(({ atMs }) => atMs));
    tellFigure(`out everywhere after ${Math.round(latestMs - startedMs)} ms, command included`);
    await victim.node.told(/This node is out of mesh/);
    await victim.events.status(({ peers }) => peers.length === 0, "a node alone");
    assert.deepEqual(await victim.models(), ["beta"]);
    for (const node of others) {
      assert.deepEqual((await node.models()).toSorted(), ["alpha", "gamma"]);
    }
    assert.equal((await victim.node.stop()).code, 0);
  });

  await t.step("the old token is refused, with its old key and with a new one", async () => {
    const [old, fresh] = await Promise.all([tryJoin({ token, homeDir }), tryJoin({ token })]);
    assert.deepEqual([old.code, fresh.code], [1, 1]);
    for (const { told } of [old, fresh]) assert.match(told, /^mesh-llm: Cannot join: .*revoked/m);
  });

  await t.step("its key is refused with a token that holds, too", async () => {
    const made = await dataOf(run(hostHome, "invite"));
    const { code, told } = await tryJoin({ token: made, homeDir });
    assert.equal(code, 1, told);
    assert.match(told, /^mesh-llm: Cannot join: .*revoked/m);
    await using welcome = await MeshTestNode.start({ token: made, isClient: true });
    await welcome.listed("alpha");
  });

  await t.step("the host shows another token from then on, which leads in", async () => {
    const before = await statusOf(host);
    {
      await using guest = await MeshTestNode.start({ token: before.token ?? "", isClient: true });
      await guest.listed("alpha");
      await dataOf(run(hostHome, "revoke", guest.id));
      await guest.node.told(/This node is out of mesh/);
    }
    const isNew = (status: { readonly token: string | null }) =>
      ![token, before.token].includes(status.token);
    const { token: shown } = await host.events.status(isNew, "another token");
    await using welcome = await MeshTestNode.start({ token: shown ?? "", isClient: true });
    await welcome.listed("alpha");
  });
});
