/** How the programs of `tasks/` speak and end. */

/** Writes lines to stdout, all at once. */
export function print(lines: readonly string[]): void {
  Deno.stdout.writeSync(new TextEncoder().encode(lines.join("\n") + "\n"));
}

/** Writes a line to stderr. */
export function tell(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(line + "\n"));
}

/** Ends the process with the status that `main` gives; wrong usage, a `SyntaxError`, is told and ends it with 2. */
export async function runMain(
  main: (args: readonly string[]) => number | Promise<number>,
): Promise<never> {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    tell(error.message);
    Deno.exit(2);
  }
}
