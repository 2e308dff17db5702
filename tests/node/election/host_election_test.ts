import assert from "node:assert/strict";
import { UserError } from "~/base/errors.ts";
import { GIB } from "~/base/units.ts";
import type { ElectionMember } from "~/election/ports.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import { HostElection } from "~/node/election/host_election.ts";
import { EMPTY_SLOT, type SlotModel, type SlotState } from "~/node/model_slot.ts";
import type { PreparedEngine } from "~/node/ports.ts";
import { hosted, member, memberViewOf, nodeOf, offer } from "#support/election.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const SELF = nodeOf(1);

function modelOf(id: string): SlotModel {
  return { id, path: `/m/${id}`, sizeBytes: 1, contextTokens: 2_048, slots: 1, meta: {} };
}

function viewOf(other: ElectionMember): MemberView {
  const { node, isLeaving, ...election } = other;
  return memberViewOf(node, { election, isLeaving }, ["serve"]);
}

/** A node whose model does at once what it is told. */
class Stage {
  readonly time = new VirtualTime();
  readonly deeds: string[] = [];
  readonly decisions: string[] = [];
  /** By how much the next looks at the clock are behind, in milliseconds. */
  readonly early: number[] = [];
  others: readonly ElectionMember[] = [];
  slot: SlotState = EMPTY_SLOT;
  failure: Error | undefined;
  changes = 0;
  isClient = false;
  isHeard = false;
  /** What it said of its standing, each time that it told of a decision. */
  readonly standings: (string | null)[] = [];
  #listener: (slot: SlotState) => void = () => {};
  readonly election: HostElection;

  constructor(wants: readonly string[] = [], disk: readonly string[] = ["a", "b"]) {
    const stage = (): Stage => this;
    this.election = new HostElection({
      nodeId: SELF,
      clock: {
        nowMs: () => this.time.nowMs() - (this.early.shift() ?? 0),
        wallMs: () => this.time.wallMs(),
      },
      timers: this.time,
      rng: { next: () => 0.5 },
      local: {
        get state() {
          return stage().slot;
        },
        engine: {} as PreparedEngine,
        subscribe: (listener) => {
          this.#listener = listener;
          return () => void this.deeds.push("unsubscribed");
        },
        load: (name = "") => this.#load(name),
        drop: (graceMs) => this.#drop(graceMs),
      },
      others: () => this.others.map(viewOf),
      mayServe: () => !this.isClient,
      hasRecord: () => !this.isClient,
      isHeard: () => this.isHeard,
      askMembers: (id) => void this.deeds.push(`ask for ${id}`),
      disk: () => disk.map((id) => ({ id, sizeBytes: 1_000 })),
      catalogue: [{ id: "starter", sizeBytes: 1_000 }],
      requested: {},
      wants,
      measure: () => Promise.resolve({ devices: [], ramFreeBytes: 4 * GIB }),
      changed: () => void (this.changes += 1),
      decided: ({ kind, model, reason }) => {
        this.decisions.push(`${kind} ${model}: ${reason}`);
        this.standings.push(this.election.standing().reason);
      },
      speak: () => Promise.resolve(void this.deeds.push("speak")),
    });
  }

  becomes(slot: SlotState): void {
    this.slot = slot;
    this.#listener(slot);
  }

  /** Lets what was begun come to rest, then the given time pass. */
  async pass(ms: number): Promise<void> {
    await turn();
    this.time.advance(ms);
    await turn();
  }

  #load(name: string): Promise<string> {
    this.deeds.push(`load ${name}`);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const id = name.split("/").at(-1) ?? name;
    this.becomes({ kind: "ready", model: modelOf(id), sinceUnixS: 1 });
    return Promise.resolve(id);
  }

  #drop(graceMs: number): Promise<void> {
    const id = "model" in this.slot ? this.slot.model.id : "";
    this.deeds.push(`drop ${id} within ${graceMs}`);
    this.becomes({ kind: "draining", model: modelOf(id) });
    return turn().then(() => this.becomes(EMPTY_SLOT));
  }
}

async function turn(): Promise<void> {
  await new Promise((turned) => setImmediate(turned));
}

/** A stage with its memory looked at and its first view settled. */
async function settled(stage: Stage): Promise<Stage> {
  await stage.election.measure();
  await stage.pass(50);
  await stage.pass(3_000);
  return stage;
}

Deno.test("a standby takes on what somebody wants and nobody serves, and says why", async () => {
  const stage = await settled(new Stage());
  assert.deepEqual(stage.election.standing(), {
    isStandby: true,
    reason: "every model that is asked for has a host",
  });
  stage.others = [member(2, { wants: ["b"], hosted: [hosted("x")], asksHere: ["x"] })];
  stage.election.look();
  await stage.pass(50);
  await stage.pass(2_000);
  assert.deepEqual(stage.deeds, ["load b"]);
  const { isStandby, reason } = stage.election.standing();
  assert.equal(isStandby, false);
  assert.match(reason ?? "", /^host of b: only member left that has it and .* free for it$/);
  assert.deepEqual(stage.decisions.map((text) => text.replace(/and .* free/, "and … free")), [
    "stands_by null: every model that is asked for has a host",
    "takes_on b: only member left that has it and … free for it",
  ]);
  const [host] = stage.election.record().hosted;
  assert.match(host?.why ?? "", /^only member left that has it and/, "others read it too");
  assert.match(
    stage.election.reasons().get("b") ?? "",
    /^node-01: only member left that has it and .* free for it; asked of the mesh at node-02$/,
  );
});

Deno.test("regression: a node stood by, or served for another reason, and told nobody that its status had changed", async () => {
  const stage = await settled(new Stage());
  assert.deepEqual(stage.standings, ["every model that is asked for has a host"]);
  stage.becomes({ kind: "ready", model: modelOf("a"), sinceUnixS: 1 });
  stage.election.askedHere("a", "/m/a");
  assert.deepEqual(stage.standings.slice(1), ["host of a: asked for here"]);
});

Deno.test("what is served elsewhere is left alone, until its host is gone", async () => {
  const stage = new Stage(["b"]);
  stage.others = [member(2, { hosted: [hosted("b")] })];
  await settled(stage);
  await stage.pass(60_000);
  assert.deepEqual(stage.deeds, []);
  stage.others = [];
  stage.election.look();
  await stage.pass(50);
  await stage.pass(2_000);
  assert.deepEqual(stage.deeds, ["load b"]);
});

Deno.test("demand for a model on this disk is told, and makes it load", async () => {
  const stage = await settled(new Stage());
  const before = stage.changes;
  assert.deepEqual(stage.election.known("B.gguf"), { id: "b", isComing: true });
  stage.election.demanded("b");
  assert.ok(stage.changes > before, "the record says so");
  await stage.pass(50);
  await stage.pass(2_000);
  assert.deepEqual(stage.deeds, ["load b"]);
});

Deno.test("known() tells names that mean something from invented ones, and what nobody can hold", async () => {
  const stage = await settled(new Stage());
  assert.equal(stage.election.known("invented"), undefined);
  assert.deepEqual(stage.election.known("starter"), { id: "starter", isComing: true });
  stage.others = [member(2, { onDisk: [offer("huge", 100)] })];
  assert.deepEqual(stage.election.known("huge"), { id: "huge", isComing: false });
  assert.match(stage.election.explain("huge").summary, /no member can hold "huge"/);
});

Deno.test("a model unused for an hour gives way: others hear first, then it is dropped, then the other comes", async () => {
  const stage = await settled(new Stage());
  stage.becomes({ kind: "ready", model: modelOf("a"), sinceUnixS: 1 });
  await stage.pass(2 * 3_600_000);
  stage.others = [member(2, { wants: ["b"], hosted: [hosted("x")], asksHere: ["x"] })];
  stage.election.look();
  await stage.pass(50);
  await stage.pass(2_000);
  await stage.pass(2_000);
  assert.deepEqual(stage.deeds, ["drop a within 10000", "speak", "load b"]);
  assert.ok(stage.decisions.includes("drops a: makes room for b"));
});

Deno.test("a model that was asked for here never gives way", async () => {
  const stage = await settled(new Stage());
  stage.becomes({ kind: "ready", model: modelOf("a"), sinceUnixS: 1 });
  stage.election.askedHere("a", "/m/a");
  assert.equal(stage.election.standing().reason, "host of a: asked for here");
  assert.equal(stage.election.reasons().get("a"), "node-01: asked for there");
  await stage.pass(2 * 3_600_000);
  stage.others = [member(2, { wants: ["b"], hosted: [hosted("x")], asksHere: ["x"] })];
  stage.election.look();
  await stage.pass(600_000);
  assert.deepEqual(stage.deeds, []);
});

Deno.test("what was asked for here and failed is loaded again later, by the words that named it", async () => {
  const stage = await settled(new Stage());
  stage.becomes({ kind: "ready", model: modelOf("a"), sinceUnixS: 1 });
  stage.election.askedHere("a", "/m/a");
  stage.becomes({ kind: "failed", id: "a", reason: "the engine crashed" });
  await stage.pass(50);
  assert.deepEqual(stage.election.record().avoids, [{ id: "a", cause: "failed" }]);
  await stage.pass(5_000);
  assert.deepEqual(stage.deeds, [], "not at once");
  await stage.pass(60_000);
  await stage.pass(50);
  assert.deepEqual(stage.deeds, ["load /m/a"]);
});

Deno.test("a load that cannot begin is not tried again at once", async () => {
  const stage = new Stage(["b"]);
  stage.failure = new UserError("The file is gone");
  await settled(stage);
  await stage.pass(3_000);
  await stage.pass(10_000);
  assert.deepEqual(stage.deeds, ["load b"]);
  assert.deepEqual(stage.election.record().avoids, [{ id: "b", cause: "failed" }]);
});

Deno.test("what a person dropped is not taken on again for a while, however wanted", async () => {
  const stage = await settled(new Stage(["b"]));
  await stage.pass(2_000);
  stage.election.droppedHere("b");
  stage.becomes(EMPTY_SLOT);
  await stage.pass(50);
  await stage.pass(30_000);
  assert.deepEqual(stage.deeds, ["load b"]);
  assert.equal(stage.election.record().avoids[0]?.cause, "dropped");
});

Deno.test("a node that leaves decides nothing any more, and keeps no timer", async () => {
  const stage = await settled(new Stage());
  stage.election.leave();
  stage.others = [member(2, { wants: ["b"] })];
  stage.election.look();
  stage.election.demanded("b");
  assert.equal(stage.time.pendingCount, 0);
  await stage.pass(60_000);
  assert.deepEqual(stage.deeds, ["unsubscribed"]);
});

Deno.test("memory is looked at now and then, and a look that fails does no harm", async () => {
  const stage = await settled(new Stage());
  const before = stage.changes;
  await stage.pass(30_000);
  await stage.pass(30_000);
  assert.ok(stage.changes >= before + 2);
});

Deno.test("regression: a client is told that a model comes once it asks for it, where a member hears it", async () => {
  const stage = new Stage([], []);
  stage.isClient = true;
  stage.others = [member(2, { onDisk: [offer("c")] }), member(3, { onDisk: [offer("huge", 100)] })];
  await settled(stage);
  assert.deepEqual(stage.election.known("C.gguf"), { id: "c", isComing: false }, "nobody hears it");
  stage.isHeard = true;
  assert.deepEqual(stage.election.known("C.gguf"), { id: "c", isComing: true });
  assert.deepEqual(stage.election.known("huge"), { id: "huge", isComing: false });
  stage.election.demanded("c");
  assert.deepEqual(stage.deeds, ["ask for c"]);
  assert.deepEqual(stage.election.record().demand, [], "it is the member that counts it");
});

Deno.test("a client asks nobody for what it serves itself", async () => {
  const stage = await settled(new Stage());
  stage.isClient = true;
  stage.becomes({ kind: "ready", model: modelOf("a"), sinceUnixS: 1 });
  stage.election.demanded("a");
  stage.election.demanded("b");
  assert.deepEqual(stage.deeds, ["ask for b"]);
});

Deno.test("what callers of a client ask for is told as asked for here, and makes it load", async () => {
  const stage = await settled(new Stage());
  const before = stage.changes;
  stage.election.clientAsked("client", [{ id: "b", requests: 1 }, { id: "invented", requests: 9 }]);
  assert.ok(stage.changes > before, "the record says so");
  assert.deepEqual(stage.election.record().demand.map(({ id }) => id), ["b"]);
  await stage.pass(50);
  await stage.pass(2_000);
  assert.deepEqual(stage.deeds, ["load b"]);
});

Deno.test("a client makes nobody fetch what is only in the catalogue", async () => {
  const stage = await settled(new Stage());
  stage.election.clientAsked("client", [{ id: "starter", requests: 5 }]);
  await stage.pass(50);
  await stage.pass(30_000);
  assert.deepEqual(stage.deeds, []);
  assert.deepEqual(stage.election.record().fetchable, []);
});

Deno.test("one more request takes no place from what is asked for more", async () => {
  const stage = await settled(new Stage([], []));
  // One member with room for one of two models, and nothing served yet.
  stage.others = [
    member(2, {
      onDisk: [offer("c"), offer("d")],
      demand: [{ id: "c", perMinute: 4 }],
    }),
  ];
  assert.equal(stage.election.known("c")?.isComing, true);
  assert.equal(stage.election.known("d")?.isComing, false);
});

Deno.test("a model that a node chose by itself is said to be asked for by nobody, until somebody does", async () => {
  const stage = await settled(new Stage());
  stage.becomes({ kind: "ready", model: modelOf("a"), sinceUnixS: 1 });
  stage.election.choseHere("a");
  assert.match(stage.election.standing().reason ?? "", /^host of a: .*asked for by nobody$/);
  assert.deepEqual(stage.election.record().asksHere, []);
  stage.election.askedHere("a", "/m/a");
  assert.equal(stage.election.standing().reason, "host of a: asked for here");
});

Deno.test("regression: a timer that comes a hair too early does not put a load off", async () => {
  const stage = await settled(new Stage());
  stage.others = [member(2, { wants: ["b"], hosted: [hosted("x")], asksHere: ["x"] })];
  stage.election.look();
  await stage.pass(50);
  // Timers of the runtime count whole milliseconds: at the first look it is not time yet, at the next it is.
  stage.early.push(0.25);
  await stage.pass(851);
  assert.deepEqual(stage.deeds, ["load b"]);
});

Deno.test("regression: what a node could fetch for others is told as soon as they ask for it", async () => {
  const stage = await settled(new Stage());
  const before = stage.changes;
  stage.others = [member(2, { demand: [{ id: "starter", perMinute: 1 }] })];
  stage.election.look();
  await stage.pass(50);
  assert.equal(stage.changes, before + 1);
  assert.deepEqual(stage.election.record().fetchable.map(({ id }) => id), ["starter"]);
  stage.election.look();
  await stage.pass(50);
  assert.equal(stage.changes, before + 1, "once");
});

Deno.test("a wish is told anew when a member has the model under another spelling", async () => {
  const stage = await settled(new Stage(["GAMMA.gguf"]));
  assert.deepEqual(stage.election.record().wants, ["GAMMA"]);
  const before = stage.changes;
  stage.others = [member(2, { onDisk: [offer("gamma")] })];
  stage.election.look();
  await stage.pass(50);
  assert.equal(stage.changes, before + 1);
  assert.deepEqual(stage.election.record().wants, ["gamma"]);
});
