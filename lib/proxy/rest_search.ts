/**
 * Finds a host that goes on with an answer which broke off, or may be about to, and asks it for the rest.
 *
 * @module
 */
import { type ByteSource, sourceOf } from "../base/byte_source.ts";
import { messageOf } from "../base/errors.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import type { Ticket } from "./admission_desk.ts";
import { begun } from "./begun.ts";
import type { Call } from "./call.ts";
import { RestWriter } from "./continue_answer.ts";
import {
  type ContinuableRequest,
  type NotContinuable,
  rawRestRequest,
  type RestRequest,
  restRequest,
  templateRequest,
} from "./continue_request.ts";
import { DoorError } from "./errors.ts";
import { isCrashTold, reasonOf } from "./far_refusal.ts";
import { type BusyCounts, CRASHES_MAX, noteFailure } from "./forward.ts";
import type { MiddleOfAnswer } from "./patience.ts";
import {
  type RoutingTable,
  type Target,
  type Upstream,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "./ports.ts";
import { readError } from "./read_error.ts";
import type { Router } from "./route.ts";
import type { SoFar, StreamKind } from "./stream_record.ts";

/** Longest wait for a host that is on its way back, and how often it is looked for. */
const HOST_WAIT_MS = 5_000;
const HOST_LOOK_MS = 100;

/** What a {@link RestSearch} works with. */
export interface RestSearchOptions {
  readonly call: Call;
  readonly kind: StreamKind;
  readonly modelId: string;
  readonly request: UpstreamRequest;
  readonly table: RoutingTable;
  readonly router: Router;
  readonly busy: BusyCounts;
  /** Waits for a slot of the target, before new requests. */
  readonly acquire: (target: Target, signal: AbortSignal) => Promise<Ticket>;
}

/** What is to be gone on with. */
export interface Rest {
  readonly request: ContinuableRequest;
  readonly soFar: SoFar;
  /** Why the answer broke off. */
  readonly cause: unknown;
}

/** The rest of an answer, begun by a host. Dropped by itself when the search is aborted before it is taken. */
export interface FoundRest {
  readonly target: Target;
  readonly source: ByteSource;
  readonly writer: RestWriter;
  /** It is what the client gets now: its slot and its place in the counts are the call's. */
  take(): void;
}

/** How to search. */
export interface SearchOptions {
  /** Aborted when nobody wants the rest any more. */
  readonly signal: AbortSignal;
  /** The answer goes on as yet: nobody is waited for, and nothing is the call's before it is taken. */
  readonly isAhead: boolean;
}

/** Looks for hosts of one answer. */
export class RestSearch {
  readonly #options: RestSearchOptions;
  /** What the hosts asked do when their links are not heard. */
  readonly #middle: MiddleOfAnswer;

  constructor(options: RestSearchOptions, middle: MiddleOfAnswer) {
    this.#options = options;
    this.#middle = middle;
  }

  /** Whether somebody else could go on now. */
  hasOther(from: Target): boolean {
    return this.#candidates(from).some((other) =>
      other.upstream !== from.upstream && other.isSuspect !== true
    );
  }

  /**
   * Asks one host after the other for the rest; resolves when one has begun.
   *
   * @throws {DoorError} when nobody goes on
   * @throws the signal's reason when it is aborted
   */
  async find(from: Target, rest: Rest, search: SearchOptions): Promise<FoundRest> {
    const { call, router } = this.#options;
    const { signal, isAhead } = search;
    const untilMs = call.nowMs + (isAhead ? 0 : HOST_WAIT_MS);
    const failed = new Set<Upstream>([from.upstream]);
    const causes: string[] = [];
    for (;;) {
      signal.throwIfAborted();
      if (call.crashCount >= CRASHES_MAX) throw notContinued(rest.cause, "engines end over it");
      const target = this.#nextHost(from, failed, isAhead);
      if (target === undefined) {
        if (!this.#isWorthWaiting(from) || call.nowMs >= untilMs) {
          throw notContinued(rest.cause, causes.at(-1) ?? "no other node has this model ready");
        }
        await this.#pause(signal);
        continue;
      }
      if (!router.mayRetry(call.nowMs)) throw notContinued(rest.cause, "too much fails at once");
      failed.add(target.upstream);
      try {
        return await this.#ask(target, rest, search);
      } catch (error) {
        if (isAhead && signal.aborted) router.handle({ kind: "withdrawn" }, call.nowMs);
        signal.throwIfAborted();
        causes.push(`${target.nodeId}: ${messageOf(error)}`);
        if (!(error instanceof Refused)) {
          noteFailure(error, { call, router, nodeId: target.nodeId });
        }
      }
    }
  }

  #nextHost(
    from: Target,
    failed: ReadonlySet<Upstream>,
    isAhead: boolean,
  ): Target | undefined {
    const { call, router, busy, modelId, request } = this.#options;
    const nowMs = call.nowMs;
    // One that failed over it may be asked again once the router would ask it for others: it was started anew.
    const candidates = this.#candidates(from).filter((target) =>
      target.isSuspect !== true &&
      (!failed.has(target.upstream) || (!isAhead && !router.isAvoided(target.nodeId, nowMs)))
    );
    const { order } = router.rank(
      { model: modelId, bodyBytes: request.body?.length ?? 0 },
      candidates.map((target) => ({ target, busyCount: busy.of(target.upstream) })),
      nowMs,
    );
    return order[0]?.target;
  }

  /** Hosts of the very same model, with a context that is no shorter. */
  #candidates(from: Target): readonly Target[] {
    const { table, modelId } = this.#options;
    return table.targets(modelId).filter(({ fingerprint, contextTokens }) =>
      fingerprint !== undefined && fingerprint === from.fingerprint &&
      (contextTokens ?? 0) >= (from.contextTokens ?? 0)
    );
  }

  #isWorthWaiting(from: Target): boolean {
    const { table, modelId } = this.#options;
    return table.loading().some(({ id }) => id === modelId) ||
      this.#candidates(from).some(({ isSuspect }) => isSuspect !== true);
  }

  #pause(signal: AbortSignal): Promise<void> {
    const { call } = this.#options;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        cancel();
        reject(signal.reason);
      };
      const cancel = call.timers.after(HOST_LOOK_MS, () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  async #ask(target: Target, rest: Rest, { signal, isAhead }: SearchOptions): Promise<FoundRest> {
    const { call, busy, acquire, router, modelId: model } = this.#options;
    const { nodeId } = target;
    const ticket = await acquire(target, signal);
    const done = busy.add(target.upstream);
    let isSettled = false;
    const settle = (how: () => void): void => {
      signal.removeEventListener("abort", drop);
      if (!isSettled) how();
      isSettled = true;
    };
    const drop = (): void =>
      settle(() => {
        done();
        ticket.release();
      });
    const take = (): void =>
      settle(() => {
        call.onMoved(ticket);
        call.onSent(nodeId, done);
      });
    if (!isAhead) take();
    router.handle({ kind: "sent", nodeId }, call.nowMs);
    try {
      const found = await this.#begin(target, rest, signal);
      // It may have begun at the moment at which nobody wanted it any more.
      signal.throwIfAborted();
      router.handle({ kind: "answered", nodeId, model, isRetry: true }, call.nowMs);
      if (!isSettled) signal.addEventListener("abort", drop, { once: true });
      return { target, ...found, take };
    } catch (error) {
      drop();
      throw error;
    }
  }

  /** Sends what is needed until the target has begun with the rest. */
  async #begin(
    target: Target,
    { request, soFar }: Rest,
    signal: AbortSignal,
  ): Promise<Pick<FoundRest, "source" | "writer">> {
    const { call, kind } = this.#options;
    const plain = restRequest(request, soFar);
    let rest: RestRequest | undefined = "why" in plain ? undefined : plain;
    let restKind = kind;
    let response = rest === undefined ? undefined : await this.#send(target, rest.body, signal);
    if (kind === "chat" && (response === undefined || response.status === 400)) {
      // The template refuses to go on with an assistant's message, or cannot with thoughts.
      rest = await this.#rawRest(target, { request, soFar }, signal);
      restKind = "text";
      response = await this.#send(target, rest.body, signal, "/v1/completions");
    }
    if (rest === undefined || response === undefined) throw new Refused(whyOf(plain));
    await refuseErrors(response);
    const { body } = await begun(response, call);
    if (!(body instanceof ReadableStream)) throw new Refused("it gave no stream");
    const writer = new RestWriter({
      kind,
      restKind,
      soFar,
      given: rest.given,
      surplus: rest.surplus,
      wantsUsage: request.wantsUsage,
      isThinking: restKind !== kind && soFar.reasoning !== "" && soFar.text === "",
      nodeId: target.nodeId,
    });
    return { source: sourceOf(body), writer };
  }

  /** The rest of a chat as text: the template is applied by the engine that goes on. */
  async #rawRest(
    target: Target,
    { request, soFar }: Pick<Rest, "request" | "soFar">,
    signal: AbortSignal,
  ): Promise<RestRequest> {
    const response = await this.#send(
      target,
      templateRequest(request),
      signal,
      "/apply-template",
    );
    await refuseErrors(response);
    const { body } = await begun(response, this.#options.call);
    const made = body instanceof Uint8Array ? parsed(body) : undefined;
    const prompt = isJsonObject(made) ? made["prompt"] : undefined;
    if (typeof prompt !== "string") throw new Refused("it made no prompt of the messages");
    return rawRestRequest(request, { soFar, prompt });
  }

  #send(
    target: Target,
    body: JsonObject,
    signal: AbortSignal,
    path?: string,
  ): Promise<UpstreamResponse> {
    return target.upstream.send({
      ...this.#options.request,
      ...this.#middle,
      ...(path === undefined ? {} : { path }),
      body: new TextEncoder().encode(JSON.stringify(body)),
      hasAlternative: true,
      isContinuation: true,
    }, signal);
  }
}

/** A host answered, but not with the rest. */
class Refused extends Error {}

async function refuseErrors(response: UpstreamResponse): Promise<void> {
  if (response.status < 400) return;
  const error = await readError(response);
  const reason = reasonOf(response.status, error);
  if (isCrashTold(error)) throw new UpstreamError(reason, false, { isCrash: true });
  throw new Refused(reason);
}

function whyOf(plain: RestRequest | NotContinuable): string {
  return "why" in plain ? plain.why : "it gave no answer";
}

/** What the client is told when nobody goes on. */
export function notContinued(cause: unknown, why: string): DoorError {
  if (cause instanceof DoorError) return cause;
  return new DoorError(
    "upstream_failed",
    `The answer broke off: ${messageOf(cause)}; it could not be continued: ${why}`,
    { cause },
  );
}

function parsed(bytes: Uint8Array): JsonValue | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
