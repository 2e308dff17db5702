/** What a command is given in tests: a home of its own, and lists of what it said. */
import { join } from "node:path";
import type { CommandContext } from "~/cli/context.ts";

/** A home that is removed in the end, with the words of the commands that worked on it. */
export class CommandDesk implements AsyncDisposable {
  /** Lines on stdout: data. */
  readonly printed: string[] = [];
  /** Lines on stderr: everything else. */
  readonly told: string[] = [];
  readonly homeDir: string;

  private constructor(homeDir: string) {
    this.homeDir = homeDir;
  }

  static async open(): Promise<CommandDesk> {
    return new CommandDesk(await Deno.makeTempDir({ prefix: "mesh-llm-desk-" }));
  }

  /** What commands get, with no environment and no configuration unless told otherwise. */
  context(changes: Partial<CommandContext> = {}): CommandContext {
    return {
      env: () => undefined,
      config: {},
      homeDir: this.homeDir,
      modelsDir: join(this.homeDir, "models"),
      consolePort: 3131,
      isConsoleGiven: false,
      isJson: false,
      print: (line) => this.printed.push(line),
      tell: (line) => this.told.push(line),
      report: () => {},
      onSourceFailure: () => {},
      ...changes,
    };
  }

  /** A private file in the home. */
  async write(name: string, text: string): Promise<string> {
    const path = join(this.homeDir, name);
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.homeDir, { recursive: true });
  }
}
