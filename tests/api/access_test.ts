import assert from "node:assert/strict";
import fc from "fast-check";
import { type AccessRules, admitCaller, basicPasswordOf, requireManager } from "~/api/access.ts";
import { ApiError } from "~/api/errors.ts";
import { KeyRing } from "~/base/http_guard.ts";
import { TEST_TOKEN } from "#support/managed_node.ts";

const API_KEY = "sk-test-key";
const LOOPBACK: AccessRules = {
  policy: { hosts: "loopback" },
  managementKeys: new KeyRing([TEST_TOKEN]),
  apiKeys: new KeyRing([API_KEY]),
};
const ANYWHERE: AccessRules = { ...LOOPBACK, policy: { hosts: "any" } };

function headersOf(fields: Readonly<Record<string, string>>): Headers {
  return new Headers({ host: "localhost:3131", ...fields });
}
function codeOf(fields: Readonly<Record<string, string>>, rules: AccessRules): string {
  try {
    admitCaller(headersOf(fields), rules);
    return "admitted";
  } catch (thrown) {
    assert.ok(thrown instanceof ApiError);
    return thrown.code;
  }
}

Deno.test.each(
  [
    { title: "a program on localhost", fields: {}, expected: "admitted" },
    { title: "127.0.0.1", fields: { host: "127.0.0.1:3131" }, expected: "admitted" },
    { title: "[::1]", fields: { host: "[::1]:3131" }, expected: "admitted" },
    { title: "a foreign Host", fields: { host: "evil.example:3131" }, expected: "forbidden" },
    {
      title: "a Host that begins alike",
      fields: { host: "localhost.evil" },
      expected: "forbidden",
    },
    { title: "an empty Host", fields: { host: "" }, expected: "forbidden" },
    {
      title: "a foreign Origin",
      fields: { origin: "https://evil.example" },
      expected: "forbidden",
    },
    { title: "Origin null", fields: { origin: "null" }, expected: "forbidden" },
    { title: "our own page", fields: { origin: "http://localhost:3131" }, expected: "admitted" },
    {
      title: "a cross-site image",
      fields: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" },
      expected: "forbidden",
    },
    {
      title: "the token with a foreign Origin",
      fields: { authorization: `Bearer ${TEST_TOKEN}`, origin: "https://evil.example" },
      expected: "forbidden",
    },
  ] as const,
)("admitCaller() on loopback: $title is $expected", ({ fields, expected }) => {
  assert.equal(codeOf(fields, LOOPBACK), expected);
});

const basic = (password: string): string => `Basic ${btoa(`me:${password}`)}`;

Deno.test.each(
  [
    { title: "nothing", fields: {}, expected: "invalid_api_key" },
    {
      title: "localhost without a key",
      fields: { host: "localhost" },
      expected: "invalid_api_key",
    },
    { title: "an API key", fields: { authorization: `Bearer ${API_KEY}` }, expected: "admitted" },
    { title: "an x-api-key", fields: { "x-api-key": API_KEY }, expected: "admitted" },
    { title: "a Basic password", fields: { authorization: basic(API_KEY) }, expected: "admitted" },
    {
      title: "the management token",
      fields: { authorization: `Bearer ${TEST_TOKEN}` },
      expected: "admitted",
    },
    {
      title: "a wrong key",
      fields: { authorization: "Bearer sk-wrong" },
      expected: "invalid_api_key",
    },
    {
      title: "a wrong Basic password",
      fields: { authorization: basic("sk-wrong") },
      expected: "invalid_api_key",
    },
    {
      // Browsers send Basic by themselves, so it must never carry the right to write.
      title: "the management token as Basic password",
      fields: { authorization: basic(TEST_TOKEN) },
      expected: "invalid_api_key",
    },
    {
      title: "a foreign Origin with a key",
      fields: { authorization: `Bearer ${API_KEY}`, origin: "https://evil.example" },
      expected: "forbidden",
    },
  ],
)("admitCaller() beyond loopback: $title is $expected", ({ fields, expected }) => {
  assert.equal(codeOf({ host: "192.168.1.7:3131", ...fields }, ANYWHERE), expected);
});

Deno.test("admitCaller() asks a browser for the key when one is needed", () => {
  const admit = (): unknown => admitCaller(headersOf({ host: "node.lan" }), ANYWHERE);
  assert.throws(admit, (error) =>
    error instanceof ApiError && error.status === 401 &&
    (error.headers["www-authenticate"] ?? "").startsWith("Basic "));
});

Deno.test.each(
  [
    { title: "a program on localhost", fields: {}, expected: true },
    { title: "[::1]", fields: { host: "[::1]" }, expected: true },
    { title: "a page of ours", fields: { origin: "http://localhost:3131" }, expected: false },
    { title: "Sec-Fetch-Site", fields: { "sec-fetch-site": "same-origin" }, expected: false },
    { title: "Sec-Fetch-Mode", fields: { "sec-fetch-mode": "cors" }, expected: false },
    { title: "Sec-Fetch-Dest", fields: { "sec-fetch-dest": "empty" }, expected: false },
    { title: "Sec-Fetch-User", fields: { "sec-fetch-user": "?1" }, expected: false },
    { title: "Forwarded", fields: { forwarded: "for=10.0.0.1" }, expected: false },
    { title: "X-Forwarded-For", fields: { "x-forwarded-for": "10.0.0.1" }, expected: false },
    { title: "X-Forwarded-Host", fields: { "x-forwarded-host": "a" }, expected: false },
    { title: "X-Forwarded-Anything", fields: { "x-forwarded-anything": "1" }, expected: false },
    {
      title: "a page of ours that has the management token",
      fields: { origin: "http://localhost:3131", authorization: `Bearer ${TEST_TOKEN}` },
      expected: true,
    },
    {
      title: "a wrong management token, by a page",
      fields: { origin: "http://localhost:3131", authorization: "Bearer wrong" },
      expected: false,
    },
  ] as const,
)("admitCaller(): $title may see the invite token: $expected", ({ fields, expected }) => {
  assert.equal(admitCaller(headersOf(fields), LOOPBACK).maySeeToken, expected);
});

Deno.test("admitCaller() beyond loopback shows the invite token to the management token only", () => {
  const see = (fields: Readonly<Record<string, string>>): boolean =>
    admitCaller(headersOf({ host: "node.lan:3131", ...fields }), ANYWHERE).maySeeToken;
  assert.equal(see({ authorization: `Bearer ${API_KEY}` }), false);
  assert.equal(see({ authorization: basic(API_KEY) }), false);
  // Regression: whoever has an API key, anywhere, could say that it is on this machine.
  const here = { host: "localhost:3131" };
  assert.equal(see({ ...here, authorization: `Bearer ${API_KEY}` }), false);
  assert.equal(see({ authorization: `Bearer ${TEST_TOKEN}` }), true);
});

Deno.test.each(
  [
    { authorization: `Bearer ${TEST_TOKEN}`, expected: true },
    { authorization: `bearer  ${TEST_TOKEN} `, expected: true },
    { authorization: TEST_TOKEN, expected: false },
    { authorization: `Bearer ${TEST_TOKEN}x`, expected: false },
    { authorization: `Bearer ${TEST_TOKEN.slice(0, -1)}`, expected: false },
    { authorization: `Bearer ${API_KEY}`, expected: false },
    { authorization: basic(TEST_TOKEN), expected: false },
    { authorization: "", expected: false },
  ],
)("requireManager() after authorization '$authorization': $expected", (row) => {
  const caller = admitCaller(headersOf({ authorization: row.authorization }), LOOPBACK);
  assert.equal(caller.isManager, row.expected);
  if (row.expected) requireManager(caller);
  else assert.throws(() => requireManager(caller), { code: "invalid_management_token" });
});

Deno.test("requireManager() does not take the token from x-api-key", () => {
  const caller = admitCaller(headersOf({ "x-api-key": TEST_TOKEN }), LOOPBACK);
  assert.equal(caller.isManager, false);
});

Deno.test("basicPasswordOf() reads back any ASCII name and password", () => {
  const ascii = fc.string({ unit: "grapheme-ascii", maxLength: 100 });
  fc.assert(fc.property(ascii, ascii, (name, password) => {
    const user = name.replaceAll(":", "");
    assert.equal(basicPasswordOf(`Basic ${btoa(`${user}:${password}`)}`), password);
  }));
});

Deno.test("basicPasswordOf() gives nothing for any text that is not Basic", () => {
  fc.assert(fc.property(fc.string({ maxLength: 3000 }), (text) => {
    fc.pre(!/^basic /i.test(text));
    assert.equal(basicPasswordOf(text), undefined);
  }));
  for (const text of ["Basic", "Basic ====", "Basic a", `Basic ${btoa("no-colon")}`, null]) {
    assert.equal(basicPasswordOf(text), undefined, String(text));
  }
  assert.equal(basicPasswordOf(`Basic ${btoa(`a:${"k".repeat(4000)}`)}`), undefined);
});

Deno.test("admitCaller() never throws anything but a refusal, whatever the headers hold", () => {
  const value = fc.string({ maxLength: 200 }).map((text) => text.replace(/[^\x20-\x7e]/g, ""));
  const names = fc.constantFrom("host", "origin", "authorization", "x-api-key", "sec-fetch-site");
  fc.assert(fc.property(fc.dictionary(names, value), fc.boolean(), (fields, isAnywhere) => {
    const code = codeOf(fields, isAnywhere ? ANYWHERE : LOOPBACK);
    assert.ok(["admitted", "forbidden", "invalid_api_key"].includes(code));
    if (isAnywhere) assert.notEqual(code, "admitted", "nobody guesses a key");
  }));
});
