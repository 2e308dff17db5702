import assert from "node:assert/strict";
import { Hono } from "hono";
import { isWhole, wholeResponse } from "~/base/whole_response.ts";

const BYTES = new TextEncoder().encode('{"a":"é"}');

function make(): Response {
  return wholeResponse(BYTES, { status: 418, headers: { "X-A": "b" } });
}

Deno.test("wholeResponse() is a response with its length, and has its bytes at hand", async () => {
  const response = make();
  assert.ok(isWhole(response));
  assert.equal(response.whole, BYTES);
  assert.ok(response instanceof Response);
  assert.deepEqual([response.status, response.ok, response.headers.get("x-a")], [418, false, "b"]);
  assert.equal(response.headers.get("Content-Length"), "10");
  assert.equal(await response.text(), '{"a":"é"}');
  assert.equal(response.bodyUsed, true);
  assert.equal(isWhole(new Response("x")), false);
});

Deno.test("wholeResponse() gives its body in every way that is used", async () => {
  assert.deepEqual(await make().json(), { a: "é" });
  assert.deepEqual(new Uint8Array(await make().arrayBuffer()), BYTES);
  assert.deepEqual(await make().bytes(), BYTES);
  const { body, bodyUsed } = make();
  assert.equal(bodyUsed, false);
  assert.deepEqual(await new Response(body).bytes(), BYTES);
});

Deno.test("the headers of wholeResponse() can be set, but hold no second header", () => {
  const { headers } = make();
  headers.set("X-A", "c");
  headers.set("x-b", "d");
  const told: string[] = [];
  headers.forEach((value, name) => told.push(`${name}: ${value}`));
  assert.deepEqual(told, ["x-a: c", "content-length: 10", "x-b: d"]);
  assert.deepEqual([headers.has("X-B"), headers.has("x-c"), headers.get("x-c")], [
    true,
    false,
    null,
  ]);
  for (const value of ["a\r\nb: c", "a\nb", "a\0"]) {
    assert.throws(() => headers.set("x-a", value), TypeError);
  }
});

Deno.test("Hono passes a wholeResponse() through middleware, and answers HEAD with its headers", async () => {
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    c.res.headers.set("x-stamp", "1");
  });
  app.get("/", make);
  const got = await app.request("/");
  assert.ok(isWhole(got));
  assert.deepEqual([got.status, got.headers.get("x-stamp")], [418, "1"]);
  const head = await app.request("/", { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("x-a"), await head.text()], [418, "b", ""]);
});
