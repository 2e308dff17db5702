/** Looks for model files in the folders where people keep them. */
import { join, resolve } from "node:path";
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../../base/errors.ts";
import { statIfAny } from "../../base/io/files.ts";
import {
  type FoundFile,
  type InventoryModel,
  isModelFileName,
  makeInventory,
  modelFolders,
  type ModelPlaces,
} from "../inventory.ts";
import { type ResolvedModel, resolveModel } from "../resolve.ts";

const log = getLogger(["mesh-llm", "models"]);

/** Folders below a place, at most: the Hugging Face cache nests five deep. */
const DEPTH_MAX = 7;
/** Entries looked at, at most, over all places: some hundred models with their side files. */
const ENTRIES_MAX = 50_000;

/** Settings of {@link scanModels}. */
export interface ScanOptions {
  /** Bound on entries looked at, over all places. @default {50000} */
  readonly entriesMax?: number;
  readonly signal?: AbortSignal;
}

/**
 * All models on disk. Links are followed, each real folder once; what cannot be read is left out.
 * Never throws for what it finds.
 */
export async function scanModels(
  places: ModelPlaces,
  options: ScanOptions = {},
): Promise<InventoryModel[]> {
  const scan = new Scan(options);
  for (const { path, owner } of modelFolders(places)) await scan.walk(path, { owner, depth: 0 });
  return makeInventory(scan.files);
}

/**
 * Finds out what a `--model` argument means on this machine.
 *
 * @throws {UserError} when it means nothing
 */
export async function findModel(
  argument: string,
  options: {
    readonly inventory: readonly InventoryModel[];
    readonly hfEndpoint?: string;
  },
): Promise<ResolvedModel> {
  const path = resolve(argument);
  // A name that is too long or odd for a path is simply no path.
  const info = await statIfAny(path).catch(() => undefined);
  const file = info?.isFile === true ? { file: { path, sizeBytes: info.size } } : {};
  return resolveModel(argument, { ...options, ...file });
}

interface Place {
  readonly owner: string;
  readonly depth: number;
}

class Scan {
  readonly files: FoundFile[] = [];
  readonly #visited = new Set<string>();
  readonly #signal: AbortSignal | undefined;
  #entriesLeft: number;

  constructor({ entriesMax = ENTRIES_MAX, signal }: ScanOptions) {
    this.#entriesLeft = entriesMax;
    this.#signal = signal;
  }

  async walk(dir: string, { owner, depth }: Place): Promise<void> {
    this.#signal?.throwIfAborted();
    if (depth > DEPTH_MAX || this.#entriesLeft <= 0) return;
    const realDir = await realPathIfAny(dir);
    if (realDir === undefined || this.#visited.has(realDir)) return;
    this.#visited.add(realDir);
    const folders: string[] = [];
    for (const name of await this.#list(dir)) {
      const path = join(dir, name);
      if (isModelFileName(name)) await this.#take(path, owner);
      else if (await isFolder(path)) folders.push(path);
    }
    for (const folder of folders) await this.walk(folder, { owner, depth: depth + 1 });
  }

  /** Names in a folder, sorted so that two scans agree; hidden ones and stores of blobs left out. */
  async #list(dir: string): Promise<string[]> {
    const names: string[] = [];
    try {
      for await (const { name, isFile } of Deno.readDir(dir)) {
        this.#entriesLeft -= 1;
        if (this.#entriesLeft < 0) {
          log.warn("Stopped looking for models in {dir}: too many files", { dir });
          break;
        }
        const isOther = isFile && !isModelFileName(name);
        if (!name.startsWith(".") && name !== "blobs" && !isOther) names.push(name);
      }
    } catch (error) {
      log.debug("Cannot list {dir}: {reason}", { dir, reason: messageOf(error) });
    }
    return names.sort();
  }

  async #take(path: string, owner: string): Promise<void> {
    const realPath = await realPathIfAny(path);
    const info = await statIfAny(path).catch(() => undefined);
    if (realPath === undefined || info?.isFile !== true) return;
    this.files.push({ path, realPath, sizeBytes: info.size, owner });
  }
}

async function isFolder(path: string): Promise<boolean> {
  const info = await statIfAny(path).catch(() => undefined);
  return info?.isDirectory === true;
}

/** The path without links; undefined for links that lead nowhere or in circles. */
async function realPathIfAny(path: string): Promise<string | undefined> {
  try {
    return await Deno.realPath(path);
  } catch {
    return undefined;
  }
}
