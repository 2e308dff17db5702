import assert from "node:assert/strict";
import { nowhere } from "#support/memory_upstream.ts";
import { TestTable } from "#support/test_door.ts";
import { DoorError, type ErrorCode } from "~/proxy/errors.ts";
import type { MemberValue } from "~/proxy/json_scan.ts";
import type { KnownModel, RoutingTable } from "~/proxy/ports.ts";
import { chooseModel, loadingError, modelEntry, namedModel, noHostError } from "~/proxy/models.ts";

function table(served: readonly string[], loading: readonly string[] = []): TestTable {
  const made = new TestTable();
  for (const id of served) made.serve(id, nowhere);
  made.loadingModels = loading.map((id) => ({ id, phase: "loading" }));
  return made;
}

/** A table that knows a model which nobody serves. */
function knowing(
  models: Readonly<Record<string, KnownModel>>,
  rest: RoutingTable = table([]),
): RoutingTable {
  return {
    served: () => rest.served(),
    loading: () => rest.loading(),
    targets: (id) => rest.targets(id),
    known: (name) => models[name],
  };
}

function errorOf(run: () => unknown): DoorError {
  try {
    run();
  } catch (error) {
    if (error instanceof DoorError) return error;
    throw error;
  }
  assert.fail("nothing was thrown");
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

Deno.test("a known model that a member takes on is 503 model_loading, with a time to ask again", () => {
  const models = knowing({ "BETA.gguf": { id: "beta", isComing: true } });
  const error = errorOf(() => namedModel("BETA.gguf", models));
  assert.deepEqual([error.code, error.status, error.facts.param], ["model_loading", 503, "model"]);
  assert.ok((error.facts.retryAfterS ?? 0) > 0);
  assert.match(error.message, /"beta" cannot answer yet: a member is about to take it on/);
  assert.deepEqual(error.facts.details, { phase: "a member is about to take it on" });
});

Deno.test("a known model that nobody can take on is 503 no_host, whatever else is served", () => {
  const models = knowing({ beta: { id: "beta", isComing: false } }, table(["tiny"]));
  const error = errorOf(() => chooseModel(named("beta"), models));
  assert.deepEqual([error.code, error.status, error.facts.param], ["no_host", 503, "model"]);
  assert.ok((error.facts.retryAfterS ?? 0) > 0);
  assert.match(error.message, /"beta" is known here.*mesh-llm plan says why/);
});

Deno.test("what is served or loads is not looked for among the known", () => {
  const known = { tiny: { id: "other", isComing: false }, slow: { id: "other", isComing: false } };
  const models = knowing(known, table(["tiny"], ["slow"]));
  assert.equal(namedModel("tiny", models).id, "tiny");
  assert.equal(codeOf(() => namedModel("slow", models)), "model_loading");
  assert.equal(codeOf(() => namedModel("unknown", models)), "model_not_found");
});

Deno.test("whoever counts demand is told of each model that is meant, by its own name, and of no invented one", () => {
  const known = { beta: { id: "Beta", isComing: true }, huge: { id: "huge", isComing: false } };
  const models = knowing(known, table(["tiny"], ["slow"]));
  const asked: string[] = [];
  const ask = (name: string): void =>
    void codeOf(() => namedModel(name, models, (id) => asked.push(id)));
  for (const name of ["TINY.gguf", "slow", "beta", "huge", "invented"]) ask(name);
  assert.deepEqual(asked, ["tiny", "slow", "Beta", "huge"]);
  chooseModel({ kind: "absent" }, models, (id) => asked.push(id));
  assert.equal(asked.at(-1), "tiny");
});
