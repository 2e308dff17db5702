import assert from "node:assert/strict";
import { WholeResponse } from "~/base/whole_response.ts";

Deno.test("WholeResponse is a Response with its length, and has its bytes at hand", async () => {
  const bytes = new TextEncoder().encode("héllo");
  const response = new WholeResponse(bytes, { status: 418, headers: { "x-a": "b" } });
  assert.equal(response.whole, bytes);
  assert.deepEqual([response.status, response.headers.get("x-a")], [418, "b"]);
  assert.equal(response.headers.get("content-length"), "6");
  assert.equal(await response.text(), "héllo");
});
