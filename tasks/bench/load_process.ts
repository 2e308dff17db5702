/** Starts `load.ts` and gives it jobs. */
import type { Job, Results } from "./jobs.ts";

const LOAD = new URL("./load.ts", import.meta.url).pathname;
/** No job takes this long; reaching it ends the bench instead of hanging it. */
const JOB_LIMIT_MS = 600_000;
/** The generator ends by itself when its stdin does. */
const END_LIMIT_MS = 5_000;

/** A load generator in a process of its own. */
export class LoadProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor() {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--quiet", LOAD],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Runs one job; one at a time. */
  async run<T extends Job>(job: T): Promise<Results[T["kind"]]> {
    const timer = setTimeout(() => this.#kill(), JOB_LIMIT_MS);
    try {
      await this.#writer.write(new TextEncoder().encode(JSON.stringify(job) + "\n"));
      const answer = JSON.parse(await this.#line());
      if (typeof answer.error === "string") throw new Error(`Cannot measure: ${answer.error}`);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const part = await this.#reader.read();
      if (part.done) throw new Error("The load generator ended in the middle of a job");
      this.#text += part.value;
    }
  }

  #kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#kill(), END_LIMIT_MS);
    await this.#writer.close().catch(() => {});
    await this.#child.status;
    clearTimeout(timer);
    await this.#reader.cancel().catch(() => {});
  }
}
