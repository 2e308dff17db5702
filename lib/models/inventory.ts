/** Models on disk: where they may lie, which files count, and what each is called. */
import { modelIdOfFile } from "./resolve.ts";
import { parseSplitName } from "./split_name.ts";

/** A folder that may hold models. */
export interface ModelFolder {
  readonly path: string;
  /** Whose folder it is, in the user's words. */
  readonly owner: string;
}

/** Where models may lie. Paths are absolute; a variable that is not set is absent. */
export interface ModelPlaces {
  /** Folder of mesh-llm's own models. */
  readonly modelsDir: string;
  /** Home folder of the person. */
  readonly userHome?: string;
  /** `HF_HOME`, `HF_HUB_CACHE`, `XDG_CACHE_HOME`. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A file found by a scan. */
export interface FoundFile {
  /** As found: keeps the ".gguf" name where the file itself is a blob behind a link. */
  readonly path: string;
  /** Without links; tells that two paths lead to one file. */
  readonly realPath: string;
  readonly sizeBytes: number;
  readonly owner: string;
}

/** A model on disk. */
export interface InventoryModel {
  /** The name that clients use; unique in an inventory. */
  readonly id: string;
  /** The file, or the first part of a split one. */
  readonly path: string;
  /** All parts together. */
  readonly sizeBytes: number;
  readonly owner: string;
}

/** The folders to scan, own ones first: where two hold the same name, the first one has it. */
export function modelFolders({ modelsDir, userHome, env }: ModelPlaces): ModelFolder[] {
  const folders: ModelFolder[] = [{ path: modelsDir, owner: "mesh-llm" }];
  if (userHome !== undefined) folders.push({ path: `${userHome}/.models`, owner: "~/.models" });
  const hub = huggingFaceHub(userHome, env);
  if (hub !== undefined) folders.push({ path: hub, owner: "Hugging Face cache" });
  if (userHome !== undefined) {
    folders.push({ path: `${userHome}/.lmstudio/models`, owner: "LM Studio" });
    folders.push({ path: `${userHome}/.cache/lm-studio/models`, owner: "LM Studio" });
  }
  return folders;
}

/** As Hugging Face's own library finds it; variables that are set to nothing are not set. */
function huggingFaceHub(
  userHome: string | undefined,
  env: ModelPlaces["env"],
): string | undefined {
  const below = (dir: string | undefined, name: string) =>
    dir === undefined || dir === "" ? undefined : `${dir}/${name}`;
  const cache = env["XDG_CACHE_HOME"] || below(userHome, ".cache");
  const hfHome = env["HF_HOME"] || below(cache, "huggingface");
  return env["HF_HUB_CACHE"] || below(hfHome, "hub");
}

/**
 * True for files that may be models by their name. Not models: what only makes sense with another file
 * (vision parts, adapters, importance matrices, bare vocabularies), and hidden files.
 */
export function isModelFileName(name: string): boolean {
  if (!/\.gguf$/i.test(name) || name.startsWith(".")) return false;
  return !/mmproj|imatrix|(^|[-_.])lora([-_.]|$)|^ggml-vocab/i.test(name);
}

/** Joins found files to models: parts become one, copies and incomplete models are left out. */
export function makeInventory(files: readonly FoundFile[]): InventoryModel[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const seen = new Set<string>();
  const models = new Map<string, InventoryModel>();
  for (const file of files) {
    const sizeBytes = wholeSize(file, byPath);
    if (sizeBytes === undefined || seen.has(file.realPath)) continue;
    seen.add(file.realPath);
    const id = uniqueId(file, { sizeBytes, models });
    if (id === undefined) continue;
    models.set(id, { id, path: file.path, sizeBytes, owner: file.owner });
  }
  return [...models.values()];
}

/** Size with all parts; undefined for later parts and where a part is missing. */
function wholeSize(file: FoundFile, byPath: ReadonlyMap<string, FoundFile>): number | undefined {
  const cut = Math.max(file.path.lastIndexOf("/"), file.path.lastIndexOf("\\")) + 1;
  const split = parseSplitName(file.path.slice(cut));
  if (split === undefined) return file.sizeBytes;
  if (split.part !== 1) return undefined;
  let sum = file.sizeBytes;
  for (let part = 2; part <= split.parts; part += 1) {
    const other = byPath.get(file.path.replace(/-00001-of-/i, `-${five(part)}-of-`));
    if (other === undefined) return undefined;
    sum += other.sizeBytes;
  }
  return sum;
}

function five(part: number): string {
  return String(part).padStart(5, "0");
}

interface IdContext {
  readonly sizeBytes: number;
  readonly models: ReadonlyMap<string, InventoryModel>;
}

/** The file's name; with its folder before it where another model has that name already. */
function uniqueId(file: FoundFile, { sizeBytes, models }: IdContext): string | undefined {
  const id = modelIdOfFile(file.path, file.sizeBytes);
  const other = models.get(id);
  if (other === undefined) return id;
  // The same name and size is taken for a copy: one of the two is enough.
  if (other.sizeBytes === sizeBytes) return undefined;
  const folder = file.path.split(/[/\\]/).at(-2) ?? "";
  const longer = `${folder}/${id}`;
  return models.has(longer) ? undefined : longer;
}
