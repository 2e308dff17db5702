/** Passes a request on between two nodes that have no link with each other: one hop, bytes unread. */
import type { PeerStream } from "../mesh/link_ports.ts";
import type { OnSilence } from "./patience.ts";
import { encodeRequestHead, type PeerRequestHead } from "./peer_head.ts";

/** The way to a node that we are linked with. */
export interface RelayWay {
  readonly openStream: () => Promise<PeerStream>;
  readonly onSilence: OnSilence;
}

/** The next node cannot be reached: nothing of the request has left us. */
export class RelayFailedError extends Error {
  override readonly name = "RelayFailedError";
}

/**
 * Pipes a request whose head was read from `from` to the node at the end of `way`, and the answer back,
 * each only as fast as it is taken. Resolves when both directions have ended; when one side gives up
 * or breaks, so does the other. A link that is suspect before any answer ends it too, and one that is silent at any
 * time: the near end can then try another node.
 *
 * @throws {RelayFailedError} when no stream could be opened; `from` is still open then
 */
export async function relayPeerStream(
  from: PeerStream,
  way: RelayWay,
  head: PeerRequestHead,
): Promise<void> {
  const to = await opened(from, way);
  const giveUp = (): void => {
    from.cancel();
    to.cancel();
  };
  let hasBegun = false;
  const endSuspicion = way.onSilence((silence) => {
    if (silence === "silent" || (silence === "suspect" && !hasBegun)) giveUp();
  });
  from.broken.addEventListener("abort", giveUp, { once: true });
  to.broken.addEventListener("abort", giveUp, { once: true });
  if (from.broken.aborted || to.broken.aborted) giveUp();
  try {
    await to.write({ kind: "head", head: encodeRequestHead({ ...head, hops: 0 }) });
    await Promise.all([
      pump(from, to, { mayHaveHeads: false }),
      pump(to, from, { mayHaveHeads: true, onFirst: () => hasBegun = true }),
    ]);
  } catch {
    giveUp();
  } finally {
    endSuspicion();
    from.broken.removeEventListener("abort", giveUp);
    to.broken.removeEventListener("abort", giveUp);
  }
}

/** Opens the second stream, unless the first breaks meanwhile. */
async function opened(from: PeerStream, way: RelayWay): Promise<PeerStream> {
  const opening = way.openStream();
  const { promise: broken, reject } = Promise.withResolvers<never>();
  const onBroken = (): void => reject(new Error("The request was cancelled"));
  from.broken.addEventListener("abort", onBroken, { once: true });
  if (from.broken.aborted) onBroken();
  try {
    return await Promise.race([opening, broken]);
  } catch (error) {
    opening.then((late) => late.cancel(), () => {});
    throw new RelayFailedError("Cannot reach the node", { cause: error });
  } finally {
    from.broken.removeEventListener("abort", onBroken);
  }
}

async function pump(
  source: PeerStream,
  sink: PeerStream,
  options: { readonly mayHaveHeads: boolean; readonly onFirst?: () => void },
): Promise<void> {
  let isFirst = true;
  for (let frame = await source.read(); frame !== undefined; frame = await source.read()) {
    if (isFirst) options.onFirst?.();
    isFirst = false;
    if (frame.kind === "head" && !options.mayHaveHeads) throw new Error("A second head came");
    if (frame.kind === "data" && frame.bytes.length === 0) throw new Error("An empty piece came");
    await sink.write(frame);
  }
  await sink.end();
}
