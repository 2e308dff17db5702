/** Links for tests of what owns them: no bytes, no peers; the test says what happens. */
import type { PeerAddress } from "~/mesh/address.ts";
import type { ControlMessage } from "~/mesh/control.ts";
import { rightsOf, type Role } from "~/mesh/credentials.ts";
import type { Link, LinkEvents, LinkHealth, LinkPeer, PeerStream } from "~/mesh/link_ports.ts";
import { LinkClosedError } from "~/mesh/link_ports.ts";
import type { Connection } from "~/mesh/transport.ts";

const HERE: PeerAddress = { ip: "192.0.2.1", port: 1 };

/** What a {@link FakeLink} is made of. */
export interface FakeLinkOptions {
  readonly session?: string;
  readonly role?: Role;
  readonly isDialer?: boolean;
  readonly remoteAddress?: PeerAddress;
}

/** A link that does what the test says, and remembers what was said to it. */
export class FakeLink implements Link {
  readonly peer: LinkPeer;
  readonly isDialer: boolean;
  readonly remoteAddress: PeerAddress;
  readonly observedAddress = HERE;
  readonly rttMs = 1;
  readonly gone = Promise.resolve();
  readonly sent: ControlMessage[] = [];
  /** When its peer has all answers. */
  taken: Promise<void> = Promise.resolve();
  health: LinkHealth = "live";
  /** Why it was closed by its owner. */
  closedFor: string | undefined;
  events: LinkEvents | undefined;

  constructor(nodeId: string, options: FakeLinkOptions = {}) {
    const { session = "s", role = "member", isDialer = true } = options;
    this.isDialer = isDialer;
    this.remoteAddress = options.remoteAddress ?? { ip: "192.0.2.9", port: 9 };
    this.peer = {
      nodeId,
      role,
      session,
      version: "0.1.0",
      certificate: {
        jws: `certificate of ${nodeId}`,
        paper: {
          meshId: "mesh",
          issuer: "mesh",
          subject: nodeId,
          issuedUnixS: 0,
          expiresUnixS: 4_000_000_000,
          serial: "serial",
          rights: rightsOf(role),
          inviteSerial: undefined,
        },
      },
    };
  }

  start(events: LinkEvents): void {
    this.events = events;
  }

  send(message: ControlMessage): void {
    this.sent.push(message);
  }

  openStream(): Promise<PeerStream> {
    return Promise.reject(new LinkClosedError("A fake link has no streams"));
  }

  answersTaken(): Promise<void> {
    return this.taken;
  }

  close(reason: string): void {
    if (this.closedFor !== undefined) return;
    this.closedFor = reason;
    this.end(reason, false);
  }

  /** The link changes its health. */
  turn(health: LinkHealth): void {
    this.health = health;
    this.events?.health(health);
  }

  /** The link ends without our doing. */
  lose(reason = "lost"): void {
    this.end(reason, true);
  }

  private end(reason: string, byPeer: boolean): void {
    if (this.health === "closed") return;
    this.health = "closed";
    this.events?.closed({ reason, byPeer });
  }
}

/** A connection that leads nowhere. */
export class FakeConnection implements Connection {
  readonly side = "listener";
  readonly remoteAddress: PeerAddress = { ip: "192.0.2.9", port: 9 };
  readonly leafHash = "leaf";
  readonly closed: Promise<void>;
  isClosed = false;
  readonly #closed = Promise.withResolvers<void>();

  constructor() {
    this.closed = this.#closed.promise;
  }

  openStream(): Promise<never> {
    return Promise.reject(new Error("A fake connection has no streams"));
  }

  acceptStream(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  close(): void {
    this.isClosed = true;
    this.#closed.resolve();
  }
}
