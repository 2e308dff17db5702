import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonObject } from "~/base/json.ts";
import { ENGINE_PATHS } from "~/proxy/endpoints.ts";
import {
  decodeAnswerHead,
  decodeBroken,
  decodeRequestHead,
  encodeAnswerHead,
  encodeBroken,
  encodeRequestHead,
  lengthOf,
  PeerHeadError,
  type PeerRequestHead,
} from "~/proxy/peer_head.ts";

const REQUEST: JsonObject = {
  t: "request",
  method: "POST",
  path: "/v1/completions",
  headers: [["accept", "text/event-stream"]],
  bytes: 2,
  hops: 0,
};
const ANSWER: JsonObject = { t: "answer", status: 200, headers: [] };

const printable = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 40,
});
const requestHeads = fc.record({
  path: fc.constantFrom(...ENGINE_PATHS),
  headers: fc.dictionary(
    fc.constantFrom("accept", "content-type", "x-request-id", "anthropic-version"),
    printable,
  ).map((entries) => new Headers(entries)),
  model: fc.option(fc.string({ minLength: 1, maxLength: 100 }), { nil: undefined }),
  sizeBytes: fc.maxSafeNat(),
  to: fc.option(fc.stringMatching(/^[A-Za-z0-9_-]{43}$/), { nil: undefined }),
  hops: fc.constantFrom<0 | 1>(0, 1),
  isContinuation: fc.boolean(),
});

function plain(head: PeerRequestHead): unknown {
  return { ...head, headers: [...head.headers] };
}

function viaJson(json: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(json));
}

Deno.test("a request's head is read as it was written", () => {
  fc.assert(fc.property(requestHeads, (head) => {
    assert.deepEqual(plain(decodeRequestHead(viaJson(encodeRequestHead(head)))), plain(head));
  }));
});

Deno.test("an answer's head is read as it was written", () => {
  const heads = fc.record({
    status: fc.integer({ min: 200, max: 599 }).filter((status) =>
      ![204, 205, 304].includes(status)
    ),
    headers: fc.record({
      "content-type": fc.constantFrom("application/json", "text/event-stream; charset=utf-8"),
      "retry-after": fc.nat(99_999).map(String),
      "content-length": fc.maxSafeNat().filter((size) => size < 1e15).map(String),
    }, { requiredKeys: [] }).map((entries) => new Headers(Object.entries(entries))),
    refusal: fc.option(fc.stringMatching(/^[a-z_]{1,32}$/), { nil: undefined }),
  });
  fc.assert(fc.property(heads, (head) => {
    const read = decodeAnswerHead(viaJson(encodeAnswerHead(head)));
    assert.deepEqual({ ...read, headers: [...read.headers] }, {
      ...head,
      headers: [...head.headers],
    });
  }));
});

Deno.test("any JSON is a head or a PeerHeadError, never another failure", () => {
  const anything = fc.oneof(
    fc.dictionary(fc.string(), fc.jsonValue()),
    // Near misses: a good head with one member replaced.
    fc.tuple(
      fc.constantFrom(REQUEST, ANSWER),
      fc.constantFrom("t", "method", "path", "headers", "bytes", "hops", "model", "to", "status"),
      fc.jsonValue(),
    ).map(([head, name, value]) => ({ ...head, [name]: value })),
  );
  fc.assert(
    fc.property(anything, (value) => {
      const json = viaJson(value as JsonObject);
      for (const decode of [decodeRequestHead, decodeAnswerHead]) {
        try {
          const { headers } = decode(json);
          for (const [, text] of headers) assert.match(text, /^[\x20-\x7e]*$/);
        } catch (error) {
          assert.ok(error instanceof PeerHeadError, String(error));
        }
      }
      decodeBroken(json);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("only what the engine needs is written, and only that is read", () => {
  const headers = new Headers({
    accept: "application/json",
    authorization: "Bearer secret",
    cookie: "a=b",
    connection: "close",
    "x-api-key": "secret",
    "x-conversation-id": "c",
    "x-forwarded-for": "192.0.2.1",
  });
  const written = encodeRequestHead({
    path: "/v1/completions",
    headers,
    model: undefined,
    sizeBytes: 0,
    to: undefined,
    hops: 0,
    isContinuation: false,
  });
  assert.deepEqual(written["headers"], [["accept", "application/json"]]);
  const pairs = [...headers].map(([name, value]) => [name, value]);
  const read = decodeRequestHead({ ...REQUEST, headers: pairs });
  assert.deepEqual([...read.headers].map(([name]) => name), ["accept"]);
});

const BAD_REQUESTS: Readonly<Record<string, JsonObject>> = {
  "another kind": { t: "answer" },
  "GET": { method: "GET" },
  "DELETE": { method: "DELETE" },
  "the metrics": { path: "/metrics" },
  "the list of models": { path: "/v1/models" },
  "a path that climbs": { path: "/v1/completions/../../metrics" },
  "a path with a query": { path: "/v1/completions?a=b" },
  "a path of another type": { path: ["/v1/completions"] },
  "a negative length": { bytes: -1 },
  "a broken length": { bytes: 1.5 },
  "five hops": { hops: 5 },
  "hops as text": { hops: "1" },
  "an empty model": { model: "" },
  "an endless model": { model: "m".repeat(1025) },
  "a receiver with a line break": { to: "a\nb" },
  "headers as an object": { headers: { accept: "a" } },
  "a thousand headers": { headers: Array(1000).fill(["x", "y"]) },
  "a header without a value": { headers: [["accept"]] },
  "a header that injects another": { headers: [["accept", "a\r\ncookie: b"]] },
  "a header twice": { headers: [["accept", "a"], ["accept", "b"]] },
  "a header of a megabyte": { headers: [["accept", "a".repeat(1_000_000)]] },
};
for (const [what, change] of Object.entries(BAD_REQUESTS)) {
  Deno.test(`decodeRequestHead() refuses ${what}`, () => {
    assert.throws(() => decodeRequestHead({ ...REQUEST, ...change }), PeerHeadError);
  });
}

for (const status of [0, 99, 100, 101, 199, 204, 205, 304, 600, 1000, 200.5, "200", null]) {
  Deno.test(`decodeAnswerHead() refuses the status ${status}`, () => {
    assert.throws(() => decodeAnswerHead({ ...ANSWER, status }), PeerHeadError);
  });
}

Deno.test("an answer cannot put a page on the near origin, nor any header but a few", () => {
  const { headers } = decodeAnswerHead({
    ...ANSWER,
    headers: [
      ["content-type", "text/html"],
      ["retry-after", "soon"],
      ["content-length", "-1"],
      ["set-cookie", "a=b"],
      ["access-control-allow-origin", "*"],
      ["x-mesh-llm-node", "somebody-else"],
      ["cache-control", "no-store"],
    ],
  });
  assert.deepEqual([...headers], [["cache-control", "no-store"]]);
});

Deno.test("the words of a break are bounded and without control characters", () => {
  const said = decodeBroken(
    viaJson(encodeBroken({ message: `a\r\nb${"x".repeat(2_000)}`, isCrash: true })),
  );
  assert.equal(said?.message.length, 500);
  assert.ok(said?.message.startsWith("a  b"));
  assert.equal(decodeBroken({ t: "broken" }), undefined);
  assert.equal(decodeBroken({ t: "answer", message: "a" }), undefined);
});

Deno.test("lengthOf() reads a length of digits only", () => {
  assert.equal(lengthOf(new Headers({ "content-length": "17" })), 17);
  for (const text of ["", "1e3", "-1", "0x10", "9".repeat(16)]) {
    assert.equal(lengthOf(new Headers({ "content-length": text })), undefined);
  }
});
