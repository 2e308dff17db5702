/**
 * A model that was put into the compiled program (`deno task compile --model FILE`). llama.cpp reads files
 * of the system only, so it is copied into the models folder before its first use.
 *
 * @module
 */
import { join } from "node:path";
import { ensureDir, makeTempDir, removeIfAny, statIfAny } from "~/base/io/files.ts";

/**
 * Copies the model in `folder` (see `lib/base/io/program_files.ts`) into `modelsDir`, unless a file of its
 * name and size is there; returns its path, or undefined when there is none to copy. Two starts at once do
 * the work twice and end with one file.
 */
export async function installEmbeddedModel(
  folder: string | undefined,
  modelsDir: string,
): Promise<string | undefined> {
  const name = folder === undefined ? undefined : await findModelName(folder);
  if (folder === undefined || name === undefined) return undefined;
  const source = join(folder, name);
  const destination = join(modelsDir, name);
  const [wanted, found] = await Promise.all([Deno.stat(source), statIfAny(destination)]);
  if (found?.isFile && found.size === wanted.size) return destination;
  await ensureDir(modelsDir);
  const scratch = await makeTempDir(modelsDir, ".embedded-");
  try {
    await Deno.copyFile(source, join(scratch, name));
    await Deno.rename(join(scratch, name), destination);
  } finally {
    await removeIfAny(scratch);
  }
  return destination;
}

async function findModelName(folder: string): Promise<string | undefined> {
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.isFile && entry.name.toLowerCase().endsWith(".gguf")) return entry.name;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return undefined;
}
