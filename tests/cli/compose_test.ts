import assert from "node:assert/strict";
import { planRequestOf } from "~/cli/compose.ts";

Deno.test("planRequestOf() asks for what the user asked for", () => {
  const settings = { ctxSize: 4096, parallel: 2, maxMemoryBytes: 1000 };
  assert.deepEqual(planRequestOf(settings), { ctxSize: 4096, parallel: 2, maxBytes: 1000 });
});

Deno.test("planRequestOf() leaves out what nobody asked for, so that it is planned", () => {
  assert.deepEqual(planRequestOf({}), {});
  assert.deepEqual(Object.keys(planRequestOf({ parallel: 1 })), ["parallel"]);
});
