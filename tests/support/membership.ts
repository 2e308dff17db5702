import type { PeerAddress } from "~/mesh/address.ts";
import type { ControlMessage } from "~/mesh/control.ts";
import type { Role } from "~/mesh/credentials.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { LinkHealth } from "~/mesh/link_ports.ts";
import { Membership } from "~/mesh/membership.ts";
import type {
  MembershipLimits,
  MeshEffect,
  MeshInput,
  MeshMessage,
} from "~/mesh/membership_ports.ts";
import type { NodeRecord, SignedRecord } from "~/mesh/record.ts";
import { bareRecord } from "./member_views.ts";
import { standInId } from "./stand_in_signer.ts";

/** Ids of stand-ins in their order: `ids[0]` is the lowest. */
export const ids: readonly NodeId[] = Array.from({ length: 64 }, (_, n) => standInId(n)).sort();

/** The id number `n` of {@link ids}. */
export function id(n: number): NodeId {
  const found = ids[n];
  if (found === undefined) throw new RangeError(`No stand-in ${n}`);
  return found;
}

/** Where number `n` is. */
export function addressOf(n: number, port = 4000): PeerAddress {
  return { ip: `192.0.2.${n}`, port };
}

/** A record of number `n`, as the driver hands it over. */
export function recordOf(n: number, changes: Partial<NodeRecord> = {}): SignedRecord {
  const record = bareRecord(id(n), {
    incarnation: 1000,
    session: `session-${n}`,
    leafHash: id(n),
    addresses: [addressOf(n)],
    dialable: "yes",
    ...changes,
  });
  const jws = `record.${record.node}-${record.session}-${record.incarnation}.seal`;
  const paper = {
    meshId: id(63),
    issuer: id(63),
    issuedUnixS: 0,
    expiresUnixS: 2 ** 40,
    serial: "serial",
    subject: record.node,
    rights: [],
    inviteSerial: undefined,
  };
  return { jws, record, certificate: { jws: "certificate", paper } };
}

/** A machine with a hand on its inputs; number `self` of {@link ids}. Chance is always one half. */
export class TestMember {
  readonly machine: Membership;
  readonly self: number;
  nowMs = 0;

  constructor(
    self: number,
    { role = "member", limits }: { role?: Role; limits?: MembershipLimits } = {},
  ) {
    this.self = self;
    this.machine = new Membership({
      self: id(self),
      role,
      rng: { next: () => 0.5 },
      ...(limits === undefined ? {} : { limits }),
    });
  }

  give(input: MeshInput): readonly MeshEffect[] {
    return this.machine.handle(input, this.nowMs);
  }

  /** Lets time pass, with a tick whenever the machine wants one; `watch` sees what comes of each. */
  pass(ms: number, watch: (effects: readonly MeshEffect[]) => void = () => {}): MeshEffect[] {
    const untilMs = this.nowMs + ms;
    const effects: MeshEffect[] = [];
    while (this.machine.wakeAtMs <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.machine.wakeAtMs);
      const some = this.give({ kind: "tick" });
      watch(some);
      effects.push(...some);
    }
    this.nowMs = untilMs;
    return effects;
  }

  publish(changes: Partial<NodeRecord> = {}): readonly MeshEffect[] {
    return this.give({ kind: "self", record: recordOf(this.self, changes) });
  }

  link(n: number, { role = "member", session = `session-${n}`, isDialer = false }: {
    role?: Role;
    session?: string;
    isDialer?: boolean;
  } = {}): readonly MeshEffect[] {
    return this.give({ kind: "link_up", peer: id(n), role, session, isDialer });
  }

  health(n: number, health: LinkHealth): readonly MeshEffect[] {
    return this.give({ kind: "health", peer: id(n), health });
  }

  records(from: number | undefined, ...records: readonly SignedRecord[]): readonly MeshEffect[] {
    return this.give({
      kind: "records",
      from: from === undefined ? undefined : id(from),
      records,
    });
  }

  say(from: number, message: MeshMessage): readonly MeshEffect[] {
    return this.give({ kind: "message", from: id(from), message });
  }

  /** Number `from` says that it is linked with `up`, and not any more with `down`. */
  paths(from: number, up: readonly number[], down: readonly number[] = []): readonly MeshEffect[] {
    return this.say(from, { t: "paths", reset: false, up: up.map(id), down: down.map(id) });
  }

  /** Links with a member and gets its record. */
  meet(n: number, changes: Partial<NodeRecord> = {}): readonly MeshEffect[] {
    const session = changes.session ?? `session-${n}`;
    return [...this.link(n, { session }), ...this.records(n, recordOf(n, changes))];
  }

  /** Numbers of the members who are here. */
  get here(): readonly number[] {
    return this.machine.members().map(({ node }) => ids.indexOf(node));
  }
}

/** What is sent to number `n`, of one kind. */
export function sentTo<Kind extends ControlMessage["t"]>(
  effects: readonly MeshEffect[],
  n: number,
  kind: Kind,
): readonly Extract<ControlMessage, { t: Kind }>[] {
  return effects.flatMap((effect) =>
    effect.kind === "send" && effect.to === id(n) && effect.message.t === kind
      ? [effect.message as Extract<ControlMessage, { t: Kind }>]
      : []
  );
}

/** Numbers that are dialled. */
export function dialled(effects: readonly MeshEffect[]): readonly number[] {
  return effects.flatMap((effect) => effect.kind === "dial" ? [ids.indexOf(effect.peer)] : []);
}

/** What is told about members: "joined 3". */
export function told(effects: readonly MeshEffect[]): readonly string[] {
  return effects.flatMap((effect) =>
    effect.kind === "member" ? [`${effect.event} ${ids.indexOf(effect.node)}`] : []
  );
}
