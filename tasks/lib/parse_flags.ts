/** Flags of the programs of tasks/. */
import { parseArgs, type ParseArgsConfig } from "node:util";

type Flags = NonNullable<ParseArgsConfig["options"]>;
type Values<T extends Flags> = ReturnType<
  typeof parseArgs<{ options: T; strict: true; allowPositionals: false }>
>["values"];

/**
 * Reads a command line that holds nothing but these flags.
 *
 * @throws {SyntaxError} when something else is in it
 */
export function parseFlags<T extends Flags>(args: readonly string[], options: T): Values<T> {
  try {
    return parseArgs({ args: [...args], strict: true, allowPositionals: false, options }).values;
  } catch (cause) {
    throw new SyntaxError(`Cannot parse the flags: ${(cause as Error).message}`, { cause });
  }
}
