import {
  type Upstream,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "~/proxy/ports.ts";
import type { EngineScript, SeenRequest, UpstreamFixture } from "./engine_script.ts";

const DROPPED = ["set-cookie", "server", "keep-alive"];

/** An {@link Upstream} in memory that follows scripts, in the order in which they were given. */
export class MemoryUpstream implements Upstream {
  readonly #scripts: { script: EngineScript; saw: (seen: SeenRequest) => void }[] = [];
  /** Every request that came, oldest first. */
  readonly seen: SeenRequest[] = [];

  /** The next request without a script gets this one; resolves when it came. */
  script(script: EngineScript): Promise<SeenRequest> {
    const { promise, resolve } = Promise.withResolvers<SeenRequest>();
    this.#scripts.push({ script, saw: resolve });
    return promise;
  }

  send(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamResponse> {
    if (signal.aborted) return Promise.reject(cancelled(signal));
    const next = this.#scripts.shift();
    if (next === undefined) {
      return Promise.reject(new UpstreamError("Cannot answer: no script is left", false));
    }
    const cancel = Promise.withResolvers<void>();
    const seen = {
      method: request.method,
      path: request.path,
      headers: request.headers,
      body: request.body ?? new Uint8Array(0),
      cancelled: cancel.promise,
    };
    this.seen.push(seen);
    next.saw(seen);
    return this.#answer(next.script, signal, cancel.resolve);
  }

  #answer(
    script: EngineScript,
    signal: AbortSignal,
    onCancel: () => void,
  ): Promise<UpstreamResponse> {
    if (script.cut === "before the head") {
      return Promise.reject(new UpstreamError("The engine gave no answer", false));
    }
    if (script.isSilent === true) {
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          onCancel();
          reject(cancelled(signal));
        }, { once: true });
      });
    }
    const headers = new Headers();
    for (const [name, value] of Object.entries(script.headers ?? {})) {
      if (!DROPPED.includes(name) && !name.startsWith("access-control-")) headers.set(name, value);
    }
    const body = script.pieces === undefined
      ? script.whole ?? null
      : streamOf(script, signal, onCancel);
    return Promise.resolve({ status: script.status ?? 200, headers, body });
  }
}

/** The upstream that nobody is behind. */
export const nowhere: Upstream = {
  send: () => Promise.reject(new UpstreamError("Cannot connect to the engine", true)),
};

/** A fixture for the contract suite. */
export function openMemoryUpstream(): Promise<UpstreamFixture> {
  const upstream = new MemoryUpstream();
  return Promise.resolve({
    upstream,
    nowhere,
    script: (script) => upstream.script(script),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

function streamOf(
  script: EngineScript,
  signal: AbortSignal,
  onCancel: () => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const pieces = script.pieces?.()[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      signal.addEventListener("abort", () => {
        onCancel();
        controller.error(cancelled(signal));
      }, { once: true });
    },
    async pull(controller) {
      const step = await pieces?.next();
      if (signal.aborted) return;
      if (step !== undefined && step.done !== true) controller.enqueue(step.value);
      else if (script.cut === undefined) controller.close();
      else controller.error(new UpstreamError("The engine broke off", false));
    },
    cancel: () => onCancel(),
  });
}

function cancelled(signal: AbortSignal): UpstreamError {
  return new UpstreamError("The request was cancelled", false, { cause: signal.reason });
}
