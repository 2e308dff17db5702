/** Looks at processes of this machine through `/proc`, as `ps` does, and at what they leave in files. */
import { join } from "node:path";

/** True while a process with this id runs; one that has ended and waits to be collected does not. */
export async function isAlive(pid: number): Promise<boolean> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "");
  return status !== "" && !/^State:\s+[ZX]/m.test(status);
}

/** The arguments that every user of the machine can see. */
export async function argumentsOf(pid: number): Promise<string[]> {
  const text = await Deno.readTextFile(`/proc/${pid}/cmdline`);
  return text.split("\0").slice(0, -1);
}

/** The environment that the process was started with. */
export async function environmentOf(pid: number): Promise<Record<string, string>> {
  const text = await Deno.readTextFile(`/proc/${pid}/environ`);
  const pairs = text.split("\0").slice(0, -1).map((line) => {
    const at = line.indexOf("=");
    return [line.slice(0, at), line.slice(at + 1)] as const;
  });
  return Object.fromEntries(pairs);
}

/** The processes that the process started itself and that are still there. */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
  return text.split(" ").filter((word) => word !== "").map(Number);
}

/** Ends a process that may be gone already. */
export function killIfAny(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) && !(error instanceof TypeError)) throw error;
  }
}

/** All files below a folder, with what is in them. */
export async function readTree(dir: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    const path = join(dir, name);
    if (isDirectory) { for (const [inner, text] of await readTree(path)) files.set(inner, text); }
    else files.set(path, await Deno.readTextFile(path));
  }
  return files;
}
