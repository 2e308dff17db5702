import assert from "node:assert/strict";
import { explainModel } from "~/election/explain.ts";
import type { Right } from "~/mesh/credentials.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { NodeRecord } from "~/mesh/record.ts";
import { electionMemberOf } from "~/node/election/other_member.ts";
import { member, memberViewOf, nodeOf, offer, viewOf } from "#support/election.ts";

function viewed(
  changes: Partial<NodeRecord> = {},
  rights: readonly Right[] = ["serve"],
): MemberView {
  return memberViewOf(nodeOf(1), changes, rights);
}

Deno.test("another member is what its record says", () => {
  const { node: _, isLeaving: __, ...election } = member(1, { onDisk: [offer("m")] });
  assert.deepEqual(electionMemberOf(viewed({ election })), {
    ...election,
    node: nodeOf(1),
    isLeaving: false,
  });
});

Deno.test("a member whose papers let it only ask serves nothing, whatever it says", () => {
  const { node: _, isLeaving: __, ...election } = member(1);
  assert.equal(electionMemberOf(viewed({ election }, ["request"])).mayServe, false);
});

Deno.test("a member of an older program is host of what it serves, and is given nothing", () => {
  const served = { id: "m", createdUnixS: 1, slots: 2, sizeBytes: 3, meta: {} };
  const old = electionMemberOf(viewed({ serving: [served] }));
  assert.deepEqual([old.mayServe, old.hosted[0]?.id, old.hosted[0]?.state], [true, "m", "serving"]);
  const view = viewOf(old, member(2, { onDisk: [offer("m")], wants: ["m"] }));
  const hosts = explainModel(view, "m").members.filter(({ isHost }) => isHost);
  assert.deepEqual(hosts.map(({ node }) => node), [nodeOf(1)]);
  assert.equal(electionMemberOf(viewed()).mayServe, false);
});
