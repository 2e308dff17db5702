import assert from "node:assert/strict";
import fc from "fast-check";
import {
  accepted,
  bootstrapPeer,
  codeOf,
  DAY_MS,
  memberBy,
  PaperMesh,
} from "#support/paper_mesh.ts";
import { standInId, standInJws, standInSigner, standInVerifier } from "#support/stand_in_signer.ts";
import { peekPayload, type Verifier } from "~/mesh/signing.ts";
import { PAPER_LIMITS, type PaperKind, writePaper } from "~/mesh/papers.ts";
import { isRefusal } from "~/mesh/refusal.ts";
import { judgeTime, openInvite, PaperTrust } from "~/mesh/trust.ts";

const KINDS = Object.keys(PAPER_LIMITS) as PaperKind[];
const PEERS = [bootstrapPeer("a")];

/** One paper of each kind, by a node with a grant where that may be. */
async function onePaperOfEach(mesh: PaperMesh): Promise<Record<PaperKind, string>> {
  const { grant, issuer } = await mesh.grantee("issuer");
  const invite = await issuer.invite({ rights: ["request"], peers: PEERS }, 3600);
  const certificate = await memberBy(issuer, standInId("joiner"));
  const revocation = await issuer.revocation({
    revoked: { kind: "node", nodeId: standInId("joiner"), closes: undefined },
  });
  return {
    "mesh-llm-grant": grant.jws,
    "mesh-llm-invite": invite.jws,
    "mesh-llm-certificate": certificate.jws,
    "mesh-llm-revocation": revocation.jws,
  };
}

Deno.test("PaperTrust takes papers of the mesh key, and of those whom it granted that", async () => {
  const mesh = new PaperMesh();
  const { id, grant, issuer } = await mesh.grantee("issuer");
  const trust = mesh.trust();
  for (const by of [mesh.originator(), issuer]) {
    const certificate = await memberBy(by, standInId("joiner"));
    const read = accepted(await trust.read("mesh-llm-certificate", certificate.jws));
    assert.deepEqual(read.paper, certificate.paper);
    assert.equal(read.grant?.jws, by.id === id ? grant.jws : undefined);
  }
});

Deno.test("PaperTrust takes no paper of one kind for one of another", async () => {
  const mesh = new PaperMesh();
  const papers = await onePaperOfEach(mesh);
  for (const kind of KINDS) {
    for (const other of KINDS) {
      const answer = await mesh.trust().read(kind, papers[other]);
      assert.equal(isRefusal(answer), kind !== other, `${other} as ${kind}`);
    }
  }
});

Deno.test("PaperTrust takes no payload of one kind under the typ of another", async () => {
  const mesh = new PaperMesh();
  const papers = await onePaperOfEach(mesh);
  for (const signed of KINDS) {
    const payload = peekPayload(papers[signed], 4096) ?? {};
    for (const claimed of KINDS.filter((kind) => kind !== signed)) {
      const jws = standInJws(String(payload["iss"]), claimed, payload);
      assert.ok(isRefusal(await mesh.trust().read(signed, jws)), `${signed} as ${claimed}`);
    }
  }
});

Deno.test("PaperTrust refuses a paper of another mesh, and a grant of another mesh", async () => {
  const [mesh, foreign] = [new PaperMesh(), new PaperMesh("foreign")];
  const trust = mesh.trust();
  const alien = await memberBy(foreign.originator(), standInId("joiner"));
  assert.equal(codeOf(await trust.read("mesh-llm-certificate", alien.jws)), "mesh");
  const { grant } = await foreign.grantee("issuer");
  const smuggled = await memberBy(mesh.issuerWith("issuer", grant), standInId("joiner"));
  assert.match(sentenceOf(await trust.read("mesh-llm-certificate", smuggled.jws)), /bad grant/);
});

Deno.test("PaperTrust refuses a grant that somebody made for itself", async () => {
  const mesh = new PaperMesh();
  const { grant } = await mesh.grantee("issuer");
  const { nodeId } = bootstrapPeer("thief");
  const payload = writePaper("mesh-llm-grant", {
    paper: { ...grant.paper, subject: nodeId },
    grantJws: undefined,
  });
  const forged = { jws: standInJws(nodeId, "mesh-llm-grant", payload), paper: grant.paper };
  const answer = await mesh.trust().read("mesh-llm-grant", forged.jws);
  assert.match(sentenceOf(answer), /not signed by its mesh/);
  const certificate = await memberBy(mesh.issuerWith("thief", forged), standInId("joiner"));
  assert.ok(isRefusal(await mesh.trust().read("mesh-llm-certificate", certificate.jws)));
});

Deno.test("PaperTrust refuses a paper with the grant of somebody else", async () => {
  const mesh = new PaperMesh();
  const { grant } = await mesh.grantee("issuer");
  const certificate = await memberBy(mesh.issuerWith("thief", grant), standInId("joiner"));
  const answer = await mesh.trust().read("mesh-llm-certificate", certificate.jws);
  assert.match(sentenceOf(answer), /grant of somebody else/);
});

Deno.test("PaperTrust refuses a third step: a grant by who holds one", async () => {
  const mesh = new PaperMesh();
  const { issuer, id } = await mesh.grantee("issuer");
  const second = await issuer.grant({
    subject: standInId("friend"),
    inviteSerial: undefined,
    certifier: id.slice(0, 16),
  });
  assert.ok(isRefusal(await mesh.trust().read("mesh-llm-grant", second.jws)));
  const certificate = await memberBy(mesh.issuerWith("friend", second), standInId("joiner"));
  assert.ok(isRefusal(await mesh.trust().read("mesh-llm-certificate", certificate.jws)));
});

Deno.test("PaperTrust refuses whatever was changed in a paper", async () => {
  const mesh = new PaperMesh();
  const papers = await onePaperOfEach(mesh);
  const where = fc.record({ kind: fc.constantFrom(...KINDS), at: fc.nat(4000), to: fc.nat(63) });
  await fc.assert(fc.asyncProperty(where, async ({ kind, at, to }) => {
    const jws = papers[kind];
    const index = at % jws.length;
    const character = `${BASE64URL[to]}`;
    if (jws[index] === character) return;
    const changed = jws.slice(0, index) + character + jws.slice(index + 1);
    assert.ok(isRefusal(await mesh.trust().read(kind, changed)));
  }));
});

const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

Deno.test("PaperTrust refuses any text without failing, and says so in one sentence", async () => {
  const trust = new PaperMesh().trust();
  const part = fc.stringMatching(/^[A-Za-z0-9_-]{0,60}$/);
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(part, { maxLength: 4 }).map((parts) => parts.join(".")),
    fc.jsonValue().map((value) =>
      standInJws(standInId(1), "mesh-llm-invite", value as Record<string, never>)
    ),
  );
  await fc.assert(fc.asyncProperty(fc.constantFrom(...KINDS), text, async (kind, jws) => {
    const answer = await trust.read(kind, jws);
    assert.match(sentenceOf(answer), /^The [^\n]{5,200}[^.\n]$/);
  }));
});

Deno.test("PaperTrust does not look into what is too long", async () => {
  const mesh = new PaperMesh();
  let looks = 0;
  const verifier: Verifier = {
    verify: (jws, expected) => (looks++, standInVerifier.verify(jws, expected)),
  };
  const trust = new PaperTrust({ meshId: mesh.meshId, verifier });
  for (const kind of KINDS) {
    const payload = { v: 1, mesh: mesh.meshId, filler: "x".repeat(3000) };
    const jws = await mesh.meshKey.sign(kind, payload);
    assert.match(sentenceOf(await trust.read(kind, jws)), /characters/);
  }
  assert.equal(looks, 0);
});

Deno.test("PaperTrust checks the signatures of a paper once, and every time those of a bad one", async () => {
  const mesh = new PaperMesh();
  const looks: string[] = [];
  const verifier: Verifier = {
    verify: (jws, expected) => (looks.push(expected.type), standInVerifier.verify(jws, expected)),
  };
  const trust = new PaperTrust({ meshId: mesh.meshId, verifier });
  const { issuer } = await mesh.grantee("issuer");
  const [one, other] = [await memberBy(issuer, standInId(1)), await memberBy(issuer, standInId(2))];
  for (let n = 0; n < 3; n++) accepted(await trust.read("mesh-llm-certificate", one.jws));
  accepted(await trust.read("mesh-llm-certificate", other.jws));
  assert.deepEqual(looks, ["mesh-llm-grant", "mesh-llm-certificate", "mesh-llm-certificate"]);
  const bad = `${one.jws.slice(0, -1)}${one.jws.endsWith("A") ? "B" : "A"}`;
  for (let n = 0; n < 2; n++) {
    assert.ok(isRefusal(await trust.read("mesh-llm-certificate", bad)));
  }
  assert.equal(looks.length, 5);
});

Deno.test("judgeTime() forgives clocks that are ten minutes apart, and a day at the beginning", async () => {
  const mesh = new PaperMesh();
  const certificate = await memberBy(mesh.originator(), standInId("joiner"));
  const nowMs = mesh.time.wallMs();
  const judge = (atMs: number) => codeOf(judgeTime("mesh-llm-certificate", certificate, atMs));
  assert.equal(judge(nowMs), "accepted");
  assert.equal(judge(nowMs - DAY_MS - 599_000), "accepted");
  assert.equal(judge(nowMs - DAY_MS - 601_000), "expired");
  assert.equal(judge(nowMs + 30 * DAY_MS + 599_000), "accepted");
  assert.equal(judge(nowMs + 30 * DAY_MS + 601_000), "expired");
});

Deno.test("judgeTime() ends a paper with the grant that it hangs on, but not a revocation", async () => {
  const mesh = new PaperMesh();
  const { grant, issuer } = await mesh.grantee("issuer");
  mesh.time.advance(5 * 365 * DAY_MS - DAY_MS);
  const certificate = await memberBy(issuer, standInId("joiner"));
  assert.equal(certificate.paper.expiresUnixS, grant.paper.expiresUnixS);
  const revocation = await issuer.revocation({
    revoked: { kind: "serial", serial: certificate.paper.serial },
  });
  const nowMs = mesh.time.wallMs() + 2 * DAY_MS;
  assert.equal(codeOf(judgeTime("mesh-llm-certificate", certificate, nowMs)), "expired");
  const longer = { ...certificate, paper: { ...certificate.paper, expiresUnixS: nowMs } };
  assert.equal(codeOf(judgeTime("mesh-llm-certificate", longer, nowMs)), "expired");
  assert.equal(judgeTime("mesh-llm-revocation", revocation, nowMs), undefined);
  mesh.time.advance(3 * DAY_MS);
  const late = await issuer.revocation({
    revoked: { kind: "serial", serial: issuer.freshSerial() },
  });
  assert.equal(codeOf(judgeTime("mesh-llm-revocation", late, mesh.time.wallMs())), "expired");
});

Deno.test("openInvite() says in one sentence each what is wrong with a token", async () => {
  const mesh = new PaperMesh();
  const foreign = new PaperMesh("foreign");
  const invite = await mesh.originator().invite({ rights: ["request"], peers: PEERS }, 3600);
  const nowMs = mesh.time.wallMs();
  const open = (text: string, options: { atMs?: number; meshId?: string } = {}) =>
    openInvite(text, {
      verifier: standInVerifier,
      nowMs: options.atMs ?? nowMs,
      meshId: options.meshId,
    });
  const fresh = accepted(await open(` ${invite.jws}\n`));
  assert.deepEqual(fresh.paper, invite.paper);
  accepted(await open(invite.jws, { meshId: mesh.meshId }));
  const payload = peekPayload(invite.jws, 2048) ?? {};
  const newer = await mesh.meshKey.sign("mesh-llm-invite", { ...payload, v: 2 });
  const forged = await standInSigner(standInId("thief")).sign("mesh-llm-invite", payload);
  const cases: [string, string, RegExp, Parameters<typeof open>[1]?][] = [
    ["hello", "invite", /^The invite token is malformed, perhaps not copied whole$/],
    ["", "invite", /malformed/],
    [invite.jws.slice(0, -1), "invite", /not signed by its mesh, or was changed on the way/],
    ["x".repeat(5000), "invite", /malformed: it has 5000 characters, 2048 at most/],
    [forged, "invite", /not signed by its mesh/],
    [newer, "version", /version that this program does not know/],
    [invite.jws, "expired", /expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC/, { atMs: nowMs + DAY_MS }],
    [invite.jws, "mesh", /is for mesh .{8}, not for mesh/, { meshId: foreign.meshId }],
  ];
  for (const [text, code, sentence, options] of cases) {
    const answer = await open(text, options);
    assert.equal(codeOf(answer), code, text.slice(0, 20));
    assert.match(sentenceOf(answer), sentence);
  }
});

function sentenceOf(answer: object): string {
  return isRefusal(answer) ? answer.message : "accepted";
}
