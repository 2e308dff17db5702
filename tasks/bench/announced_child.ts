/**
 * A program of the bench as a process of its own: it says in its first line where it is to be found, and ends when its
 * stdin does.
 */
export class AnnouncedChild implements AsyncDisposable {
  readonly pid: number;
  /** What it said. */
  readonly line: string;
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;

  private constructor(
    child: Deno.ChildProcess,
    reader: ReadableStreamDefaultReader<string>,
    line: string,
  ) {
    this.#child = child;
    this.#reader = reader;
    this.pid = child.pid;
    this.line = line;
  }

  /**
   * Resolves when it has said its line.
   *
   * @param args for `deno run`, behind the permissions
   * @throws {Error} when it ends before
   */
  static async start(args: readonly string[]): Promise<AnnouncedChild> {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--quiet", ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.endsWith("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`A program of the bench ended before it was ready: ${args[0]}`);
      text += value;
    }
    return new AnnouncedChild(child, reader, text.trim());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close();
    await this.#reader.cancel();
    await this.#child.status;
  }
}
