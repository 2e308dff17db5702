/** What happens to a simulated mesh of hosts, and what came of it. */
import type { Outcome, Step } from "../scenarios.ts";
import { ElectionMesh } from "./mesh.ts";

const MINUTE_MS = 60_000;
/** Models of a mesh. */
const MODELS = 10;
/** After the last thing that happens everything must hold still by then. */
const REST_MS = 10 * MINUTE_MS;

type Play = (mesh: ElectionMesh) => void;

/** Other models are asked for every few minutes, and as much as comes. */
function demand(mesh: ElectionMesh): void {
  mesh.startAll();
  mesh.pass(MINUTE_MS);
  for (let round = 0; round < 11; round += 1) {
    turn(mesh);
    mesh.pass(mesh.chance.between(3, 7) * MINUTE_MS);
  }
}

function turn(mesh: ElectionMesh): void {
  const { chance } = mesh;
  for (const id of mesh.models) {
    const luck = chance.next();
    const perMinute = luck < 0.3 ? 0 : luck < 0.7 ? chance.between(1, 10) : chance.between(10, 90);
    mesh.ask(id, perMinute, {
      entries: 1 + chance.below(6),
      serviceMs: chance.between(1_000, 8_000),
    });
  }
}

/** Nodes die, go and come back, and loads fail. */
function failures(mesh: ElectionMesh): void {
  mesh.failing = 0.1;
  mesh.startAll();
  mesh.pass(MINUTE_MS);
  turn(mesh);
  for (let round = 0; round < 20; round += 1) {
    const n = mesh.chance.below(mesh.hosts.length);
    if (mesh.hosts[n]?.isAlive !== true) {
      mesh.remake(n, {});
      mesh.start(n);
    } else if (mesh.chance.next() < 0.7) mesh.kill(n);
    else mesh.leave(n);
    mesh.pass(mesh.chance.between(0.2, 3) * MINUTE_MS);
  }
  mesh.failing = 0;
}

/** The network falls apart and comes together again. */
function partition(mesh: ElectionMesh): void {
  mesh.startAll();
  mesh.pass(MINUTE_MS);
  turn(mesh);
  mesh.pass(5 * MINUTE_MS);
  for (const parts of [2, 3]) {
    mesh.partition((n) => n % parts);
    mesh.pass(mesh.chance.between(0.2, 10) * MINUTE_MS);
    mesh.partition(() => 0);
    mesh.pass(REST_MS);
  }
}

/** Some models are asked for by flag, and the askers come and go. */
function flags(mesh: ElectionMesh): void {
  const { chance, models } = mesh;
  const nodes = mesh.hosts.map((_, n) => n);
  for (const n of chance.some(nodes, 6)) {
    const onDisk = mesh.hosts[n]?.plan.onDisk.map(({ id }) => id) ?? [];
    mesh.remake(n, {
      asksHere: onDisk.length === 0 ? [] : [chance.pick(onDisk)],
      wants: chance.some(models, 2),
    });
  }
  mesh.startAll();
  mesh.pass(2 * MINUTE_MS);
  turn(mesh);
  for (let round = 0; round < 6; round += 1) {
    mesh.pass(3 * MINUTE_MS);
    const n = chance.pick(nodes);
    if (mesh.hosts[n]?.isAlive === true) mesh.leave(n);
  }
}

/** Hours in which one model after another is used and forgotten, on few nodes. */
function hours(mesh: ElectionMesh): void {
  mesh.startAll();
  for (const n of mesh.hosts.keys()) if (n >= 6) mesh.leave(n);
  mesh.pass(MINUTE_MS);
  for (const id of mesh.models) {
    mesh.ask(id, 4, { entries: 6, serviceMs: 2_000 });
    mesh.pass(5 * MINUTE_MS);
    mesh.ask(id, 0, { entries: 1, serviceMs: 0 });
    mesh.pass(30 * MINUTE_MS);
  }
}

/** Something of everything, in twenty minutes and a rest. */
function story(mesh: ElectionMesh): void {
  const { chance } = mesh;
  const nodes = mesh.hosts.map((_, n) => n);
  mesh.startAll();
  mesh.pass(MINUTE_MS);
  turn(mesh);
  mesh.pass(4 * MINUTE_MS);
  const [first = 0, second = 0, third = 0] = chance.some(nodes, 3);
  mesh.kill(first);
  mesh.pass(chance.between(0.1, 1) * MINUTE_MS);
  mesh.kill(second);
  mesh.leave(third);
  mesh.pass(2 * MINUTE_MS);
  mesh.partition((n) => n % 2);
  mesh.pass(chance.between(0.2, 3) * MINUTE_MS);
  mesh.partition(() => 0);
  mesh.remake(first, {});
  mesh.start(first);
  mesh.pass(4 * MINUTE_MS);
  turn(mesh);
  mesh.pass(4 * MINUTE_MS);
}

/** The scenarios by name. */
export const ELECTION_SCENARIOS: Readonly<Record<string, Play>> = {
  "election-demand": demand,
  "election-failures": failures,
  "election-partition": partition,
  "election-flags": flags,
  "election-hours": hours,
  "election-story": story,
};

/** Plays a scenario, then lets the mesh come to rest; the steps are first hosts, and what went wrong. */
export function playElection(
  name: string,
  plan: { readonly seed: number; readonly nodes: number },
): Outcome {
  const mesh = new ElectionMesh(plan.seed, { nodes: plan.nodes, models: MODELS });
  ELECTION_SCENARIOS[name]?.(mesh);
  mesh.pass(REST_MS);
  const rest = mesh.judge.disagreement(0);
  const faults = rest === undefined ? mesh.judge.faults : [...mesh.judge.faults, `at rest ${rest}`];
  const nodeMinutes = mesh.hosts.length * mesh.queue.nowMs / MINUTE_MS;
  return {
    steps: [
      ...mesh.judge.waits.map((took): Step => ({ what: "first host", took })),
      ...faults.map((took): Step => ({ what: name, took })),
    ],
    falseDeaths: [],
    messagesPerNodeMinute: mesh.messages / nodeMinutes,
    bytesPerNodeMinute: mesh.bytes / nodeMinutes,
  };
}
