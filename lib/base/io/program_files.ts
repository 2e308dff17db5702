/**
 * Files that lie inside the compiled program, beside its code. They can be read like any file, but have no
 * mode and cannot be executed or handed to another program: they are copied out first.
 *
 * @module
 */
import { join } from "node:path";

/** Folder of a packed engine, made by `deno task compile`. */
export const EMBEDDED_ENGINE_FOLDER = "embedded-engine";
/** Folder of a packed model. */
export const EMBEDDED_MODEL_FOLDER = "embedded-model";

/**
 * Path of a folder inside the compiled program, there or not; undefined when the program runs from its
 * sources, where nothing is packed. Bundling gives all code one folder, so this file's is the program's.
 */
export function embeddedFolder(
  name: string,
  program: { readonly isCompiled: boolean; readonly dir: string | undefined } = {
    isCompiled: Deno.build.standalone,
    dir: import.meta.dirname,
  },
): string | undefined {
  return program.isCompiled && program.dir !== undefined ? join(program.dir, name) : undefined;
}
