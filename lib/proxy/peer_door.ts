/**
 * The far end of requests over links: who may ask, whether it is for this node or the next, and the
 * same app that answers local clients.
 *
 * @module
 */
import type { Timers } from "../base/clock.ts";
import type { DoorEnv } from "../base/http_door.ts";
import { lightRequest } from "../base/light_request.ts";
import type { Right } from "../mesh/credentials.ts";
import type { PeerStream } from "../mesh/link_ports.ts";
import { jsonResponse } from "./errors.ts";
import { writeAnswer } from "./peer_answer.ts";
import { PeerBody } from "./peer_body.ts";
import { decodeRequestHead, PeerHeadError, type PeerRequestHead } from "./peer_head.ts";
import { RelayFailedError, relayPeerStream, type RelayWay } from "./peer_relay.ts";

/** Who asks, as its link proved. */
export interface PeerCaller {
  readonly nodeId: string;
  readonly rights: readonly Right[];
}

/** Every bound of the door for peers. */
export interface PeerLimits {
  /** Until the head of a request that was opened. */
  readonly headMs: number;
  /** Until a peer takes the next piece of its answer. */
  readonly stalledReaderMs: number;
  /** For the rest of a request that was answered already. */
  readonly restMs: number;
  /** Requests of one peer at a time, those passed on included. */
  readonly requestsMax: number;
  /** Requests of one peer that are passed on at a time. */
  readonly relaysMax: number;
}

const PEER_LIMITS: PeerLimits = {
  headMs: 30_000,
  // As at the door for local clients.
  stalledReaderMs: 300_000,
  restMs: 10_000,
  // Many times what a node computes at once, and its queue.
  requestsMax: 512,
  relaysMax: 128,
};

/** What the door needs from the program. */
export interface PeerDoorOptions {
  /** Id of this node. */
  readonly nodeId: string;
  /** The OpenAI app. */
  readonly fetch: (request: Request, env: DoorEnv) => Response | Promise<Response>;
  /** The way to a node that we have a live link with; undefined when there is none. */
  readonly wayTo: (nodeId: string) => RelayWay | undefined;
  /** A peer broke the protocol; whoever owns its link may close it. The words are fit for logs. */
  readonly misused: (nodeId: string, what: string) => void;
  /** Whether the engine here is ended on purpose: what breaks off then is no crash. @default {() => false} */
  readonly isDraining?: () => boolean;
  readonly timers: Timers;
  readonly limits?: Partial<PeerLimits>;
}

interface Load {
  requests: number;
  relays: number;
}

/** A request that is turned away before anything was computed for it. */
class Refusal extends Error {
  readonly status: number;
  readonly word: string;

  constructor(status: number, word: string, message: string) {
    super(message);
    this.status = status;
    this.word = word;
  }
}

/** Serves the streams that peers open. */
export class PeerDoor {
  readonly #options: PeerDoorOptions;
  readonly #limits: PeerLimits;
  readonly #loads = new Map<string, Load>();
  #isStopped = false;

  constructor(options: PeerDoorOptions) {
    this.#options = options;
    this.#limits = { ...PEER_LIMITS, ...options.limits };
  }

  /** From now on turns new requests away, so that others are asked; running ones go on. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Serves one stream to its end. Never rejects. */
  async serve(stream: PeerStream, caller: PeerCaller): Promise<void> {
    const load = this.#loads.get(caller.nodeId) ?? { requests: 0, relays: 0 };
    this.#loads.set(caller.nodeId, load);
    load.requests += 1;
    try {
      await this.#serve(stream, { caller, load });
    } catch (error) {
      stream.cancel();
      if (error instanceof PeerHeadError) this.#options.misused(caller.nodeId, error.message);
    } finally {
      load.requests -= 1;
      if (load.requests === 0) this.#loads.delete(caller.nodeId);
    }
  }

  async #serve(
    stream: PeerStream,
    by: { readonly caller: PeerCaller; readonly load: Load },
  ): Promise<void> {
    const { caller, load } = by;
    const head = await this.#readHead(stream);
    try {
      this.#admit(by);
      if (head.to === undefined || head.to === this.#options.nodeId) {
        return await this.#answer(stream, { head, caller });
      }
      const way = this.#wayOf(head, by);
      load.relays += 1;
      try {
        await relayPeerStream(stream, way, head);
      } finally {
        load.relays -= 1;
      }
    } catch (error) {
      if (error instanceof Refusal) await this.#refuse(stream, head, error);
      else if (error instanceof RelayFailedError) await this.#refuse(stream, head, unreachable());
      else throw error;
    }
  }

  /** @throws {PeerHeadError} when something else came, or nothing in time */
  async #readHead(stream: PeerStream): Promise<PeerRequestHead> {
    let isLate = false;
    const cancelTimer = this.#options.timers.after(this.#limits.headMs, () => {
      isLate = true;
      stream.cancel();
    });
    try {
      const frame = await stream.read();
      if (frame?.kind === "head") return decodeRequestHead(frame.head);
    } catch (error) {
      if (isLate) throw new PeerHeadError("A request's head did not come in time");
      throw error;
    } finally {
      cancelTimer();
    }
    throw new PeerHeadError("A request began without a head");
  }

  #admit({ caller, load }: { readonly caller: PeerCaller; readonly load: Load }): void {
    if (!caller.rights.includes("request")) {
      throw new Refusal(403, "forbidden", "This node's certificate does not allow requests");
    }
    if (this.#isStopped) throw new Refusal(503, "stopping", "This node is about to stop");
    if (load.requests > this.#limits.requestsMax) {
      throw new Refusal(429, "busy", "This node has too many requests of one peer");
    }
  }

  #wayOf(
    head: PeerRequestHead,
    { caller, load }: { readonly caller: PeerCaller; readonly load: Load },
  ): RelayWay {
    // What was passed on once is never passed on again, so there are no loops.
    if (head.hops === 0) {
      throw new Refusal(503, "no_hop", "The request is for another node and was passed on already");
    }
    if (head.to === undefined || head.to === caller.nodeId) throw unreachable();
    if (load.relays >= this.#limits.relaysMax) {
      throw new Refusal(429, "busy", "This node passes on too many requests of one peer");
    }
    const way = this.#options.wayTo(head.to);
    if (way === undefined) throw unreachable();
    return way;
  }

  async #answer(
    stream: PeerStream,
    { head, caller }: { readonly head: PeerRequestHead; readonly caller: PeerCaller },
  ): Promise<void> {
    const body = new PeerBody(stream, {
      sizeBytes: head.sizeBytes,
      misused: (what) => this.#options.misused(caller.nodeId, what),
    });
    const response = await this.#options.fetch(
      lightRequest({ method: "POST", target: head.path, headers: [...head.headers] }),
      {
        clientGone: stream.broken,
        body,
        peer: {
          nodeId: caller.nodeId,
          model: head.model,
          isContinuation: head.isContinuation,
        },
      },
    );
    await this.#write(stream, response);
    await this.#finish(stream, body);
  }

  async #refuse(stream: PeerStream, head: PeerRequestHead, refusal: Refusal): Promise<void> {
    const { status, word, message } = refusal;
    const { sizeBytes } = head;
    const error = { message, type: "server_error", param: null, code: word };
    await this.#write(stream, jsonResponse({ error }, { status }), word);
    await this.#finish(stream, new PeerBody(stream, { sizeBytes, misused: () => {} }));
  }

  async #write(stream: PeerStream, response: Response, refusal?: string): Promise<void> {
    const { timers, isDraining = () => false } = this.#options;
    const { stalledReaderMs } = this.#limits;
    const isEnding = (): boolean => this.#isStopped || isDraining();
    await writeAnswer(stream, { response, refusal, timers, stalledReaderMs, isEnding });
  }

  /** The peer may still be sending; a peer of good will stops when it has the answer. */
  async #finish(stream: PeerStream, body: PeerBody): Promise<void> {
    if (body.isEnded) return;
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const cancelTimer = this.#options.timers.after(this.#limits.restMs, resolve);
    stream.broken.addEventListener("abort", () => resolve(), { once: true });
    try {
      // To cancel at once could overtake the answer.
      if (await Promise.race([body.discardRest(), over]) !== true) {
        await over;
        stream.cancel();
      }
    } catch {
      // The peer gave up the rest itself, or what it sent was told as misuse already.
      stream.cancel();
    } finally {
      cancelTimer();
    }
  }
}

function unreachable(): Refusal {
  return new Refusal(
    503,
    "unreachable",
    "This node has no link to the node that the request is for",
  );
}
