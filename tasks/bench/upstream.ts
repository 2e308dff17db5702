/**
 * The fastest llama-server there can be: it understands enough flags to be started as one, and answers chat
 * completions with words that cost nothing. What a request takes through the program and not here is the
 * program's own.
 *
 * `max_tokens` of a stream is the number of its events; `bench_pause_ms` the time before each.
 * `bench_answer_bytes` asks for an answer of that size. A large body is read to its end and not looked at.
 */
import { fakeHelp } from "#support/fake_llama_answers.ts";
import { flagValue } from "./proc.ts";
import { ANSWER_BYTES_MEMBER, LARGE_BODY_BYTES, PAUSE_MEMBER, SENT_MEMBER } from "./requests.ts";

const ENCODER = new TextEncoder();
const JSON_HEADERS = { "content-type": "application/json; charset=utf-8" };
/** A large answer is written in pieces of this size. */
const LARGE_PIECE_BYTES = 64 * 1024;

/** One event of a stream, in two halves: the moment of sending goes between them. */
const EVENT_HEAD =
  'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"word "}}],' +
  `"created":1700000000,"id":"chatcmpl-bench","model":"bench","${SENT_MEMBER}":`;
const EVENT_TAIL = ',"object":"chat.completion.chunk"}\n\n';
const DONE = ENCODER.encode("data: [DONE]\n\n");

const SMALL = JSON.stringify({
  choices: [{ finish_reason: "stop", index: 0, message: { role: "assistant", content: "word" } }],
  created: 1_700_000_000,
  id: "chatcmpl-bench",
  model: "bench",
  object: "chat.completion",
  usage: { completion_tokens: 1, prompt_tokens: 12, total_tokens: 13 },
});

function answer(request: Request, key: string | undefined): Response | Promise<Response> {
  if (request.url.endsWith("/health")) return json('{"status":"ok"}');
  if (key !== undefined && request.headers.get("authorization") !== `Bearer ${key}`) {
    return json('{"error":{"code":401,"message":"Invalid API Key"}}', 401);
  }
  if (request.method === "POST") return complete(request);
  // By this the program knows that its own engine answers, and not a stranger on the same port.
  if (request.url.endsWith("/v1/models")) return json('{"object":"list","data":[]}');
  return json('{"error":{"code":404,"message":"File Not Found"}}', 404);
}

async function complete(request: Request): Promise<Response> {
  if (Number(request.headers.get("content-length")) >= LARGE_BODY_BYTES) {
    await request.body?.pipeTo(new WritableStream());
    return json(SMALL);
  }
  const body = await request.json();
  if (ANSWER_BYTES_MEMBER in body) return largeAnswer(Number(body[ANSWER_BYTES_MEMBER]));
  if (body.stream !== true) return json(SMALL);
  const chunks = Number(body.max_tokens);
  const pauseMs = Number(body[PAUSE_MEMBER] ?? 0);
  return new Response(eventStream(chunks, pauseMs), {
    headers: { "content-type": "text/event-stream" },
  });
}

function json(text: string, status = 200): Response {
  return new Response(text, { status, headers: JSON_HEADERS });
}

/** Blanks, which are nearly JSON. Made as fast as they are taken. */
function largeAnswer(sizeBytes: number): Response {
  const piece = new Uint8Array(LARGE_PIECE_BYTES).fill(0x20);
  let left = sizeBytes;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (left === 0) return controller.close();
      const next = piece.subarray(0, left);
      left -= next.length;
      controller.enqueue(next.slice());
    },
  }, { highWaterMark: 0 });
  return new Response(body, { headers: { ...JSON_HEADERS, "content-length": String(sizeBytes) } });
}

/** Each event is a chunk of its own, made when the one before was taken. */
function eventStream(chunks: number, pauseMs: number): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    async pull(controller) {
      if (sent === chunks) {
        controller.enqueue(DONE);
        return controller.close();
      }
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      sent += 1;
      const sentUs = Math.round((performance.timeOrigin + performance.now()) * 1000);
      controller.enqueue(ENCODER.encode(EVENT_HEAD + sentUs + EVENT_TAIL));
    },
  }, { highWaterMark: 0 });
}

/** Words of llama-server for flags that only ask; undefined when it is to serve. */
function spokenAnswer(args: readonly string[]): string | undefined {
  if (args.includes("--version")) return "version: 0.7.0 (build 11669, commit bench)\n";
  if (args.includes("--help")) return fakeHelp(undefined);
  if (args.includes("--list-devices")) return "Available devices:\n  (none)\n";
  return undefined;
}

/** Ends with whoever started this: the pipe to it breaks. */
async function endWithStdin(): Promise<void> {
  const buffer = new Uint8Array(64);
  while (await Deno.stdin.read(buffer) !== null);
  Deno.exit(0);
}

function main(args: readonly string[]): void {
  const words = spokenAnswer(args);
  if (words !== undefined) {
    const stream = args.includes("--version") ? Deno.stderr : Deno.stdout;
    stream.writeSync(ENCODER.encode(words));
    return;
  }
  const key = Deno.env.get("LLAMA_API_KEY");
  const hostname = flagValue(args, "--host") ?? "127.0.0.1";
  const port = Number(flagValue(args, "--port") ?? "0");
  Deno.serve({
    hostname,
    port,
    onListen: (address) =>
      void Deno.stderr.writeSync(
        ENCODER.encode(
          `0.00.000.001 I srv  llama_server: listening on http://127.0.0.1:${address.port}\n`,
        ),
      ),
  }, (request) => answer(request, key));
  if (Deno.env.has("LLAMA_SERVER_ROUTER_PORT")) void endWithStdin();
}

if (import.meta.main) main(Deno.args);
