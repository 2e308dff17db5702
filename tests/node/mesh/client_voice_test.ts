import assert from "node:assert/strict";
import type { ElectionRecord } from "~/mesh/election_record.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import { ClientVoice } from "~/node/mesh/client_voice.ts";
import { member, memberViewOf } from "#support/election.ts";
import { FakeLink } from "#support/fake_link.ts";
import { VirtualTime } from "#support/virtual_time.ts";

function viewOf(node: string, isOld = false): MemberView {
  const { node: _, isLeaving, ...election } = member(1);
  const said: ElectionRecord = election;
  return memberViewOf(node, isOld ? { isLeaving } : { isLeaving, election: said });
}

/** A client with links to some members. */
class Stage {
  readonly time = new VirtualTime();
  readonly links = new Map<string, FakeLink>();
  members: readonly MemberView[];
  readonly voice: ClientVoice;

  constructor(...nodes: readonly string[]) {
    this.members = nodes.map((node) => viewOf(node));
    for (const node of nodes) this.links.set(node, new FakeLink(node));
    this.voice = new ClientVoice({
      members: () => this.members,
      link: (peer) => this.links.get(peer),
      timers: this.time,
    });
  }

  heardBy(node: string): unknown[] {
    return this.links.get(node)?.sent ?? [];
  }
}

Deno.test("the first request is told at once, those that follow together a second later", () => {
  const stage = new Stage("a");
  for (const id of ["x", "x", "y"]) stage.voice.ask(id);
  assert.deepEqual(stage.heardBy("a"), [{ t: "demand", asked: [{ id: "x", requests: 1 }] }]);
  stage.time.advance(1_000);
  assert.deepEqual(stage.heardBy("a").slice(1), [
    { t: "demand", asked: [{ id: "x", requests: 1 }, { id: "y", requests: 1 }] },
  ]);
  stage.time.advance(10_000);
  assert.equal(stage.heardBy("a").length, 2, "nothing is told twice");
  assert.equal(stage.time.pendingCount, 0);
});

Deno.test("members are told by turns, each request one of them", () => {
  const stage = new Stage("a", "b");
  for (const id of ["x", "y", "z"]) {
    stage.voice.ask(id);
    stage.time.advance(2_000);
  }
  assert.deepEqual(stage.heardBy("a"), [
    { t: "demand", asked: [{ id: "x", requests: 1 }] },
    { t: "demand", asked: [{ id: "z", requests: 1 }] },
  ]);
  assert.deepEqual(stage.heardBy("b"), [{ t: "demand", asked: [{ id: "y", requests: 1 }] }]);
});

Deno.test("only who is linked, is heard and takes part in the election is told", () => {
  const stage = new Stage("a", "b", "c");
  stage.members = [viewOf("a", true), viewOf("b"), viewOf("c"), viewOf("far")];
  stage.links.get("b")?.turn("suspect");
  assert.ok(stage.voice.isHeard);
  stage.voice.ask("x");
  assert.deepEqual(["a", "b", "c"].map((node) => stage.heardBy(node).length), [0, 0, 1]);
  stage.links.get("c")?.turn("silent");
  assert.ok(!stage.voice.isHeard);
});

Deno.test("what nobody hears is forgotten", () => {
  const stage = new Stage();
  assert.ok(!stage.voice.isHeard);
  stage.voice.ask("x");
  stage.members = [viewOf("a")];
  stage.links.set("a", new FakeLink("a"));
  stage.time.advance(5_000);
  assert.deepEqual(stage.heardBy("a"), []);
});

Deno.test("a message holds no more than a member reads, and no name that would end the link", () => {
  const stage = new Stage("a");
  stage.voice.ask("x".repeat(257));
  stage.voice.ask("line\nend");
  assert.deepEqual(stage.heardBy("a"), []);
  stage.voice.ask("first");
  for (let n = 0; n < 100; n += 1) {
    for (let times = 0; times < 100; times += 1) stage.voice.ask(`model-${n}`);
  }
  stage.time.advance(1_000);
  const [, message] = stage.heardBy("a") as { readonly asked: { readonly requests: number }[] }[];
  assert.deepEqual(message?.asked.map(({ requests }) => requests), Array(8).fill(64));
});

Deno.test("a voice that was closed says nothing and keeps no timer", () => {
  const stage = new Stage("a");
  stage.voice.ask("x");
  stage.voice.ask("y");
  stage.voice.close();
  stage.voice.ask("z");
  stage.time.advance(5_000);
  assert.equal(stage.heardBy("a").length, 1);
  assert.equal(stage.time.pendingCount, 0);
});
