/** Runs both ends of a bare link (`link_end.ts`), each a process of its own. */
const END = new URL("./link_end.ts", import.meta.url).pathname;

/** What exchanges over a bare link took, each on a stream of its own. */
export interface BareLinkTimes {
  /** Next to nothing both ways. */
  readonly smallMs: readonly number[];
  /** The large body from the dialer to the listener. */
  readonly upMs: readonly number[];
  readonly downMs: readonly number[];
}

/** Moves `sizeBytes` each way, `rounds` times. */
export async function timeBareLink(sizeBytes: number, rounds: number): Promise<BareLinkTimes> {
  const args = ["run", "--allow-all", "--quiet", END];
  const listener = new Deno.Command(Deno.execPath(), {
    args: [...args, "listen"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = listener.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    let where = "";
    while (!where.endsWith("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error("The listening end of a link ended");
      where += value;
    }
    const words = [...args, "dial", where.trim(), String(sizeBytes), String(rounds)];
    const output = await new Deno.Command(Deno.execPath(), { args: words, stderr: "inherit" })
      .output();
    if (!output.success) throw new Error("The dialling end of a link failed");
    return JSON.parse(new TextDecoder().decode(output.stdout));
  } finally {
    await listener.stdin.close();
    await reader.cancel();
    await listener.status;
  }
}
