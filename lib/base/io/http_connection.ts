/**
 * One connection of `http_server.ts`: requests come in, answers go out in the same order.
 *
 * The difficulty is to know whether the client is still there. Its FIN means either "I have said all
 * I wanted" (`nc`, scripts that shut down their sending half) or "I am gone" (an aborted `fetch`). Only
 * writing tells: a client that is gone answers with RST. While there is nothing to write yet, the
 * informational answer 102 (RFC 2518, 10.1; clients skip it) is written now and then as a probe. So that
 * the FIN is seen at all, there is always a read under way, also while an answer is computed.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../errors.ts";
import { CONTINUE, headWithBody, makeScratch, PROCESSING, statusLine } from "../http1_answer.ts";
import { HttpFormatError } from "../http1_head.ts";
import { type RequestHead, RequestParser, type RequestSink } from "../http1_request.ts";
import type { HttpLimits } from "./http_server.ts";
import { type DoorFetch, Exchange, type ExchangeLine } from "./http_exchange.ts";

const log = getLogger(["mesh-llm", "base"]);

/** One read: a whole small request. Large bodies come in many. */
const READ_BYTES = 16 * 1024;
/**
 * Requests on one connection whose answers are not complete. Who sends thousands and reads nothing would
 * fill the memory. Few clients pipeline at all.
 */
const PIPELINED_MAX = 32;
/** How long a client that sent rubbish may take to read its 400. */
const REFUSAL_MS = 1_000;
/** First probes after a FIN: quick, since most FINs are clients that left. */
const PROBE_QUICK_MS = 100;
const PROBE_QUICK_COUNT = 5;
/** Later probes: whoever survived the first ones most likely waits for its answer. */
const PROBE_SLOW_MS = 1_000;
/** Time that a body may take of the thread in a row: half of what others may be held up. */
const BODY_SLICE_MS = 5;
/** The same in bytes, as reading them takes time too: some 5 ms. */
const BODY_SLICE_BYTES = 1024 * 1024;

/** What a connection needs of its server. */
export interface ConnectionHost {
  readonly limits: HttpLimits;
  readonly fetch: DoorFetch;
  /** True when no more requests are wanted. */
  readonly isClosing: boolean;
  /** The connection is no more. */
  onClosed(connection: HttpConnection): void;
}

/** What a connection waits for; each has its limit. */
type Phase = "idle" | "head" | "answer" | "linger" | "retired";

/** Owns one socket. */
export class HttpConnection implements RequestSink, ExchangeLine {
  readonly #conn: Deno.TcpConn;
  readonly #host: ConnectionHost;
  readonly #parser: RequestParser;
  /** Those whose answers have not left, oldest first. */
  readonly #exchanges: Exchange[] = [];
  readonly #turns = new Map<Exchange, () => void>();
  /** The one whose body is being read. */
  #reading: Exchange | undefined;
  #wake: (() => void) | undefined;
  /** Said when the answers before it have left. */
  #refusal: Uint8Array | undefined;
  #interim: Promise<unknown> | undefined;
  #probe: ReturnType<typeof setTimeout> | undefined;
  #isHalfClosed = false;
  /** Nothing that still comes is looked at. */
  #isRetired = false;
  /** Something came that was not looked at. */
  #hasUnread = false;
  #isClosed = false;
  #sliceMs = 0;
  #sliceBytes = 0;
  /** Counts requests, to tell one wait from the next. */
  #requests = 0;
  /** Made with the first answer: many connections never get one. */
  #scratch: Uint8Array | undefined;
  #isWriting = false;
  /** Counts writes, to tell a client that takes a little from one that takes nothing. */
  #writes = 0;
  #onDestroyed: (() => void) | undefined;
  readonly #seen = { phase: "idle" as Phase, requests: 0, sinceMs: 0, writes: 0, writeSinceMs: 0 };

  constructor(conn: Deno.TcpConn, host: ConnectionHost) {
    this.#conn = conn;
    this.#host = host;
    this.#parser = new RequestParser(this, host.limits);
    this.#seen.sinceMs = performance.now();
  }

  get scratch(): Uint8Array {
    return this.#scratch ??= makeScratch();
  }

  /** Requests whose answers are not complete. */
  get exchangeCount(): number {
    return this.#exchanges.length;
  }

  /** Reads until the connection ends; never rejects. */
  async run(): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    try {
      this.#conn.setNoDelay(true);
      while (!this.#isClosed) {
        if (this.#reading?.isFull === true) await this.#untilWoken();
        else if (this.#isSliceOver) await this.#letOthers();
        else {
          const count = await this.#conn.read(buffer);
          if (count === null) return await this.#endHalfClosed();
          this.#sliceBytes += count;
          if (this.#isRetired) this.#hasUnread = true;
          else this.#take(buffer.subarray(0, count));
        }
      }
    } catch (error) {
      // Reset by the client, or closed by us while it was read.
      log.debug("A connection ended: {error}", { error: messageOf(error) });
      this.destroy();
    }
  }

  /** No further request is wanted: ends now when there is none, and after the last answer otherwise. */
  closeSoon(): void {
    const newest = this.#exchanges.at(-1);
    if (newest === undefined) this.destroy();
    else newest.closeAfter();
  }

  /** Ends the connection at once. */
  destroy(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#probe);
    try {
      this.#conn.close();
    } catch {
      // The runtime has closed it already.
    }
    for (const exchange of this.#exchanges.splice(0)) exchange.onClosed();
    for (const turn of this.#turns.values()) turn();
    this.#turns.clear();
    this.#wake?.();
    this.#onDestroyed?.();
    this.#host.onClosed(this);
  }

  /**
   * Compares with what was seen before, and acts on what lasts too long. Called now and then: it costs less
   * than timers for every request.
   */
  look(nowMs: number): void {
    const { limits } = this.#host;
    const phase = this.#phase();
    const seen = this.#seen;
    if (phase !== seen.phase || this.#requests !== seen.requests) {
      seen.phase = phase;
      seen.requests = this.#requests;
      seen.sinceMs = nowMs;
    }
    if (!this.#isWriting || this.#writes !== seen.writes) {
      seen.writes = this.#writes;
      seen.writeSinceMs = nowMs;
    }
    if (nowMs - seen.writeSinceMs >= limits.stalledReaderMs) return this.destroy();
    const waitedMs = nowMs - seen.sinceMs;
    if (phase === "head" && waitedMs >= limits.headMs) {
      this.#refuse(408, "Cannot wait longer for the head of this request");
    } else if (phase === "idle" && waitedMs >= limits.idleMs) this.destroy();
    else if (phase === "linger" && waitedMs >= limits.lingerMs) this.destroy();
    else if (phase === "retired" && waitedMs >= REFUSAL_MS) this.destroy();
  }

  onHead(head: RequestHead): boolean {
    if (this.#exchanges.length >= PIPELINED_MAX) {
      this.destroy();
      return false;
    }
    this.#requests += 1;
    const exchange = new Exchange(head, this);
    if (this.#host.isClosing) exchange.closeAfter();
    this.#exchanges.push(exchange);
    this.#reading = exchange;
    void exchange.answer(this.#host.fetch);
    return !this.#isClosed;
  }

  onBody(bytes: Uint8Array): void {
    this.#reading?.onBody(bytes);
  }

  onEnd(): boolean {
    const exchange = this.#reading;
    this.#reading = undefined;
    exchange?.onBodyEnd();
    // What follows a request that ends the connection is not for us.
    if (exchange?.mustClose === true) this.#isRetired = true;
    return !this.#isRetired && !this.#isClosed;
  }

  turnOf(exchange: Exchange): Promise<void> | undefined {
    if (this.#exchanges[0] === exchange || this.#isClosed) return undefined;
    return new Promise((resolve) => this.#turns.set(exchange, resolve));
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#interim !== undefined) await this.#interim;
    this.#isWriting = true;
    try {
      for (let written = 0; written < bytes.length;) {
        this.#writes += 1;
        written += await this.#conn.write(written === 0 ? bytes : bytes.subarray(written));
      }
    } catch (error) {
      this.destroy();
      throw error;
    } finally {
      this.#isWriting = false;
    }
  }

  askForBody(exchange: Exchange): void {
    const turn = this.turnOf(exchange);
    if (turn === undefined) this.#writeInterim(CONTINUE);
    else {
      void turn.then(() => {
        if (!exchange.isHeadSent) this.#writeInterim(CONTINUE);
      });
    }
  }

  readOn(): void {
    this.#wake?.();
  }

  onAnswered(exchange: Exchange): void {
    this.#exchanges.shift();
    if (exchange === this.#reading) exchange.throwBodyAway();
    const next = this.#exchanges[0];
    if (exchange.mustClose) void this.#retire();
    else if (next !== undefined) {
      this.#turns.get(next)?.();
      this.#turns.delete(next);
      if (this.#isHalfClosed) this.#probeLater(0);
    } else if (this.#refusal !== undefined) void this.#sayRefusal(this.#refusal);
    else if (this.#isHalfClosed) this.destroy();
  }

  #take(bytes: Uint8Array): void {
    const startMs = this.#parser.isInBody ? performance.now() : undefined;
    try {
      this.#hasUnread = !this.#parser.push(bytes);
    } catch (error) {
      if (!(error instanceof HttpFormatError)) throw error;
      this.#onNonsense(error);
    }
    if (startMs === undefined) return;
    this.#sliceMs += performance.now() - startMs;
  }

  #onNonsense(error: HttpFormatError): void {
    this.#isRetired = true;
    this.#hasUnread = true;
    const reading = this.#reading;
    this.#reading = undefined;
    // The head was fine: the app says what is wrong with the body.
    if (reading !== undefined) reading.failBody(error);
    else this.#refuse(400, `Cannot read this request: ${messageOf(error)}`);
  }

  /** The client sent FIN: it may be gone. Resolves when the connection has ended. */
  async #endHalfClosed(): Promise<void> {
    this.#isHalfClosed = true;
    const destroyed = new Promise<void>((resolve) => this.#onDestroyed = resolve);
    const newest = this.#exchanges.at(-1);
    if (newest === undefined) {
      const isCut = !this.#isRetired && this.#parser.isInHead;
      if (isCut) this.#refuse(400, "Cannot read this request: it ended too early");
      else this.destroy();
    } else {
      newest.closeAfter();
      // Everything that was sent has been read by now: what is missing will not come.
      this.#reading?.failBody(new Error("The client ended its body too early"));
      this.#reading = undefined;
      this.#probeLater(0);
    }
    if (!this.#isClosed) await destroyed;
  }

  #refuse(status: number, text: string): void {
    this.#isRetired = true;
    const refusal = refusalOf(status, text);
    if (this.#exchanges.length === 0) void this.#sayRefusal(refusal);
    else this.#refusal = refusal;
  }

  async #sayRefusal(refusal: Uint8Array): Promise<void> {
    try {
      await this.write(refusal);
      await this.#retire();
    } catch {
      // It left without waiting for the answer.
    }
  }

  /**
   * Ends the connection after its last answer. While bytes may be unread that would reset it, and the client
   * would lose its answer: then the client is told the end, and may go first.
   */
  async #retire(): Promise<void> {
    const isAllRead = !this.#hasUnread && this.#reading === undefined && !this.#parser.isInBody;
    this.#isRetired = true;
    if (isAllRead || this.#isHalfClosed) return this.destroy();
    await this.#conn.closeWrite().catch(() => this.destroy());
  }

  #phase(): Phase {
    if (this.#exchanges.length > 0) return "answer";
    if (this.#isRetired) return "retired";
    if (this.#parser.isInBody) return "linger";
    return this.#parser.isInHead ? "head" : "idle";
  }

  /** Writes between answers; whoever writes next waits for it. */
  #writeInterim(bytes: Uint8Array): void {
    const writing = this.#conn.write(bytes).catch(() => this.destroy()).finally(() => {
      if (this.#interim === writing) this.#interim = undefined;
    });
    this.#interim = writing;
  }

  #probeLater(count: number): void {
    clearTimeout(this.#probe);
    const delayMs = count < PROBE_QUICK_COUNT ? PROBE_QUICK_MS : PROBE_SLOW_MS;
    this.#probe = setTimeout(() => {
      const oldest = this.#exchanges[0];
      if (this.#isClosed || oldest === undefined || oldest.isHeadSent) return;
      if (oldest.head.isHttp11 && this.#interim === undefined) this.#writeInterim(PROCESSING);
      this.#probeLater(count + 1);
    }, delayMs);
  }

  get #isSliceOver(): boolean {
    return this.#sliceMs >= BODY_SLICE_MS || this.#sliceBytes >= BODY_SLICE_BYTES;
  }

  /**
   * The runtime reads on as long as there is something to read, and lets nothing else run meanwhile: a body of
   * 64 MiB from this machine held up everybody for seconds, and a flood would keep off even its own limit.
   */
  async #letOthers(): Promise<void> {
    this.#sliceMs = 0;
    this.#sliceBytes = 0;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  async #untilWoken(): Promise<void> {
    await new Promise<void>((resolve) => this.#wake = resolve);
    this.#wake = undefined;
  }
}

function refusalOf(status: number, text: string): Uint8Array {
  const body = `${text}\n`;
  return headWithBody(
    `${statusLine(status)}connection: close\r\ncontent-type: text/plain\r\n` +
      `content-length: ${body.length}\r\n\r\n${body}`,
    undefined,
  );
}
