import assert from "node:assert/strict";
import fc from "fast-check";
import { bootstrapPeer } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import type { JsonObject } from "~/base/json.ts";
import { RIGHTS } from "~/mesh/credentials.ts";
import { issuerPart, serialOf } from "~/mesh/ids.ts";
import {
  BACKDATE_S,
  PAPER_LIMITS,
  type PaperKind,
  type PaperKinds,
  type ReadPaper,
  readPaper,
  writePaper,
} from "~/mesh/papers.ts";

const MESH = standInId("mesh");
const NODE = standInId("node");
const OTHER = standInId("other");
const NOW_S = 1_790_000_000;

function base(issuer: string) {
  return {
    meshId: MESH,
    issuer,
    issuedUnixS: NOW_S - BACKDATE_S,
    expiresUnixS: NOW_S + 3600,
    serial: serialOf(issuer, "AAAAAAAAAAA"),
  };
}

const byMesh = base(MESH);
const byNode = base(NODE);
const INVITE_SERIAL = serialOf(OTHER, "BBBBBBBBBBB");

const SAMPLES: { readonly [K in PaperKind]: readonly ReadPaper<PaperKinds[K]>[] } = {
  "mesh-llm-grant": [undefined, INVITE_SERIAL].map((inviteSerial) => ({
    paper: { ...byMesh, subject: NODE, inviteSerial, certifier: issuerPart(OTHER) },
    grantJws: undefined,
  })),
  "mesh-llm-invite": [
    {
      paper: { ...byMesh, rights: ["request"], peers: [bootstrapPeer("a")] },
      grantJws: undefined,
    },
    {
      paper: { ...byNode, rights: RIGHTS, peers: [bootstrapPeer("a", 8), bootstrapPeer("b")] },
      grantJws: "a.b.c",
    },
  ],
  "mesh-llm-certificate": [
    {
      paper: { ...byMesh, subject: NODE, rights: RIGHTS, inviteSerial: undefined },
      grantJws: undefined,
    },
    {
      paper: { ...byNode, subject: OTHER, rights: ["request"], inviteSerial: INVITE_SERIAL },
      grantJws: "a.b.c",
    },
  ],
  "mesh-llm-revocation": [
    {
      paper: { ...byMesh, revoked: { kind: "node", nodeId: NODE, closes: INVITE_SERIAL } },
      grantJws: undefined,
    },
    {
      paper: { ...byNode, revoked: { kind: "node", nodeId: OTHER, closes: undefined } },
      grantJws: "a.b.c",
    },
    {
      paper: { ...byNode, revoked: { kind: "serial", serial: byNode.serial } },
      grantJws: "a.b.c",
    },
  ],
};
const KINDS = Object.keys(SAMPLES) as PaperKind[];

function payloadsOf(kind: PaperKind): readonly JsonObject[] {
  return SAMPLES[kind].map((sample) => writePaper(kind, sample as never));
}

for (const kind of KINDS) {
  Deno.test(`readPaper() reads what writePaper() wrote: ${kind}`, () => {
    payloadsOf(kind).forEach((payload, index) => {
      const travelled = JSON.parse(JSON.stringify(payload));
      assert.deepEqual(readPaper(kind, travelled), SAMPLES[kind][index]);
    });
  });

  Deno.test(`readPaper() skips members that it does not know: ${kind}`, () => {
    payloadsOf(kind).forEach((payload, index) => {
      const later = { ...payload, nickname: "box", extra: { deep: [1] } };
      assert.deepEqual(readPaper(kind, later), SAMPLES[kind][index]);
    });
  });

  Deno.test(`readPaper() refuses a member that is missing or of another kind: ${kind}`, () => {
    const wrong = [undefined, null, true, -1, 1.5, 1e300, "", "x", [], {}, [null]];
    // Without these it is still a paper, of somebody or something else.
    const optional = ["inv", "closes"];
    for (const payload of payloadsOf(kind)) {
      for (const name of Object.keys(payload)) {
        for (const value of wrong) {
          if (optional.includes(name) && value === undefined) continue;
          const changed = JSON.parse(JSON.stringify({ ...payload, [name]: value }));
          const read = readPaper(kind, changed);
          // Any text may be a grant as far as this reader goes.
          const isText = name === "grant" && typeof value === "string";
          if (!isText) assert.equal(typeof read, "string", `${name}: ${JSON.stringify(value)}`);
        }
      }
    }
  });

  Deno.test(`readPaper() refuses lives that are too long or backwards: ${kind}`, () => {
    for (const payload of payloadsOf(kind)) {
      const longest = NOW_S - BACKDATE_S + PAPER_LIMITS[kind].lifeS + BACKDATE_S;
      assert.equal(typeof readPaper(kind, { ...payload, exp: longest }), "object");
      assert.equal(readPaper(kind, { ...payload, exp: longest + 1 }), "malformed");
      assert.equal(readPaper(kind, { ...payload, exp: NOW_S - BACKDATE_S }), "malformed");
    }
  });

  Deno.test(`readPaper() tells a newer version from rubbish: ${kind}`, () => {
    for (const payload of payloadsOf(kind)) {
      assert.equal(readPaper(kind, { ...payload, v: 2 }), "version");
      assert.equal(readPaper(kind, { ...payload, v: "1" }), "malformed");
    }
  });

  Deno.test(`readPaper() refuses a serial that another issuer could have given: ${kind}`, () => {
    for (const payload of payloadsOf(kind)) {
      assert.equal(readPaper(kind, { ...payload, jti: INVITE_SERIAL }), "malformed");
    }
  });

  Deno.test(`readPaper() fails on no payload: ${kind}`, () => {
    const names = ["v", "mesh", "iss", "iat", "exp", "jti", "sub", "rights", "peers", "node"];
    const rubbish = fc.dictionary(fc.constantFrom(...names), fc.jsonValue());
    const damaged = fc.record({
      payload: fc.constantFrom(...payloadsOf(kind)),
      change: rubbish,
    }).map(({ payload, change }) => ({ ...payload, ...change }));
    fc.assert(fc.property(fc.oneof(rubbish, damaged), (payload) => {
      const read = readPaper(kind, payload as JsonObject);
      if (typeof read === "string") return;
      // Whatever is taken can be written, and means the same again.
      assert.deepEqual(readPaper(kind, writePaper(kind, read as never)), read);
    }));
  });
}

Deno.test("readPaper() refuses a grant by anybody but the mesh key: there is no third step", () => {
  const [grant] = payloadsOf("mesh-llm-grant");
  const byGrantee = { ...grant, iss: NODE, jti: serialOf(NODE, "AAAAAAAAAAA"), grant: "a.b.c" };
  assert.equal(readPaper("mesh-llm-grant", byGrantee), "scope");
  assert.equal(readPaper("mesh-llm-grant", { ...grant, grant: "a.b.c" }), "malformed");
});

Deno.test("readPaper() refuses papers of nodes without a grant, and of the mesh key with one", () => {
  const [byMeshKey, byGrantee] = payloadsOf("mesh-llm-certificate");
  const { grant: _, ...bare } = byGrantee ?? {};
  assert.equal(readPaper("mesh-llm-certificate", bare), "malformed");
  assert.equal(readPaper("mesh-llm-certificate", { ...byMeshKey, grant: "a.b.c" }), "malformed");
  const long = { ...byGrantee, grant: "x".repeat(PAPER_LIMITS["mesh-llm-grant"].charsMax + 1) };
  assert.equal(readPaper("mesh-llm-certificate", long), "malformed");
});

Deno.test("readPaper() lets only the mesh key certify a node that came by no invite", () => {
  const [, byGrantee] = payloadsOf("mesh-llm-certificate");
  const { inv: _, ...without } = byGrantee ?? {};
  assert.equal(readPaper("mesh-llm-certificate", without), "scope");
});

Deno.test("readPaper() lets an issuer revoke and close its own serials only", () => {
  const [byMeshKey, byGrantee, ofSerial] = payloadsOf("mesh-llm-revocation");
  assert.equal(typeof readPaper("mesh-llm-revocation", { ...byMeshKey }), "object");
  assert.equal(readPaper("mesh-llm-revocation", { ...byGrantee, closes: INVITE_SERIAL }), "scope");
  assert.equal(readPaper("mesh-llm-revocation", { ...ofSerial, serial: INVITE_SERIAL }), "scope");
  const both = { ...byGrantee, serial: byNode.serial };
  assert.equal(readPaper("mesh-llm-revocation", both), "malformed");
});
