/** The OpenAI door on a real port, with a scripted engine behind it on another. */
import { type HttpLimits, type HttpServer, serveHttp } from "~/base/io/http_server.ts";
import { systemClock, systemTimers } from "~/base/io/system.ts";
import { KeyRing } from "~/base/http_guard.ts";
import { createOpenAiApp, type ProxyLimits } from "~/proxy/app.ts";
import type { RequestEvent } from "~/proxy/events.ts";
import { HttpUpstream } from "~/proxy/io/http_upstream.ts";
import { RawClient } from "./raw_http.ts";
import { ScriptedEngine } from "./scripted_engine.ts";
import { TestTable } from "./test_door.ts";

/** What a test may set. */
export interface SocketDoorOptions {
  readonly slots?: number;
  readonly keys?: readonly string[];
  readonly limits?: Partial<ProxyLimits>;
  readonly http?: Partial<HttpLimits>;
}

interface Waiting {
  readonly kind: RequestEvent["kind"];
  readonly resolve: () => void;
}

/** A door that listens. */
export class SocketDoor implements AsyncDisposable {
  readonly server: HttpServer;
  readonly engine: ScriptedEngine;
  readonly events: RequestEvent[];
  readonly #upstream: HttpUpstream;
  readonly #waiting: Waiting[];
  readonly #key: string | undefined;

  private constructor(parts: {
    server: HttpServer;
    engine: ScriptedEngine;
    upstream: HttpUpstream;
    events: RequestEvent[];
    waiting: Waiting[];
    key: string | undefined;
  }) {
    this.server = parts.server;
    this.engine = parts.engine;
    this.events = parts.events;
    this.#upstream = parts.upstream;
    this.#waiting = parts.waiting;
    this.#key = parts.key;
  }

  static async open(options: SocketDoorOptions = {}): Promise<SocketDoor> {
    const engine = await ScriptedEngine.open();
    const upstream = new HttpUpstream({ port: engine.port, apiKey: "engine-key" });
    const table = new TestTable();
    table.serve("tiny", upstream, { slots: options.slots ?? 4 });
    const events: RequestEvent[] = [];
    const waiting: Waiting[] = [];
    const app = createOpenAiApp({
      rng: { next: () => 0 },
      nodeId: "node-here",
      table,
      localTable: table,
      policy: { hosts: "loopback" },
      keys: options.keys === undefined ? undefined : new KeyRing(options.keys),
      clock: systemClock,
      timers: systemTimers,
      newRequestId: () => crypto.randomUUID(),
      observe(event) {
        events.push(event);
        const at = waiting.findIndex(({ kind }) => kind === event.kind);
        if (at >= 0) waiting.splice(at, 1)[0]?.resolve();
      },
      metrics: () => Promise.resolve({ contentType: "text/plain", text: "" }),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    const server = await serveHttp({
      listen: "loopback",
      port: 0,
      purpose: "OpenAI API",
      portFlag: "--port",
      fetch: (request, env) => app.fetch(request, env),
      ...(options.http === undefined ? {} : { limits: options.http }),
    });
    return new SocketDoor({ server, engine, upstream, events, waiting, key: options.keys?.[0] });
  }

  /** Resolves at the next event of this kind. */
  next(kind: RequestEvent["kind"]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ kind, resolve });
    return promise;
  }

  connect(): Promise<RawClient> {
    return RawClient.connect(this.server.port);
  }

  /** Another client asks and gets its answer: nobody holds the door up. */
  async assertServing(): Promise<void> {
    const seen = this.engine.script({ whole: new TextEncoder().encode('{"ok":true}') });
    using client = await this.connect();
    const key = this.#key === undefined ? "" : `authorization: Bearer ${this.#key}\r\n`;
    await client.send(postOf("/v1/completions", '{"model":"tiny"}', key));
    const answer = await client.readAnswer();
    if (answer.status !== 200) throw new Error(`Got ${answer.status}: ${answer.body}`);
    await seen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close({ graceMs: 0 });
    this.#upstream.close();
    await this.engine[Symbol.asyncDispose]();
  }
}

/** A POST as bytes on the wire. */
export function postOf(path: string, body: string, headers = ""): string {
  return headOf(path, `content-length: ${body.length}\r\n${headers}`) + body;
}

/** The head of a POST. */
export function headOf(path: string, headers = ""): string {
  return `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${headers}\r\n`;
}
