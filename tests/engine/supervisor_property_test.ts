import assert from "node:assert/strict";
import fc from "fast-check";
import { Supervisor, type SupervisorEffect, type SupervisorInput } from "~/engine/supervisor.ts";
import { SUPERVISOR_DEFAULTS } from "~/engine/supervisor_config.ts";
import type { HealthResult } from "~/engine/process.ts";

/** What chance may do next; an event that cannot happen now is passed over. */
type Move =
  | { readonly kind: "start" | "stop" | "born" | "stillborn" | "tick" | "ring" | "stale" }
  | { readonly kind: "exit"; readonly code: number }
  | { readonly kind: "health"; readonly result: HealthResult }
  | { readonly kind: "output"; readonly line: string }
  | { readonly kind: "pass"; readonly ms: number };

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.constantFrom("start", "stop", "born", "stillborn", "tick", "ring", "stale")
    .map((kind): Move => ({ kind: kind as "start" })),
  fc.constantFrom("born", "ring").map((kind): Move => ({ kind: kind as "born" })),
  fc.nat(255).map((code): Move => ({ kind: "exit", code })),
  fc.constantFrom<HealthResult>("ok", "loading", "failed", "foreign")
    .map((result): Move => ({ kind: "health", result })),
  fc.constantFrom("couldn't bind HTTP server socket", "model loaded", "llama threadpool init", "x")
    .map((line): Move => ({ kind: "output", line })),
  fc.integer({ min: 0, max: 3_600_000 }).map((ms): Move => ({ kind: "pass", ms })),
);

/** A world of processes, as the driver would keep it, that checks what must hold after each step. */
class World {
  readonly #machine = new Supervisor<number>(SUPERVISOR_DEFAULTS, { next: () => 0.5 });
  #nowMs = 0;
  #wakeMs: number | undefined;
  #probes = 0;
  #latest = 0;
  /** Asked for and not yet born. */
  #unborn: number | undefined;
  #alive: number | undefined;
  #isWanted = false;

  get phase(): string {
    return this.#machine.snapshot.phase;
  }

  play(move: Move): void {
    switch (move.kind) {
      case "start":
        this.#isWanted = true;
        return this.#send({ kind: "start", spec: 1 });
      case "stop":
        this.#isWanted = false;
        return this.#send({ kind: "stop" });
      case "born":
        return this.#bear();
      case "stillborn":
        return this.#bearNot();
      case "tick":
        return this.#send({ kind: "tick" });
      case "ring":
        return this.#ring();
      case "exit":
        return this.#exit(move.code);
      case "health":
        return this.#answerProbe(move.result);
      case "output":
        if (this.#alive === undefined) return;
        return this.#send({ kind: "output", process: this.#alive, line: move.line });
      case "stale":
        return this.#send({ kind: "health", process: this.#latest - 1, result: "ok" });
      case "pass":
        this.#nowMs += move.ms;
        return;
    }
  }

  #bear(): void {
    if (this.#unborn === undefined) return;
    const process = this.#alive = this.#unborn;
    this.#unborn = undefined;
    this.#send({ kind: "spawned", process, pid: 1000 + process, port: 9000 });
  }

  #bearNot(): void {
    const process = this.#unborn;
    if (process === undefined) return;
    this.#unborn = undefined;
    this.#send({ kind: "spawn-failed", process, reason: "no", isFinal: this.#nowMs % 7 === 6 });
  }

  #exit(code: number): void {
    const process = this.#alive;
    if (process === undefined) return;
    this.#alive = undefined;
    this.#probes = 0;
    this.#send({ kind: "exited", process, exit: { code, lastLines: [] } });
  }

  #answerProbe(result: HealthResult): void {
    if (this.#probes === 0 || this.#alive === undefined) return;
    this.#probes -= 1;
    this.#send({ kind: "health", process: this.#alive, result });
  }

  #ring(): void {
    if (this.#wakeMs === undefined) return;
    this.#nowMs = Math.max(this.#nowMs, this.#wakeMs);
    this.#wakeMs = undefined;
    this.#send({ kind: "tick" });
  }

  #send(input: SupervisorInput<number>): void {
    for (const effect of this.#machine.handle(input, this.#nowMs)) this.#act(effect);
    this.#check();
  }

  #act(effect: SupervisorEffect<number>): void {
    switch (effect.kind) {
      case "spawn":
        assert.equal(this.#unborn, undefined, "two processes are being born");
        assert.equal(this.#alive, undefined, "a process is started beside a living one");
        assert.ok(effect.process > this.#latest, "a number is given twice");
        assert.ok(this.#isWanted, "a process is started that nobody wants");
        this.#latest = this.#unborn = effect.process;
        return;
      case "kill":
        assert.equal(effect.process, this.#alive, "something else is killed");
        return;
      case "probe":
        assert.equal(effect.process, this.#alive, "the health of nothing is looked at");
        this.#probes += 1;
        assert.equal(this.#probes, 1, "two looks at once");
        return;
      case "wake":
        this.#wakeMs = effect.atMs;
        return;
      case "changed":
        assert.equal(effect.snapshot, this.#machine.snapshot);
        return;
    }
  }

  #check(): void {
    const isOver = this.phase === "stopped" || this.phase === "failed";
    const waitsFor = [this.#unborn, this.#wakeMs, this.#probes || undefined];
    const isWaiting = waitsFor.some((thing) => thing !== undefined);
    if (!isOver) assert.ok(isWaiting, `nothing will ever happen in "${this.phase}"`);
    if (isOver) {
      assert.equal(this.#unborn ?? this.#alive, undefined, `"${this.phase}" with a process`);
    }
    if (isOver) assert.equal(this.#wakeMs, undefined, `a timer in "${this.phase}"`);
    if (this.phase === "ready") assert.ok(this.#alive !== undefined, "ready without a process");
  }

  /** Lets everything come to its end after a stop: births, signals, exits. */
  settle(): void {
    this.play({ kind: "stop" });
    this.#bear();
    this.#ring();
    this.#exit(0);
  }
}

Deno.test("Supervisor keeps its promises whatever happens in whatever order", () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 200, size: "max" }), (moves) => {
      const world = new World();
      for (const one of moves) world.play(one);
    }),
    { numRuns: 500 },
  );
});

Deno.test("Supervisor always comes to a stop when it is asked to", () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 100, size: "max" }), (moves) => {
      const world = new World();
      for (const one of moves) world.play(one);
      world.settle();
      assert.equal(world.phase, "stopped");
    }),
    { numRuns: 500 },
  );
});

Deno.test("Supervisor always comes up when the engine does its part", () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 100, size: "max" }), (moves) => {
      const world = new World();
      for (const one of moves) world.play(one);
      world.settle();
      for (const kind of ["start", "born"] as const) world.play({ kind });
      world.play({ kind: "health", result: "ok" });
      assert.equal(world.phase, "ready");
    }),
  );
});
