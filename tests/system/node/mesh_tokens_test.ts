/** Tokens that do not lead anywhere: one sentence each, exit status 1, and the token in no log. */
import assert from "node:assert/strict";
import { systemSecrets } from "~/base/io/system.ts";
import { type BootstrapPeer, RIGHTS } from "~/mesh/credentials.ts";
import { loadMeshKey } from "~/mesh/io/mesh_key.ts";
import { Issuer } from "~/mesh/issuer.ts";
import { asPeer } from "~/mesh/paper_fields.ts";
import { peekPayload } from "~/mesh/signing.ts";
import { MeshTestNode, tellFigure } from "#support/mesh_nodes.ts";
import { NodeProcess } from "#support/node_process.ts";
import { readTree } from "#support/processes.ts";

const DAY_MS = 86_400_000;
const CHARS_MAX = 2048;

/** How a client ends that has just this token. */
interface Ending {
  readonly code: number;
  /** What is told beside the log. */
  readonly told: readonly string[];
}

/** Lets a client try; fails when any trace of the token is left where it does not belong. */
async function tryToken(
  token: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Ending> {
  const args = ["--client", "--join", token, "--log-level", "trace"];
  await using client = await NodeProcess.start({ args, env });
  const { code } = await client.exited;
  await assertNoTrace(token, client);
  const told = client.stderr.split("\n").filter((line) => line.startsWith("mesh-llm: "));
  return { code, told };
}

/** The signature is what makes a token one: who has no copy of it has no token. */
async function assertNoTrace(token: string, node: NodeProcess): Promise<void> {
  const secret = token.slice(-40);
  const places = [
    ["stdout", node.stdout],
    ["stderr", node.stderr],
    ...await readTree(node.homeDir),
  ];
  assert.deepEqual(places.filter(([, text]) => text?.includes(secret)).map(([name]) => name), []);
}

async function assertRefused(token: string, sentence: RegExp): Promise<void> {
  const { code, told } = await tryToken(token);
  assert.equal(code, 1);
  assert.equal(told.length, 1, told.join("\n"));
  assert.match(told[0] ?? "", sentence);
}

/** The peers that a token names. */
function peersOf(token: string): readonly BootstrapPeer[] {
  const peers = peekPayload(token, CHARS_MAX)?.["peers"];
  return Array.isArray(peers) ? peers.flatMap((peer) => asPeer(peer) ?? []) : [];
}

/** Signs an invite as the originator whose home this is, so long ago. */
async function inviteBy(
  homeDir: string,
  options: { agoMs: number; lifeS: number; peers: readonly BootstrapPeer[] },
): Promise<string> {
  const signer = await loadMeshKey(homeDir);
  if (signer === undefined) throw new Error(`No mesh key in ${homeDir}`);
  const wallMs = () => Date.now() - options.agoMs;
  const issuer = new Issuer({
    meshId: signer.id,
    signer,
    grant: undefined,
    clock: { wallMs, nowMs: wallMs },
    secrets: systemSecrets,
  });
  const fields = { rights: RIGHTS, peers: options.peers };
  return (await issuer.invite(fields, options.lifeS)).jws;
}

/** A token signed anew by the mesh key, with other things in it. */
async function changed(homeDir: string, token: string, change: Record<string, number>) {
  const signer = await loadMeshKey(homeDir);
  const payload = peekPayload(token, CHARS_MAX);
  if (signer === undefined || payload === undefined) throw new Error("Nothing to change");
  return await signer.sign("mesh-llm-invite", { ...payload, ...change });
}

Deno.test("a token that cannot be used is told in one sentence, and ends what had no other way", async (t) => {
  await using host = await MeshTestNode.start({ serves: "alpha" });
  const token = await host.token();
  const { homeDir } = host.node;
  const gone = tryUnreachable(homeDir, token);
  gone.catch(() => {});

  await t.step("malformed", async () => {
    const malformed = ["hello", token.slice(0, -8)].map((bad) =>
      assertRefused(bad, /^mesh-llm: Cannot join: The invite token (is malformed|is not signed)/)
    );
    await Promise.all(malformed);
  });

  await t.step("changed on the way", async () => {
    const at = token.lastIndexOf(".") + 5;
    const other = token[at] === "A" ? "B" : "A";
    const bad = token.slice(0, at) + other + token.slice(at + 1);
    await assertRefused(bad, /^mesh-llm: Cannot join: The invite token is not signed by its mesh/);
  });

  await t.step("of a version to come", async () => {
    const bad = await changed(homeDir, token, { v: 99 });
    await assertRefused(bad, /^mesh-llm: Cannot join: .* use a newer mesh-llm$/);
  });

  await t.step("expired", async () => {
    const peers = peersOf(token);
    const bad = await inviteBy(homeDir, { agoMs: 2 * DAY_MS, lifeS: 3600, peers });
    await assertRefused(bad, /^mesh-llm: Cannot join: The invite token expired on \d{4}-\d\d-\d\d/);
  });

  await t.step("revoked", async () => {
    const made = await makeInvite(host, "client");
    const revoked = await host.fake.manage("POST", "/api/revocations", { serial: made.serial });
    assert.equal(revoked.status, 200);
    await revoked.body?.cancel();
    await assertRefused(made.token, /^mesh-llm: Cannot join: The invite token was revoked/);
  });

  await t.step("of a peer that nobody can reach", () => gone);
});

/** Nobody is at the port that the token names. */
async function tryUnreachable(homeDir: string, like: string): Promise<void> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const { port } = socket.addr as Deno.NetAddr;
  socket.close();
  const peers = peersOf(like).map((peer) => ({ ...peer, addresses: [{ ip: "127.0.0.1", port }] }));
  const token = await inviteBy(homeDir, { agoMs: 0, lifeS: 3600, peers });
  const startedMs = performance.now();
  await assertRefused(token, /^mesh-llm: Cannot join: cannot reach the one peer of the token/);
  tellFigure(`given up after ${Math.round(performance.now() - startedMs)} ms, start included`);
}

async function makeInvite(node: MeshTestNode, role: "member" | "client") {
  return await (await node.fake.manage("POST", "/api/invites", { role })).json();
}

Deno.test("tokens that lead in, not everywhere, and not for ever", async (t) => {
  await using host = await MeshTestNode.start({ serves: "alpha" });
  const token = await host.token();

  await t.step("one of two is bad: the other one leads in, and the bad one is told", async () => {
    const env = { MESH_LLM_JOIN: `${token.slice(0, -8)} ${token}` };
    await using client = await MeshTestNode.start({ isClient: true, env });
    await client.listed("alpha");
    await client.node.told(/A token cannot be used: The invite token is/);
    await assertNoTrace(token, client.node);
  });

  await t.step("without --client, a client's token lets a node ask and not serve", async () => {
    const made = await makeInvite(host, "client");
    await using guest = await MeshTestNode.start({ serves: "beta", token: made.token });
    await guest.node.told(/lets this node ask, not serve/);
    await Promise.all([guest.listed("alpha"), guest.listed("beta")]);
    assert.deepEqual(await guest.models(), ["beta", "alpha"]);
    assert.equal(guest.node.stdout.includes("Invite token:"), false);
    assert.deepEqual(await host.models(), ["alpha"]);
    await assertNoTrace(made.token, guest.node);
  });

  await t.step(
    "a node goes to another mesh while it runs; the old token leads nowhere",
    async () => {
      await using elsewhere = await MeshTestNode.start({ serves: "gamma" });
      const body = { token: await elsewhere.token() };
      const answer = await host.fake.manage("POST", "/api/join", body);
      const { mesh_id: wanted } = await elsewhere.events.status(() => true, "status");
      assert.deepEqual(await answer.json(), { mesh_id: wanted, peers: 1 });
      await Promise.all([host.listed("gamma"), elsewhere.listed("alpha")]);
      await assertRefused(token, /^mesh-llm: Cannot join: .*mesh/);
      await assertNoTrace(body.token, host.node);
    },
  );
});
