/** What happens to a simulated mesh, and what is measured. */
import type { SimNode, World } from "./world.ts";

/** Everybody must agree within this time after whatever happened. */
export const AGREE_MS_MAX = 5_000;
/** Part of the members that is killed at once. */
const MASS_SHARE = 0.3;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const CHURN_MS = 30_000;
/** Packets lost in the hour of loss. */
const LOSSY = 0.01;

/** How long agreement took after one thing that happened. */
export interface Step {
  readonly what: string;
  /** Milliseconds, or what they did not agree on. */
  readonly took: number | string;
}

/** What came of a scenario. */
export interface Outcome {
  readonly steps: readonly Step[];
  readonly falseDeaths: readonly string[];
  readonly messagesPerNodeMinute: number;
  readonly bytesPerNodeMinute: number;
}

type Play = (stage: Stage) => void;

/** A world in play. */
class Stage {
  readonly world: World;
  readonly steps: Step[] = [];

  constructor(world: World) {
    this.world = world;
  }

  /** Does something and sees how long it takes until all agree. */
  step(what: string, act: () => void): void {
    act();
    this.steps.push({ what, took: this.world.agree(AGREE_MS_MAX) });
  }

  /** A running member by chance, never the first two: everybody in a test can reach those. */
  pick(): SimNode {
    return this.world.chance.pick(this.world.members().filter(({ number }) => number > 1));
  }

  /** A running member that a joiner can dial. */
  door(): SimNode {
    const { world } = this;
    return world.chance.pick(
      world.members().filter(({ identity }) => identity.host.nat === "open"),
    );
  }

  stopped(): SimNode[] {
    return this.world.nodes.filter(({ process, isRevoked, identity }) =>
      !process.isAlive && !isRevoked && identity.role === "member"
    );
  }

  restartAll(isOtherPort: boolean): void {
    for (const node of this.stopped()) this.world.restart(node, isOtherPort);
  }
}

/** All nodes start within two seconds; they know the first one. */
function start({ world, steps }: Stage): void {
  const { members, clients } = world.plan;
  const first = world.add("member", undefined);
  const others = members - 1 + clients;
  for (let number = 1; number <= others; number += 1) {
    world.queue.after(world.chance.between(0, 2_000), () => {
      world.add(world.nodes.length < members ? "member" : "client", first);
    });
  }
  world.pass(2_000);
  steps.push({ what: "start", took: world.agree(AGREE_MS_MAX) });
  world.pass(1_000);
}

function join(stage: Stage): void {
  stage.step("join", () => stage.world.add("member", stage.door()));
}

function leave(stage: Stage): void {
  stage.step("leave", () => stage.world.leave(stage.pick()));
}

function kill(stage: Stage): void {
  stage.step("kill", () => stage.world.kill(stage.pick()));
}

function massKill(stage: Stage): void {
  const { world } = stage;
  const victims = world.members().filter(({ number }) => number > 1);
  const count = Math.round(world.members().length * MASS_SHARE);
  stage.step("kill 30 %", () => {
    for (const victim of world.chance.some(victims, count)) world.kill(victim);
  });
}

function restart(stage: Stage): void {
  stage.step("restart", () => stage.restartAll(false));
  const node = stage.pick();
  stage.step("restart at once, other port", () => {
    stage.world.kill(node);
    stage.world.pass(stage.world.chance.between(100, 1_500));
    stage.world.restart(node, true);
  });
}

function change(stage: Stage): void {
  stage.step("change", () => stage.pick().process.publish());
}

function partition(stage: Stage): void {
  const { world } = stage;
  for (const apartMs of [world.chance.between(1_000, 12_000), 20_000]) {
    world.partition(({ number }) => number % 2);
    world.pass(apartMs);
    if (apartMs > 3 * AGREE_MS_MAX) stage.step("partition", () => {});
    stage.step("heal", () => world.partition(() => 0));
  }
}

/** Comings and goings with no time to settle in between. */
function churn(stage: Stage): void {
  const { world } = stage;
  const acts: readonly (() => void)[] = [
    () => world.kill(stage.pick()),
    () => world.leave(stage.pick()),
    () => stage.pick().process.publish(),
    () => stage.restartAll(world.chance.next() < 0.5),
    () => world.add("member", stage.door()),
  ];
  const untilMs = world.queue.nowMs + CHURN_MS;
  const added = world.nodes.length;
  while (world.queue.nowMs < untilMs) {
    const mayAdd = world.nodes.length - added < 4;
    const isThin = world.members().length < world.plan.members / 2;
    if (isThin) stage.restartAll(false);
    else world.chance.pick(mayAdd ? acts : acts.slice(0, -1))();
    world.pass(world.chance.between(100, 3_000));
  }
  stage.step("churn", () => {});
}

/** One that comes and goes faster than anybody can look. */
function flap(stage: Stage): void {
  const { world } = stage;
  const node = stage.pick();
  for (let times = 0; times < 6; times += 1) {
    world.kill(node);
    world.pass(world.chance.between(50, 2_000));
    world.restart(node, world.chance.next() < 0.5);
    world.pass(world.chance.between(50, 2_000));
  }
  stage.step("flap", () => {});
}

function revoke(stage: Stage): void {
  stage.step("revoke", () => stage.world.revoke(stage.pick(), stage.pick()));
}

/** An hour in which packets are lost and nothing else happens. */
function loss(stage: Stage): void {
  const { world } = stage;
  world.network.weather.loss = LOSSY;
  const untilMs = world.queue.nowMs + HOUR_MS;
  while (world.queue.nowMs < untilMs) {
    world.pass(10_000);
    const left = world.disagreement();
    if (left !== undefined) stage.steps.push({ what: "loss", took: left });
  }
  stage.step("loss", () => {});
}

/** A day of two parts apart: longer than anybody tries often. */
function absence(stage: Stage): void {
  const { world } = stage;
  world.partition(({ number }) => number % 2);
  world.pass(HOUR_MS);
  world.partition(() => 0);
  // After ten minutes a try comes every half minute only.
  world.pass(35_000);
  stage.step("heal after an hour", () => {});
}

/** The scenarios by name. */
export const SCENARIOS: Readonly<Record<string, Play>> = {
  join,
  leave,
  kill,
  "mass-kill": massKill,
  restart,
  change,
  partition,
  churn,
  flap,
  revoke,
  absence,
  loss,
};

/** A story of everything that is short, one after another. */
const STORY: readonly string[] = [
  "join",
  "leave",
  "kill",
  "change",
  "mass-kill",
  "restart",
  "partition",
  "flap",
  "revoke",
  "churn",
];

/** Plays `name` (or "story", or "start") in `world` from its beginning. */
export function play(world: World, name: string): Outcome {
  const stage = new Stage(world);
  start(stage);
  // The start is counted only where it is what is looked at.
  const isStart = name === "start";
  const { messages, bytes } = isStart ? { messages: 0, bytes: 0 } : world.network;
  const startMs = isStart ? 0 : world.queue.nowMs;
  for (const part of name === "story" ? STORY : [name]) {
    SCENARIOS[part]?.(stage);
  }
  const nodeMinutes = world.members().length * (world.queue.nowMs - startMs) / MINUTE_MS;
  const perNodeMinute = (count: number): number => count / nodeMinutes;
  return {
    steps: stage.steps,
    falseDeaths: world.falseDeaths,
    messagesPerNodeMinute: perNodeMinute(world.network.messages - messages),
    bytesPerNodeMinute: perNodeMinute(world.network.bytes - bytes),
  };
}
