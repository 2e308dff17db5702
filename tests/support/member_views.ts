/** Members as the mesh machine shows them, for tests of what is made of them. */
import { type Right, RIGHTS } from "~/mesh/credentials.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { NodeRecord, SignedRecord } from "~/mesh/record.ts";
import { standInId } from "./stand_in_signer.ts";

/** The record of a node that has nothing and serves nothing, unless told otherwise. */
export function bareRecord(node: NodeId, changes: Partial<NodeRecord> = {}): NodeRecord {
  return {
    node,
    incarnation: 1,
    session: `session of ${node}`,
    version: "0.1.0",
    protocol: 1,
    leafHash: standInId(`leaf of ${node}`),
    addresses: [{ ip: "192.0.2.7", port: 4433 }],
    dialable: "unknown",
    devices: [],
    offeredBytes: 0,
    engine: undefined,
    models: [],
    serving: [],
    loading: [],
    isLeaving: false,
    ...changes,
  };
}

/** That of the node with this name, signed. */
export function signedRecordOf(
  name: string,
  changes: Partial<NodeRecord> = {},
  rights: readonly Right[] = RIGHTS,
): SignedRecord {
  return {
    jws: `record of ${name}`,
    record: bareRecord(standInId(name), {
      session: `session of ${name}`,
      leafHash: standInId(`leaf of ${name}`),
      ...changes,
    }),
    certificate: {
      jws: `certificate of ${name}`,
      paper: {
        meshId: standInId("mesh"),
        issuer: standInId("mesh"),
        issuedUnixS: 1_700_000_000,
        expiresUnixS: 1_702_000_000,
        serial: "serial",
        subject: standInId(name),
        rights,
        inviteSerial: `invite of ${name}`,
      },
    },
  };
}

/** A member that is here. */
export function memberView(
  name: string,
  options: Partial<MemberView> & {
    readonly says?: Partial<NodeRecord>;
    readonly rights?: readonly Right[];
  } = {},
): MemberView {
  const { says, rights, ...changes } = options;
  return {
    node: standInId(name),
    record: signedRecordOf(name, says, rights),
    health: "live",
    isDirect: true,
    isPunched: false,
    via: [],
    ...changes,
  };
}
