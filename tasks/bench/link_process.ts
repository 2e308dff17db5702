/** Runs both ends of a bare link (`link_end.ts`), each a process of its own. */
import { AnnouncedChild } from "./announced_child.ts";

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
  await using listener = await AnnouncedChild.start([END, "listen"]);
  const words = ["dial", listener.line, String(sizeBytes), String(rounds)];
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--quiet", END, ...words],
    stderr: "inherit",
  }).output();
  if (!output.success) throw new Error("The dialling end of a link failed");
  return JSON.parse(new TextDecoder().decode(output.stdout));
}
