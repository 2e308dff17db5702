import assert from "node:assert/strict";
import { nowhere } from "#support/memory_upstream.ts";
import { TestTable } from "#support/test_door.ts";
import { DoorError, type ErrorCode } from "~/proxy/errors.ts";
import type { MemberValue } from "~/proxy/json_scan.ts";
import { chooseModel, loadingError, modelEntry, namedModel, noHostError } from "~/proxy/models.ts";

function table(served: readonly string[], loading: readonly string[] = []): TestTable {
  const made = new TestTable();
  for (const id of served) made.serve(id, nowhere);
  made.loadingModels = loading.map((id) => ({ id, phase: "loading" }));
  return made;
}

function named(value: string): MemberValue {
  return { kind: "string", value };
}

function codeOf(run: () => unknown): ErrorCode | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof DoorError) return error.code;
    throw error;
  }
  return undefined;
}

Deno.test("chooseModel() takes the exact name, then ignores case and .gguf", () => {
  const models = table(["Tiny.gguf", "tiny"]);
  assert.equal(chooseModel(named("tiny"), models).id, "tiny");
  assert.equal(chooseModel(named("Tiny.gguf"), models).id, "Tiny.gguf");
  assert.equal(chooseModel(named("TINY"), models).id, "Tiny.gguf");
  assert.equal(chooseModel(named("tiny.GGUF"), table(["tiny"])).id, "tiny");
});

Deno.test("chooseModel() never answers with another model than the one named", () => {
  const models = table(["tiny"], ["slow"]);
  assert.equal(codeOf(() => chooseModel(named("tin"), models)), "model_not_found");
  assert.equal(codeOf(() => chooseModel(named("tiny2"), models)), "model_not_found");
  assert.equal(codeOf(() => chooseModel(named("SLOW.gguf"), models)), "model_loading");
});

Deno.test("chooseModel() without a name takes the only model there is", () => {
  for (const member of [{ kind: "absent" }, { kind: "null" }, named("")] as MemberValue[]) {
    assert.equal(chooseModel(member, table(["tiny"], ["slow"])).id, "tiny");
    assert.equal(codeOf(() => chooseModel(member, table(["a", "b"]))), "model_required");
    assert.equal(codeOf(() => chooseModel(member, table([], ["slow"]))), "model_loading");
    assert.equal(codeOf(() => chooseModel(member, table([]))), "no_host");
  }
});

Deno.test("chooseModel() refuses names that are no strings or far too long", () => {
  const odd: MemberValue[] = [
    { kind: "other" },
    { kind: "too long" },
    { kind: "boolean", value: true },
  ];
  for (const member of odd) {
    assert.equal(codeOf(() => chooseModel(member, table(["tiny"]))), "invalid_request_error");
  }
});

Deno.test("namedModel() lists at most twenty of the served names", () => {
  const models = table(Array.from({ length: 30 }, (_, i) => `model-${i}`));
  assert.throws(() => namedModel("other", models), /"model-19" and 10 more$/);
});

Deno.test("namedModel() says no_host only when nothing serves and nothing loads", () => {
  assert.equal(codeOf(() => namedModel("m", table([]))), "no_host");
  assert.equal(codeOf(() => namedModel("m", table([], ["other"]))), "model_not_found");
});

Deno.test("loadingError() and noHostError() say when to ask again", () => {
  const error = loadingError({ id: "m", phase: "loading", percent: 99.9 });
  assert.match(error.message, /"m".*loading \(99 %\)/);
  assert.deepEqual(error.facts.details, { phase: "loading", percent: 99 });
  assert.ok((error.facts.retryAfterS ?? 0) > 0);
  assert.ok((noHostError().facts.retryAfterS ?? 0) > 0);
});

Deno.test("modelEntry() has the members that OpenAI's clients expect", () => {
  const entry = modelEntry({ id: "m", createdUnixS: 7, meta: { n_ctx: 1 } });
  assert.deepEqual(entry, {
    id: "m",
    object: "model",
    created: 7,
    owned_by: "mesh-llm",
    meta: { n_ctx: 1 },
  });
});
