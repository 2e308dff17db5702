import assert from "node:assert/strict";
import { parseFlags } from "~/engine/capabilities.ts";
import { SUPERVISOR_DEFAULTS } from "~/engine/supervisor_config.ts";
import { EngineDriver, type EngineLaunch, type EngineSnapshot } from "~/node/engine_driver.ts";
import { fakeHelp } from "#support/fake_llama_answers.ts";
import { MemoryHealth, MemoryPorts, MemoryProcesses } from "#support/memory_engine.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const LAUNCH: EngineLaunch = {
  install: {
    origin: "bin-dir",
    source: "test",
    dir: "/e",
    server: { command: "/e/llama-server", leadingArgs: [], env: {} },
  },
  facts: { flags: parseFlags(fakeHelp(undefined)), devices: [] },
  plan: { modelPath: "/m/a.gguf", modelAlias: "a", contextTokens: 4096, slots: 1 },
};

class Bench {
  readonly time = new VirtualTime();
  readonly processes = new MemoryProcesses();
  readonly health = new MemoryHealth();
  readonly phases: string[] = [];
  readonly driver: EngineDriver;
  #bytes = 0;

  constructor() {
    this.driver = new EngineDriver({
      clock: this.time,
      timers: this.time,
      rng: { next: () => 0.5 },
      secrets: { bytes: (length) => new Uint8Array(length).fill(this.#bytes += 1) },
      processes: this.processes,
      probe: this.health,
      ports: new MemoryPorts(),
      parentEnv: { PATH: "/bin", HF_TOKEN: "hf" },
      cacheDir: "/h/engine/cache",
    });
    this.driver.subscribe(({ phase }) => {
      if (this.phases.at(-1) !== phase) this.phases.push(phase);
    });
  }

  /** Lets everything happen that waits for nothing but its turn. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  }

  async advance(ms: number): Promise<void> {
    this.time.advance(ms);
    await this.settle();
  }

  async ready(): Promise<void> {
    this.health.result = "ok";
    this.driver.start(LAUNCH);
    await this.settle();
    assert.equal(this.driver.snapshot.phase, "ready");
  }
}

Deno.test("EngineDriver starts a server and says when it is ready", async () => {
  const bench = new Bench();
  bench.driver.start(LAUNCH);
  await bench.settle();
  assert.equal(bench.driver.snapshot.phase, "starting");
  assert.equal(bench.driver.endpoint(), undefined);
  bench.health.result = "ok";
  await bench.advance(SUPERVISOR_DEFAULTS.loadProbeMs);
  assert.deepEqual(bench.phases, ["starting", "ready"]);
  assert.equal(bench.driver.endpoint()?.port, 9001);
});

Deno.test("EngineDriver gives each process a port and a key of its own, the key in no argument", async () => {
  const bench = new Bench();
  await bench.ready();
  const first = bench.driver.endpoint();
  bench.processes.latest.end({ code: 134 });
  await bench.settle();
  await bench.advance(SUPERVISOR_DEFAULTS.restartBackoff.capMs);
  const second = bench.driver.endpoint();
  assert.match(first?.apiKey ?? "", /^[0-9a-f]{64}$/);
  assert.notEqual(first?.apiKey, second?.apiKey);
  assert.notEqual(first?.port, second?.port);
  const { args, env } = bench.processes.latest.order;
  assert.equal(env["LLAMA_API_KEY"], second?.apiKey);
  assert.ok(!JSON.stringify(args).includes(second?.apiKey ?? "-"));
  assert.equal(env["HF_TOKEN"], undefined);
});

Deno.test("EngineDriver shows no key in what it tells", async () => {
  const bench = new Bench();
  await bench.ready();
  const key = bench.driver.endpoint()?.apiKey ?? "";
  assert.ok(key !== "" && !JSON.stringify(bench.driver.snapshot).includes(key));
});

Deno.test("EngineDriver has output watched before anybody hears that it is ready", async () => {
  const bench = new Bench();
  const seen: boolean[] = [];
  bench.driver.subscribe(({ phase }) => {
    if (phase === "ready") seen.push(bench.processes.latest.isServing);
  });
  await bench.ready();
  assert.deepEqual(seen, [true]);
});

Deno.test("EngineDriver tells of the load as far as the output does", async () => {
  const bench = new Bench();
  const percents: (number | undefined)[] = [];
  bench.driver.subscribe(({ percent }) => percents.push(percent));
  bench.driver.start(LAUNCH);
  await bench.settle();
  for (const value of [0, 0.25, 0.9]) {
    const payload = { stages: ["text_model"], current: "text_model", value };
    bench.processes.latest.print(
      `cmd_child_to_router:state:${JSON.stringify({ state: "loading", payload })}`,
    );
  }
  assert.deepEqual(percents.slice(-3), [0, 25, 90]);
});

Deno.test("EngineDriver says at once that a server crashed, why, and starts it again", async () => {
  const bench = new Bench();
  await bench.ready();
  bench.processes.latest.print("CUDA error: out of memory");
  bench.processes.latest.end({ code: 134 });
  await bench.settle();
  assert.equal(bench.driver.snapshot.phase, "restarting");
  assert.deepEqual(bench.driver.snapshot.lastLines, ["CUDA error: out of memory"]);
  assert.equal(bench.driver.endpoint(), undefined);
  await bench.advance(SUPERVISOR_DEFAULTS.restartBackoff.capMs);
  assert.deepEqual(bench.phases, ["starting", "ready", "restarting", "starting", "ready"]);
});

Deno.test("EngineDriver ends a server that hangs and starts it again", async () => {
  const bench = new Bench();
  await bench.ready();
  const hung = bench.processes.latest;
  hung.ignored = ["SIGTERM"];
  bench.health.result = "failed";
  await bench.advance(SUPERVISOR_DEFAULTS.readyProbeMs);
  for (let look = 1; look < SUPERVISOR_DEFAULTS.healthFailuresMax; look += 1) {
    await bench.advance(SUPERVISOR_DEFAULTS.retryProbeMs);
  }
  assert.equal(bench.driver.snapshot.phase, "unhealthy");
  bench.health.result = "ok";
  await bench.advance(SUPERVISOR_DEFAULTS.stopGraceMs);
  await bench.advance(SUPERVISOR_DEFAULTS.restartBackoff.capMs);
  assert.deepEqual(hung.signals, ["SIGTERM", "SIGKILL"]);
  assert.equal(bench.driver.snapshot.phase, "ready");
});

Deno.test("stop() resolves when the process has ended, and leaves no timer", async () => {
  const bench = new Bench();
  await bench.ready();
  await bench.driver.stop();
  assert.equal(bench.driver.snapshot.phase, "stopped");
  assert.deepEqual(bench.processes.latest.signals, ["SIGTERM"]);
  assert.equal(bench.time.pendingCount, 0);
});

Deno.test("stop() waits for one that ignores the polite signal", async () => {
  const bench = new Bench();
  await bench.ready();
  bench.processes.latest.ignored = ["SIGTERM"];
  let isOver = false;
  const stopped = bench.driver.stop().then(() => isOver = true);
  await bench.settle();
  assert.equal(isOver, false);
  await bench.advance(SUPERVISOR_DEFAULTS.stopGraceMs);
  await stopped;
  assert.equal(bench.processes.latest.isAlive, false);
});

Deno.test("stop() waits no longer than its limit for one that nothing can end", async () => {
  const bench = new Bench();
  await bench.ready();
  bench.processes.latest.ignored = ["SIGTERM", "SIGKILL"];
  const stopped = bench.driver.stop();
  await bench.advance(60_000);
  await stopped;
  assert.equal(bench.driver.snapshot.phase, "stopping");
  bench.processes.latest.end({ code: 137, signal: "SIGKILL" });
  await bench.settle();
  assert.equal(bench.driver.snapshot.phase, "stopped");
});

Deno.test("stop() does nothing when nothing runs", async () => {
  const bench = new Bench();
  await bench.driver.stop();
  assert.equal(bench.driver.snapshot.phase, "stopped");
});

Deno.test("stop() during the birth of a process ends it when it is there", async () => {
  const bench = new Bench();
  bench.driver.start(LAUNCH);
  await bench.driver.stop();
  assert.equal(bench.processes.latest.isAlive, false);
});

Deno.test("start() of another model ends the first before it starts the second", async () => {
  const bench = new Bench();
  await bench.ready();
  const first = bench.processes.latest;
  bench.processes.onSpawn = () => assert.equal(first.isAlive, false);
  bench.driver.start({ ...LAUNCH, plan: { ...LAUNCH.plan, modelPath: "/m/b.gguf" } });
  await bench.settle();
  assert.ok(bench.processes.latest.order.args.includes("/m/b.gguf"));
  assert.equal(bench.processes.started.length, 2);
});

Deno.test("EngineDriver gives up with the cause when a program cannot be started", async () => {
  const bench = new Bench();
  bench.processes.failure = new Error("No such file");
  bench.driver.start(LAUNCH);
  for (let turn = 0; turn < SUPERVISOR_DEFAULTS.loadCrashesMax; turn += 1) {
    await bench.advance(SUPERVISOR_DEFAULTS.restartBackoff.capMs);
  }
  assert.equal(bench.driver.snapshot.phase, "failed");
  assert.match(bench.driver.snapshot.reason ?? "", /No such file/);
  assert.equal(bench.time.pendingCount, 0);
});

Deno.test("EngineDriver names the flag that a foreign build has not", async () => {
  const bench = new Bench();
  const facts = { flags: new Set(["--model", "--host"]), devices: [] };
  bench.driver.start({ ...LAUNCH, facts });
  await bench.settle();
  assert.equal(bench.driver.snapshot.phase, "failed");
  assert.match(bench.driver.snapshot.reason ?? "", /--port/);
});

Deno.test("a listener that stops the engine while it is told of a change is heard", async () => {
  const bench = new Bench();
  const seen: EngineSnapshot["phase"][] = [];
  let stopped: Promise<void> | undefined;
  bench.driver.subscribe(({ phase }) => {
    seen.push(phase);
    if (phase === "ready") stopped = bench.driver.stop();
  });
  bench.health.result = "ok";
  bench.driver.start(LAUNCH);
  await bench.settle();
  await stopped;
  assert.equal(bench.driver.snapshot.phase, "stopped");
  assert.deepEqual(seen.slice(-3), ["ready", "stopping", "stopped"]);
});

Deno.test("subscribe() gives back what ends it", async () => {
  const bench = new Bench();
  let count = 0;
  const unsubscribe = bench.driver.subscribe(() => count += 1);
  unsubscribe();
  await bench.ready();
  assert.equal(count, 0);
});
