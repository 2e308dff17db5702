/**
 * A streamed answer that outlives the host that began it: when it breaks off, another host with the same model goes
 * on from the text that the client has. Where nothing is heard of the host for a moment, another one begins with the
 * rest before it is known whether it is needed: prompts take time to read.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import { type ByteSource, sourceOf } from "../base/byte_source.ts";
import { lastEvents, type RestWriter } from "./continue_answer.ts";
import {
  type ContinuableRequest,
  continuableRequest,
  isUsedUp,
  type NotContinuable,
} from "./continue_request.ts";
import { noteFailure } from "./forward.ts";
import type { MiddleOfAnswer } from "./patience.ts";
import type { Target } from "./ports.ts";
import { type FoundRest, notContinued, RestSearch, type RestSearchOptions } from "./rest_search.ts";
import { SseTail } from "./sse.ts";
import { type SoFar, StreamRecord } from "./stream_record.ts";

const log = getLogger(["mesh-llm", "proxy"]);

/** Hosts that go on with one answer, one after the other; an answer that breaks off more often is cursed. */
const CONTINUATIONS_MAX = 8;

/** What a {@link Continuation} works with. */
export type ContinuationOptions = RestSearchOptions;

/** The rest, looked for while the answer may still go on. */
interface Ahead {
  readonly finding: Promise<FoundRest>;
  readonly leave: AbortController;
}

/** One answer, whoever gives it. */
export class Continuation implements ByteSource {
  /** For whoever is asked for the answer, or for its rest. */
  readonly middle: MiddleOfAnswer = {
    givesUp: () => this.#mayGoOn(),
    onQuiet: () => this.#foresee(),
  };
  readonly #options: ContinuationOptions;
  readonly #search: RestSearch;
  readonly #record: StreamRecord;
  #request: ContinuableRequest | NotContinuable | undefined;
  #source: ByteSource | undefined;
  #target: Target | undefined;
  #tail = new SseTail();
  #writer: RestWriter | undefined;
  #ahead: Ahead | undefined;
  #count = 0;
  #isEnded = false;

  constructor(options: ContinuationOptions) {
    this.#options = options;
    this.#record = new StreamRecord(options.kind);
    this.#search = new RestSearch(options, this.middle);
  }

  /** Takes over an answer that has begun. */
  begin(target: Target, body: ReadableStream<Uint8Array<ArrayBuffer>>): void {
    this.#target = target;
    this.#source = sourceOf(body);
  }

  /** Whether somebody else could go on now: then a host of which nothing is heard is not waited for. */
  #mayGoOn(): boolean {
    const target = this.#target;
    if (target === undefined || this.#count >= CONTINUATIONS_MAX) return false;
    // All streams of a host are asked at once: to read now what each said would hold up everybody else.
    if (!this.#record.isContinuable || !("kind" in this.#readRequest())) return false;
    return this.#search.hasOther(target);
  }

  /** Nothing is heard of the host: somebody else begins with the rest. Whatever still comes from the host ends that. */
  #foresee(): void {
    const from = this.#target;
    if (from === undefined || this.#ahead !== undefined || this.#isEnded || !this.#mayGoOn()) {
      return;
    }
    const request = this.#readRequest();
    const soFar = this.#record.read();
    if ("why" in request || "fault" in soFar || isComplete(request, soFar)) return;
    const leave = new AbortController();
    const signal = AbortSignal.any([this.#options.call.signal, leave.signal]);
    const rest = { request, soFar, cause: new Error("Nothing is heard from it on the link") };
    const finding = this.#search.find(from, rest, { signal, isAhead: true });
    // If it is needed its failure is told then.
    finding.catch(() => {});
    this.#ahead = { finding, leave };
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
        const last = await this.#goOn(cause).finally(() => this.#dropAhead());
        if (last === undefined) continue;
        this.#isEnded = true;
        return last.length > 0 ? last : undefined;
      }
    }
    return undefined;
  }

  cancel(): Promise<void> | void {
    this.#dropAhead();
    return this.#source?.cancel();
  }

  /** The last bytes of an answer that nobody goes on with: an event, after all that came whole. */
  fail(event: string): Uint8Array<ArrayBuffer> {
    return this.#tail.fail(event);
  }

  /** The next whole events for the client; undefined at the end. */
  async #events(source: ByteSource): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const piece = await source.next();
    if (this.#ahead !== undefined) this.#dropAhead();
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
    if (isComplete(request, soFar)) return lastEvents(soFar, kind);
    this.#count += 1;
    if (this.#count > CONTINUATIONS_MAX) throw notContinued(cause, "it broke off too often");
    const sinceMs = call.nowMs;
    // What it had is gone; to wait with it in hand could be to wait for itself.
    call.onLeft();
    const { signal } = call;
    const found = await this.#foundAhead() ??
      await this.#search.find(from, { request, soFar, cause }, { signal, isAhead: false });
    this.#take(found);
    log.debug("Answer of {model} is continued on {node} after {pauseMs} ms, request {requestId}", {
      model: modelId,
      node: found.target.nodeId,
      pauseMs: Math.round(call.nowMs - sinceMs),
      requestId: call.requestId,
    });
    call.tell("continued", modelId);
    return undefined;
  }

  /** What somebody has begun with already; undefined when nobody has, or could. */
  async #foundAhead(): Promise<FoundRest | undefined> {
    const ahead = this.#ahead;
    if (ahead === undefined) return undefined;
    const found = await ahead.finding.catch(() => undefined);
    this.#options.call.signal.throwIfAborted();
    this.#ahead = undefined;
    return found;
  }

  #take({ target, source, writer, take }: FoundRest): void {
    take();
    this.#target = target;
    this.#source = source;
    this.#tail = new SseTail();
    this.#writer = writer;
  }

  #dropAhead(): void {
    this.#ahead?.leave.abort();
    this.#ahead = undefined;
  }

  #readRequest(): ContinuableRequest | NotContinuable {
    const { kind, request } = this.#options;
    return this.#request ??= continuableRequest(kind, request.body ?? new Uint8Array());
  }
}

/** Whether nothing is left to say but the end. */
function isComplete(request: ContinuableRequest, soFar: SoFar): boolean {
  return soFar.finishReason !== undefined || isUsedUp(request, soFar);
}
