import assert from "node:assert/strict";
import { UserError } from "~/base/errors.ts";
import type { TransferProgress } from "~/base/progress.ts";
import type { EngineLaunch, EngineSnapshot } from "~/node/engine_driver.ts";
import { Inflight } from "~/node/inflight.ts";
import { LocalModel } from "~/node/local_model.ts";
import type { SlotModel } from "~/node/model_slot.ts";
import type {
  ChosenModel,
  Fetching,
  LaunchPlan,
  PreparedEngine,
  PreparedModel,
} from "~/node/ports.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const MODEL: SlotModel = {
  id: "tiny",
  path: "/models/tiny.gguf",
  sizeBytes: 1000,
  contextTokens: 2048,
  slots: 2,
  meta: {},
};
const PLAN: LaunchPlan = {
  launch: {} as EngineLaunch,
  model: MODEL,
  explanation: "it fits",
};

/** A local model whose surroundings a test plays by hand. */
class Stage {
  readonly time = new VirtualTime();
  readonly inflight = new Inflight(this.time);
  readonly deeds: string[] = [];
  /** How often an engine was looked for. */
  searches = 0;
  engine = Promise.withResolvers<PreparedEngine>();
  readonly file = Promise.withResolvers<PreparedModel>();
  readonly reported: TransferProgress[] = [];
  fetching: Fetching | undefined;
  planned: () => Promise<LaunchPlan> = () => Promise.resolve(PLAN);
  #listener: (snapshot: EngineSnapshot) => void = () => {};

  readonly local = new LocalModel({
    clock: this.time,
    inflight: this.inflight,
    report: (progress) => this.reported.push(progress),
    onSourceFailure: () => {},
    engines: {
      prepare: (fetching) => {
        this.searches += 1;
        this.fetching = fetching;
        fetching.signal.addEventListener("abort", () => this.engine.reject(fetching.signal.reason));
        return this.engine.promise;
      },
    },
    models: { choose: (name) => Promise.resolve(this.#choose(name ?? "tiny")) },
    planner: { plan: () => this.planned(), memory: () => Promise.reject(new Error("not asked")) },
    driver: {
      snapshot: { phase: "stopped" } as EngineSnapshot,
      subscribe: (listener) => {
        this.#listener = listener;
        return () => this.deeds.push("unsubscribed");
      },
      start: () => void this.deeds.push("started"),
      stop: () => Promise.resolve(void this.deeds.push("stopped")),
    },
  });

  #choose(id: string): ChosenModel {
    return {
      id,
      prepare: (fetching) => {
        this.fetching = fetching;
        fetching.signal.addEventListener("abort", () => this.file.reject(fetching.signal.reason));
        return this.file.promise;
      },
    };
  }

  tell(snapshot: Partial<EngineSnapshot>): void {
    this.#listener(snapshot as EngineSnapshot);
  }

  arrive(): void {
    this.engine.resolve({} as PreparedEngine);
    this.file.resolve({ id: "tiny" } as PreparedModel);
  }

  /** Resolves when the slot is in the wanted state. */
  async reaches(kind: string): Promise<void> {
    if (this.local.state.kind === kind) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = this.local.subscribe((state) => state.kind === kind && resolve());
    await promise;
    stop();
  }
}

Deno.test("LocalModel brings a model up: files, plan, engine, ready", async () => {
  const stage = new Stage();
  assert.equal(await stage.local.load(), "tiny");
  assert.equal(stage.local.state.kind, "preparing");
  stage.arrive();
  await stage.reaches("starting");
  assert.deepEqual(stage.deeds, ["started"]);
  stage.tell({ phase: "starting", percent: 50 });
  assert.deepEqual(stage.local.state, { kind: "starting", model: MODEL, percent: 50 });
  stage.tell({ phase: "ready" });
  assert.equal(stage.local.state.kind, "ready");
});

Deno.test("LocalModel shows transfers and passes them on", async () => {
  const stage = new Stage();
  await stage.local.load();
  const progress = { what: "model tiny", source: "disk", doneBytes: 5, totalBytes: 10 };
  stage.fetching?.report(progress);
  assert.deepEqual(stage.reported, [progress]);
  const { state } = stage.local;
  assert.ok(state.kind === "preparing" && state.transfers.size === 1);
});

Deno.test("LocalModel refuses a second model, and takes the same one twice", async () => {
  const stage = new Stage();
  await stage.local.load("tiny");
  assert.equal(await stage.local.load("tiny"), "tiny");
  await assert.rejects(stage.local.load("other"), /busy with "tiny". Drop that first/);
});

Deno.test("LocalModel fails with the reason when there is no engine, and stops fetching the model", async () => {
  const stage = new Stage();
  await stage.local.load();
  stage.engine.reject(new Error("no llama.cpp anywhere"));
  await stage.reaches("failed");
  assert.deepEqual(stage.local.state, {
    kind: "failed",
    id: "tiny",
    reason: "no llama.cpp anywhere",
  });
  assert.ok(stage.fetching?.signal.aborted);
  await assert.rejects(stage.file.promise);
});

Deno.test("LocalModel fails with the plan's sentence when the model does not fit", async () => {
  const stage = new Stage();
  stage.planned = () => Promise.reject(new Error("needs 9 GiB, free are 2"));
  await stage.local.load();
  stage.arrive();
  await stage.reaches("failed");
  assert.deepEqual(stage.deeds, []);
  stage.planned = () => Promise.resolve(PLAN);
  await stage.local.load();
  await stage.reaches("starting");
});

Deno.test("LocalModel gives the engine's last lines when the engine gives up", async () => {
  const stage = new Stage();
  await stage.local.load();
  stage.arrive();
  await stage.reaches("starting");
  stage.tell({ phase: "restarting", reason: "llama-server exited with code 1" });
  await stage.reaches("restarting");
  stage.tell({ phase: "failed", reason: "It crashed 5 times", lastLines: ["bad tensor"] });
  const { state } = stage.local;
  assert.ok(state.kind === "failed");
  assert.match(state.reason, /It crashed 5 times[\s\S]*bad tensor/);
});

Deno.test("LocalModel.drop() waits for running requests, then stops the engine", async () => {
  const stage = new Stage();
  await stage.local.load();
  stage.arrive();
  await stage.reaches("starting");
  stage.tell({ phase: "ready" });
  stage.inflight.begin();
  const dropped = stage.local.drop(10_000);
  await stage.reaches("draining");
  assert.deepEqual(stage.deeds, ["started"]);
  stage.inflight.end();
  await dropped;
  assert.deepEqual(stage.deeds, ["started", "stopped"]);
  assert.equal(stage.local.state.kind, "empty");
});

Deno.test("LocalModel.drop() gives up waiting at its limit", async () => {
  const stage = new Stage();
  await stage.local.load();
  stage.arrive();
  await stage.reaches("starting");
  stage.inflight.begin();
  const dropped = stage.local.drop(10_000);
  await stage.reaches("draining");
  stage.time.advance(10_000);
  await dropped;
  assert.equal(stage.local.state.kind, "empty");
});

Deno.test("LocalModel.drop() in the middle of a download ends the download", async () => {
  const stage = new Stage();
  await stage.local.load();
  const states: string[] = [];
  stage.local.subscribe((state) => void states.push(state.kind));
  stage.engine.resolve({} as PreparedEngine);
  await stage.local.drop(0);
  assert.ok(stage.fetching?.signal.aborted);
  assert.deepEqual(states, ["empty"], "being dropped is no failure");
  assert.equal(stage.local.state.kind, "empty");
  assert.ok(!stage.deeds.includes("started"));
});

Deno.test("LocalModel.close() stops following the engine", async () => {
  const stage = new Stage();
  await stage.local.close(0);
  assert.deepEqual(stage.deeds, ["stopped", "unsubscribed"]);
});

Deno.test("LocalModel.findEngine() finds the engine once, and neither loads nor starts anything", async () => {
  const stage = new Stage();
  const finding = [stage.local.findEngine(), stage.local.findEngine()];
  assert.equal(stage.local.engine, undefined);
  stage.engine.resolve({} as PreparedEngine);
  await Promise.all(finding);
  await stage.local.findEngine();
  assert.equal(stage.searches, 1);
  assert.notEqual(stage.local.engine, undefined);
  assert.equal(stage.local.state.kind, "empty");
  assert.deepEqual(stage.deeds, []);
});

Deno.test("LocalModel.findEngine() passes on why there is none, and looks again when it is asked again", async () => {
  const stage = new Stage();
  const finding = stage.local.findEngine();
  stage.engine.reject(new UserError("no llama.cpp anywhere"));
  await assert.rejects(finding, /no llama\.cpp anywhere/);
  assert.equal(stage.local.engine, undefined);
  stage.engine = Promise.withResolvers<PreparedEngine>();
  stage.engine.resolve({} as PreparedEngine);
  await stage.local.findEngine();
  assert.equal(stage.searches, 2);
});

Deno.test("LocalModel.findEngine() is given up when the node ends", async () => {
  const stage = new Stage();
  const finding = stage.local.findEngine();
  // The lane has given it its turn.
  await Promise.resolve();
  const closed = stage.local.close(0);
  await assert.rejects(finding, /given up/);
  await closed;
  assert.equal(stage.local.engine, undefined);
});

Deno.test("regression: LocalModel.drop() gives up what still waits for its turn, too", async () => {
  const stage = new Stage();
  const finding = stage.local.findEngine();
  const loading = stage.local.load();
  const dropped = stage.local.drop(0);
  await assert.rejects(finding, /given up/);
  await assert.rejects(loading, /given up/);
  await dropped;
  assert.equal(stage.local.state.kind, "empty");
  stage.engine = Promise.withResolvers<PreparedEngine>();
  assert.equal(await stage.local.load(), "tiny", "what comes after the drop is loaded");
});
