import { join } from "node:path";
import { ensureTestEngine } from "./engine.ts";
import { shellWord } from "./shell_word.ts";

/**
 * A folder for `--bin-dir` whose llama-server is the real one, on one thread. Several hosts share the cores of one
 * machine in a test; with a thread for each core, every step of every engine waits for whoever has a core just now,
 * and an answer takes minutes.
 */
export async function writeRealBinDir(dir: string): Promise<string> {
  const { server } = await ensureTestEngine();
  const binDir = join(dir, "bin");
  await Deno.mkdir(binDir, { recursive: true });
  const words = [server.command, ...server.leadingArgs].map(shellWord).join(" ");
  const lines = [
    "#!/bin/sh",
    ...Object.entries(server.env).map(([name, value]) => `export ${name}=${shellWord(value)}`),
    ...(server.workingDir === undefined ? [] : [`cd ${shellWord(server.workingDir)}`]),
    `exec ${words} "$@" --threads 1`,
  ];
  const path = join(binDir, "llama-server");
  await Deno.writeTextFile(path, lines.join("\n") + "\n");
  await Deno.chmod(path, 0o755);
  return binDir;
}
