import assert from "node:assert/strict";
import { GIB } from "~/base/units.ts";
import { formatFinding } from "~/cli/commands/doctor.ts";
import { formatEngine } from "~/cli/commands/engine.ts";
import { formatStatus } from "~/cli/commands/running.ts";
import type { EngineFacts, EngineInstall } from "~/engine/install.ts";
import { MESH_ID, peerOf, snapshotOf } from "#support/managed_node.ts";

const PROGRAM = { command: "/opt/llama/llama-server", leadingArgs: [], env: {} };
const INSTALL: EngineInstall = {
  origin: "bin-dir",
  source: "folder /opt/llama",
  dir: "/opt/llama",
  server: PROGRAM,
};
const UNTOLD: EngineFacts = { flags: new Set(), devices: [] };

Deno.test("formatFinding() marks what is a problem, so that it is seen and can be searched for", () => {
  const good = { what: "memory", isGood: true, detail: "8.0 GiB free" };
  assert.equal(formatFinding(good), "ok      memory: 8.0 GiB free");
  const bad = { what: "engine", isGood: false, detail: "none: run mesh-llm engine install" };
  assert.equal(formatFinding(bad), "PROBLEM engine: none: run mesh-llm engine install");
});

Deno.test("formatEngine() tells all that an engine says about itself, a line each", () => {
  const facts: EngineFacts = {
    ...UNTOLD,
    version: "0.7.0",
    build: 11669,
    commit: "abc",
    rpcVersion: "8.0.0",
    devices: [
      { name: "CUDA0", description: "a card", totalBytes: 24 * GIB, freeBytes: 20 * GIB },
      { name: "CUDA1", description: "another", totalBytes: 8 * GIB, freeBytes: 8 * GIB },
    ],
  };
  assert.deepEqual(formatEngine({ ...INSTALL, rpcServer: PROGRAM }, facts).split("\n"), [
    "Source:   folder /opt/llama",
    "Folder:   /opt/llama",
    "Version:  0.7.0",
    "Build:    11669",
    "Commit:   abc",
    "RPC:      8.0.0",
    "Devices:  CUDA0: a card, 20.0 GiB free of 24.0 GiB",
    "          CUDA1: another, 8.0 GiB free of 8.0 GiB",
  ]);
});

Deno.test("formatEngine() says what is unknown, and that a missing RPC server is missing", () => {
  const without = formatEngine(INSTALL, UNTOLD);
  assert.match(without, /^Version: +unknown$/m);
  assert.match(without, /^RPC: +no RPC server$/m);
  assert.match(without, /^Devices: +none: computes on the CPU$/m);
  assert.match(formatEngine({ ...INSTALL, rpcServer: PROGRAM }, UNTOLD), /^RPC: +unknown$/m);
});

Deno.test("formatStatus() of a serving node has a line for each thing, and no error", () => {
  const { node_id: nodeId, version } = snapshotOf();
  assert.deepEqual(formatStatus(snapshotOf()).split("\n"), [
    `Node:     ${nodeId} (mesh-llm ${version})`,
    "State:    serving",
    "Model:    SmolLM2-135M-Instruct",
    "Why:      host of SmolLM2-135M-Instruct: asked for here",
    "API:      http://localhost:9337/v1",
    "Requests: 1 open, 0 of them waiting",
    "Memory:   12.4 GiB offered, model 0.09 GiB",
    "Engine:   llama.cpp 0.7.0 (build 11669) on CPU, Debian packages",
    "Mesh:     none, this machine only",
    "Up:       62 min 3 s",
  ]);
});

Deno.test("formatStatus() of a node in a mesh tells the port of its links and its peers", () => {
  const inMesh = snapshotOf({
    mesh_id: MESH_ID,
    peer_port: 4433,
    clients: 1,
    peers: [peerOf()],
    mesh_models: [],
  });
  const lines = formatStatus(inMesh).split("\n");
  assert.ok(lines.includes(`Mesh:     ${MESH_ID}, 1 peer, 1 client`));
  assert.ok(lines.includes("Peers on: UDP port 4433"));
  assert.match(lines.at(-2) ?? "", /^PEER +ROLE/);
  assert.match(lines.at(-1) ?? "", /^peerpeer2222 +member .* direct .* 1\.3 ms .* Qwen3-4B$/);
});

Deno.test("formatStatus() says of each model of a mesh why its hosts serve it, where that is known", () => {
  const [model] = snapshotOf().mesh_models;
  assert.ok(model !== undefined);
  const models = [model, { ...model, name: "old", why: null }];
  const told = formatStatus(snapshotOf({ peers: [peerOf()], mesh_models: models }));
  assert.deepEqual(told.split("\n").slice(-2), [
    "Models of the mesh:",
    "  SmolLM2-135M-Instruct: 1f9ae0c2: asked for there",
  ]);
  const none = formatStatus(snapshotOf({ reason: null, peers: [peerOf()], mesh_models: [] }));
  assert.doesNotMatch(none, /^(Why|Models)/m);
});

Deno.test("formatStatus() says how far a load is, with percent only where it is known", () => {
  const stateOf = (percent: number | null) =>
    formatStatus(snapshotOf({ node_status: "loading", progress: { phase: "loading", percent } }))
      .split("\n")[1];
  assert.equal(stateOf(40), "State:    loading: loading, 40 %");
  assert.equal(stateOf(0), "State:    loading: loading, 0 %");
  assert.equal(stateOf(null), "State:    loading: loading");
});

Deno.test("formatStatus() of a node without model and engine invents neither", () => {
  const engine = { name: null, version: null, build: null, "rpc_version": null, devices: [] };
  const told = formatStatus(snapshotOf({
    node_status: "failed",
    model_name: null,
    engine,
    error: "no llama.cpp anywhere",
  }));
  assert.match(told, /^Model: +none$/m);
  assert.match(told, /^Engine: +none yet$/m);
  assert.match(told, /^Error: +no llama\.cpp anywhere$/m);
});

Deno.test("formatStatus() never shows the invite token", () => {
  const token = "secret-invite-token";
  assert.ok(!formatStatus(snapshotOf({ token })).includes(token));
});
