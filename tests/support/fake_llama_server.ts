/**
 * A llama-server that does as it is told: a real process for tests of faults and for benches.
 *
 *   deno run -A tests/support/fake_llama_server.ts --script script.json --port 9000 [llama-server flags]
 *
 * Start it through `fake_engine.ts`, which makes it look like an installed engine and talks to its
 * control endpoints. What it does is in the script, a JSON file that matches {@link FakeScript}; an
 * empty object gives a well-behaved server. Without `--script` it behaves well, too.
 *
 * Like the real one: `--version`, `--help`, `--list-devices` answer and exit; `/health` says 503 until
 * loaded; everything else needs `Authorization: Bearer $LLAMA_API_KEY` when that variable is set; with
 * `LLAMA_SERVER_ROUTER_PORT` set it prints its progress and ends when its standard input ends.
 *
 * Control, without a key: `GET /__record` tells what was received (counts and aborts, no bodies);
 * `POST /__control` with a JSON object changes members of the script while it runs, and understands
 * `{"finishLoading":true}` and `{"exit":N}` besides.
 *
 * @module
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import process from "node:process";
import { defaultAnswer, FAKE_QUESTIONS, fakeFact, numberedWord } from "./fake_llama_answers.ts";

/** What the server answers on one path. */
export type FakeAnswer =
  /** Any status and text; `body` is sent as it is. */
  | {
    readonly kind: "raw";
    readonly status: number;
    readonly contentType?: string;
    readonly body: string;
  }
  /** Server-sent events. `crashAfter`: the process dies after that many; `cutAfter`: the socket does. */
  | {
    readonly kind: "stream";
    readonly chunks: number;
    readonly pauseMs?: number;
    readonly crashAfter?: number;
    readonly cutAfter?: number;
    readonly hangAfter?: number;
  }
  /** Takes the request and never answers. */
  | { readonly kind: "hang" }
  /** Closes the connection without a byte. */
  | { readonly kind: "close" }
  /** Announces more bytes than it sends, then closes. */
  | { readonly kind: "truncated"; readonly announcedBytes: number; readonly body: string }
  /** Ends the process without an answer. */
  | { readonly kind: "crash" }
  /** The usual answer. */
  | { readonly kind: "default" };

/** How a fake behaves. Every member is optional. */
export interface FakeScript {
  /** One JSON line `{"pid","port","args","env"}` (names of variables only) is added per start. */
  readonly startsFile?: string;
  readonly load?: {
    /** Printed on standard error before loading ends. */
    readonly lines?: readonly string[];
    /** Fractions reported as progress, where progress is asked for. @default {[0,0.5,1]} */
    readonly progress?: readonly number[];
    /** Loading lasts until this file exists. */
    readonly untilFile?: string;
    /** Loading lasts until `{"finishLoading":true}` arrives at the control endpoint. */
    readonly untilControl?: boolean;
    /** Exits with this status instead of finishing to load … */
    readonly exitCode?: number;
    /** … but only in the first so many starts (needs `startsFile`). @default {all} */
    readonly exitStarts?: number;
    /** Refuses the port, like one that is taken, in the first so many starts (needs `startsFile`). */
    readonly bindFailures?: number;
  };
  /** Health endpoint answers never (accepts and is silent). */
  readonly isHealthHanging?: boolean;
  /** Health endpoint answers this status once loaded. @default {200} */
  readonly healthStatus?: number;
  /** SIGTERM does nothing. */
  readonly ignoresSigterm?: boolean;
  /** The end of standard input does nothing, whatever the environment says. */
  readonly ignoresStdin?: boolean;
  /** So many requests with POST are answered; those after them wait until this is more. @default {all} */
  readonly answersUpTo?: number;
  /** Time before each answer to a POST begins, in milliseconds. @default {0} */
  readonly serviceMs?: number;
  /** Events in a stream unless the answer says so. @default {8} */
  readonly chunks?: number;
  /** Time between two events. @default {0} */
  readonly pauseMs?: number;
  /** Words have numbers, and an assistant's last message, or a prompt, is gone on with. @default {false} */
  readonly isNumbered?: boolean;
  /** Answers by path; of several the first goes first and the last stays. */
  readonly answers?: Readonly<Record<string, FakeAnswer | readonly FakeAnswer[]>>;
  /** Flags that the help names; a realistic list without this. */
  readonly flags?: readonly string[];
  readonly version?: string;
  readonly build?: number;
  /** Lines of `--list-devices`, e.g. "CUDA0: Card (24105 MiB, 20000 MiB free)". */
  readonly devices?: readonly string[];
  readonly rpcVersion?: string;
}

/** What the server has received so far. Bodies are counted, never kept. */
export interface FakeRecord {
  readonly pid: number;
  readonly isLoaded: boolean;
  /** Looks at the health. */
  readonly healthLooks: number;
  /** Requests with POST: begun, answered in full, given up by the client, at work now. */
  readonly received: number;
  readonly answered: number;
  readonly aborted: number;
  readonly active: number;
  readonly bodyBytes: number;
  readonly byPath: Readonly<Record<string, number>>;
  /** Names of the headers of the last request with POST. */
  readonly lastHeaderNames: readonly string[];
  /** Ids (`x-request-id`) of the last thousand requests with POST, oldest first. */
  readonly requestIds: readonly string[];
}

/** Largest body that is read: as much as the real proxy lets through. */
const BODY_BYTES_MAX = 65 * 1024 * 1024;
const LOAD_POLL_MS = 10;
const HELD_POLL_MS = 5;
const REQUEST_IDS_MAX = 1_000;

const ENCODER = new TextEncoder();

function printLine(text: string): void {
  Deno.stderr.writeSync(ENCODER.encode(text + "\n"));
}

function argument(name: string): string | undefined {
  const at = Deno.args.indexOf(name);
  return at < 0 ? undefined : Deno.args[at + 1];
}

/** What answers name, as with the real one. */
const MODEL_NAME = argument("--alias") ?? "fake";

class FakeServer {
  #script: FakeScript;
  readonly #port: number;
  readonly #starts: number;
  readonly #turns = new Map<string, number>();
  readonly #byPath: Record<string, number> = {};
  #isLoaded = false;
  #mayFinishLoading = false;
  #healthLooks = 0;
  #received = 0;
  #answered = 0;
  #aborted = 0;
  #active = 0;
  #bodyBytes = 0;
  #lastHeaderNames: readonly string[] = [];
  readonly #requestIds: string[] = [];

  constructor(script: FakeScript, port: number) {
    this.#script = script;
    this.#port = port;
    this.#starts = this.#noteStart();
  }

  /** Adds a line to the file of starts; returns how many there are. */
  #noteStart(): number {
    const path = this.#script.startsFile;
    if (path === undefined) return 1;
    const env = Object.keys(Deno.env.toObject()).sort();
    const line = { pid: Deno.pid, port: this.#port, args: Deno.args, env };
    Deno.writeTextFileSync(path, JSON.stringify(line) + "\n", { append: true });
    return Deno.readTextFileSync(path).trimEnd().split("\n").length;
  }

  listen(): void {
    const host = argument("--host") ?? "127.0.0.1";
    if (this.#starts <= (this.#script.load?.bindFailures ?? 0)) this.#refusePort(host);
    const server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    server.on("error", () => this.#refusePort(host));
    server.listen(this.#port, host, () => this.#load());
  }

  #refusePort(host: string): never {
    printLine(
      `0.00.010.724 E srv         start: couldn't bind HTTP server socket, hostname: ${host}, port: ${this.#port}`,
    );
    Deno.exit(1);
  }

  async #load(): Promise<void> {
    const { lines = [], progress = [0, 0.5, 1], exitCode, exitStarts = Infinity } =
      this.#script.load ?? {};
    printLine(
      `0.00.017.994 I srv    load_model: loading model '${argument("-m") ?? argument("--model")}'`,
    );
    for (const line of lines) printLine(line);
    if (Deno.env.has("LLAMA_SERVER_ROUTER_PORT")) {
      for (const value of progress) this.#printProgress(value);
    }
    if (exitCode !== undefined && this.#starts <= exitStarts) Deno.exit(exitCode);
    while (!this.#isAllowedToFinish()) await new Promise((r) => setTimeout(r, LOAD_POLL_MS));
    printLine("0.00.372.312 I srv  llama_server: model loaded");
    printLine(`0.00.372.316 I srv  llama_server: listening on http://127.0.0.1:${this.#port}`);
    this.#isLoaded = true;
  }

  #printProgress(value: number): void {
    const payload = { stages: ["text_model"], current: "text_model", value };
    const text = `cmd_child_to_router:state:${JSON.stringify({ state: "loading", payload })}\n`;
    Deno.stdout.writeSync(ENCODER.encode(text));
  }

  #isAllowedToFinish(): boolean {
    const { untilFile, untilControl } = this.#script.load ?? {};
    if (this.#mayFinishLoading) return true;
    if (untilControl === true) return false;
    if (untilFile === undefined) return true;
    try {
      Deno.statSync(untilFile);
      return true;
    } catch {
      return false;
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? "/", "http://fake").pathname;
    if (path === "/__record") return sendJson(response, 200, this.#record());
    if (path === "/__control") return await this.#control(request, response);
    if (path === "/health" || path === "/v1/health") return this.#health(response);
    if (!this.#isLoaded) return sendJson(response, 503, LOADING);
    if (!isAuthorized(request)) return sendJson(response, 401, UNAUTHORIZED);
    await this.#answer(path, request, response);
  }

  #health(response: ServerResponse): void {
    this.#healthLooks += 1;
    if (this.#script.isHealthHanging === true) return;
    if (!this.#isLoaded) return sendJson(response, 503, LOADING);
    const status = this.#script.healthStatus ?? 200;
    sendJson(response, status, status === 200 ? { status: "ok" } : { error: { code: status } });
  }

  #record(): FakeRecord {
    return {
      pid: Deno.pid,
      isLoaded: this.#isLoaded,
      healthLooks: this.#healthLooks,
      received: this.#received,
      answered: this.#answered,
      aborted: this.#aborted,
      active: this.#active,
      bodyBytes: this.#bodyBytes,
      byPath: this.#byPath,
      lastHeaderNames: this.#lastHeaderNames,
      requestIds: this.#requestIds,
    };
  }

  async #control(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const change = JSON.parse(new TextDecoder().decode(await readBody(request)));
    if (change.finishLoading === true) this.#mayFinishLoading = true;
    this.#script = { ...this.#script, ...change };
    response.on("finish", () => {
      if (typeof change.exit === "number") Deno.exit(change.exit);
    });
    sendJson(response, 200, {});
  }

  async #answer(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#byPath[path] = (this.#byPath[path] ?? 0) + 1;
    const isPost = request.method === "POST";
    // Decided before it is counted: who has seen it counted may change the script for the next one.
    const script = this.#script;
    const answer = this.#nextAnswer(path);
    if (isPost) this.#follow(request, response);
    const place = this.#received;
    // Older runtimes never end the body of a request that has none.
    const body = isPost ? await readBody(request) : new Uint8Array();
    this.#bodyBytes += body.byteLength;
    while (isPost && place > (this.#script.answersUpTo ?? Infinity) && !response.destroyed) {
      await pause(HELD_POLL_MS, response);
    }
    const serviceMs = isPost ? script.serviceMs ?? 0 : 0;
    if (serviceMs > 0) await pause(serviceMs, response);
    if (response.destroyed) return;
    await play(answer, { path, body, response, script });
  }

  /** Counts a request until its end. */
  #follow(request: IncomingMessage, response: ServerResponse): void {
    this.#received += 1;
    this.#active += 1;
    this.#lastHeaderNames = Object.keys(request.headers).sort();
    this.#requestIds.push(String(request.headers["x-request-id"]));
    if (this.#requestIds.length > REQUEST_IDS_MAX) this.#requestIds.shift();
    response.on("close", () => {
      this.#active -= 1;
      if (response.writableFinished) this.#answered += 1;
      else this.#aborted += 1;
    });
  }

  #nextAnswer(path: string): FakeAnswer {
    const scripted = this.#script.answers?.[path];
    if (scripted === undefined) return { kind: "default" };
    if (!Array.isArray(scripted)) return scripted as FakeAnswer;
    const turn = this.#turns.get(path) ?? 0;
    this.#turns.set(path, turn + 1);
    return scripted[Math.min(turn, scripted.length - 1)] ?? { kind: "default" };
  }
}

interface Exchange {
  readonly path: string;
  readonly body: Uint8Array;
  readonly response: ServerResponse;
  /** As it was when the request arrived. */
  readonly script: FakeScript;
}

async function play(answer: FakeAnswer, exchange: Exchange): Promise<void> {
  const { response } = exchange;
  switch (answer.kind) {
    case "hang":
      return;
    case "close":
      response.socket?.destroy();
      return;
    case "crash":
      return crash();
    case "raw":
      response.writeHead(answer.status, {
        "content-type": answer.contentType ?? "application/json",
        "content-length": ENCODER.encode(answer.body).byteLength,
      });
      response.end(answer.body);
      return;
    case "truncated":
      response.writeHead(200, {
        "content-type": "application/json",
        "content-length": answer.announcedBytes,
      });
      response.write(answer.body, () => response.socket?.destroy());
      return;
    case "stream":
      return await stream(answer, response);
    case "default":
      return await playDefault(exchange);
  }
}

async function playDefault({ path, body, response, script }: Exchange): Promise<void> {
  const { status, value, isStream, tokens, from } = defaultAnswer(path, body, {
    script,
    model: MODEL_NAME,
  });
  const { pauseMs = 0, isNumbered = false } = script;
  if (!isStream) {
    // In one piece it takes as long as word by word.
    if (isNumbered && tokens * pauseMs > 0) await pause(tokens * pauseMs, response);
    return sendJson(response, status, value);
  }
  const answer = { kind: "stream", chunks: tokens, pauseMs } as const;
  await stream(answer, response, isNumbered ? from : undefined);
}

const LOADING = { error: { message: "Loading model", type: "unavailable_error", code: 503 } };
const UNAUTHORIZED = {
  error: { message: "Invalid API Key", type: "authentication_error", code: 401 },
};

function isAuthorized(request: IncomingMessage): boolean {
  const key = Deno.env.get("LLAMA_API_KEY");
  return key === undefined || request.headers.authorization === `Bearer ${key}`;
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const bytes = ENCODER.encode(JSON.stringify(value));
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": bytes.byteLength,
  });
  response.end(bytes);
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request) {
    size += part.byteLength;
    if (size > BODY_BYTES_MAX) throw new RangeError("body too large");
    parts.push(part);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** Waits, but no longer than the client does. */
async function pause(ms: number, response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    response.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function stream(
  answer: Extract<FakeAnswer, { kind: "stream" }>,
  response: ServerResponse,
  firstNumber?: number,
): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const wordAt = (index: number): string =>
    firstNumber === undefined ? "word " : numberedWord(firstNumber + index);
  for (let index = 0; index < answer.chunks; index += 1) {
    if (answer.crashAfter === index) return crash();
    if (answer.cutAfter === index) return void response.socket?.destroy();
    if (answer.hangAfter === index) return;
    const content = wordAt(index);
    const delta = index === 0 ? { role: "assistant", content } : { content };
    const choices = [{ index: 0, delta }];
    const event = { object: "chat.completion.chunk", model: MODEL_NAME, choices };
    const isWritten = response.write(`data: ${JSON.stringify(event)}\n\n`);
    if (!isWritten) await drained(response);
    if ((answer.pauseMs ?? 0) > 0) await pause(answer.pauseMs ?? 0, response);
    if (response.destroyed) return;
  }
  response.end("data: [DONE]\n\n");
}

async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    response.once("drain", resolve);
    response.once("close", resolve);
  });
}

/** Dies the way llama-server does when ggml aborts. */
function crash(): void {
  printLine("/src/ggml/src/ggml.c:1234: GGML_ASSERT(scripted) failed");
  // What was written so far must leave first: the point is a break in the middle.
  setTimeout(() => Deno.exit(134), 1);
}

function watchStdin(): void {
  process.stdin.on("end", () => Deno.exit(1));
  process.stdin.resume();
}

function readScript(): FakeScript {
  const path = argument("--script");
  return path === undefined ? {} : JSON.parse(Deno.readTextFileSync(path));
}

function main(): void {
  const script = readScript();
  if (Deno.args.includes("--as-rpc-server")) {
    printLine(`Starting RPC server v${script.rpcVersion ?? "8.0.0"}`);
    printLine("Failed to create server socket");
    Deno.exit(1);
  }
  const question = FAKE_QUESTIONS.find((flag) => Deno.args.includes(flag));
  if (question !== undefined) {
    const output = question === "--version" ? Deno.stderr : Deno.stdout;
    output.writeSync(ENCODER.encode(fakeFact(question, script)));
    Deno.exit(0);
  }
  Deno.addSignalListener("SIGTERM", () => {
    if (script.ignoresSigterm !== true) Deno.exit(0);
  });
  if (Deno.env.has("LLAMA_SERVER_ROUTER_PORT") && script.ignoresStdin !== true) watchStdin();
  new FakeServer(script, Number(argument("--port") ?? "9931")).listen();
}

if (import.meta.main) main();
