import assert from "node:assert/strict";
import { Hono } from "hono";
import type { RequestHead } from "~/base/http1_request.ts";
import { lightRequest } from "~/base/light_request.ts";

const HEAD: RequestHead = {
  method: "GET",
  target: "/a%20b?c=d",
  headers: [["host", "evil.example/x?"], ["x-two", "1"], ["accept", "a"], ["x-two", "2"]],
  lengthBytes: 0,
  expectsContinue: false,
  expectsUnknown: false,
  isHttp11: true,
  mayKeepConnection: true,
};

Deno.test("lightRequest() passes for a request, and says of it what a real one would", () => {
  const light = lightRequest(HEAD);
  const real = new Request("http://localhost/a%20b?c=d", {
    headers: HEAD.headers.map(([name, value]) => [name, value]),
  });
  assert.ok(light instanceof Request && light.headers instanceof Headers);
  assert.deepEqual([light.method, light.url], [real.method, real.url]);
  for (const name of ["Accept", "x-two", "absent"]) {
    assert.equal(light.headers.get(name), real.headers.get(name));
    assert.equal(light.headers.has(name), real.headers.has(name));
  }
  assert.deepEqual([...light.headers], [...real.headers]);
  assert.deepEqual([...light.headers.keys()], [...real.headers.keys()]);
  assert.deepEqual([...light.headers.values()], [...real.headers.values()]);
  assert.deepEqual(light.headers.getSetCookie(), []);
  const told: string[] = [];
  light.headers.forEach((value, name) => told.push(`${name}: ${value}`));
  assert.deepEqual(told, [...real.headers].map(([name, value]) => `${name}: ${value}`));
});

Deno.test("lightRequest() is enough for an app", async () => {
  const app = new Hono();
  app.get("/:name", (c) => c.json([c.req.param("name"), c.req.query("c"), c.req.header()]));
  const answer = await app.fetch(lightRequest(HEAD));
  const headers = { "accept": "a", "host": "evil.example/x?", "x-two": "1, 2" };
  assert.deepEqual(await answer.json(), ["a b", "d", headers]);
});

Deno.test("lightRequest() says loudly what it cannot do", () => {
  const light = lightRequest(HEAD);
  assert.throws(() => light.body, TypeError);
  assert.throws(() => light.headers.set("a", "b"), TypeError);
});
