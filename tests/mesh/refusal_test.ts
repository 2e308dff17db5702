import assert from "node:assert/strict";
import { isRefusal, refusal } from "~/mesh/refusal.ts";

Deno.test("isRefusal() tells a refusal from an answer", () => {
  assert.ok(isRefusal(refusal("expired", "It expired")));
  assert.deepEqual(refusal("expired", "It expired"), { code: "expired", message: "It expired" });
  assert.equal(isRefusal({ jws: "a.b.c", paper: {} }), false);
});
