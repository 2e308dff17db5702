/** Runs `forwarder.ts` as a process of its own. */
const FORWARDER = new URL("./forwarder.ts", import.meta.url).pathname;

/** A process that forwards TCP to one port. */
export class ForwarderProcess implements AsyncDisposable {
  readonly pid: number;
  /** Where it listens. */
  readonly port: number;
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;

  private constructor(
    child: Deno.ChildProcess,
    reader: ReadableStreamDefaultReader<string>,
    port: number,
  ) {
    this.#child = child;
    this.#reader = reader;
    this.pid = child.pid;
    this.port = port;
  }

  /** Resolves when it listens. @throws {Error} when it ends before */
  static async start(targetPort: number): Promise<ForwarderProcess> {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-net", "--quiet", FORWARDER, String(targetPort)],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.endsWith("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error("The forwarder of the bench ended");
      text += value;
    }
    return new ForwarderProcess(child, reader, Number(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close();
    await this.#reader.cancel();
    await this.#child.status;
  }
}
