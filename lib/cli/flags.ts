/** Every flag of the program, as Optique parsers. Names and meaning are fixed by the interface. */
import { group, merge, object } from "@optique/core/constructs";
import { lineBreak, message, text } from "@optique/core/message";
import type { Message } from "@optique/core/message";
import { multiple, optional } from "@optique/core/modifiers";
import { option } from "@optique/core/primitives";
import { choice, float, integer, string } from "@optique/core/valueparser";

const PORT = integer({ metavar: "PORT", min: 0, max: 65_535 });
const NAME = string({ metavar: "NAME" });
const DIR = string({ metavar: "DIR" });

/** Levels of `--log-level`, most talkative first. */
const LOG_LEVELS = ["trace", "debug", "info", "warning", "error", "fatal"] as const;

/** Flags that every command takes. */
const COMMON = object({
  home: optional(
    option("--home", DIR, { description: message`Folder of all state (default ~/.mesh-llm)` }),
  ),
  console: optional(
    option("--console", PORT, {
      description: message`Port of the management API and web console (default 3131)`,
    }),
  ),
  logLevel: optional(
    option("--log-level", choice(LOG_LEVELS, { metavar: "LEVEL" }), {
      description: message`How much to log on stderr (default info)`,
    }),
  ),
  logFormat: optional(
    option("--log-format", choice(["text", "json"], { metavar: "FORMAT" }), {
      description: message`Logs for people or for machines (default text)`,
    }),
  ),
  json: option("--json", { description: message`Machine-readable output on stdout` }),
});

/** The flags that every command takes, under their own heading in the help. */
export const commonFlags = group("Common options", COMMON);

const MODEL_FLAGS = object({
  models: multiple(
    option("--model", NAME, {
      description:
        message`Model to serve here: a path, a catalogue name, org/repo/file.gguf or a Hugging Face URL (a second one, asked of the mesh, is not in this version yet)`,
    }),
  ),
  ctxSize: optional(
    option("--ctx-size", integer({ metavar: "TOKENS", min: 64, max: 16_777_216 }), {
      description: message`Context length of one request in tokens (default: what fits)`,
    }),
  ),
  parallel: optional(
    option("--parallel", integer({ metavar: "SLOTS", min: 1, max: 256 }), {
      description: message`Requests answered at once (default: what fits)`,
    }),
  ),
  maxVramGb: optional(
    option("--max-vram", float({ metavar: "GB", min: 0.1, max: 1_000_000 }), {
      description: message`Offer at most that much memory`,
    }),
  ),
  device: optional(
    option("--device", NAME, { description: message`llama.cpp device to use, e.g. CUDA0` }),
  ),
  binDir: optional(
    option("--bin-dir", DIR, { description: message`Folder with llama.cpp binaries of your own` }),
  ),
});

const DRAFT_FLAGS = object({
  draft: optional(
    option("--draft", string({ metavar: "PATH" }), {
      description: message`Draft model for speculative decoding`,
    }),
  ),
  draftMax: optional(
    option("--draft-max", integer({ metavar: "TOKENS", min: 1, max: 64 }), {
      description: message`Tokens drafted at most`,
    }),
  ),
  noDraft: option("--no-draft", { description: message`No speculative decoding` }),
});

const DOOR_FLAGS = object({
  port: optional(
    option("--port", PORT, { description: message`Port of the OpenAI API (default 9337)` }),
  ),
  listenAll: option("--listen-all", {
    description: message`API and console on all addresses; needs an API key`,
  }),
  apiKeys: multiple(
    option("--api-key", string({ metavar: "KEY" }), {
      description: message`Key accepted on /v1; @file reads keys from a file, one a line`,
    }),
  ),
});

const MESH_FLAGS = object({
  join: multiple(
    option("--join", "-j", string({ metavar: "TOKEN" }), {
      description:
        message`Join a mesh; @file reads the token from a file, which keeps it out of the list of processes, as MESH_LLM_JOIN does`,
    }),
  ),
  client: option("--client", { description: message`Use a mesh, serve nothing` }),
  bindPort: optional(
    option("--bind-port", PORT, {
      description: message`UDP port of peer links, for port forwarding (default: any)`,
    }),
  ),
  advertise: multiple(
    option("--advertise", string({ metavar: "HOST[:PORT]" }), {
      description: message`Where others can dial this node, when it cannot see that itself`,
    }),
  ),
  closed: option("--closed", {
    description: message`Only the originator of the mesh may invite`,
  }),
});

const SPLIT_FLAGS = object({
  split: option("--split", {
    description: message`Split the model over the mesh even if it fits here`,
  }),
  tensorSplit: optional(
    option(
      "--tensor-split",
      string({ metavar: "A,B,…", pattern: /^\d+(\.\d+)?(,\d+(\.\d+)?)*$/ }),
      {
        description: message`Fixed shares of the split`,
      },
    ),
  ),
});

const LISTING_FLAGS = object({
  auto: option("--auto", { description: message`Find a public mesh and join the best` }),
  publish: option("--publish", { description: message`List this mesh publicly` }),
  meshName: optional(option("--mesh-name", NAME, { description: message`Name of the mesh` })),
  region: optional(
    option("--region", string({ metavar: "R" }), { description: message`Region of the listing` }),
  ),
  maxClients: optional(
    option("--max-clients", integer({ metavar: "N", min: 0 }), {
      description: message`Clients admitted by the listing`,
    }),
  ),
  nostrRelays: multiple(
    option("--nostr-relay", string({ metavar: "URL" }), { description: message`Nostr relay` }),
  ),
});

/** All flags of `serve`, which is also what the program does without a command. */
export const serveFlags = merge(
  group("Model and engine", MODEL_FLAGS),
  group("Doors", DOOR_FLAGS),
  group("Mesh", MESH_FLAGS),
  group("Speculative decoding (not in this version yet)", DRAFT_FLAGS),
  group("Split (not in this version yet)", SPLIT_FLAGS),
  group("Public listing (not in this version yet)", LISTING_FLAGS),
  commonFlags,
);

/** Values of the flags that every command takes. */
export type CommonFlags = typeof COMMON["$valueType"][number];
/** Values of all flags of `serve`. */
export type ServeFlags =
  & CommonFlags
  & typeof MODEL_FLAGS["$valueType"][number]
  & typeof DOOR_FLAGS["$valueType"][number]
  & typeof MESH_FLAGS["$valueType"][number]
  & typeof DRAFT_FLAGS["$valueType"][number]
  & typeof SPLIT_FLAGS["$valueType"][number]
  & typeof LISTING_FLAGS["$valueType"][number];

/** One line of help text per example: command first, meaning after. */
export function examples(lines: readonly (readonly [command: string, meaning: string])[]): Message {
  const width = Math.max(...lines.map(([command]) => command.length));
  return lines.flatMap(([command, meaning]) => [
    lineBreak(),
    text(`  ${command.padEnd(width)}  ${meaning}`),
  ]);
}
