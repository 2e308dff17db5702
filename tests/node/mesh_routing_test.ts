import assert from "node:assert/strict";
import fc from "fast-check";
import { nowhere } from "#support/memory_upstream.ts";
import { TestTable } from "#support/test_door.ts";
import type { ServedRecord } from "~/mesh/record.ts";
import { MeshRouting, type RemoteHost } from "~/node/mesh_routing.ts";
import { chooseModel } from "~/proxy/models.ts";
import type { Upstream } from "~/proxy/ports.ts";

function record(id: string, change: Partial<ServedRecord> = {}): ServedRecord {
  return { id, createdUnixS: 1, slots: 2, sizeBytes: 10, meta: { n_ctx: 8 }, ...change };
}

function host(
  nodeId: string,
  ids: readonly string[],
  change: Partial<RemoteHost> = {},
): RemoteHost {
  const upstream: Upstream = { send: () => nowhere.send(undefined as never, undefined as never) };
  return {
    nodeId,
    serving: ids.map((id) => record(id)),
    loading: [],
    upstream,
    rttMs: 1,
    isSuspect: false,
    ...change,
  };
}

function routing(remotes: readonly RemoteHost[], own: readonly string[] = []): MeshRouting {
  const local = new TestTable();
  for (const id of own) local.serve(id, nowhere, { nodeId: "own" });
  return new MeshRouting({ local, remotes: () => remotes });
}

function namesOf(table: MeshRouting): string[] {
  return table.served().map(({ id }) => id);
}

Deno.test("MeshRouting lists each model once, this node's first, in a stable order", () => {
  const b = host("b", ["z", "own", "a"]);
  const a = host("a", ["a", "k"]);
  assert.deepEqual(namesOf(routing([b, a], ["own"])), ["own", "a", "k", "z"]);
  assert.deepEqual(namesOf(routing([a, b], ["own"])), ["own", "a", "k", "z"]);
  assert.deepEqual(namesOf(routing([], ["own"])), ["own"]);
});

Deno.test("MeshRouting describes a model as this node does, or else the lowest node id", () => {
  const meta = (from: string) => [record("m", { meta: { from }, slots: 3, sizeBytes: 7 })];
  const remotes = [host("b", [], { serving: meta("b") }), host("a", [], { serving: meta("a") })];
  assert.deepEqual(routing(remotes).served()[0]?.meta, { from: "a", n_slots: 3, size: 7 });
  assert.deepEqual(routing(remotes, ["m"]).served()[0]?.meta, { n_ctx: 4096 });
});

Deno.test("MeshRouting tells what loads only while nobody serves it", () => {
  const loading = [{ id: "m", phase: "loading" }, { id: "n", phase: "downloading model" }];
  const remotes = [host("a", ["m"]), host("b", [], { loading }), host("c", [], { loading })];
  assert.deepEqual(routing(remotes).loading(), [{ id: "n", phase: "downloading model" }]);
  const local = new TestTable();
  local.loadingModels = [{ id: "n", phase: "restarting", percent: 3 }];
  const table = new MeshRouting({ local, remotes: () => remotes });
  assert.deepEqual(table.loading(), [{ id: "n", phase: "restarting", percent: 3 }]);
});

Deno.test("MeshRouting ranks this node, then the nearest, suspects last", () => {
  const remotes = [
    host("suspect", ["m"], { rttMs: 0.1, isSuspect: true }),
    host("unknown", ["m"], { rttMs: undefined }),
    host("far", ["m"], { rttMs: 80 }),
    host("near-b", ["m"], { rttMs: 1 }),
    host("near-a", ["m"], { rttMs: 1 }),
    host("other", ["n"]),
  ];
  const targets = routing(remotes, ["m"]).targets("m");
  assert.deepEqual(
    targets.map(({ nodeId }) => nodeId),
    ["own", "near-a", "near-b", "far", "unknown", "suspect"],
  );
  assert.deepEqual(targets.map(({ isRemote = false }) => isRemote), [
    false,
    ...Array(5).fill(true),
  ]);
  assert.deepEqual(targets.at(-1)?.isSuspect, true);
  assert.deepEqual(routing(remotes).targets("M"), [], "only the exact name");
});

Deno.test("MeshRouting believes no record that promises endless slots, or none", () => {
  const serving = (slots: number) => [record("m", { slots })];
  const remotes = [
    host("a", [], { serving: serving(1e9) }),
    host("b", [], { serving: serving(-1) }),
    host("c", [], { serving: serving(5) }),
  ];
  assert.deepEqual(routing(remotes).targets("m").map(({ slots }) => slots), [256, 1, 5]);
});

Deno.test("a request without a model means the only one that the mesh serves", () => {
  const absent = { kind: "absent" } as const;
  assert.equal(chooseModel(absent, routing([host("a", ["m"]), host("b", ["m"])])).id, "m");
  assert.throws(() => chooseModel(absent, routing([host("a", ["m"])], ["own"])), /names none/);
});

Deno.test("MeshRouting lists what it has targets for, and nothing else", () => {
  const ids = fc.subarray(["a", "b", "c", "d"]);
  const remotes = fc.uniqueArray(fc.tuple(fc.constantFrom("p", "q", "r", "s"), ids), {
    selector: ([nodeId]) => nodeId,
  });
  fc.assert(fc.property(remotes, ids, (hosts, own) => {
    const table = routing(hosts.map(([nodeId, serving]) => host(nodeId, serving)), own);
    const names = namesOf(table);
    assert.equal(new Set(names).size, names.length);
    for (const id of ["a", "b", "c", "d"]) {
      const wanted = (own.includes(id) ? 1 : 0) +
        hosts.filter(([, list]) => list.includes(id)).length;
      assert.equal(table.targets(id).length, wanted);
      assert.equal(names.includes(id), wanted > 0);
    }
  }));
});

Deno.test("MeshRouting tells of a target what the choice among several needs", () => {
  const print = `${"a".repeat(64)}:9`;
  const serving = [record("m", { fingerprint: print, meta: { n_ctx: 512 } })];
  const [one, two] = routing([
    host("a", [], { serving, rttMs: 3 }),
    host("b", [], { serving: [record("m", { meta: { n_ctx: "x" } })], rttMs: undefined }),
  ]).targets("m");
  assert.deepEqual([one?.fingerprint, one?.contextTokens, one?.rttMs], [print, 512, 3]);
  assert.deepEqual([two?.fingerprint, two?.contextTokens, two?.rttMs], [
    undefined,
    undefined,
    undefined,
  ]);
});
