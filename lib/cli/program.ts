/** The command line as a whole: commands, their help, and the type of what was asked. */
import { merge, object, or } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { optional } from "@optique/core/modifiers";
import { argument, command, constant, option } from "@optique/core/primitives";
import { choice, float, string } from "@optique/core/valueparser";
import { commonFlags, serveFlags } from "./flags.ts";

const MODEL = argument(string({ metavar: "MODEL" }), {
  description: message`Catalogue name, path, org/repo/file.gguf or Hugging Face URL`,
});

const serve = merge(object({ action: constant("serve") }), serveFlags);

const nodeCommands = or(
  command("serve", serve, {
    brief: message`Run a node in the foreground (what no command does)`,
    description: message`Runs a node: answers the OpenAI API and serves a model.`,
  }),
  command("stop", merge(object({ action: constant("stop") }), commonFlags), {
    brief: message`End the node of this home`,
  }),
  command("status", merge(object({ action: constant("status") }), commonFlags), {
    brief: message`What the running node does`,
  }),
  command(
    "drop",
    merge(object({ action: constant("drop"), model: MODEL }), commonFlags),
    { brief: message`Stop serving a model on the running node` },
  ),
  command("doctor", merge(object({ action: constant("doctor") }), commonFlags), {
    brief: message`What works here, what does not, and what to do`,
  }),
);

const engine = merge(
  object({
    action: constant("engine"),
    step: optional(
      argument(choice(["install"], { metavar: "ACTION" }), {
        description: message`"install" fetches llama.cpp now`,
      }),
    ),
    binDir: optional(
      option("--bin-dir", string({ metavar: "DIR" }), { description: message`Look here first` }),
    ),
  }),
  commonFlags,
);

const modelCommands = or(
  command("models", merge(object({ action: constant("models") }), commonFlags), {
    brief: message`Models: catalogue, on disk, served`,
  }),
  command(
    "download",
    merge(
      object({
        action: constant("download"),
        model: MODEL,
        draft: option("--draft", {
          description: message`Its draft model too (not in this version yet)`,
        }),
      }),
      commonFlags,
    ),
    { brief: message`Fetch a model without serving it` },
  ),
  command("plan", merge(object({ action: constant("plan"), model: MODEL }), commonFlags), {
    brief: message`Whether and how a model would fit, without starting anything`,
  }),
  command("engine", engine, {
    brief: message`Which llama.cpp, from where`,
    description: message`Tells which llama.cpp was found: version, build, RPC version, devices.`,
  }),
);

const ROLE = choice(["member", "client"], { metavar: "ROLE" });
const TEXT = string({ metavar: "TEXT" });

const meshCommands = or(
  command("members", merge(object({ action: constant("members") }), commonFlags), {
    brief: message`Who is in the mesh, how each is reached, what it serves`,
  }),
  command(
    "join",
    merge(
      object({
        action: constant("join"),
        token: optional(argument(string({ metavar: "TOKEN" }), {
          description:
            message`Invite token; @file or MESH_LLM_JOIN keep it out of the list of processes`,
        })),
      }),
      commonFlags,
    ),
    { brief: message`Let the running node join a mesh` },
  ),
  command(
    "invite",
    merge(
      object({
        action: constant("invite"),
        role: optional(
          option("--role", ROLE, {
            description:
              message`What who comes may do: client asks, member serves too (default member)`,
          }),
        ),
        expires: optional(
          option("--expires", TEXT, {
            description: message`For how long, such as 12h or 7d (default 7d)`,
          }),
        ),
      }),
      commonFlags,
    ),
    { brief: message`Make an invite token` },
  ),
  command(
    "revoke",
    merge(
      object({
        action: constant("revoke"),
        subject: argument(string({ metavar: "NODE|SERIAL" }), {
          description:
            message`Id of a node, or at least its first 6 characters; serial of an invite or certificate`,
        }),
        keep: option("--keep", {
          description: message`Whom the revoked node let in may stay`,
        }),
      }),
      commonFlags,
    ),
    { brief: message`Take a node or an invite out of the mesh` },
  ),
  command("rotate-key", merge(object({ action: constant("rotate-key") }), commonFlags), {
    brief: message`Change the certificate of this node's links, while it does not run`,
  }),
  command(
    "mesh-key",
    command("export", merge(object({ action: constant("mesh-key-export") }), commonFlags), {
      brief: message`Print the private key of the mesh for safe keeping`,
    }),
    { brief: message`The key of a mesh that was started here` },
  ),
  command(
    "discover",
    merge(
      object({
        action: constant("discover"),
        discoverModel: optional(option("--model", TEXT, { description: message`Serving this` })),
        minVramGb: optional(
          option("--min-vram", float({ metavar: "GB", min: 0 }), {
            description: message`With at least that much memory`,
          }),
        ),
        discoverRegion: optional(
          option("--region", TEXT, { description: message`In this region` }),
        ),
        discoverAuto: option("--auto", { description: message`Print just the best token` }),
      }),
      commonFlags,
    ),
    { brief: message`Find public meshes (not in this version yet)` },
  ),
);

/** The whole command line; flags without a command are those of `serve`. */
export const commandLine = or(nodeCommands, modelCommands, meshCommands, serve);

/** What was asked for on the command line. */
export type Invocation = typeof commandLine["$valueType"][number];

/** The arguments to parse: nothing at all means `serve`. */
export function withDefaultCommand(args: readonly string[]): readonly string[] {
  return args.length === 0 ? ["serve"] : args;
}
