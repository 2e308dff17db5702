import assert from "node:assert/strict";
import fc from "fast-check";
import { RIGHTS } from "~/mesh/credentials.ts";
import { readTokens } from "~/node/mesh/token_intake.ts";
import { bootstrapPeer, DAY_MS, PaperMesh } from "#support/paper_mesh.ts";
import { standInVerifier } from "#support/stand_in_signer.ts";

const one = new PaperMesh("one");
const two = new PaperMesh("two");
const nowMs = one.time.wallMs();

async function token(mesh: PaperMesh, lifeS = 3_600): Promise<string> {
  const fields = { rights: RIGHTS, peers: [bootstrapPeer("a")] };
  return (await mesh.originator().invite(fields, lifeS)).jws;
}

function read(tokens: readonly string[], options: { nowMs?: number; kept?: string } = {}) {
  return readTokens(tokens, { verifier: standInVerifier, nowMs, kept: undefined, ...options });
}

Deno.test("tokens: those of one mesh are one way in, in their order", async () => {
  const [a, b, c] = [await token(one), await token(two), await token(one)];
  const { ways, problems } = await read([a, ` ${b}\n`, c]);
  assert.deepEqual(problems, []);
  assert.deepEqual(ways.map(({ meshId }) => meshId), [one.meshId, two.meshId]);
  assert.deepEqual(ways[0]?.invites.map(({ jws }) => jws), [a, c]);
});

Deno.test("tokens: what cannot be used is told once, and the others are", async () => {
  const good = await token(one);
  const { ways, problems } = await read(["rubbish", good, "more"]);
  assert.deepEqual(problems, ["The invite token is malformed, perhaps not copied whole"]);
  assert.equal(ways.length, 1);
});

Deno.test("tokens: an expired one leads only into the mesh whose papers are kept", async () => {
  const old = await token(one);
  const later = nowMs + 2 * DAY_MS;
  assert.deepEqual((await read([old], { nowMs: later })).ways, []);
  assert.deepEqual((await read([old], { nowMs: later, kept: two.meshId })).ways, []);
  const { ways, problems } = await read([old], { nowMs: later, kept: one.meshId });
  assert.deepEqual(ways, [{ meshId: one.meshId, invites: [], problem: problems[0] }]);
  assert.match(problems[0] ?? "", /^The invite token expired on /);
});

Deno.test("tokens: one that was changed leads nowhere, whatever is kept", async () => {
  const good = await token(one);
  const { ways } = await read([`${good}x`], { kept: one.meshId });
  assert.deepEqual(ways, []);
});

Deno.test("tokens: no text breaks it", async () => {
  await fc.assert(fc.asyncProperty(fc.string(), async (text) => {
    const { ways, problems } = await read([text], { kept: one.meshId });
    assert.deepEqual([ways.length, problems.length], [0, 1]);
  }));
});
