/** What a well-behaved fake llama-server says; see `fake_llama_server.ts`. Pure. */
import type { FakeScript } from "./fake_llama_server.ts";

/** Flags of llama-server 0.7.0 that the program may use, as its help spells them. */
const HELP_LINES = [
  "-h,    --help, --usage                  print usage and exit",
  "--version                               show version and build info",
  "-t,    --threads N                      number of CPU threads to use during generation",
  "-c,    --ctx-size N                     size of the prompt context (default: 0)",
  "-b,    --batch-size N                   logical maximum batch size (default: 2048)",
  "-ub,   --ubatch-size N                  physical maximum batch size (default: 512)",
  "-dev,  --device <dev1,dev2,..>          comma-separated list of devices to use for offloading",
  "--list-devices                          print list of available devices and exit",
  "-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers to store in VRAM",
  "-fit,  --fit [on|off]                   whether to adjust unset arguments to fit in device memory",
  "-m,    --model FNAME                    model path to load",
  "-lv,   --verbosity, --log-verbosity N   Set the verbosity threshold",
  "--offline                               Offline mode: forces use of cache",
  "-cram, --cache-ram N                    set the maximum cache size in MiB (default: 8192)",
  "-np,   --parallel N                     number of server slots (default: -1, -1 = auto)",
  "-a,    --alias STRING                   set model name aliases",
  "--host HOST                             IP addresses to listen on",
  "--port PORT                             port to listen (default: 9931)",
  "--cors-origins ORIGINS                  comma-separated list of allowed origins for CORS",
  "--ui,  --webui, --no-ui, --no-webui     whether to enable the Web UI (default: enabled)",
  "--api-key KEY                           API key to use for authentication",
  "--metrics                               enable prometheus compatible metrics endpoint",
  "--slots, --no-slots                     expose slots monitoring endpoint (default: enabled)",
  "--jinja, --no-jinja                     whether to use jinja template engine for chat",
];

/** What the server is asked about itself; it prints one answer and ends. */
export const FAKE_QUESTIONS = ["--version", "--help", "--list-devices"] as const;

/** Its answer, as the script wants it: `version` goes to standard error, the others to standard output. */
export function fakeFact(question: typeof FAKE_QUESTIONS[number], script: FakeScript): string {
  switch (question) {
    case "--version":
      return `version: ${script.version ?? "0.7.0"} (build ${
        script.build ?? 11669
      }, commit fake)\n`;
    case "--help":
      return fakeHelp(script.flags);
    case "--list-devices":
      return ["Available devices:", ...script.devices ?? ["(none)"]].join("\n  ") + "\n";
  }
}

/** The help text: the usual one, or one that names just `flags`. */
export function fakeHelp(flags: readonly string[] | undefined): string {
  const lines = flags?.map((flag) => `${flag.padEnd(40)}as scripted`) ?? HELP_LINES;
  return ["----- common params -----", "", ...lines, ""].join("\n");
}

/** A whole answer, or how long a stream is. */
export interface DefaultAnswer {
  readonly status: number;
  readonly value: unknown;
  readonly isStream: boolean;
  readonly tokens: number;
  /** Number of the first word. */
  readonly from: number;
}

interface RequestBody {
  readonly messages?: unknown;
  readonly stream?: unknown;
  readonly "max_tokens"?: unknown;
  readonly content?: unknown;
}

/** What the real server would answer, in shape; `model` is what it calls its model. */
export function defaultAnswer(
  path: string,
  body: Uint8Array,
  { script, model }: { readonly script: FakeScript; readonly model: string },
): DefaultAnswer {
  const request = parse(body);
  if (request === undefined) {
    return whole(400, {
      error: { code: 400, message: "parse error", type: "invalid_request_error" },
    });
  }
  const limit = typeof request.max_tokens === "number" ? request.max_tokens : Infinity;
  const from = script.isNumbered === true ? wordsGiven(request.messages) : 0;
  const tokens = Math.max(0, Math.min((script.chunks ?? 8) - from, limit));
  if (request.stream === true) return { status: 200, value: null, isStream: true, tokens, from };
  return { ...wholeAnswer(path, request, { tokens, model }), tokens };
}

function wholeAnswer(
  path: string,
  request: RequestBody,
  { tokens, model }: { readonly tokens: number; readonly model: string },
): DefaultAnswer {
  const text = "word ".repeat(tokens).trimEnd();
  switch (path) {
    case "/v1/chat/completions":
      return whole(200, {
        object: "chat.completion",
        model,
        created: 1_700_000_000,
        choices: [{
          index: 0,
          finish_reason: "stop",
          message: { role: "assistant", content: text },
        }],
        usage: { prompt_tokens: 1, completion_tokens: tokens, total_tokens: tokens + 1 },
      });
    case "/v1/completions":
      return whole(200, { object: "text_completion", choices: [{ index: 0, text }] });
    case "/v1/messages":
      return whole(200, { type: "message", role: "assistant", content: [{ type: "text", text }] });
    case "/v1/messages/count_tokens":
      return whole(200, { input_tokens: 1 });
    case "/v1/responses":
      return whole(200, { object: "response", status: "completed", output: [] });
    case "/v1/models":
      return whole(200, { object: "list", data: [{ id: "fake", object: "model" }] });
    case "/tokenize":
      return whole(200, { tokens: [...String(request.content ?? "")].map((_, index) => index) });
    case "/detokenize":
      return whole(200, { content: text });
    case "/apply-template":
      return whole(200, { prompt: text });
    case "/infill":
      return whole(200, { content: text });
    case "/props":
      return whole(200, { total_slots: 1 });
    case "/slots":
      return whole(200, [{ id: 0, is_processing: false }]);
    case "/v1/embeddings":
    case "/v1/rerank":
      return whole(501, {
        error: {
          code: 501,
          message: "This server does not support it",
          type: "not_supported_error",
        },
      });
    default:
      return whole(404, {
        error: { code: 404, message: "File Not Found", type: "not_found_error" },
      });
  }
}

function whole(status: number, value: unknown): DefaultAnswer {
  return { status, value, isStream: false, tokens: 0, from: 0 };
}

/** A word that tells its place. */
export function numberedWord(index: number): string {
  return index === 0 ? "w0" : ` w${index}`;
}

/** How many words an assistant's last message holds. */
function wordsGiven(messages: unknown): number {
  const last = Array.isArray(messages) ? messages.at(-1) : undefined;
  if (last?.role !== "assistant") return 0;
  return String(last.content).split(" ").length;
}

/** The body as an object; undefined when it is not JSON. An empty body counts as an empty object. */
function parse(body: Uint8Array): RequestBody | undefined {
  if (body.byteLength === 0) return {};
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}
