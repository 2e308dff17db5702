/** Entry of the program: parses the command line, runs the command, turns errors into exit codes. */
import process from "node:process";
import { message, text } from "@optique/core/message";
import type { TerminalTheme } from "@optique/core/terminal";
import { run } from "@optique/run";
import { messageOf, UserError } from "~/base/errors.ts";
import { VERSION_TEXT } from "~/base/version.ts";
import { type CommandContext, openContext } from "./context.ts";
import { examples } from "./flags.ts";
import { commandLine, type Invocation, withDefaultCommand } from "./program.ts";
import { refuseUnbuilt } from "./unbuilt.ts";

const PROGRAM = "mesh-llm";

const HELP_BRIEF = message`Pools the computers you have behind one OpenAI-compatible address.`;

/** Wrong usage is told by the parser, but in the words of all other failures. */
const THEME: TerminalTheme = { errorLabel: () => ({ type: "text", text: `${PROGRAM}:` }) };

const HELP_EXAMPLES = examples([
  ["mesh-llm", "serve the best model that fits"],
  ["mesh-llm --model ~/models/qwen.gguf", "serve a model file"],
  ["mesh-llm --model org/repo/file.gguf", "fetch it from Hugging Face first"],
  ["mesh-llm --listen-all --api-key @keys.txt", "for others too, with a key"],
  ["mesh-llm --join @token.txt", "join the mesh of an invite token"],
  ["mesh-llm --client --join @token.txt", "use that mesh, serve nothing"],
  ["mesh-llm invite --expires 12h", "make another token"],
  ["mesh-llm status --json", "what the running node does"],
  ["mesh-llm doctor", "what works and what does not"],
  ["mesh-llm stop", "end the node"],
]);

/** Runs the program with its arguments and ends the process. */
export async function main(): Promise<void> {
  const invocation = parse(Deno.args);
  process.exit(await execute(invocation));
}

/** Parses; help, version, completion and wrong usage end the process here. */
function parse(args: readonly string[]): Invocation {
  return run(commandLine, {
    programName: PROGRAM,
    theme: THEME,
    args: withDefaultCommand(args),
    help: "both",
    version: { value: VERSION_TEXT, option: true },
    completion: "command",
    aboveError: "none",
    errorExitCode: 2,
    commandList: "top-level",
    showUsage: true,
    usageLine: [
      { type: "argument", metavar: "[COMMAND]" },
      { type: "argument", metavar: "[FLAGS]" },
    ],
    brief: HELP_BRIEF,
    description: [text("Examples:"), ...HELP_EXAMPLES],
    footer: message`Every command takes --json. Environment, files and errors: docs/OPERATING.md`,
  });
}

async function execute(invocation: Invocation): Promise<number> {
  try {
    refuseUnbuilt(invocation);
    return await dispatch(invocation, await openContext(invocation));
  } catch (error) {
    process.stderr.write(describe(error) + "\n");
    return error instanceof UserError ? error.exitCode : 1;
  }
}

/** Loads no more of the program than the command needs: `serve` is most of it. */
async function dispatch(invocation: Invocation, context: CommandContext): Promise<number> {
  switch (invocation.action) {
    case "serve":
      return (await import("./commands/serve.ts")).serve(context, invocation);
    case "stop":
      return (await import("./commands/running.ts")).stop(context);
    case "status":
      return (await import("./commands/running.ts")).status(context);
    case "drop":
      return (await import("./commands/running.ts")).drop(context, invocation.model);
    case "doctor":
      return (await import("./commands/doctor.ts")).doctor(context);
    case "models":
      return (await import("./commands/models.ts")).models(context);
    case "download":
      return (await import("./commands/models.ts")).download(context, invocation.model);
    case "plan":
      return (await import("./commands/models.ts")).plan(context, invocation.model);
    case "engine":
      return (await import("./commands/engine.ts")).engine(context, invocation);
    case "members":
      return (await import("./commands/mesh.ts")).members(context);
    case "join":
      return (await import("./commands/mesh.ts")).join(context, invocation.token);
    case "invite":
      return (await import("./commands/mesh.ts")).invite(context, invocation);
    case "revoke":
      return (await import("./commands/mesh.ts")).revoke(context, invocation);
    case "rotate-key":
      return (await import("./commands/keys.ts")).rotateKey(context);
    case "mesh-key-export":
      return (await import("./commands/keys.ts")).printMeshKey(context);
    default:
      // refuseUnbuilt() ended with all others.
      throw new UserError(`mesh-llm ${invocation.action} is not available`, { exitCode: 2 });
  }
}

/** One sentence for what a person can mend; everything that helps to report a defect otherwise. */
function describe(error: unknown): string {
  if (error instanceof UserError) return `${PROGRAM}: ${error.message}`;
  const detail = error instanceof Error ? error.stack ?? error.message : messageOf(error);
  return `${PROGRAM}: this should not happen, please report it:\n${detail}`;
}
