import assert from "node:assert/strict";
import fc from "fast-check";
import { UserError } from "~/base/errors.ts";
import { revokeSubject } from "~/cli/revoke_subject.ts";
import { PEER_ID, RELAY_ID, SELF_ID, TEST_SERIAL } from "#support/managed_node.ts";

const NOBODY = () => Promise.reject(new Error("members were asked for"));

function failure(exitCode: 1 | 2, pattern: RegExp): (error: Error) => boolean {
  return (error) => {
    assert.ok(error instanceof UserError && error.exitCode === exitCode, String(error));
    assert.match(error.message, pattern);
    return true;
  };
}

Deno.test("revokeSubject() takes whole ids and serials as they are, whoever is here", async () => {
  assert.deepEqual(await revokeSubject(PEER_ID, NOBODY), { node: PEER_ID });
  assert.deepEqual(await revokeSubject(TEST_SERIAL, NOBODY), { serial: TEST_SERIAL });
});

Deno.test("revokeSubject() completes a beginning that only one node has", async () => {
  const members = () => Promise.resolve([SELF_ID, PEER_ID, RELAY_ID]);
  assert.deepEqual(await revokeSubject("peerpe", members), { node: PEER_ID });
  assert.deepEqual(await revokeSubject(RELAY_ID.slice(0, 42), members), { node: RELAY_ID });
});

Deno.test("revokeSubject() revokes nobody when none or several begin like that", async () => {
  const twins = [`${PEER_ID.slice(0, 20)}x`, `${PEER_ID.slice(0, 20)}y`];
  const members = () => Promise.resolve([SELF_ID, ...twins]);
  await assert.rejects(revokeSubject("peerpeer", members), failure(1, /2 nodes begin.*x, .*y/));
  await assert.rejects(revokeSubject("strange", members), failure(1, /no node that is here/));
});

Deno.test.each(["", "peer", "peerp", "peer peer", "peerpeer.", "../../etc", "peerpeer\u001b[2J"])(
  "revokeSubject() does not take %j for a name",
  async (text) => {
    await assert.rejects(
      revokeSubject(text, NOBODY),
      failure(2, /at least the first 6 characters/),
    );
  },
);

Deno.test("revokeSubject() never answers a node that does not begin with what was typed", async () => {
  const ids = fc.array(fc.stringMatching(/^[ab]{5,9}$/), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(fc.stringMatching(/^[ab.]{0,9}$/), ids, async (text, members) => {
      const subject = await revokeSubject(text, () => Promise.resolve(members)).catch((error) => {
        assert.ok(error instanceof UserError);
      });
      if (subject === undefined) return;
      assert.ok("node" in subject && subject.node.startsWith(text) && text.length >= 6);
      assert.equal(members.filter((id) => id.startsWith(text)).length, 1);
    }),
  );
});
