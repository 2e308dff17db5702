/** Another node as the election sees it: what its record says, and nothing else. Pure. */
import type { ElectionMember, HostedModel } from "~/election/ports.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { NodeRecord, ServedRecord } from "~/mesh/record.ts";

/** The member; one of an older program, which says nothing for the election, counts as host of what it serves. */
export function electionMemberOf({ node, record: signed }: MemberView): ElectionMember {
  const { record, certificate: { paper: { rights } } } = signed;
  const said = record.election ?? silent(record);
  const mayServe = said.mayServe && rights.includes("serve");
  return { ...said, node, mayServe, isLeaving: record.isLeaving };
}

function silent({ serving }: NodeRecord): Omit<ElectionMember, "node" | "isLeaving"> {
  return {
    mayServe: serving.length > 0,
    devices: [],
    speed: 0,
    modelsMax: Math.max(1, serving.length),
    onDisk: [],
    fetchable: [],
    hosted: serving.map(hostedBy),
    // It obeys nobody, so nothing of what it serves can be counted on to give way.
    asksHere: serving.map(({ id }) => id),
    wants: [],
    demand: [],
    avoids: [],
  };
}

function hostedBy({ id, fingerprint, sizeBytes, createdUnixS, slots }: ServedRecord): HostedModel {
  return {
    id,
    fingerprint,
    sizeBytes,
    needs: [],
    state: "serving",
    sinceUnixS: createdUnixS,
    slots,
    busy: 0,
    serviceMs: undefined,
    unusedMs: 0,
  };
}
