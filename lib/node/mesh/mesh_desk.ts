/** What people ask of the mesh through the management door, and what it is told to show. */
import {
  type InviteRequest,
  type Joined,
  type MadeInvite,
  type MemberInfo,
  NodeRefusal,
  type Revoked,
  type RevokeRequest,
  type StatusPeer,
} from "~/api/ports.ts";
import { RIGHTS, rightsOf } from "~/mesh/credentials.ts";
import { isKeyId, isSerial, type MeshId } from "~/mesh/ids.ts";
import type { MeshLife } from "./mesh_life.ts";
import type { MeshRuntime } from "./mesh_runtime.ts";
import {
  memberOf,
  peerOf,
  type RemoteModel,
  selfOf,
  servedElsewhere,
  type Ways,
} from "./mesh_view.ts";

/** What the desk knows of this node. */
export interface SelfFacts {
  readonly nodeId: string;
  readonly version: string;
  readonly serving: readonly string[];
  readonly models: readonly string[];
}

/** The mesh in the status. */
export interface MeshFacts {
  readonly meshId: MeshId | null;
  readonly token: string | null;
  readonly inviteSerial: string | null;
  readonly peerPort: number;
  readonly clients: number;
  readonly isClient: boolean;
  readonly peers: readonly StatusPeer[];
  /** Models of other members, by name. */
  readonly elsewhere: ReadonlyMap<string, RemoteModel>;
}

/** The node's place in a mesh, as the node needs it; `MeshRuntime` is one. */
export type MeshPort = Pick<MeshRuntime, "life" | "invite" | "port" | "join" | "changed">;

/** Answers for the mesh. */
export class MeshDesk {
  readonly #runtime: MeshPort;
  readonly #self: () => SelfFacts;

  constructor(runtime: MeshPort, self: () => SelfFacts) {
    this.#runtime = runtime;
    this.#self = self;
  }

  /** For the status. */
  facts(): MeshFacts {
    const { life, invite, port } = this.#runtime;
    const members = life?.session.members() ?? [];
    const ways = waysOf(life);
    return {
      meshId: life?.session.meshId ?? null,
      token: invite?.jws ?? null,
      inviteSerial: invite?.paper.serial ?? null,
      peerPort: port,
      clients: life?.session.clients().length ?? 0,
      isClient: life?.role === "client",
      peers: members.map((member) => peerOf(member, ways)),
      elsewhere: servedElsewhere(members),
    };
  }

  /** This node first, then the others by id. */
  members(): readonly MemberInfo[] {
    const { life } = this.#runtime;
    if (life === undefined) return [];
    const ways = waysOf(life);
    const self = selfOf({
      ...this.#self(),
      role: life.role,
      certificate: life.authority.certificate?.paper,
      clients: life.session.clients().length,
    });
    return [self, ...life.session.members().map((member) => memberOf(member, ways))];
  }

  /** @throws {UserError} when the token does not lead into its mesh */
  async join(token: string, signal: AbortSignal): Promise<Joined> {
    const { meshId, peers } = await this.#runtime.join([token], signal);
    return { mesh_id: meshId, peers };
  }

  /** @throws {UserError} when this node may not invite */
  async makeInvite({ role, expiresInS }: InviteRequest): Promise<MadeInvite> {
    const rights = role === "member" ? RIGHTS : rightsOf(role);
    const { jws, paper } = await this.#life().makeInvite(rights, expiresInS * 1000);
    return { token: jws, serial: paper.serial, expires_unix_s: paper.expiresUnixS, role };
  }

  /** @throws {UserError} when this node may not, or what is named is not known */
  async revoke(request: RevokeRequest): Promise<Revoked> {
    const named = "node" in request ? request.node : request.serial;
    const isName = "node" in request ? isKeyId(named) : isSerial(named);
    if (!isName) {
      throw new NodeRefusal("not_found", `Cannot revoke "${named}": it is no node id or serial`);
    }
    const subject = "node" in request ? { node: named } : { serial: named };
    const done = await this.#life().flows.revoke(subject, request.keep);
    return {
      revoked: named,
      closed_links: done.closedLinks,
      closed_invites: done.closedInvites,
      ended_nodes: done.ended,
    };
  }

  #life(): MeshLife {
    const { life } = this.#runtime;
    if (life !== undefined) return life;
    throw new NodeRefusal("conflict", "Cannot do this: this node is in no mesh");
  }
}

function waysOf(life: MeshLife | undefined): Ways {
  return {
    linkOf: (peer) => life?.session.table.get(peer),
    relayOf: (member) => life?.ways.relayOf(member),
  };
}
