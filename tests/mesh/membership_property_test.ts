import assert from "node:assert/strict";
import fc from "fast-check";
import type { MeshEffect, MeshInput } from "~/mesh/membership_ports.ts";
import { MEMBERSHIP_LIMITS } from "~/mesh/membership_ports.ts";
import type { SignedRecord } from "~/mesh/record.ts";
import { addressOf, id, recordOf, TestMember } from "#support/membership.ts";

/** Small bounds, so that chance reaches them. */
const LIMITS = {
  ...MEMBERSHIP_LIMITS,
  records: 10,
  recordsBytes: 1_500,
  pathsPerPeer: 6,
  dials: 3,
};
/** Nodes in play; number 0 is the machine itself. */
const NODES = 16;
const SESSIONS = ["session-one", "session-two"] as const;

const n = fc.nat(NODES - 1);
const node = n.map(id);
const nodes = fc.array(node, { maxLength: 10 });
const session = fc.constantFrom(...SESSIONS);
const signed: fc.Arbitrary<SignedRecord> = fc.record({
  n,
  incarnation: fc.nat(20),
  session,
  dialable: fc.constantFrom("yes", "no", "unknown"),
  addresses: fc.array(fc.constant(addressOf(1)), { maxLength: 2 }),
}).map(({ n, ...changes }) =>
  // Every seventh record of a node is its farewell.
  recordOf(n, { ...changes, isLeaving: changes.incarnation % 7 === 6 })
);
const serials = fc.subarray(["a", "b", "c"]);
const mark = fc.record({ node, incarnation: fc.nat(25) });
const peerMessage = fc.oneof(
  fc.record({
    t: fc.constant("digest" as const),
    have: fc.array(mark, { maxLength: 10 }),
    revoked: serials,
    answer: fc.boolean(),
  }),
  fc.record({ t: fc.constant("want" as const), nodes }),
  fc.record({ t: fc.constant("paths" as const), reset: fc.boolean(), up: nodes, down: nodes }),
  fc.record({
    t: fc.constant("dial_me" as const),
    target: node,
    from: node,
    leafHash: node,
    addresses: fc.array(fc.constant(addressOf(2)), { maxLength: 2 }),
  }),
);

type Step = { readonly passMs: number; readonly input: MeshInput };

const kinds: fc.Arbitrary<MeshInput> = fc.oneof(
  fc.nat(20).map((incarnation): MeshInput => ({
    kind: "self",
    record: recordOf(0, { incarnation, session: SESSIONS[0], isLeaving: incarnation === 20 }),
  })),
  fc.record({
    kind: fc.constant("link_up" as const),
    peer: node,
    role: fc.constantFrom("member", "member", "member", "client"),
    session,
    isDialer: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("health" as const),
    peer: node,
    health: fc.constantFrom("live", "suspect", "silent", "closed"),
  }),
  fc.record({ kind: fc.constant("message" as const), from: node, message: peerMessage }),
  fc.record({
    kind: fc.constant("records" as const),
    from: fc.option(node, { nil: undefined, freq: 8 }),
    records: fc.array(signed, { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant("revocations" as const), from: fc.constant(undefined), serials }),
  fc.record({
    kind: fc.constant("revoked" as const),
    node,
    reason: fc.constantFrom("revoked", "expired"),
  }),
  fc.record({
    kind: fc.constant("dialed" as const),
    peer: node,
    outcome: fc.constantFrom("up", "failed", "refused"),
  }),
  fc.record({ kind: fc.constant("want_direct" as const), peer: node }),
  fc.record({ kind: fc.constant("rtt" as const), peer: node, rttMs: fc.nat(500) }),
  fc.constant<MeshInput>({ kind: "observed", addresses: [addressOf(9)] }),
  node.map((nodeId): MeshInput => ({
    kind: "seeds",
    seeds: [{ nodeId, addresses: [addressOf(3)], leafHash: nodeId }],
  })),
  fc.constant<MeshInput>({ kind: "tick" }),
) as fc.Arbitrary<MeshInput>;

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({ passMs: fc.oneof(fc.constant(0), fc.nat(400), fc.nat(40_000)), input: kinds }),
  { maxLength: 120, size: "max" },
);

/** Follows a machine and checks what must hold after each input. */
class Watch {
  readonly member: TestMember;
  readonly #incarnations = new Map<string, number>();
  readonly #linked = new Set<string>();
  readonly #dials = new Map<string, number>();
  #here = new Set<string>();

  constructor(role: "member" | "client") {
    this.member = new TestMember(0, { role, limits: LIMITS });
  }

  play({ passMs, input }: Step): void {
    this.member.pass(passMs, (effects) => this.#check(undefined, effects));
    if (input.kind === "dialed") this.#dials.delete(input.peer);
    if (input.kind === "link_up") this.#linked.add(input.peer);
    if (input.kind === "health" && input.health === "closed") this.#linked.delete(input.peer);
    this.#check(input, this.member.give(input));
  }

  #check(input: MeshInput | undefined, effects: readonly MeshEffect[]): void {
    const { machine } = this.member;
    assert.ok(machine.wakeAtMs > this.member.nowMs, "a moment in the past is waited for");
    assert.ok(machine.records().length <= LIMITS.records);
    this.#checkDials(effects);
    for (const effect of effects) {
      if (effect.kind === "send") assert.ok(this.#linked.has(effect.to), "sent to nobody");
    }
    if (input !== undefined) assert.ok(effects.length <= 12 * NODES, `${effects.length} effects`);
    this.#checkRecords(input);
    this.#checkEvents(effects);
  }

  #checkDials(effects: readonly MeshEffect[]): void {
    const nowMs = this.member.nowMs;
    // A dial that nobody answered is given up by the machine, at the next look for what is too old.
    for (const [peer, sinceMs] of this.#dials) {
      if (nowMs - sinceMs > 30_000) this.#dials.delete(peer);
    }
    for (const effect of effects) {
      if (effect.kind !== "dial") continue;
      assert.notEqual(effect.peer, id(0), "it dials itself");
      assert.ok(effect.addresses.length > 0);
      this.#dials.set(effect.peer, nowMs);
    }
    assert.ok(this.#dials.size <= LIMITS.dials, `${this.#dials.size} dials at once`);
  }

  /** Nobody's record ever goes back, save that a revoked or forgotten one may be heard again. */
  #checkRecords(input: MeshInput | undefined): void {
    if (input?.kind === "revoked") this.#incarnations.delete(input.node);
    const kept = new Map(
      this.member.machine.records().map(({ record }) => [record.node, record.incarnation]),
    );
    for (const [node, incarnation] of kept) {
      assert.ok(incarnation >= (this.#incarnations.get(node) ?? 0), "a record went back in time");
      this.#incarnations.set(node, incarnation);
    }
    for (const node of this.#incarnations.keys()) {
      if (!kept.has(node)) this.#incarnations.delete(node);
    }
  }

  /** Whoever follows the events knows who is here. */
  #checkEvents(effects: readonly MeshEffect[]): void {
    for (const effect of effects) {
      if (effect.kind !== "member") continue;
      const wasHere = this.#here.has(effect.node);
      assert.equal(wasHere, effect.event !== "joined", `"${effect.event}" of ${effect.node}`);
      if (effect.event === "joined") this.#here.add(effect.node);
      if (effect.event === "left" || effect.event === "gone") this.#here.delete(effect.node);
    }
    const members = this.member.machine.members().map(({ node }) => node);
    assert.deepEqual(members, [...this.#here].sort());
    assert.ok(!members.includes(id(0)), "it counts itself");
  }
}

for (const role of ["member", "client"] as const) {
  Deno.test(`Membership of a ${role} keeps its promises whatever comes in whatever order`, () => {
    fc.assert(
      fc.property(steps, (all) => {
        const watch = new Watch(role);
        for (const step of all) watch.play(step);
      }),
      { numRuns: 150 },
    );
  });
}

Deno.test("Membership takes the same records in any order to the same members", () => {
  const shuffled = fc.array(signed, { maxLength: 30 }).chain((records) =>
    fc.tuple(
      fc.constant(records),
      fc.shuffledSubarray(records, { minLength: records.length, maxLength: records.length }),
    )
  );
  fc.assert(fc.property(shuffled, (orders) => {
    const [one, other] = orders.map((records) => {
      const member = new TestMember(0);
      member.link(1, { session: SESSIONS[0] });
      member.say(1, { t: "paths", reset: true, up: [2, 3, 4, 5].map(id), down: [] });
      for (const record of records) {
        if (record.record.node !== id(0)) member.records(1, record);
      }
      member.pass(5_000);
      const kept = member.machine.records().map(({ record }) =>
        `${record.node} ${record.incarnation}`
      );
      return { here: member.here, kept: kept.sort() };
    });
    // Of two records with one incarnation the first counts; a node that signs two fools nobody but itself.
    const isUnique = new Set(orders[0].map(({ record }) => `${record.node} ${record.incarnation}`))
      .size === orders[0].length;
    fc.pre(isUnique);
    assert.deepEqual(one, other);
  }));
});

Deno.test("nobody but a member itself, or silence, takes away a member that is linked", () => {
  const hostile = kinds.filter((input) =>
    (input.kind === "message" && input.from !== id(1)) ||
    (input.kind === "link_up" && input.peer !== id(1)) ||
    (input.kind === "records" && input.records.every(({ record }) => record.node !== id(1))) ||
    (input.kind === "health" && input.peer !== id(1))
  );
  const hostileSteps = fc.array(fc.record({ passMs: fc.nat(5_000), input: hostile }), {
    maxLength: 80,
    size: "max",
  });
  fc.assert(
    fc.property(hostileSteps, (all) => {
      const member = new TestMember(0, { limits: LIMITS });
      member.meet(1, { session: SESSIONS[0] });
      for (const { passMs, input } of all) {
        const effects = [...member.pass(passMs), ...member.give(input)];
        const bad = effects.filter((effect) =>
          effect.kind === "member" && effect.node === id(1) && effect.event !== "rerouted"
        );
        assert.deepEqual(bad, []);
      }
      assert.ok(member.here.includes(1));
    }),
    { numRuns: 150 },
  );
});

Deno.test("nobody but a member itself brings back who said goodbye", () => {
  fc.assert(
    fc.property(fc.array(kinds, { maxLength: 80, size: "max" }), (all) => {
      const member = new TestMember(0, { limits: { ...LIMITS, records: 100, recordsBytes: 1e6 } });
      const farewell = recordOf(1, { incarnation: 1_000, isLeaving: true });
      member.meet(2);
      member.records(2, farewell);
      for (const input of all) {
        if (input.kind === "revoked" && input.node === id(1)) continue;
        member.give(input);
        assert.ok(!member.here.includes(1), "an old record brought it back");
      }
    }),
    { numRuns: 150 },
  );
});
