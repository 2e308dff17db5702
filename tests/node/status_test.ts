import assert from "node:assert/strict";
import { GIB } from "~/base/units.ts";
import { EMPTY_SLOT, type SlotModel, type SlotState } from "~/node/model_slot.ts";
import { LocalRouting } from "~/node/routing.ts";
import { buildStatus, type StatusFacts } from "~/node/status.ts";
import type { Upstream } from "~/proxy/ports.ts";
import { NO_MESH_FACTS } from "#support/no_mesh.ts";

const MODEL: SlotModel = {
  id: "tiny",
  path: "/models/tiny.gguf",
  sizeBytes: 0.5 * GIB,
  contextTokens: 2048,
  slots: 4,
  meta: { architecture: "llama" },
};
const READY: SlotState = { kind: "ready", model: MODEL, sinceUnixS: 1_700_000_000 };

function factsOf(slot: SlotState, changes: Partial<StatusFacts> = {}): StatusFacts {
  return {
    version: "1.2.3",
    nodeId: "node-a",
    apiPort: 9337,
    slot,
    engine: undefined,
    offeredBytes: 24 * GIB,
    inflightRequests: 0,
    queuedRequests: 0,
    upMs: 61_500,
    usage: () => ({ requests: 0 }),
    nowMs: 1_000_000,
    mesh: NO_MESH_FACTS,
    standing: { isStandby: false, reason: null },
    reasons: new Map([["tiny", "node-a: asked for there"]]),
    ...changes,
  };
}

Deno.test("buildStatus() of an idle node has every promised field and nothing invented", () => {
  assert.deepEqual(buildStatus(factsOf(EMPTY_SLOT, { offeredBytes: 0 })), {
    version: "1.2.3",
    node_id: "node-a",
    node_status: "idle",
    is_host: false,
    is_client: false,
    llama_ready: false,
    model_name: null,
    api_port: 9337,
    my_vram_gb: 0,
    model_size_gb: 0,
    mesh_id: null,
    mesh_name: null,
    token: null,
    invite_serial: null,
    peer_port: 4433,
    clients: 0,
    inflight_requests: 0,
    queued_requests: 0,
    uptime_secs: 61,
    progress: null,
    error: null,
    reason: null,
    peers: [],
    mesh_models: [],
    engine: { name: null, version: null, build: null, rpc_version: null, devices: [] },
  });
});

Deno.test("buildStatus() of a serving node tells model, use and engine", () => {
  const engine: StatusFacts["engine"] = {
    install: {
      origin: "debian",
      source: "Debian packages",
      dir: "/engine",
      server: { command: "/engine/llama-server", leadingArgs: [], env: {} },
    },
    facts: {
      version: "0.7.0",
      build: 11669,
      flags: new Set(),
      devices: [{ name: "CUDA0", description: "a GPU", totalBytes: 8 * GIB, freeBytes: GIB }],
    },
  };
  const usage = (): { requests: number; lastMs: number } => ({ requests: 3, lastMs: 988_000 });
  const status = buildStatus(factsOf(READY, { engine, usage, inflightRequests: 2 }));
  assert.equal(status.node_status, "serving");
  assert.equal(status.model_size_gb, 0.5);
  assert.deepEqual(status.mesh_models, [{
    name: "tiny",
    status: "warm",
    why: "node-a: asked for there",
    node_count: 1,
    size_gb: 0.5,
    request_count: 3,
    last_active_secs_ago: 12,
  }]);
  assert.deepEqual(status.engine, {
    name: "Debian packages",
    version: "0.7.0",
    build: 11669,
    rpc_version: null,
    devices: [{ name: "CUDA0", description: "a GPU", total_bytes: 8 * GIB, free_bytes: GIB }],
  });
});

Deno.test("buildStatus() tells how far a download is and how large the model will be", () => {
  const progress = { what: "model tiny", source: "disk", doneBytes: GIB, totalBytes: 4 * GIB };
  const slot: SlotState = { kind: "preparing", id: "tiny", transfers: new Map([["m", progress]]) };
  const status = buildStatus(factsOf(slot));
  assert.equal(status.node_status, "downloading");
  assert.deepEqual(status.progress, { phase: "downloading model tiny", percent: 25 });
  assert.equal(status.mesh_models[0]?.size_gb, 4);
  assert.equal(status.mesh_models[0]?.status, "loading");
});

Deno.test("buildStatus() gives the reason of a failure and lists no model then", () => {
  const status = buildStatus(factsOf({ kind: "failed", id: "tiny", reason: "no memory" }));
  assert.equal(status.node_status, "failed");
  assert.equal(status.error, "no memory");
  assert.deepEqual(status.mesh_models, []);
});

const UPSTREAM: Upstream = { send: () => Promise.reject(new Error("not called here")) };

function routingOf(slot: SlotState, upstream: Upstream | undefined): LocalRouting {
  return new LocalRouting({ nodeId: "node-a", slot: () => slot, upstream: () => upstream });
}

Deno.test("LocalRouting lists and routes a ready model only", () => {
  const ready = routingOf(READY, UPSTREAM);
  assert.deepEqual(ready.served(), [{
    id: "tiny",
    createdUnixS: 1_700_000_000,
    meta: { architecture: "llama", n_ctx: 2048, n_slots: 4, size: 0.5 * GIB },
  }]);
  assert.deepEqual(ready.targets("tiny"), [{
    nodeId: "node-a",
    upstream: UPSTREAM,
    slots: 4,
    contextTokens: 2048,
  }]);
  assert.deepEqual(ready.targets("other"), []);
  assert.deepEqual(ready.loading(), []);
  for (const slot of [EMPTY_SLOT, { kind: "draining", model: MODEL }] satisfies SlotState[]) {
    const routing = routingOf(slot, UPSTREAM);
    assert.deepEqual([routing.served(), routing.targets("tiny"), routing.loading()], [[], [], []]);
  }
});

Deno.test("LocalRouting has no target while the engine is gone, and tells a loading model", () => {
  assert.deepEqual(routingOf(READY, undefined).targets("tiny"), []);
  const starting = routingOf({ kind: "starting", model: MODEL, percent: 9 }, undefined);
  assert.deepEqual(starting.loading(), [{ id: "tiny", phase: "loading", percent: 9 }]);
  assert.deepEqual(starting.served(), []);
});

Deno.test("buildStatus() counts a model of several nodes once, this node's own first", () => {
  const elsewhere = new Map([
    ["other", { hosts: 0, loading: 1, sizeBytes: 0 }],
    ["tiny", { hosts: 2, loading: 0, sizeBytes: 0.5 * GIB }],
    ["big", { hosts: 1, loading: 1, sizeBytes: 8 * GIB }],
  ]);
  const { mesh_models } = buildStatus(factsOf(READY, { mesh: { ...NO_MESH_FACTS, elsewhere } }));
  assert.deepEqual(mesh_models.map(({ why }) => why), ["node-a: asked for there", null, null]);
  assert.deepEqual(
    mesh_models.map(({ name, status, node_count, size_gb }) => [name, status, node_count, size_gb]),
    [["tiny", "warm", 3, 0.5], ["big", "warm", 1, 8], ["other", "loading", 0, 0]],
  );
});

Deno.test("buildStatus() calls a node that serves nothing and uses a mesh a client", () => {
  const mesh = { ...NO_MESH_FACTS, isClient: true };
  const status = buildStatus(factsOf(EMPTY_SLOT, { mesh }));
  assert.deepEqual([status.node_status, status.is_client], ["client", true]);
});

Deno.test("buildStatus() says standby of a node that others could need, and why", () => {
  const standing = { isStandby: true, reason: "every model that is asked for has a host" };
  const peer = { id: "b" } as StatusFacts["mesh"]["peers"][number];
  const among = { ...NO_MESH_FACTS, peers: [peer] };
  const { node_status: status, reason } = buildStatus(
    factsOf(EMPTY_SLOT, { standing, mesh: among }),
  );
  assert.deepEqual([status, reason], ["standby", standing.reason]);
  assert.equal(buildStatus(factsOf(EMPTY_SLOT, { standing })).node_status, "idle", "alone");
  assert.equal(buildStatus(factsOf(READY, { standing, mesh: among })).node_status, "serving");
});
