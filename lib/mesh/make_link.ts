/**
 * Makes a link of a connection: runs the handshake within its limits. Until both sides have proved who they are,
 * nothing is read but the handshake's own stream.
 */
import { messageOf } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import { FrameStream } from "./frame_stream.ts";
import {
  acceptHandshake,
  dialHandshake,
  type Handshaken,
  type HandshakeWire,
  type LinkContext,
  RefusedError,
} from "./handshake.ts";
import { HANDSHAKE_BYTES_MAX, writeHandshake } from "./handshake_messages.ts";
import type { NodeId } from "./ids.ts";
import { MeshLink } from "./link.ts";
import type { ByteStream, Connection } from "./transport.ts";
import type { GateAnswer, UnprovenGate } from "./unproven.ts";
import { jsonFrame, ProtocolError, readJsonObject } from "./wire.ts";

/** For the whole handshake, from the first byte on. */
const HANDSHAKE_MS = 5_000;
/** For a refusal to reach the peer before the connection is closed under it. */
const FAREWELL_MS = 1_000;
/** Above the streams of requests. */
const CONTROL_PRIORITY = 1_000;

/** Whom a connection was made to, and with what. */
export interface DialOptions {
  readonly context: LinkContext;
  /** The node that must answer. */
  readonly expected: NodeId;
  /** To join: the token that the listener, one of its issuers, turns into our certificate. */
  readonly invite?: string | undefined;
  /** Gives the handshake up. */
  readonly signal?: AbortSignal | undefined;
}

/** A link that was dialled. */
export interface DialledLink {
  readonly link: MeshLink;
  /** The certificate that the invite was turned into. */
  readonly issued: string | undefined;
}

/**
 * Makes a link of a connection that we dialled. Closes it when that fails.
 *
 * @throws {RefusedError} when either side refuses, or nothing comes in time
 */
export async function dialLink(
  connection: Connection,
  { context, expected, invite, signal }: DialOptions,
): Promise<DialledLink> {
  const limit = new Limit(connection, context, signal);
  let stream: ByteStream | undefined;
  try {
    stream = await connection.openStream({ priority: CONTROL_PRIORITY });
    const frames = new FrameStream(stream);
    const done = await dialHandshake(wireOf(frames), {
      context,
      leafHash: connection.leafHash,
      sees: connection.remoteAddress,
      expected,
      invite,
    });
    limit.lift();
    return { link: linkOf({ connection, context, frames, done }), issued: done.issued };
  } catch (error) {
    throw await turnDown(error, { connection, context, stream, limit });
  }
}

/** Where a connection came in. */
export interface AcceptOptions {
  readonly context: LinkContext;
  /** Shared by all connections of one node. */
  readonly gate: UnprovenGate;
}

/**
 * Makes a link of a connection that came in. Closes it when that fails.
 *
 * @throws {RefusedError} when either side refuses, too many are at the door, or nothing comes in time
 */
export async function acceptLink(
  connection: Connection,
  { context, gate }: AcceptOptions,
): Promise<MeshLink> {
  const { ip } = connection.remoteAddress;
  const answer = gate.enter(ip);
  try {
    return await listen(connection, context, answer);
  } finally {
    gate.leave(ip, answer);
  }
}

async function listen(
  connection: Connection,
  context: LinkContext,
  answer: GateAnswer,
): Promise<MeshLink> {
  const limit = new Limit(connection, context);
  let stream: ByteStream | undefined;
  try {
    if (answer === "drop") throw new RefusedError("busy", "Too many strangers are at the door");
    stream = await connection.acceptStream();
    if (stream === undefined) throw new RefusedError("lost", "The peer said nothing");
    if (answer === "turn_away") {
      throw new RefusedError("busy", "Too many nodes are joining at this moment: try again");
    }
    const second = connection.acceptStream();
    const frames = new FrameStream(stream);
    const done = await limit.withoutSecondStream(
      second,
      acceptHandshake(wireOf(frames), {
        context,
        leafHash: connection.leafHash,
        sees: connection.remoteAddress,
      }),
    );
    limit.lift();
    return linkOf({ connection, context, frames, done, firstStream: second });
  } catch (error) {
    throw await turnDown(error, { connection, context, stream, limit });
  }
}

function linkOf(
  { connection, context, frames, done, firstStream }: {
    readonly connection: Connection;
    readonly context: LinkContext;
    readonly frames: FrameStream;
    readonly done: Handshaken;
    readonly firstStream?: Promise<ByteStream | undefined>;
  },
): MeshLink {
  const { clock, timers } = context;
  const { peer, observed } = done;
  return new MeshLink({
    connection,
    frames,
    peer,
    observedAddress: observed,
    clock,
    timers,
    firstStream,
  });
}

function wireOf(frames: FrameStream): HandshakeWire {
  return {
    send: (json) => frames.bytes.write(jsonFrame(json)),
    async receive(): Promise<JsonObject> {
      const frame = await frames.next(HANDSHAKE_BYTES_MAX);
      if (frame === undefined) throw new RefusedError("lost", "The peer closed the connection");
      return readJsonObject(frame);
    },
  };
}

/** Ends the connection when the handshake takes too long, so that every wait in it ends too. */
class Limit {
  /** Why the connection was ended; undefined while it was not. */
  broken: RefusedError | undefined;
  readonly #connection: Connection;
  readonly #cancel: () => void;
  readonly #signal: AbortSignal | undefined;

  constructor(connection: Connection, { timers }: LinkContext, signal?: AbortSignal) {
    this.#connection = connection;
    this.#signal = signal;
    this.#cancel = timers.after(HANDSHAKE_MS, () => {
      this.#break("timeout", `The handshake took more than ${HANDSHAKE_MS / 1000} s`);
    });
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort);
  }

  /** No limit any more. */
  stop(): void {
    this.#cancel();
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }

  /** The handshake is done, unless it was broken off at the last moment: then this throws. */
  lift(): void {
    this.stop();
    if (this.broken !== undefined) throw this.broken;
  }

  /** Waits for the handshake; a stream that the peer opens meanwhile ends the connection. */
  async withoutSecondStream<T>(
    second: Promise<ByteStream | undefined>,
    handshake: Promise<T>,
  ): Promise<T> {
    let isDone = false;
    second.then((stream) => {
      if (isDone || stream === undefined) return;
      this.#break("protocol", "A second stream came before the proof");
    }, () => {});
    try {
      return await handshake;
    } finally {
      isDone = true;
    }
  }

  readonly #onAbort = () => this.#break("lost", "The dial was given up");

  #break(code: string, message: string): void {
    this.broken ??= new RefusedError(code, message);
    this.#connection.close();
  }
}

/** Tells the peer, where it can still hear, closes the connection, and gives what is to be thrown. */
async function turnDown(
  error: unknown,
  { connection, context, stream, limit }: {
    readonly connection: Connection;
    readonly context: LinkContext;
    readonly stream: ByteStream | undefined;
    readonly limit: Limit;
  },
): Promise<RefusedError> {
  limit.stop();
  const refused = limit.broken ?? asRefusal(error);
  const isOurs = !refused.byPeer && refused.code !== "lost" && refused.code !== "timeout";
  if (isOurs && limit.broken === undefined && stream !== undefined) {
    await sayNo(refused, { connection, context, stream });
  }
  connection.close();
  return refused;
}

function asRefusal(error: unknown): RefusedError {
  if (error instanceof RefusedError) return error;
  if (error instanceof ProtocolError) return new RefusedError("protocol", error.message);
  return new RefusedError("lost", `The connection broke: ${messageOf(error)}`);
}

/** Writes the refusal and waits until the peer has it: closing a connection drops what is still on its way. */
async function sayNo(
  { code, message }: RefusedError,
  { connection, context, stream }: {
    readonly connection: Connection;
    readonly context: LinkContext;
    readonly stream: ByteStream;
  },
): Promise<void> {
  const limit = Promise.withResolvers<void>();
  const cancel = context.timers.after(FAREWELL_MS, limit.resolve);
  const said = async () => {
    await stream.write(jsonFrame(writeHandshake({ t: "refuse", code, message })));
    // Whoever has accepted us already reads control messages.
    await stream.write(jsonFrame({ t: "bye", reason: code }));
    await stream.end();
    await connection.closed;
  };
  await Promise.race([said().catch(() => {}), limit.promise]);
  cancel();
}
