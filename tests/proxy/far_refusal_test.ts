import assert from "node:assert/strict";
import { nowhere } from "#support/memory_upstream.ts";
import { type Forwarded, mayAnswerElsewhere, mostHopeful, reasonOf } from "~/proxy/far_refusal.ts";

function refusal(status: number, code: string, retryAfter?: string): Forwarded {
  return {
    target: { nodeId: `${status}-${code}-${retryAfter}`, upstream: nowhere, slots: 1 },
    response: {
      status,
      headers: new Headers(retryAfter === undefined ? {} : { "retry-after": retryAfter }),
      body: null,
    },
    error: { error: { code, message: code } },
  };
}

const CASES: readonly (readonly [number, string, boolean])[] = [
  [400, "invalid_json", false],
  [404, "model_not_found", true],
  [404, "not_found_error", false],
  [413, "body_too_large", false],
  [429, "queue_full", true],
  [500, "server_error", false],
  [501, "not_supported_error", false],
  [502, "upstream_failed", true],
  [503, "model_loading", true],
  [504, "upstream_timeout", false],
];
for (const [status, code, wanted] of CASES) {
  Deno.test(`mayAnswerElsewhere() is ${wanted} for ${status} ${code}`, () => {
    assert.equal(mayAnswerElsewhere(status, refusal(status, code).error), wanted);
  });
}

Deno.test("mostHopeful() takes the shortest full queue, then a model that loads", () => {
  const slow = refusal(429, "queue_full", "60");
  const soon = refusal(429, "queue_full", "2");
  const silent = refusal(429, "queue_full");
  const loading = refusal(503, "model_loading", "1");
  const gone = refusal(503, "no_host", "1");
  const failed = refusal(502, "upstream_failed");
  assert.equal(mostHopeful([failed, loading, slow, silent, soon]), soon);
  assert.equal(mostHopeful([failed, gone, loading]), loading);
  assert.equal(mostHopeful([failed, gone]), undefined);
  assert.equal(mostHopeful([]), undefined);
});

Deno.test("reasonOf() gives a node's own words, bounded, or else the status", () => {
  assert.equal(reasonOf(502, { error: { message: "it died" } }), "it died");
  assert.equal(reasonOf(502, { error: { message: "x".repeat(1_000) } }).length, 200);
  for (const error of [undefined, null, [], { error: "text" }, { error: { message: "" } }]) {
    assert.equal(reasonOf(502, error), "it answered with status 502");
  }
});
