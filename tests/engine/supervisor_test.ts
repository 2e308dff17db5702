import assert from "node:assert/strict";
import { Supervisor, type SupervisorEffect, type SupervisorInput } from "~/engine/supervisor.ts";
import { SUPERVISOR_DEFAULTS } from "~/engine/supervisor_config.ts";
import type { HealthResult } from "~/engine/process.ts";

const CONFIG = SUPERVISOR_DEFAULTS;
type Input = SupervisorInput<string>;
type Effect = SupervisorEffect<string>;

/** The machine with a clock, and shortcuts for what happens to its latest process. */
class Bench {
  readonly machine = new Supervisor<string>(CONFIG, { next: () => 1 });
  nowMs = 1000;
  process = 0;
  wakeMs: number | undefined;

  send(input: Input): Effect[] {
    const effects = this.machine.handle(input, this.nowMs);
    for (const effect of effects) {
      if (effect.kind === "spawn") this.process = effect.process;
      if (effect.kind === "wake") this.wakeMs = effect.atMs;
    }
    return effects;
  }

  start(spec = "model"): Effect[] {
    return this.send({ kind: "start", spec });
  }

  spawned(): Effect[] {
    return this.send({
      kind: "spawned",
      process: this.process,
      pid: 100 + this.process,
      port: 9000,
    });
  }

  health(result: HealthResult): Effect[] {
    return this.send({ kind: "health", process: this.process, result });
  }

  output(line: string): Effect[] {
    return this.send({ kind: "output", process: this.process, line });
  }

  exited(code = 134, signal?: string): Effect[] {
    const exit = { code, lastLines: ["last words"], ...(signal === undefined ? {} : { signal }) };
    return this.send({ kind: "exited", process: this.process, exit });
  }

  /** Moves to the moment of the timer and rings it. */
  ring(): Effect[] {
    assert.ok(this.wakeMs !== undefined, "no timer is set");
    this.nowMs = this.wakeMs;
    this.wakeMs = undefined;
    return this.send({ kind: "tick" });
  }

  ready(): void {
    this.start();
    this.spawned();
    this.health("ok");
    assert.equal(this.machine.snapshot.phase, "ready");
  }
}

function kinds(effects: readonly Effect[]): string[] {
  return effects.map((effect) => effect.kind === "kill" ? effect.signal : effect.kind)
    .filter((kind) => kind !== "wake" && kind !== "changed");
}

Deno.test("Supervisor goes from stopped over loading and warming to ready", () => {
  const bench = new Bench();
  assert.deepEqual(kinds(bench.start()), ["spawn"]);
  assert.deepEqual(bench.machine.snapshot, { phase: "starting", step: "spawning", restarts: 0 });
  assert.deepEqual(kinds(bench.spawned()), ["probe"]);
  assert.equal(bench.machine.snapshot.step, "loading");
  bench.output(
    'cmd_child_to_router:state:{"state":"loading","payload":{"stages":["a"],"current":"a","value":0.5}}',
  );
  assert.equal(bench.machine.snapshot.percent, 50);
  bench.output("0.00.315.591 I cmn          init: llama threadpool init, n_threads = 2");
  assert.deepEqual([bench.machine.snapshot.step, bench.machine.snapshot.percent], ["warming", 100]);
  bench.health("ok");
  const { phase, pid, port, percent } = bench.machine.snapshot;
  assert.deepEqual({ phase, pid, port, percent }, {
    phase: "ready",
    pid: 101,
    port: 9000,
    percent: undefined,
  });
});

Deno.test("Supervisor announces each change once, and no change that is none", () => {
  const bench = new Bench();
  bench.start();
  bench.spawned();
  const changes = [bench.health("loading"), bench.health("ok"), bench.health("ok")]
    .map((effects) => effects.filter((effect) => effect.kind === "changed").length);
  assert.deepEqual(changes, [0, 1, 0]);
});

Deno.test("Supervisor looks at the health again and again while it loads", () => {
  const bench = new Bench();
  bench.start();
  bench.spawned();
  assert.deepEqual(kinds(bench.health("loading")), []);
  assert.equal(bench.wakeMs, bench.nowMs + CONFIG.loadProbeMs);
  assert.deepEqual(kinds(bench.ring()), ["probe"]);
});

Deno.test("Supervisor asks for the key to be checked until it is ready, not after", () => {
  const bench = new Bench();
  bench.start();
  const isThorough = (effects: Effect[]) =>
    effects.find((effect) => effect.kind === "probe")?.isThorough;
  assert.equal(isThorough(bench.spawned()), true);
  bench.health("ok");
  assert.equal(isThorough(bench.ring()), false);
});

Deno.test("Supervisor looks at once when the output says that it is ready", () => {
  const bench = new Bench();
  bench.start();
  bench.spawned();
  bench.health("loading");
  assert.deepEqual(kinds(bench.output("0.00.372.312 I srv  llama_server: model loaded")), [
    "probe",
  ]);
});

Deno.test("Supervisor restarts after a crash, with the last words in the reason", () => {
  const bench = new Bench();
  bench.ready();
  bench.exited(134);
  const { phase, reason, lastLines } = bench.machine.snapshot;
  assert.equal(phase, "restarting");
  assert.match(reason ?? "", /exit status 134/);
  assert.deepEqual(lastLines, ["last words"]);
  assert.deepEqual(kinds(bench.ring()), ["spawn"]);
  assert.equal(bench.machine.snapshot.restarts, 1);
});

Deno.test("Supervisor names the signal that ended it, and what it often means", () => {
  const bench = new Bench();
  bench.ready();
  bench.exited(137, "SIGKILL");
  assert.match(
    bench.machine.snapshot.reason ?? "",
    /killed by SIGKILL (?:while|before) .*, perhaps for want of memory/,
  );
});

Deno.test("Supervisor waits longer from crash to crash and never gives up what was ready", () => {
  const bench = new Bench();
  bench.ready();
  const waits: number[] = [];
  for (let crash = 1; crash <= CONFIG.crashesMax + 2; crash += 1) {
    bench.exited();
    assert.equal(bench.machine.snapshot.phase, "restarting");
    waits.push((bench.wakeMs ?? 0) - bench.nowMs);
    bench.ring();
    bench.spawned();
    bench.health("ok");
  }
  const { capMs } = CONFIG.restartBackoff;
  assert.deepEqual(waits, [500, 1000, 2000, 4000, capMs, capMs, capMs]);
  assert.equal(bench.machine.snapshot.phase, "ready");
});

Deno.test("Supervisor forgets crashes that are long past", () => {
  const bench = new Bench();
  bench.ready();
  for (let crash = 0; crash < 3 * CONFIG.crashesMax; crash += 1) {
    bench.exited();
    assert.equal(bench.machine.snapshot.phase, "restarting");
    bench.ring();
    bench.spawned();
    bench.health("ok");
    bench.nowMs += CONFIG.crashWindowMs / 3;
  }
});

Deno.test("Supervisor gives a model up sooner that never loads, however long each try takes", () => {
  const bench = new Bench();
  bench.start();
  for (let crash = 1; crash < CONFIG.loadCrashesMax; crash += 1) {
    bench.spawned();
    bench.nowMs += CONFIG.crashWindowMs;
    bench.exited(1);
    assert.equal(bench.machine.snapshot.phase, "restarting");
    bench.ring();
  }
  bench.spawned();
  bench.exited(1);
  assert.equal(bench.machine.snapshot.phase, "failed");
  assert.match(bench.machine.snapshot.reason ?? "", /before it was ready/);
});

Deno.test("Supervisor starts afresh when it is asked to after it gave up", () => {
  const bench = new Bench();
  bench.start();
  for (let crash = 0; crash < CONFIG.loadCrashesMax; crash += 1) {
    if (crash > 0) bench.ring();
    bench.spawned();
    bench.exited(1);
  }
  assert.deepEqual(kinds(bench.start()), ["spawn"]);
  bench.spawned();
  bench.exited(1);
  assert.equal(bench.machine.snapshot.phase, "restarting");
});

Deno.test("Supervisor tries another port at once when one is taken, but not for ever", () => {
  const bench = new Bench();
  bench.start();
  const taken = "0.00.010.724 E srv  start: couldn't bind HTTP server socket, hostname: x, port: 1";
  for (let retry = 0; retry < CONFIG.portRetriesMax; retry += 1) {
    bench.spawned();
    bench.output(taken);
    assert.deepEqual(kinds(bench.exited(1)), ["spawn"]);
  }
  bench.spawned();
  bench.output(taken);
  bench.exited(1);
  assert.equal(bench.machine.snapshot.phase, "failed");
  assert.match(bench.machine.snapshot.reason ?? "", /6 ports/);
  assert.equal(bench.machine.snapshot.restarts, 0);
});

Deno.test("Supervisor does not take a foreign server on its port for its own", () => {
  const bench = new Bench();
  bench.start();
  bench.spawned();
  assert.deepEqual(kinds(bench.health("foreign")), ["SIGTERM"]);
  assert.equal(bench.machine.snapshot.phase, "starting");
  assert.deepEqual(kinds(bench.exited(0)), ["spawn"]);
});

Deno.test("Supervisor ends and restarts a server that hangs, after several looks", () => {
  const bench = new Bench();
  bench.ready();
  for (let failure = 1; failure < CONFIG.healthFailuresMax; failure += 1) {
    assert.deepEqual(kinds(bench.ring()), ["probe"]);
    assert.deepEqual(kinds(bench.health("failed")), []);
    assert.equal(bench.machine.snapshot.phase, "ready");
  }
  bench.ring();
  assert.deepEqual(kinds(bench.health("failed")), ["SIGTERM"]);
  assert.equal(bench.machine.snapshot.phase, "unhealthy");
  assert.deepEqual(kinds(bench.ring()), ["SIGKILL"]);
  bench.exited(137, "SIGKILL");
  assert.equal(bench.machine.snapshot.phase, "restarting");
  assert.match(bench.machine.snapshot.reason ?? "", /did not answer/);
});

Deno.test("Supervisor forgives a look that failed when the next succeeds", () => {
  const bench = new Bench();
  bench.ready();
  for (let round = 0; round < 10; round += 1) {
    bench.ring();
    bench.health(round % 2 === 0 ? "failed" : "ok");
    assert.equal(bench.machine.snapshot.phase, "ready");
  }
});

Deno.test("Supervisor gives a load up only after a long silence", () => {
  const bench = new Bench();
  bench.start();
  bench.spawned();
  bench.health("loading");
  const startMs = bench.nowMs;
  while (bench.nowMs < startMs + CONFIG.stallMs - 1000) {
    bench.ring();
    bench.health("loading");
    bench.nowMs += 60_000;
  }
  assert.equal(bench.machine.snapshot.phase, "starting");
  bench.nowMs = startMs + CONFIG.stallMs;
  assert.deepEqual(kinds(bench.send({ kind: "tick" })), ["SIGTERM"]);
  bench.exited(0);
  assert.equal(bench.machine.snapshot.phase, "failed");
  assert.match(bench.machine.snapshot.reason ?? "", /silent for 20 min/);
});

Deno.test("Supervisor lets a load take days as long as it tells of progress", () => {
  const bench = new Bench();
  bench.start();
  bench.spawned();
  for (let hour = 0; hour < 48; hour += 1) {
    for (let part = 0; part < 4; part += 1) {
      bench.nowMs += CONFIG.stallMs - 1;
      bench.output("still at it");
      bench.send({ kind: "tick" });
    }
  }
  assert.equal(bench.machine.snapshot.phase, "starting");
});

Deno.test("Supervisor ends a server politely, then by force, again and again", () => {
  const bench = new Bench();
  bench.ready();
  assert.deepEqual(kinds(bench.send({ kind: "stop" })), ["SIGTERM"]);
  assert.equal(bench.machine.snapshot.phase, "stopping");
  const askedMs = bench.nowMs;
  assert.deepEqual(kinds(bench.ring()), ["SIGKILL"]);
  assert.equal(bench.nowMs, askedMs + CONFIG.stopGraceMs);
  assert.deepEqual(kinds(bench.ring()), ["SIGKILL"]);
  bench.exited(137, "SIGKILL");
  assert.deepEqual(bench.machine.snapshot, { phase: "stopped", restarts: 0 });
  assert.equal(bench.wakeMs, undefined);
});

Deno.test("Supervisor ends a process that is born after it was to stop", () => {
  const bench = new Bench();
  bench.start();
  assert.deepEqual(kinds(bench.send({ kind: "stop" })), []);
  assert.equal(bench.machine.snapshot.phase, "stopping");
  assert.deepEqual(kinds(bench.spawned()), ["SIGTERM"]);
  bench.exited(0);
  assert.equal(bench.machine.snapshot.phase, "stopped");
});

Deno.test("Supervisor stops at once while it waits for another try", () => {
  const bench = new Bench();
  bench.ready();
  bench.exited();
  bench.send({ kind: "stop" });
  assert.equal(bench.machine.snapshot.phase, "stopped");
  assert.equal(bench.wakeMs, undefined);
});

Deno.test("Supervisor starts the next model only when the old one has gone", () => {
  const bench = new Bench();
  bench.ready();
  assert.deepEqual(kinds(bench.start("next")), ["SIGTERM"]);
  const spawn = bench.exited(0).find((effect) => effect.kind === "spawn");
  assert.equal(spawn?.spec, "next");
});

Deno.test("Supervisor forgets a start that was called off while the old model ended", () => {
  const bench = new Bench();
  bench.ready();
  bench.start("next");
  bench.send({ kind: "stop" });
  assert.deepEqual(kinds(bench.exited(0)), []);
  assert.equal(bench.machine.snapshot.phase, "stopped");
});

Deno.test("Supervisor tries again when a program cannot be started, then says why", () => {
  const bench = new Bench();
  bench.start();
  const fail = () =>
    bench.send({
      kind: "spawn-failed",
      process: bench.process,
      reason: "No such file",
      isFinal: false,
    });
  for (let attempt = 1; attempt < CONFIG.loadCrashesMax; attempt += 1) {
    fail();
    assert.equal(bench.machine.snapshot.phase, "restarting");
    bench.ring();
  }
  fail();
  assert.match(bench.machine.snapshot.reason ?? "", /No such file/);
});

Deno.test("Supervisor does not believe what is said of an earlier process", () => {
  const bench = new Bench();
  bench.ready();
  const old = bench.process;
  bench.exited();
  bench.ring();
  bench.spawned();
  const before = bench.machine.snapshot;
  bench.send({ kind: "health", process: old, result: "ok" });
  bench.send({ kind: "output", process: old, line: "llama_server: model loaded" });
  bench.send({ kind: "exited", process: old, exit: { code: 0, lastLines: [] } });
  assert.deepEqual(bench.machine.snapshot, before);
});

Deno.test("Supervisor is not steered by output once requests are answered", () => {
  const bench = new Bench();
  bench.ready();
  bench.output("x couldn't bind HTTP server socket, hostname: x, port: 1");
  bench.exited(1);
  assert.equal(bench.machine.snapshot.phase, "restarting");
});

Deno.test("Supervisor does not try again what would fail the same way", () => {
  const bench = new Bench();
  bench.start();
  const { process } = bench;
  bench.send({ kind: "spawn-failed", process, reason: "No such flag", isFinal: true });
  assert.equal(bench.machine.snapshot.phase, "failed");
  assert.equal(bench.wakeMs, undefined);
});
