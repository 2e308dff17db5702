import { runCommand } from "~/base/io/command.ts";
import { identifyProcess } from "~/base/io/process_identity.ts";
import type { ProcessMark } from "../run_record.ts";

/** `ps` answers at once; PowerShell takes half a second to start. */
const TOOL_TIMEOUT_MS = 10_000;

/** What tells the process `pid` from every other one; undefined when there is no such process. */
export async function markProcess(pid: number = Deno.pid): Promise<ProcessMark | undefined> {
  const identity = await identifyProcess(pid);
  if (identity === undefined) return undefined;
  const { startTicks, bootId } = identity;
  const started = startTicks === undefined ? await startedByTool(pid) : String(startTicks);
  return {
    pid,
    ...(started === undefined ? {} : { started }),
    ...(bootId === undefined ? {} : { bootId }),
  };
}

/** When it started, in the words of a system without `/proc`. */
async function startedByTool(pid: number): Promise<string | undefined> {
  try {
    const { code, stdout } = await runCommand({
      ...toolCommand(pid),
      // The same words in every language, so that two answers can be compared.
      env: { LC_ALL: "C", TZ: "UTC" },
      timeoutMs: TOOL_TIMEOUT_MS,
    });
    const text = stdout.trim();
    return code === 0 && text !== "" ? text : undefined;
  } catch {
    return undefined;
  }
}

function toolCommand(pid: number): { readonly command: string; readonly args: readonly string[] } {
  if (Deno.build.os !== "windows") {
    return { command: "ps", args: ["-o", "lstart=", "-p", `${pid}`] };
  }
  const script = `(Get-Process -Id ${pid}).StartTime.ToUniversalTime().Ticks`;
  return { command: "powershell", args: ["-NoProfile", "-NonInteractive", "-Command", script] };
}
