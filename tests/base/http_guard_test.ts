import assert from "node:assert/strict";
import fc from "fast-check";
import { UserError } from "~/base/errors.ts";
import {
  checkHost,
  checkOrigin,
  corsHeaders,
  credentialOf,
  type GuardPolicy,
  isLoopbackHost,
  KeyRing,
  type OriginFacts,
  originFactsOf,
  preflightHeaders,
} from "~/base/http_guard.ts";

const LOOPBACK: GuardPolicy = { hosts: "loopback" };
const ANY: GuardPolicy = { hosts: "any" };

function facts(some: Partial<OriginFacts>): OriginFacts {
  return {
    host: "localhost:9337",
    origin: undefined,
    secFetchSite: undefined,
    secFetchMode: undefined,
    secFetchDest: undefined,
    ...some,
  };
}

function headersFrom(some: Record<string, string>): (name: string) => string | undefined {
  return (name) => some[name];
}

for (
  const host of [
    "localhost",
    "localhost:9337",
    "LOCALHOST:1",
    "127.0.0.1",
    "127.0.0.1:65535",
    "[::1]",
    "[::1]:9337",
  ]
) {
  Deno.test(`checkHost() lets ${host} pass on loopback`, () => {
    assert.equal(checkHost(host, LOOPBACK), undefined);
    assert.equal(isLoopbackHost(host), true);
  });
}

for (
  const host of [
    undefined,
    "",
    "evil.example",
    "localhost.evil.example",
    "evil.localhost",
    "127.0.0.1.evil.example",
    "127.0.0.2",
    "0.0.0.0:9337",
    "localhost:9337, evil.example",
    "localhost@evil.example",
    "localhost:",
    "localhost:123456",
    " localhost",
    "[::2]",
    "localhost".repeat(60),
  ]
) {
  Deno.test(`checkHost() refuses ${JSON.stringify(host)?.slice(0, 40)} on loopback`, () => {
    assert.match(checkHost(host, LOOPBACK) ?? "", /^Cannot accept/);
    assert.equal(isLoopbackHost(host), false);
  });
}

Deno.test("checkHost() lets any well-formed name pass where a key protects", () => {
  for (const host of ["box.lan:9337", "192.168.1.5", "[fe80::1]:9337", "localhost"]) {
    assert.equal(checkHost(host, ANY), undefined);
  }
  for (const host of [undefined, "", "a b", "a/b", "user@host", "h:99999999", "[zz]"]) {
    assert.match(checkHost(host, ANY) ?? "", /^Cannot accept/);
  }
});

Deno.test("checkOrigin() lets programs and pages of loopback pass", () => {
  const origins = [
    undefined,
    "http://localhost:3000",
    "https://localhost",
    "http://127.0.0.1:8080",
    "http://[::1]:3131",
  ];
  for (const origin of origins) assert.equal(checkOrigin(facts({ origin }), LOOPBACK), undefined);
});

Deno.test("checkOrigin() refuses pages of other origins, opaque ones included", () => {
  const origins = [
    "null",
    "https://evil.example",
    "http://localhost.evil.example",
    "http://localhost:3000.evil.example",
    "http://evil.example/http://localhost",
    "file://",
    "chrome-extension://abcdef",
    "http://localhost:3000 http://evil.example",
    "",
  ];
  for (const origin of origins) {
    assert.match(checkOrigin(facts({ origin }), LOOPBACK) ?? "", /^Cannot accept/, origin);
    assert.deepEqual(corsHeaders(facts({ origin }), LOOPBACK), {}, origin);
  }
});

Deno.test("checkOrigin() refuses a cross-site request without Origin, such as an image", () => {
  const image = facts({ secFetchSite: "cross-site", secFetchMode: "no-cors" });
  assert.match(checkOrigin(image, LOOPBACK) ?? "", /other sites/);
  const frame = facts({
    secFetchSite: "cross-site",
    secFetchMode: "navigate",
    secFetchDest: "iframe",
  });
  assert.match(checkOrigin(frame, LOOPBACK) ?? "", /other sites/);
});

Deno.test("checkOrigin() lets a followed link and same-site requests pass", () => {
  const link = facts({
    secFetchSite: "cross-site",
    secFetchMode: "navigate",
    secFetchDest: "document",
  });
  assert.equal(checkOrigin(link, LOOPBACK), undefined);
  assert.equal(checkOrigin(facts({ secFetchSite: "same-origin" }), LOOPBACK), undefined);
  assert.equal(checkOrigin(facts({ secFetchSite: "none" }), LOOPBACK), undefined);
});

Deno.test("checkOrigin() knows our own pages by the name of the machine beyond loopback only", () => {
  const own = facts({ host: "box.lan:3131", origin: "http://box.lan:3131" });
  assert.equal(checkOrigin(own, ANY), undefined);
  assert.notEqual(checkOrigin(own, LOOPBACK), undefined);
  const other = facts({ host: "box.lan:3131", origin: "http://box.lan:8080" });
  assert.notEqual(checkOrigin(other, ANY), undefined);
});

Deno.test("checkOrigin() lets configured origins pass exactly", () => {
  const policy: GuardPolicy = { hosts: "loopback", extraOrigins: ["https://chat.example"] };
  assert.equal(checkOrigin(facts({ origin: "https://chat.example" }), policy), undefined);
  assert.notEqual(checkOrigin(facts({ origin: "https://chat.example:444" }), policy), undefined);
});

Deno.test("corsHeaders() names the origin and never allows all", () => {
  const headers = corsHeaders(facts({ origin: "http://localhost:3000" }), LOOPBACK);
  assert.equal(headers["access-control-allow-origin"], "http://localhost:3000");
  assert.equal(headers["vary"], "Origin");
  assert.deepEqual(corsHeaders(facts({}), LOOPBACK), {});
});

Deno.test("preflightHeaders() echoes well-formed header names only", () => {
  const page = facts({ origin: "http://localhost:3000" });
  const methods = ["POST", "OPTIONS"];
  const good = preflightHeaders(page, LOOPBACK, {
    methods,
    requestHeaders: "authorization, content-type,x-stainless-os",
  });
  assert.equal(
    good["access-control-allow-headers"],
    "authorization, content-type,x-stainless-os",
  );
  assert.equal(good["access-control-allow-methods"], "POST, OPTIONS");
  assert.equal(good["access-control-allow-origin"], "http://localhost:3000");
  for (const requestHeaders of [undefined, "", "a\r\nb: c", "a b", "x-a,".repeat(1000)]) {
    const plain = preflightHeaders(page, LOOPBACK, { methods, requestHeaders });
    assert.equal(plain["access-control-allow-headers"], "authorization, content-type");
  }
});

Deno.test("originFactsOf() reads the headers that browsers write", () => {
  const read = originFactsOf(headersFrom({ "host": "a", "origin": "b", "sec-fetch-site": "c" }));
  assert.deepEqual(read, facts({ host: "a", origin: "b", secFetchSite: "c" }));
});

Deno.test("credentialOf() reads bearer and x-api-key, bearer first", () => {
  assert.equal(credentialOf(headersFrom({ authorization: "Bearer k1" })), "k1");
  assert.equal(credentialOf(headersFrom({ authorization: "bearer  k1 " })), "k1");
  assert.equal(credentialOf(headersFrom({ "x-api-key": " k2 " })), "k2");
  assert.equal(credentialOf(headersFrom({ authorization: "Bearer k1", "x-api-key": "k2" })), "k1");
  assert.equal(credentialOf(headersFrom({ authorization: "Basic abc", "x-api-key": "k2" })), "k2");
});

Deno.test("credentialOf() finds nothing in other schemes, empty or endless headers", () => {
  const some: Record<string, string>[] = [
    {},
    { authorization: "Basic abc" },
    { authorization: "Bearer" },
    { authorization: "Bearer " },
    { authorization: "Bearer a b" },
    { "x-api-key": "" },
    { authorization: `Bearer ${"k".repeat(2000)}` },
  ];
  for (const headers of some) assert.equal(credentialOf(headersFrom(headers)), undefined);
});

Deno.test("KeyRing accepts each of its keys and nothing else", () => {
  const ring = new KeyRing(["first", "second"]);
  assert.equal(ring.isEmpty, false);
  assert.equal(ring.accepts("first"), true);
  assert.equal(ring.accepts("second"), true);
  for (const wrong of [undefined, "", "firs", "first ", "firsts", "First"]) {
    assert.equal(ring.accepts(wrong), false);
  }
});

Deno.test("KeyRing without keys accepts nothing", () => {
  const ring = new KeyRing([]);
  assert.equal(ring.isEmpty, true);
  assert.equal(ring.accepts(""), false);
  assert.equal(ring.accepts(undefined), false);
});

Deno.test("KeyRing refuses keys that no header can carry", () => {
  for (const key of ["", " ", "a b", "a\nb", "schlüssel", "k".repeat(1025)]) {
    assert.throws(() => new KeyRing([key]), UserError);
  }
});

Deno.test("KeyRing agrees with plain equality for any candidate", () => {
  fc.assert(fc.property(
    fc.array(fc.stringMatching(/^[!-~]{1,12}$/), { maxLength: 4 }),
    fc.string({ unit: "binary", maxLength: 12 }),
    (keys, candidate) => {
      // U+FFFD stands for lone surrogates in UTF-8, so only well-formed text compares by bytes.
      fc.pre(candidate.isWellFormed());
      assert.equal(new KeyRing(keys).accepts(candidate), keys.includes(candidate));
    },
  ));
});

Deno.test("checkHost() and checkOrigin() stand any text", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const isKnown = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i.test(text);
    assert.equal(checkHost(text, LOOPBACK) === undefined, isKnown);
    const page = facts({ origin: text });
    assert.equal(checkOrigin(page, LOOPBACK) === undefined, "vary" in corsHeaders(page, LOOPBACK));
  }));
});
