/** Brings programs to the state in which they spend their life: code that was just started is interpreted. */
import type { LoadProcess } from "./load_process.ts";
import type { Target } from "./requests.ts";

const CLIENTS = 16;
/** As long as this many of the loads that are measured elsewhere. */
const LOADS = 3;

/** Compilers go on to better code for tens of thousands of requests. Both sides get them. */
export async function warmUp(
  load: LoadProcess,
  { targets, loadMs }: { readonly targets: readonly Target[]; readonly loadMs: number },
): Promise<void> {
  const common = {
    kind: "throughput",
    clients: CLIENTS,
    durationMs: LOADS * loadMs,
    cpuPids: [],
  } as const;
  for (const target of targets) {
    for (const shape of ["small", "stream"] as const) {
      await load.run({ ...common, target, shape });
    }
  }
}
