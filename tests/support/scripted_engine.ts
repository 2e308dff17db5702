import http from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { HttpUpstream } from "~/proxy/io/http_upstream.ts";
import type { EngineScript, SeenRequest, UpstreamFixture } from "./engine_script.ts";

/** An HTTP server on loopback that answers by scripts, in the order in which they were given. */
export class ScriptedEngine implements AsyncDisposable {
  readonly #server: http.Server;
  readonly #sockets = new Set<Socket>();
  readonly #scripts: { script: EngineScript; saw: (seen: SeenRequest) => void }[] = [];
  #otherwise: EngineScript | undefined;
  /** Connections accepted so far. */
  connectionCount = 0;

  private constructor(server: http.Server) {
    this.#server = server;
  }

  static async open(): Promise<ScriptedEngine> {
    const server = http.createServer();
    const engine = new ScriptedEngine(server);
    server.on("request", (incoming, outgoing) => void engine.#serve(incoming, outgoing));
    server.on("connection", (socket: Socket) => {
      engine.connectionCount += 1;
      engine.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => engine.#sockets.delete(socket));
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return engine;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next request without a script gets this one; resolves when it came. */
  script(script: EngineScript): Promise<SeenRequest> {
    const { promise, resolve } = Promise.withResolvers<SeenRequest>();
    this.#scripts.push({ script, saw: resolve });
    return promise;
  }

  /** Every request that has no script of its own gets this one. */
  answerAlways(script: EngineScript): void {
    this.#otherwise = script;
  }

  /** Cuts every connection, as a server does with idle ones. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cutAll();
    await closed;
  }

  async #serve(incoming: http.IncomingMessage, outgoing: http.ServerResponse): Promise<void> {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const cancel = Promise.withResolvers<void>();
    incoming.on("error", () => {});
    outgoing.on("error", () => {});
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) cancel.resolve();
    });
    for await (const piece of incoming) pieces.push(piece);
    const next = this.#scripts.shift();
    const script = next?.script ?? this.#otherwise;
    next?.saw({
      method: incoming.method ?? "",
      path: incoming.url ?? "",
      headers: new Headers(incoming.headers as Record<string, string>),
      body: new Uint8Array(await new Blob(pieces).arrayBuffer()),
      cancelled: cancel.promise,
    });
    if (script === undefined || script.cut === "before the head") incoming.socket.destroy();
    else if (script.isSilent !== true) await play(script, outgoing);
  }
}

async function play(script: EngineScript, outgoing: http.ServerResponse): Promise<void> {
  const { status = 200, headers = {}, whole, pieces, cut } = script;
  if (pieces === undefined) {
    const length = whole?.length ?? 0;
    outgoing.writeHead(status, { ...headers, "content-length": length });
    outgoing.end(whole);
    return;
  }
  outgoing.writeHead(status, { ...headers });
  outgoing.flushHeaders();
  for await (const piece of pieces()) {
    if (outgoing.destroyed) return;
    await written(outgoing, piece);
  }
  if (cut === undefined) outgoing.end();
  else outgoing.socket?.destroy();
}

/** Writes and waits until the system took it, since a cut would throw away what it did not. */
function written(outgoing: http.ServerResponse, piece: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      outgoing.off("close", settle);
      resolve();
    };
    outgoing.on("close", settle);
    outgoing.write(piece, settle);
  });
}

/** A fixture for the contract suite, over a real connection. */
export async function openHttpUpstream(): Promise<UpstreamFixture> {
  const engine = await ScriptedEngine.open();
  const upstream = new HttpUpstream({ port: engine.port, apiKey: "engine-key" });
  // A port that was free a moment ago, and that nobody listens on.
  const gone = await ScriptedEngine.open();
  const nowhere = new HttpUpstream({ port: gone.port });
  await gone[Symbol.asyncDispose]();
  return {
    upstream,
    nowhere,
    script: (script) => engine.script(script),
    [Symbol.asyncDispose]: async () => {
      upstream.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}
