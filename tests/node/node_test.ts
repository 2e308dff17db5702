import assert from "node:assert/strict";
import type { NumberedEvent } from "~/api/ports.ts";
import { UserError } from "~/base/errors.ts";
import type { EngineSnapshot } from "~/node/engine_driver.ts";
import { EventHub } from "~/node/events.ts";
import { Inflight } from "~/node/inflight.ts";
import type { LocalModel } from "~/node/local_model.ts";
import { NodeMetrics } from "~/node/metrics.ts";
import { EMPTY_SLOT, type SlotModel, type SlotState } from "~/node/model_slot.ts";
import { MeshNode, type NodeElection } from "~/node/node.ts";
import { RequestBook } from "~/node/request_book.ts";
import type { Upstream } from "~/proxy/ports.ts";
import { NoMesh } from "#support/no_mesh.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const MODEL: SlotModel = {
  id: "tiny",
  path: "/models/tiny.gguf",
  sizeBytes: 1000,
  contextTokens: 2048,
  slots: 2,
  meta: {},
};
const READY: SlotState = { kind: "ready", model: MODEL, sinceUnixS: 1 };
const UPSTREAM: Upstream = { send: () => Promise.reject(new Error("not called here")) };

/** A node whose model and engine a test plays by hand. */
class Stage {
  readonly time = new VirtualTime();
  readonly mesh = new NoMesh();
  readonly deeds: string[] = [];
  readonly events: NumberedEvent[] = [];
  state: SlotState = EMPTY_SLOT;
  snapshot: EngineSnapshot = { phase: "stopped", restarts: 0 };
  #onSlot: (state: SlotState) => void = () => {};
  #onEngine: (snapshot: EngineSnapshot) => void = () => {};
  readonly book = new RequestBook({
    inflight: new Inflight(this.time),
    wallMs: () => this.time.wallMs(),
  });
  readonly election: NodeElection = {
    look: () => {},
    askedHere: (id, name) => void this.deeds.push(`${name} asked here is ${id}`),
    droppedHere: (id) => void this.deeds.push(`${id} dropped here`),
    began: () => void this.deeds.push("began"),
    ended: (serviceMs) => void this.deeds.push(`ended after ${serviceMs}`),
    standing: () => ({ isStandby: false, reason: "host of tiny: asked for here" }),
    reasons: () => new Map([["tiny", "node-a: asked for there"]]),
    known: (name) => ({ id: name, isComing: true }),
    explain: (id) => ({
      id,
      summary: "it is so",
      members: [{ node: "node-a", isHost: true, words: "asked for there" }],
      advice: undefined,
    }),
  };
  readonly node: MeshNode;

  constructor() {
    this.node = new MeshNode({
      version: "1.2.3",
      nodeId: "node-a",
      clock: this.time,
      timers: this.time,
      mesh: this.mesh,
      diskModels: () => [],
      election: this.election,
      local: this.#local(),
      driver: this.#driver(),
      book: this.book,
      hub: new EventHub({ firstId: 1 }),
      metrics: new NodeMetrics({
        version: "1.2.3",
        commit: "unknown",
        sources: {
          residentBytes: () => 1,
          upMs: () => this.time.nowMs(),
          queuedRequests: () => this.book.waitingCount,
          isReady: () => this.state.kind === "ready",
        },
      }),
      offeredBytes: () => 0,
      openUpstream: ({ port }) => {
        this.deeds.push(`upstream to ${port}`);
        return UPSTREAM;
      },
      requestStop: () => void this.deeds.push("stop"),
    });
    this.node.subscribe((event) => void this.events.push(event));
  }

  #local(): LocalModel {
    const stage = (): Stage => this;
    const local = {
      get state(): SlotState {
        return stage().state;
      },
      engine: undefined,
      subscribe: (listener: (state: SlotState) => void) => {
        this.#onSlot = listener;
        return () => {};
      },
      load: (name: string) => Promise.resolve(name),
      drop: (graceMs: number) => Promise.resolve(void this.deeds.push(`drop within ${graceMs}`)),
    };
    return local as unknown as LocalModel;
  }

  #driver(): ConstructorParameters<typeof MeshNode>[0]["driver"] {
    const stage = (): Stage => this;
    return {
      get snapshot(): EngineSnapshot {
        return stage().snapshot;
      },
      subscribe: (listener) => {
        this.#onEngine = listener;
        return () => {};
      },
      endpoint: () =>
        this.snapshot.phase === "ready" ? { port: 7000, apiKey: "secret" } : undefined,
    };
  }

  becomes(state: SlotState): void {
    this.state = state;
    this.#onSlot(state);
  }

  engineBecomes(snapshot: EngineSnapshot): void {
    this.snapshot = snapshot;
    this.#onEngine(snapshot);
  }
}

Deno.test("MeshNode routes to the engine that runs, over one upstream per process", () => {
  const stage = new Stage();
  stage.engineBecomes({ phase: "ready", restarts: 0, pid: 5, port: 7000 });
  stage.becomes(READY);
  assert.equal(stage.node.routing.targets("tiny").length, 1);
  assert.equal(stage.node.routing.targets("tiny").length, 1);
  assert.deepEqual(stage.deeds, ["upstream to 7000"]);
  stage.engineBecomes({ phase: "ready", restarts: 1, pid: 6, port: 7000 });
  stage.node.routing.targets("tiny");
  assert.deepEqual(stage.deeds, ["upstream to 7000", "upstream to 7000"]);
});

Deno.test("MeshNode has no target while the engine restarts", () => {
  const stage = new Stage();
  stage.becomes(READY);
  assert.deepEqual(stage.node.routing.targets("tiny"), []);
});

Deno.test("MeshNode tells pages of what they would show differently, not of every byte", () => {
  const stage = new Stage();
  const preparing = (doneBytes: number): SlotState => ({
    kind: "preparing",
    id: "tiny",
    transfers: new Map([["m", { what: "model", source: "disk", doneBytes, totalBytes: 1000 }]]),
  });
  for (let doneBytes = 0; doneBytes <= 20; doneBytes++) stage.becomes(preparing(doneBytes));
  const percents = stage.events.filter(({ kind }) => kind === "model").map(({ data }) =>
    data["percent"]
  );
  assert.deepEqual(percents, [0, 1, 2]);
});

Deno.test("MeshNode counts loads and restarts for the metrics", async () => {
  const stage = new Stage();
  stage.becomes({ kind: "starting", model: MODEL });
  stage.time.advance(1_500);
  stage.becomes(READY);
  stage.engineBecomes({ phase: "restarting", restarts: 1, reason: "exit 1", lastLines: [] });
  const { text } = await stage.node.metrics();
  assert.match(text, /mesh_llm_model_load_seconds_sum\{model="tiny"\} 1\.5/);
  assert.match(text, /mesh_llm_engine_restarts_total\{model="tiny"\} 1/);
});

Deno.test("MeshNode.dropModel() drops what it serves, by any spelling of the door, and nothing else", async () => {
  const stage = new Stage();
  await assert.rejects(stage.node.dropModel("tiny"), /it serves no model/);
  stage.becomes(READY);
  await assert.rejects(stage.node.dropModel("other"), /it serves "tiny"/);
  assert.deepEqual(stage.deeds, []);
  await stage.node.dropModel("TINY.gguf");
  assert.deepEqual(stage.deeds, ["tiny dropped here", "drop within 10000"]);
  await assert.rejects(stage.node.dropModel("nothing"), UserError);
});

Deno.test("MeshNode.status() tells requests, ports and time", () => {
  const stage = new Stage();
  stage.node.openedAt(9337);
  stage.becomes(READY);
  stage.time.advance(5_000);
  const endpoint = "/v1/completions";
  stage.node.observe({ kind: "received", requestId: "a", endpoint });
  stage.node.observe({ kind: "started", requestId: "a", endpoint, model: "tiny", queuedMs: 0 });
  stage.node.observe({ kind: "received", requestId: "b", endpoint });
  const status = stage.node.status();
  assert.equal(status.api_port, 9337);
  assert.equal(status.uptime_secs, 5);
  assert.equal(status.inflight_requests, 2);
  assert.equal(status.queued_requests, 1);
  assert.equal(status.mesh_models[0]?.request_count, 1);
});

Deno.test("MeshNode tells a request that ended, and asks for the end when told to", async () => {
  const stage = new Stage();
  const endpoint = "/v1/completions";
  stage.node.observe({ kind: "received", requestId: "a", endpoint });
  stage.node.observe({
    kind: "finished",
    requestId: "a",
    endpoint,
    outcome: "answered",
    status: 200,
    durationMs: 1,
    queuedMs: 0,
    requestBytes: 2,
    responseBytes: 3,
  });
  assert.equal(stage.events[0]?.kind, "request");
  assert.equal(stage.node.lastEventId(), stage.events[0]?.id);
  assert.deepEqual(await stage.node.loadModel("tiny"), { model: "tiny" });
  await stage.node.shutdown();
  assert.deepEqual(stage.deeds, ["tiny asked here is tiny", "stop"]);
});

Deno.test("MeshNode counts as its own use only what its own engine does", () => {
  const stage = new Stage();
  for (const nodeId of ["node-b", "node-a"]) {
    stage.node.observe({ kind: "sent", requestId: "r", nodeId });
    stage.node.observe({ kind: "done", requestId: "r", nodeId, durationMs: 7 });
  }
  assert.deepEqual(stage.deeds, ["began", "ended after 7"]);
});

Deno.test("MeshNode explains a model in the words of the election", () => {
  const { node } = new Stage();
  assert.equal(node.status().reason, "host of tiny: asked for here");
  assert.deepEqual(node.routing.known?.("x"), { id: "x", isComing: true });
  assert.equal(node.localRouting.known, undefined, "peers get only what is served");
  assert.deepEqual(node.explainModel("x"), {
    model: "x",
    summary: "it is so",
    members: [{ id: "node-a", is_host: true, words: "asked for there" }],
    advice: null,
  });
});

Deno.test("MeshNode tells followers what it decides about models and why, and its status once for many changes", () => {
  const stage = new Stage();
  stage.node.onDecision({ kind: "takes_on", model: "tiny", reason: "its host is full" });
  stage.node.onDecision({ kind: "stands_by", model: null, reason: "all have a host" });
  const place = { state: "empty", phase: null, percent: null };
  assert.deepEqual(stage.events.map(({ kind, data }) => [kind, data]), [
    ["model", { name: "tiny", ...place, decision: "takes_on", reason: "its host is full" }],
    ["model", { name: null, ...place, decision: "stands_by", reason: "all have a host" }],
  ]);
  stage.time.advance(1_000);
  assert.deepEqual(stage.events.slice(2).map(({ kind }) => kind), ["status"]);
  stage.node.onDecision({ kind: "drops", model: "tiny", reason: "dropped by hand" });
  stage.time.advance(1_000);
  assert.deepEqual(stage.events.slice(3).map(({ kind }) => kind), ["model", "status"]);
});
