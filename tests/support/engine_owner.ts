/**
 * A process that owns an engine and can be killed: prints the process id of its server once that
 * is ready, then waits to be ended.
 *
 *   deno run -A tests/support/engine_owner.ts '{"home":"…","install":{…},"plan":{…},"usesSetpriv":true}'
 */
import { join } from "node:path";
import { systemClock, systemRng, systemSecrets, systemTimers } from "~/base/io/system.ts";
import { engineProcesses } from "~/engine/io/child_process.ts";
import { freePorts } from "~/engine/io/free_port.ts";
import { httpHealthProbe } from "~/engine/io/health.ts";
import { inspectEngine } from "~/engine/io/inspect.ts";
import { openRunDir } from "~/engine/io/run_dir.ts";
import type { ServerPlan } from "~/engine/command_line.ts";
import type { EngineInstall } from "~/engine/install.ts";
import { EngineDriver } from "~/node/engine_driver.ts";

/** What the process is told. */
export interface EngineOwnerOrder {
  readonly home: string;
  readonly install: EngineInstall;
  readonly plan: ServerPlan;
  readonly usesSetpriv: boolean;
}

/** An owner that runs. */
export interface EngineOwner {
  readonly pid: number;
  readonly serverPid: number;
  /** Kills it without any chance to clean up; resolves when it is gone. */
  kill(): Promise<void>;
}

/** Starts an owner; resolves when its server is ready. */
export async function startEngineOwner(order: EngineOwnerOrder): Promise<EngineOwner> {
  const config = join(import.meta.dirname ?? ".", "..", "..", "deno.json");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `--config=${config}`, import.meta.filename ?? "", JSON.stringify(order)],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const part = await reader.read();
    if (part.done) throw new Error("The owner ended before its engine was ready");
    text += part.value;
  }
  return {
    pid: child.pid,
    serverPid: Number(text),
    async kill(): Promise<void> {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    },
  };
}

async function own({ home, install, plan, usesSetpriv }: EngineOwnerOrder): Promise<void> {
  const runDir = await openRunDir(home);
  const driver = new EngineDriver({
    clock: systemClock,
    timers: systemTimers,
    rng: systemRng,
    secrets: systemSecrets,
    processes: engineProcesses({ runDir, usesSetpriv }),
    probe: httpHealthProbe(),
    ports: freePorts,
    parentEnv: Deno.env.toObject(),
  });
  driver.subscribe(({ phase, pid }) => {
    if (phase === "ready") Deno.stdout.writeSync(new TextEncoder().encode(`${pid}\n`));
  });
  const facts = await inspectEngine(install, { parentEnv: Deno.env.toObject() });
  driver.start({ install, facts, plan });
}

if (import.meta.main) await own(JSON.parse(Deno.args[0] ?? "{}"));
