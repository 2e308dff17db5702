/**
 * A model that was put into the compiled program (`deno task compile --model FILE`). llama.cpp reads files
 * of the system only, so it is copied into the models folder before its first use.
 *
 * @module
 */
import { join } from "node:path";
import { ensureDir, makeTempDir, removeIfAny, statIfAny } from "~/base/io/files.ts";

/** Folder beside the program's code that holds the model; `tasks/compile.ts` makes it. */
export const EMBEDDED_MODEL_FOLDER = "embedded-model";

/** Where to look. */
export interface EmbeddedModelOptions {
  /** Folder that holds the program's code. @default {import.meta.dirname} */
  readonly programDir?: string | undefined;
}

/**
 * Copies the program's own model into `modelsDir`, unless a file of its name and size is there; returns its
 * path, or undefined when the program has none. Two starts at once do the work twice and end with one file.
 */
export async function installEmbeddedModel(
  modelsDir: string,
  options: EmbeddedModelOptions = {},
): Promise<string | undefined> {
  const { programDir = import.meta.dirname } = options;
  if (programDir === undefined) return undefined;
  const folder = join(programDir, EMBEDDED_MODEL_FOLDER);
  const name = await findModelName(folder);
  if (name === undefined) return undefined;
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
