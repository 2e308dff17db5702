/** Carries requests to another node over a link. Each has a stream to itself for as long as it runs. */
import { messageOf } from "../base/errors.ts";
import type { PeerStream } from "../mesh/link_ports.ts";
import { cancelled, type OnSilence, Patience } from "./patience.ts";
import { PeerExchange } from "./peer_exchange.ts";
import {
  type Upstream,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "./ports.ts";

/** Where requests go. */
export interface PeerUpstreamOptions {
  /** The node that computes. */
  readonly nodeId: string;
  /** True when the link leads to another node, which passes requests on. */
  readonly isRelayed: boolean;
  /** Opens a stream of the link; may wait while the peer allows no more. */
  readonly openStream: () => Promise<PeerStream>;
  /** A request is given up on a suspect link if somebody else may answer it or go on; on a silent one always. */
  readonly onSilence: OnSilence;
}

/** One node, over one link. */
export class PeerUpstream implements Upstream {
  readonly #options: PeerUpstreamOptions;

  constructor(options: PeerUpstreamOptions) {
    this.#options = options;
  }

  async send(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamResponse> {
    if (signal.aborted) throw cancelled(signal);
    const patience = new Patience(signal);
    const { hasAlternative = false } = request;
    // On the last target, to wait a moment for the link is better than to fail.
    patience.endOn(this.#options.onSilence, () => hasAlternative);
    try {
      const stream = await this.#open(patience);
      const { nodeId, isRelayed } = this.#options;
      return await new PeerExchange(stream, patience, request).ask({
        path: request.path,
        headers: request.headers,
        model: request.model,
        sizeBytes: request.body?.length ?? 0,
        to: isRelayed ? nodeId : undefined,
        hops: isRelayed ? 1 : 0,
        isContinuation: request.isContinuation ?? false,
      }, request.body);
    } catch (error) {
      patience.release();
      throw error;
    }
  }

  async #open(patience: Patience): Promise<PeerStream> {
    const opening = this.#options.openStream();
    try {
      return await Promise.race([opening, patience.whenOver()]);
    } catch (error) {
      // It may still come: then nobody wants it.
      opening.then((late) => late.cancel(), () => {});
      if (error instanceof UpstreamError) throw error;
      throw new UpstreamError(`There is no link to it: ${messageOf(error)}`, true, {
        cause: error,
      });
    }
  }
}
