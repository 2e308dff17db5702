import { join } from "node:path";
import { UserError } from "~/base/errors.ts";

/** Files of one engine; upstream's largest archive has about 100, Debian's packages 1,500. */
const FILES_MAX = 20_000;

/** A file or link below a folder; folders themselves are not listed. */
export interface WalkedFile {
  /** Relative to the folder, with `/`. */
  readonly path: string;
  readonly isLink: boolean;
}

/** Lists everything below `dir`, links not followed. */
export async function walkFiles(dir: string): Promise<WalkedFile[]> {
  const files: WalkedFile[] = [];
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for await (const entry of Deno.readDir(join(dir, folder))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory) folders.push(path);
      else files.push({ path, isLink: entry.isSymlink });
      if (files.length + folders.length > FILES_MAX) {
        throw new UserError(`Cannot use "${dir}": it holds more than ${FILES_MAX} files`);
      }
    }
  }
  return files;
}
