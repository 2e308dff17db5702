/** Two nodes with a door each, joined by streams in memory: the near one asks, the far one computes. */
import { RIGHTS } from "~/mesh/credentials.ts";
import { LinkClosedError } from "~/mesh/link_ports.ts";
import type { Silence } from "~/proxy/patience.ts";
import {
  type PeerCaller,
  PeerDoor,
  type PeerDoorOptions,
  type PeerLimits,
} from "~/proxy/peer_door.ts";
import { PeerUpstream } from "~/proxy/peer_upstream.ts";
import { MemoryPeerStream } from "./memory_peer_stream.ts";
import { TestDoor, type TestDoorOptions } from "./test_door.ts";
import { VirtualTime } from "./virtual_time.ts";

/** Ids that look like real ones. */
export const NEAR = "near".padEnd(42, "x") + "A";
export const FAR = "far".padEnd(42, "x") + "A";
export const NEXT = "next".padEnd(42, "x") + "A";

/** A node with the right to everything. */
export const NEAR_CALLER: PeerCaller = { nodeId: NEAR, rights: RIGHTS };

/** A door for peers over a door for everybody. */
export class FarNode {
  readonly door: TestDoor;
  readonly time = new VirtualTime();
  readonly peers: PeerDoor;
  /** What peers did wrong. */
  readonly misuses: string[] = [];
  /** The far ends of all streams, oldest first. */
  readonly streams: MemoryPeerStream[] = [];
  /** Resolves for each stream when it was served. */
  readonly served: Promise<void>[] = [];

  constructor(
    options: TestDoorOptions & Partial<Pick<PeerDoorOptions, "wayTo">> & {
      /** @default {FAR} */
      readonly nodeId?: string;
      readonly peerLimits?: Partial<PeerLimits>;
    } = {},
  ) {
    this.door = new TestDoor(options);
    const { slots, nodeId = FAR, wayTo = () => undefined, peerLimits = {} } = options;
    if (options.isEmpty !== true) {
      this.door.localTable.serve("tiny", this.door.engine, slots === undefined ? {} : { slots });
    }
    this.peers = new PeerDoor({
      nodeId,
      fetch: (request, env) => this.door.app.fetch(request, env),
      wayTo,
      misused: (_, what) => this.misuses.push(what),
      timers: this.time,
      limits: peerLimits,
    });
  }

  /** Opens a stream to it. */
  open(caller: PeerCaller = NEAR_CALLER, windowBytes?: number): MemoryPeerStream {
    const [near, far] = MemoryPeerStream.pair(windowBytes);
    this.streams.push(far);
    this.served.push(this.peers.serve(far, caller));
    return near;
  }

  /** The way to it over a link. */
  upstream(options: { caller?: PeerCaller; windowBytes?: number } = {}): TestPeerUpstream {
    return new TestPeerUpstream(FAR, () => this.open(options.caller, options.windowBytes));
  }
}

/** A {@link PeerUpstream} whose link tests can disturb. */
export class TestPeerUpstream extends PeerUpstream {
  readonly #listeners: Set<(silence: Silence) => void>;

  constructor(nodeId: string, open: (() => MemoryPeerStream) | undefined, isRelayed = false) {
    const listeners = new Set<(silence: Silence) => void>();
    super({
      nodeId,
      isRelayed,
      openStream: () =>
        open === undefined
          ? Promise.reject(new LinkClosedError("The link is closed"))
          : Promise.resolve(open()),
      onSilence: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    });
    this.#listeners = listeners;
  }

  /** How many requests would hear that nothing is heard from the link. */
  get listenerCount(): number {
    return this.#listeners.size;
  }

  /** The link becomes suspect, or so. */
  suspect(silence: Silence = "suspect"): void {
    for (const listener of [...this.#listeners]) listener(silence);
  }

  /** Its node counts as gone. */
  silent(): void {
    this.suspect("silent");
  }
}

/** A near door whose only model, "tiny", is served by the far node. */
export function nearDoorTo(
  upstream: PeerUpstream,
  options: TestDoorOptions & { nodeId?: string } = {},
): TestDoor {
  const near = new TestDoor({ ...options, isEmpty: true });
  const { slots = 4, nodeId = FAR } = options;
  near.table.serve("tiny", upstream);
  near.table.targetsOf.set("tiny", [{ nodeId, upstream, slots, isRemote: true }]);
  return near;
}

/** Lets everything run that waits for nothing from outside. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((turned) => setTimeout(turned, 0));
}
