import assert from "node:assert/strict";
import fc from "fast-check";
import { ApiError } from "~/api/errors.ts";
import { inviteRequestOf, joinTokenOf, revokeRequestOf, TOKEN_CHARS_MAX } from "~/api/mesh_body.ts";
import type { JsonObject } from "~/base/json.ts";
import { PEER_ID, TEST_SERIAL } from "#support/managed_node.ts";

/** Checks that a reader refuses with 400, about this member. */
function assertRefused(read: () => unknown, param: string | null, message: RegExp): void {
  assert.throws(read, (error: Error) => {
    assert.ok(error instanceof ApiError, String(error));
    assert.deepEqual([error.status, error.code], [400, "invalid_request_error"]);
    assert.equal(error.param, param);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("joinTokenOf() takes a token, with the space that copying leaves around it", () => {
  assert.equal(joinTokenOf({ token: "  a.b-c_d.e\r\n" }), "a.b-c_d.e");
  const longest = "t".repeat(TOKEN_CHARS_MAX);
  assert.equal(joinTokenOf({ token: longest }), longest);
});

const NO_TOKENS: readonly (readonly [JsonObject, string | null, RegExp])[] = [
  [{}, "token", /send \{"token"/],
  [{ token: "" }, "token", /without an invite token/],
  [{ token: " \n" }, "token", /without an invite token/],
  [{ token: 7 }, "token", /without an invite token/],
  [{ token: ["a.b.c"] }, "token", /without an invite token/],
  [{ token: "one two" }, "token", /holds spaces/],
  [{ token: "a.b.c\u0000" }, "token", /holds spaces or characters/],
  [{ token: "t".repeat(TOKEN_CHARS_MAX + 1) }, "token", /more than 2048/],
  [{ token: "a.b.c", tokens: [] }, null, /member "tokens".*knows token/],
];
Deno.test.each(NO_TOKENS)("joinTokenOf() refuses %j", (body, param, message) => {
  assertRefused(() => joinTokenOf(body), param, message);
});

Deno.test("joinTokenOf() never repeats what may be a secret", () => {
  const secret = "c2VjcmV0";
  for (const token of [`${secret} ${secret}`, secret.repeat(300), [secret]]) {
    assert.throws(() => joinTokenOf({ token }), (error: Error) => !error.message.includes(secret));
  }
});

Deno.test("inviteRequestOf() makes a member for 7 days, unless told otherwise", () => {
  assert.deepEqual(inviteRequestOf({}), { role: "member", expiresInS: 604_800 });
  const client = inviteRequestOf({ role: "client", expires: "90m" });
  assert.deepEqual(client, { role: "client", expiresInS: 5400 });
  assert.equal(inviteRequestOf({ expires: "1m" }).expiresInS, 60);
  assert.equal(inviteRequestOf({ expires: "365d" }).expiresInS, 365 * 86_400);
});

const NO_INVITES: readonly (readonly [JsonObject, string | null, RegExp])[] = [
  [{ role: "admin" }, "role", /"member" or "client"/],
  [{ role: null }, "role", /"member" or "client"/],
  [{ expires: "soon" }, "expires", /"expires" is "soon", wanted is a whole number with s, m, h, d/],
  [{ expires: 7 }, "expires", /a whole number/],
  [{ expires: "" }, "expires", /a whole number/],
  [{ expires: "5" }, "expires", /"expires" is "5", wanted is a whole number/],
  [{ expires: "59s" }, "expires", /is "59s", wanted is a time from 1 min to 365 d/],
  [{ expires: "0d" }, "expires", /from 1 min to 365 d/],
  [{ expires: "366d" }, "expires", /from 1 min to 365 d/],
  [{ rights: ["invite"] }, null, /member "rights".*role, expires/],
];
Deno.test.each(NO_INVITES)("inviteRequestOf() refuses %j", (body, param, message) => {
  assertRefused(() => inviteRequestOf(body), param, message);
});

Deno.test("revokeRequestOf() takes a node or a serial", () => {
  assert.deepEqual(revokeRequestOf({ node: PEER_ID }), { node: PEER_ID, keep: false });
  const kept = revokeRequestOf({ serial: TEST_SERIAL, keep: true });
  assert.deepEqual(kept, { serial: TEST_SERIAL, keep: true });
});

const NO_REVOCATIONS: readonly (readonly [JsonObject, string | null, RegExp])[] = [
  [{}, "node", /either/],
  [{ keep: true }, "node", /either/],
  [{ node: "a", serial: "b" }, "node", /either/],
  [{ node: null }, "node", /not written like one/],
  [{ node: "" }, "node", /not written like one/],
  [{ node: "a b" }, "node", /not written like one/],
  [{ serial: "s".repeat(65) }, "serial", /not written like one/],
  [{ node: PEER_ID, keep: "yes" }, "keep", /true or false/],
  [{ node: PEER_ID, nodes: [] }, null, /member "nodes"/],
];
Deno.test.each(NO_REVOCATIONS)("revokeRequestOf() refuses %j", (body, param, message) => {
  assertRefused(() => revokeRequestOf(body), param, message);
});

Deno.test("no reader repeats an unknown member at length, or throws anything but a refusal", () => {
  assert.throws(() => inviteRequestOf({ ["\u001b[2J".repeat(100)]: 1 }), (error: Error) => {
    // deno-lint-ignore no-control-regex -- what a terminal would obey is looked for
    return error.message.length < 400 && !/[\u0000-\u001f]/.test(error.message);
  });
  const members = fc.dictionary(
    fc.constantFrom("token", "role", "expires", "node", "serial", "keep", "x"),
    fc.jsonValue(),
  );
  fc.assert(fc.property(members, (body) => {
    for (const read of [joinTokenOf, inviteRequestOf, revokeRequestOf]) {
      try {
        read(body as JsonObject);
      } catch (error) {
        assert.ok(error instanceof ApiError && error.status === 400);
      }
    }
  }));
});
