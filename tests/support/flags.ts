import { parseSync } from "@optique/core/parser";
import type { ServeFlags } from "~/cli/flags.ts";
import { commandLine, type Invocation, withDefaultCommand } from "~/cli/program.ts";

/** Parses a command line as the program does; throws the parser's complaint. */
export function invocationOf(args: readonly string[]): Invocation {
  const result = parseSync(commandLine, withDefaultCommand(args));
  if (!result.success) throw new SyntaxError(JSON.stringify(result.error));
  return result.value;
}

/** Parses the flags of `serve`. */
export function serveFlagsOf(args: readonly string[]): ServeFlags {
  const invocation = invocationOf(args);
  if (invocation.action !== "serve") throw new Error(`Parsed ${invocation.action}, wanted serve`);
  return invocation;
}
