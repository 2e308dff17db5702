/**
 * A network that is not there: delay, jitter, loss as delay (QUIC sends again), partitions, and hosts that nobody
 * can dial. Links over it are heard as `link_health.ts` hears them: suspect after 2 s, silent after 4.5 s, closed
 * after 15 s. Pings are not sent one by one: only their absence matters.
 */
import type { ControlMessage } from "~/mesh/control.ts";
import type { LinkHealth } from "~/mesh/link_ports.ts";
import type { Chance } from "./chance.ts";
import type { EventQueue } from "./event_queue.ts";

/** Silence after which a link changes. */
const SUSPECT_MS = 2_000;
const SILENT_MS = 4_500;
const CLOSED_MS = 15_000;
/** Pings come this often; a look at the clock comes this late at most. */
const PING_MS = 500;
const LOOK_MS = 100;
/** First wait before lost bytes are sent again; it doubles. */
const RESEND_MS = 250;
/** Packets a second each way on an idle link: pings and pongs. */
const IDLE_PACKETS_PER_S = 4;
/** Losses in a row that make silence worth simulating: fewer are over before anybody notices. */
const LOSSES_NOTICED = 3;
/** When the first bytes of a dial are sent. */
const DIAL_TRIES_MS = [0, 1_000, 3_000];
/** When the driver gives a dial up. */
const DIAL_LIMIT_MS = 5_000;
/** Trips of a connection and handshake until the listener, and then the dialer, has a link. */
const LISTENER_TRIPS = 5;

/** How a host is reached. */
export type Nat =
  /** By everybody. */
  | "open"
  /** By those that it dials at the same time. */
  | "cone"
  /** By nobody. */
  | "symmetric";

/** A host; its address stays, its port may change. */
export interface Host {
  readonly name: string;
  readonly nat: Nat;
  /** Hosts with the same number hear each other. */
  side: number;
  port: number;
}

/** What runs on a host and has links. */
export interface Endpoint {
  readonly host: Host;
  readonly isAlive: boolean;
  linkUp(end: LinkEnd): void;
  message(end: LinkEnd, message: ControlMessage): void;
  health(end: LinkEnd, health: LinkHealth): void;
}

/** One end of a link. */
export interface LinkEnd {
  readonly owner: Endpoint;
  readonly other: LinkEnd;
  readonly isDialer: boolean;
  health: LinkHealth;
}

class End implements LinkEnd {
  readonly owner: Endpoint;
  readonly isDialer: boolean;
  readonly #other: () => End;
  health: LinkHealth = "live";
  /** When the last message to this end arrives: they keep their order. */
  arrivesMs = 0;
  /** What is on its way to this end, in order. */
  readonly inbox: { readonly arrivesMs: number; readonly message: ControlMessage }[] = [];
  /** Counts silences, so that an old one ends with its successor; odd while one lasts. */
  silence = 0;
  isUp = false;

  constructor(owner: Endpoint, isDialer: boolean, other: () => End) {
    this.owner = owner;
    this.isDialer = isDialer;
    this.#other = other;
  }

  get other(): End {
    return this.#other();
  }
}

/** A dial under way. */
interface Dial {
  readonly from: Endpoint;
  readonly to: Host;
}

/** What the network is like. */
export interface Weather {
  /** One way, in milliseconds, from and to. */
  readonly delayMs: readonly [number, number];
  /** Part of the delay that varies. */
  readonly jitter: number;
  /** Part of the packets that are lost. */
  loss: number;
}

/** The network. */
export class Network {
  readonly #queue: EventQueue;
  readonly #chance: Chance;
  readonly #links = new Set<End>();
  readonly #dials = new Set<Dial>();
  readonly #listeners = new Map<Host, Endpoint>();
  readonly weather: Weather;
  messages = 0;
  bytes = 0;

  constructor(queue: EventQueue, chance: Chance, weather: Weather) {
    this.#queue = queue;
    this.#chance = chance;
    this.weather = weather;
    this.#planStall();
  }

  /** From now on `endpoint` is what answers at its host. */
  listen(endpoint: Endpoint): void {
    this.#listeners.set(endpoint.host, endpoint);
  }

  /** Whether bytes of one host reach another. */
  isConnected(a: Host, b: Host): boolean {
    return a.side === b.side;
  }

  /** Dials; `done` is told what became of it. */
  dial(from: Endpoint, to: { host: Host; port: number }, done: (isUp: boolean) => void): void {
    const dial = { from, to: to.host };
    this.#dials.add(dial);
    let isOver = false;
    const end = (isUp: boolean): void => {
      if (isOver) return;
      isOver = true;
      this.#dials.delete(dial);
      done(isUp);
    };
    for (const waitMs of DIAL_TRIES_MS) {
      this.#queue.after(waitMs, () => {
        if (!isOver && this.#canEnter(dial, to.port)) this.#shake(dial, end);
      });
    }
    this.#queue.after(DIAL_LIMIT_MS, () => end(false));
  }

  #canEnter({ from, to }: Dial, port: number): boolean {
    const listener = this.#listeners.get(to);
    if (listener?.isAlive !== true || to.port !== port) return false;
    if (!this.isConnected(from.host, to)) return false;
    if (to.nat === "open") return true;
    if (to.nat === "symmetric" || from.host.nat === "symmetric") return false;
    return [...this.#dials].some((dial) => dial.from === listener && dial.to === from.host);
  }

  #shake({ from, to }: Dial, end: (isUp: boolean) => void): void {
    const tripMs = this.#tripMs();
    this.#queue.after(LISTENER_TRIPS * tripMs, () => {
      const listener = this.#listeners.get(to);
      if (listener?.isAlive !== true || !from.isAlive || !this.isConnected(from.host, to)) return;
      const near = this.#link(from, listener);
      near.other.isUp = true;
      listener.linkUp(near.other);
      this.#queue.after(tripMs, () => {
        if (!from.isAlive || near.health === "closed") return end(false);
        near.isUp = true;
        from.linkUp(near);
        this.#drain(near);
        end(true);
      });
    });
  }

  #link(from: Endpoint, to: Endpoint): End {
    const near: End = new End(from, true, () => far);
    const far: End = new End(to, false, () => near);
    this.#links.add(near);
    return near;
  }

  #tripMs(): number {
    const { delayMs: [low, high], jitter, loss } = this.weather;
    const delayMs = this.#chance.between(low, high) * (1 + jitter * this.#chance.next());
    let extraMs = 0;
    for (let wait = RESEND_MS; loss > 0 && this.#chance.next() < loss; wait *= 2) extraMs += wait;
    return delayMs + extraMs;
  }

  /** Sends over a link: it arrives in order, or never when the link dies first. */
  send(from: LinkEnd, message: ControlMessage): void {
    const near = from as End;
    if (near.health === "closed") return;
    this.messages += 1;
    this.bytes += sizeOf(message);
    const far = near.other;
    far.arrivesMs = Math.max(far.arrivesMs, this.#queue.nowMs + this.#tripMs());
    far.inbox.push({ arrivesMs: far.arrivesMs, message });
    this.#queue.at(far.arrivesMs, () => this.#drain(far));
  }

  /** Hands over what has come, unless the network is cut or the handshake is not over at this end. */
  #drain(end: End): void {
    const { owner, other, inbox } = end;
    while (owner.isAlive && end.isUp && end.health !== "closed" && end.silence % 2 === 0) {
      const [next] = inbox;
      if (next === undefined || next.arrivesMs > this.#queue.nowMs) return;
      if (!this.isConnected(owner.host, other.owner.host)) return;
      inbox.shift();
      owner.message(end, next.message);
    }
  }

  /** Ends a link with a word that the other side hears. */
  close(end: LinkEnd): void {
    const near = end as End;
    if (near.health === "closed") return;
    this.#setHealth(near, "closed");
    const far = near.other;
    if (!this.isConnected(near.owner.host, far.owner.host)) return;
    far.arrivesMs = Math.max(far.arrivesMs, this.#queue.nowMs + this.#tripMs());
    this.#queue.at(far.arrivesMs, () => this.#setHealth(far, "closed"));
  }

  /** A process is gone without a word: its peers hear nothing any more. */
  kill(endpoint: Endpoint): void {
    for (const near of this.#links) {
      for (const end of [near, near.other]) {
        if (end.owner === endpoint) this.#fallSilent(end.other);
      }
    }
  }

  /** The sides have changed: links across fall silent, links that hear again come back. */
  redraw(): void {
    for (const near of this.#links) {
      const far = near.other;
      const isCut = !this.isConnected(near.owner.host, far.owner.host);
      for (const end of [near, far]) {
        if (isCut && end.silence % 2 === 0) this.#fallSilent(end);
        else if (!isCut && end.silence % 2 === 1 && end.other.owner.isAlive) this.#hearAgain(end);
      }
    }
  }

  /** An odd number of the silence means that it lasts. */
  #fallSilent(end: End): void {
    if (end.silence % 2 === 1) return;
    end.silence += 1;
    const silence = end.silence;
    const heardMs = this.#queue.nowMs - this.#chance.between(0, PING_MS);
    const changes: readonly [number, LinkHealth][] = [
      [SUSPECT_MS, "suspect"],
      [SILENT_MS, "silent"],
      [CLOSED_MS, "closed"],
    ];
    for (const [afterMs, health] of changes) {
      this.#queue.at(heardMs + afterMs + this.#chance.between(0, LOOK_MS), () => {
        if (end.silence === silence) this.#setHealth(end, health);
      });
    }
  }

  /** What was lost in the meantime is sent again after as long as QUIC had come to wait. */
  #hearAgain(end: End): void {
    end.silence += 1;
    const silence = end.silence;
    this.#queue.after(this.#chance.between(50, 2_000), () => {
      if (end.silence !== silence || end.health === "closed" || !end.owner.isAlive) return;
      this.#setHealth(end, "live");
      this.#drain(end);
    });
  }

  #setHealth(end: End, health: LinkHealth): void {
    if (end.health === "closed" || end.health === health) return;
    end.health = health;
    if (health === "closed") this.#forget(end);
    if (end.isUp && end.owner.isAlive) end.owner.health(end, health);
  }

  #forget(end: End): void {
    const near = end.isDialer ? end : end.other;
    const isDone = (one: End): boolean => one.health === "closed" || !one.owner.isAlive;
    if (isDone(near) && isDone(near.other)) this.#links.delete(near);
  }

  /** Several losses in a row on an idle link: rare, so they are drawn instead of every packet. */
  #planStall(): void {
    const { loss } = this.weather;
    const perSecond = this.#links.size * 2 * IDLE_PACKETS_PER_S * loss ** LOSSES_NOTICED;
    const waitMs = perSecond === 0 ? 60_000 : -Math.log(1 - this.#chance.next()) / perSecond * 1000;
    this.#queue.after(Math.min(60_000, waitMs), () => {
      // Memoryless: looking again after a minute at most changes nothing but the number of links.
      if (waitMs <= 60_000 && perSecond > 0) this.#stall();
      this.#planStall();
    });
  }

  #stall(): void {
    const near = this.#chance.pick([...this.#links]);
    const end = this.#chance.next() < 0.5 ? near : near.other;
    if (end.silence % 2 === 1 || !end.isUp) return;
    let losses = LOSSES_NOTICED;
    while (this.#chance.next() < this.weather.loss) losses += 1;
    const lastsMs = RESEND_MS * (2 ** losses - 1);
    this.#fallSilent(end);
    const silence = end.silence;
    end.arrivesMs = Math.max(end.arrivesMs, this.#queue.nowMs + lastsMs);
    this.#queue.after(lastsMs, () => {
      if (end.silence !== silence || !this.isConnected(end.owner.host, end.other.owner.host)) {
        return;
      }
      end.silence += 1;
      this.#setHealth(end, "live");
      this.#drain(end);
    });
  }
}

/** Bytes of a record as it travels: certificate, grant, signature, a model or two. */
const RECORD_BYTES = 2_600;
/** UDP/IP and QUIC around each message, when it travels alone. */
const PACKET_BYTES = 60;

function sizeOf(message: ControlMessage): number {
  switch (message.t) {
    case "records":
      return PACKET_BYTES + 24 + message.records.length * RECORD_BYTES;
    case "digest":
      return PACKET_BYTES + 60 + message.have.length * 84 + message.revoked.length * 31;
    case "want":
      return PACKET_BYTES + 24 + message.nodes.length * 46;
    case "paths":
      return PACKET_BYTES + 48 + (message.up.length + message.down.length) * 46;
    default:
      return PACKET_BYTES + 250;
  }
}
