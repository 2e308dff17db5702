/**
 * A streamed answer that outlives the host that began it: when it breaks off, another host with the same model goes
 * on from the text that the client has.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import { type ByteSource, sourceOf } from "../base/byte_source.ts";
import { messageOf } from "../base/errors.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import { begun } from "./begun.ts";
import type { Call } from "./call.ts";
import { lastEvents, RestWriter } from "./continue_answer.ts";
import {
  type ContinuableRequest,
  continuableRequest,
  isUsedUp,
  type NotContinuable,
  rawRestRequest,
  type RestRequest,
  restRequest,
  templateRequest,
} from "./continue_request.ts";
import { DoorError } from "./errors.ts";
import { isCrashTold, reasonOf } from "./far_refusal.ts";
import { type BusyCounts, CRASHES_MAX, noteFailure } from "./forward.ts";
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
import { SseTail } from "./sse.ts";
import { type SoFar, type StreamKind, StreamRecord } from "./stream_record.ts";

const log = getLogger(["mesh-llm", "proxy"]);

/** Hosts that go on with one answer, one after the other; an answer that breaks off more often is cursed. */
const CONTINUATIONS_MAX = 8;
/** Longest wait for a host that is on its way back, and how often it is looked for. */
const HOST_WAIT_MS = 5_000;
const HOST_LOOK_MS = 100;

/** What a {@link Continuation} works with. */
export interface ContinuationOptions {
  readonly call: Call;
  readonly kind: StreamKind;
  readonly modelId: string;
  readonly request: UpstreamRequest;
  readonly table: RoutingTable;
  readonly router: Router;
  readonly busy: BusyCounts;
  /** Waits for a slot of the target, before new requests. */
  readonly admit: (target: Target) => Promise<void>;
}

/** One answer, whoever gives it. */
export class Continuation implements ByteSource {
  readonly #options: ContinuationOptions;
  readonly #record: StreamRecord;
  #request: ContinuableRequest | NotContinuable | undefined;
  #source: ByteSource | undefined;
  #target: Target | undefined;
  #tail = new SseTail();
  #writer: RestWriter | undefined;
  #count = 0;
  #isEnded = false;

  constructor(options: ContinuationOptions) {
    this.#options = options;
    this.#record = new StreamRecord(options.kind);
  }

  /** Takes over an answer that has begun. */
  begin(target: Target, body: ReadableStream<Uint8Array<ArrayBuffer>>): void {
    this.#target = target;
    this.#source = sourceOf(body);
  }

  /** Whether somebody else could go on now: then a host of which nothing is heard is not waited for. */
  mayGoOn(): boolean {
    const target = this.#target;
    if (target === undefined || this.#count >= CONTINUATIONS_MAX) return false;
    // All streams of a host are asked at once: to read now what each said would hold up everybody else.
    if (!this.#record.isContinuable || !("kind" in this.#readRequest())) return false;
    return this.#candidates(target).some((other) =>
      other.upstream !== target.upstream && other.isSuspect !== true
    );
  }

  async next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    while (!this.#isEnded && this.#source !== undefined) {
      try {
        const bytes = await this.#events(this.#source);
        if (bytes === undefined) return undefined;
        if (bytes.length > 0) return bytes;
      } catch (cause) {
        const { call } = this.#options;
        if (call.isOver || call.signal.aborted) throw cause;
        const last = await this.#goOn(cause);
        if (last === undefined) continue;
        this.#isEnded = true;
        return last.length > 0 ? last : undefined;
      }
    }
    return undefined;
  }

  cancel(): Promise<void> | void {
    return this.#source?.cancel();
  }

  /** The last bytes of an answer that nobody goes on with: an event, after all that came whole. */
  fail(event: string): Uint8Array<ArrayBuffer> {
    return this.#tail.fail(event);
  }

  /** The next whole events for the client; undefined at the end. */
  async #events(source: ByteSource): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const piece = await source.next();
    const events = piece === undefined ? this.#tail.finish() : this.#tail.push(piece);
    if (piece === undefined) this.#isEnded = true;
    if (events.length === 0) return piece === undefined ? undefined : events;
    const bytes = this.#writer === undefined ? events : this.#writer.push(events);
    if (bytes.length > 0) this.#record.push(bytes);
    return bytes;
  }

  /** Finds somebody who goes on; resolves with the last events when there is nothing left to say. */
  async #goOn(cause: unknown): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { call, kind, router, modelId } = this.#options;
    const from = this.#target;
    if (from === undefined) throw cause;
    noteFailure(cause, { call, router, nodeId: from.nodeId });
    const request = this.#readRequest();
    const soFar = this.#record.read();
    if ("why" in request) throw notContinued(cause, request.why);
    if ("fault" in soFar) throw notContinued(cause, soFar.fault);
    if (soFar.finishReason !== undefined || isUsedUp(request, soFar)) {
      return lastEvents(soFar, kind);
    }
    this.#count += 1;
    if (this.#count > CONTINUATIONS_MAX) throw notContinued(cause, "it broke off too often");
    const sinceMs = call.nowMs;
    const target = await this.#findHost(from, { request, soFar, cause });
    log.debug("Answer of {model} is continued on {node} after {pauseMs} ms, request {requestId}", {
      model: modelId,
      node: target.nodeId,
      pauseMs: Math.round(call.nowMs - sinceMs),
      requestId: call.requestId,
    });
    call.tell("continued", modelId);
    return undefined;
  }

  /** Asks one host after the other for the rest. */
  async #findHost(from: Target, about: Rest): Promise<Target> {
    const { call, router } = this.#options;
    const untilMs = call.nowMs + HOST_WAIT_MS;
    const failed = new Set<Upstream>([from.upstream]);
    const causes: string[] = [];
    for (;;) {
      call.signal.throwIfAborted();
      if (call.crashCount >= CRASHES_MAX) throw notContinued(about.cause, "engines end over it");
      const target = this.#nextHost(from, failed);
      if (target === undefined) {
        if (!this.#isWorthWaiting(from) || call.nowMs >= untilMs) {
          throw notContinued(about.cause, causes.at(-1) ?? "no other node has this model ready");
        }
        await this.#pause();
        continue;
      }
      if (!router.mayRetry(call.nowMs)) throw notContinued(about.cause, "too much fails at once");
      failed.add(target.upstream);
      try {
        await this.#ask(target, about);
        return target;
      } catch (error) {
        call.signal.throwIfAborted();
        causes.push(`${target.nodeId}: ${messageOf(error)}`);
        if (!(error instanceof Refused)) {
          noteFailure(error, { call, router, nodeId: target.nodeId });
        }
      }
    }
  }

  #nextHost(from: Target, failed: ReadonlySet<Upstream>): Target | undefined {
    const { call, router, busy, modelId, request } = this.#options;
    const nowMs = call.nowMs;
    // One that failed over it may be asked again once the router would ask it for others: it was started anew.
    const candidates = this.#candidates(from).filter((target) =>
      target.isSuspect !== true &&
      (!failed.has(target.upstream) || !router.isAvoided(target.nodeId, nowMs))
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

  #pause(): Promise<void> {
    const { call } = this.#options;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        cancel();
        reject(call.signal.reason);
      };
      const cancel = call.timers.after(HOST_LOOK_MS, () => {
        call.signal.removeEventListener("abort", onAbort);
        resolve();
      });
      call.signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  async #ask(target: Target, { request, soFar }: Rest): Promise<void> {
    const { call, busy, admit, kind, router } = this.#options;
    await admit(target);
    call.onSent(target.nodeId, busy.add(target.upstream));
    router.handle({ kind: "sent", nodeId: target.nodeId }, call.nowMs);
    const plain = restRequest(request, soFar);
    let rest: RestRequest | undefined = "why" in plain ? undefined : plain;
    let restKind = kind;
    let response = rest === undefined ? undefined : await this.#send(target, rest.body);
    if (kind === "chat" && (response === undefined || response.status === 400)) {
      // The template refuses to go on with an assistant's message, or cannot with thoughts.
      rest = await this.#rawRest(target, { request, soFar });
      restKind = "text";
      response = await this.#send(target, rest.body, "/v1/completions");
    }
    if (rest === undefined || response === undefined) throw new Refused(whyOf(plain));
    await refuseErrors(response);
    const { body } = await begun(response, call);
    if (!(body instanceof ReadableStream)) throw new Refused("it gave no stream");
    this.#target = target;
    this.#source = sourceOf(body);
    this.#tail = new SseTail();
    this.#writer = new RestWriter({
      kind,
      restKind,
      soFar,
      given: rest.given,
      surplus: rest.surplus,
      wantsUsage: request.wantsUsage,
      isThinking: restKind !== kind && soFar.reasoning !== "" && soFar.text === "",
      nodeId: target.nodeId,
    });
    const { nodeId } = target;
    const model = this.#options.modelId;
    router.handle({ kind: "answered", nodeId, model, isRetry: true }, call.nowMs);
  }

  /** The rest of a chat as text: the template is applied by the engine that goes on. */
  async #rawRest(
    target: Target,
    { request, soFar }: Pick<Rest, "request" | "soFar">,
  ): Promise<RestRequest> {
    const response = await this.#send(target, templateRequest(request), "/apply-template");
    await refuseErrors(response);
    const { body } = await begun(response, this.#options.call);
    const made = body instanceof Uint8Array ? parsed(body) : undefined;
    const prompt = isJsonObject(made) ? made["prompt"] : undefined;
    if (typeof prompt !== "string") throw new Refused("it made no prompt of the messages");
    return rawRestRequest(request, { soFar, prompt });
  }

  #send(target: Target, body: JsonObject, path?: string): Promise<UpstreamResponse> {
    const { call, request } = this.#options;
    return target.upstream.send({
      ...request,
      ...(path === undefined ? {} : { path }),
      body: new TextEncoder().encode(JSON.stringify(body)),
      hasAlternative: true,
      isContinuation: true,
      givesUp: () => this.mayGoOn(),
    }, call.signal);
  }

  #readRequest(): ContinuableRequest | NotContinuable {
    const { kind, request } = this.#options;
    return this.#request ??= continuableRequest(kind, request.body ?? new Uint8Array());
  }
}

interface Rest {
  readonly request: ContinuableRequest;
  readonly soFar: SoFar;
  /** Why the answer broke off. */
  readonly cause: unknown;
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

function notContinued(cause: unknown, why: string): DoorError {
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
