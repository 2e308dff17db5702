import assert from "node:assert/strict";
import {
  type Ending,
  type EngineSnapshot,
  isSameSnapshot,
  type Running,
  snapshotOf,
} from "~/engine/supervisor_state.ts";

const RUNNING: Running<string> = {
  kind: "running",
  spec: "secret plan",
  stage: "loading",
  child: { pid: 7, port: 9000 },
  percent: 40,
  activeMs: 0,
  probe: { isOutstanding: false, dueMs: 0 },
  healthFailures: 0,
  portRetries: 0,
  isPortTaken: false,
};

const ENDING: Ending<string> = {
  kind: "ending",
  then: "stop",
  spec: "secret plan",
  child: { pid: 7, port: 9000 },
  killAtMs: 5,
  portRetries: 0,
};

Deno.test("snapshotOf() tells what a start is at", () => {
  assert.deepEqual(snapshotOf(RUNNING, 2), {
    phase: "starting",
    step: "loading",
    restarts: 2,
    pid: 7,
    port: 9000,
    percent: 40,
  });
});

Deno.test("snapshotOf() tells no percentage that is not known, and none once it is ready", () => {
  const { percent: _, ...unknown } = RUNNING;
  assert.equal("percent" in snapshotOf(unknown, 0), false);
  assert.deepEqual(snapshotOf({ ...RUNNING, stage: "ready" }, 0), {
    phase: "ready",
    restarts: 0,
    pid: 7,
    port: 9000,
  });
});

const PHASES = {
  stop: "stopping",
  start: "starting",
  "other-port": "starting",
  restart: "unhealthy",
  fail: "unhealthy",
} as const;

for (const [then, phase] of Object.entries(PHASES)) {
  Deno.test(`snapshotOf() calls an end before a ${then} ${phase}`, () => {
    const state = { ...ENDING, then: then as Ending<string>["then"] };
    assert.equal(snapshotOf(state, 0).phase, phase);
  });
}

Deno.test("snapshotOf() gives the reason and the last words of what waits or failed", () => {
  const story = { reason: "It crashed", lastLines: ["oh"] };
  const waiting = { kind: "waiting", spec: "secret plan", untilMs: 9, ...story } as const;
  assert.deepEqual(snapshotOf(waiting, 1), { phase: "restarting", restarts: 1, ...story });
  assert.deepEqual(snapshotOf({ kind: "failed", ...story }, 1), {
    phase: "failed",
    restarts: 1,
    ...story,
  });
});

Deno.test("snapshotOf() shows nothing of what was to be run", () => {
  for (const state of [RUNNING, ENDING]) {
    assert.ok(!JSON.stringify(snapshotOf(state, 0)).includes("secret plan"));
  }
});

const SNAPSHOT: EngineSnapshot = {
  phase: "starting",
  step: "loading",
  percent: 1,
  pid: 2,
  port: 3,
  restarts: 4,
  reason: "five",
  lastLines: ["six"],
};

Deno.test("isSameSnapshot() sees a difference in every member", () => {
  assert.ok(isSameSnapshot(SNAPSHOT, { ...SNAPSHOT }));
  for (const name of Object.keys(SNAPSHOT)) {
    const other = { ...SNAPSHOT, [name]: name === "lastLines" ? ["seven"] : 99 };
    assert.ok(!isSameSnapshot(SNAPSHOT, other as EngineSnapshot), name);
  }
});
