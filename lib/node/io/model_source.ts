/** Turns model names into files on this machine. */
import { UserError } from "~/base/errors.ts";
import { EMBEDDED_MODEL_FOLDER, embeddedFolder } from "~/base/io/program_files.ts";
import { readGgufFacts } from "~/engine/io/gguf_file.ts";
import type { GgufFileFacts } from "~/engine/io/gguf_file.ts";
import { type Memory, planMemory, type PlanRequest } from "~/engine/memory_plan.ts";
import { STARTER } from "~/models/catalogue.ts";
import { chooseBest } from "~/models/choose.ts";
import type { InventoryModel } from "~/models/inventory.ts";
import { installEmbeddedModel } from "~/models/io/embedded.ts";
import { ensureModel } from "~/models/io/fetch_model.ts";
import { findModel, scanModels } from "~/models/io/scan.ts";
import type { ResolvedModel } from "~/models/resolve.ts";
import type { DiskModel } from "../disk_models.ts";
import type { ChosenModel, Fetching, ModelSource, PreparedModel } from "../ports.ts";

/** Models whose headers are read to choose the best one; the largest files come first. */
const WEIGHED_MODELS_MAX = 64;

/** Where a {@link LocalModelSource} looks. */
export interface LocalModelsOptions {
  readonly modelsDir: string;
  /** Reads an environment variable: `HOME`, `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, … */
  readonly env: (name: string) => string | undefined;
  /** What the user asked of context and slots: a model that cannot give it does not fit. */
  readonly requested: PlanRequest;
}

/** The models of this machine, and those that can be fetched to it. */
export class LocalModelSource implements ModelSource {
  readonly #options: LocalModelsOptions;
  /** Headers that were read, by path. */
  readonly #headers = new Map<string, { readonly sizeBytes: number; readonly header: Header }>();

  constructor(options: LocalModelsOptions) {
    this.#options = options;
  }

  /** All models on disk. */
  inventory(signal?: AbortSignal): Promise<InventoryModel[]> {
    const { modelsDir, env } = this.#options;
    const userHome = env("HOME") ?? env("USERPROFILE");
    const names = ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"];
    const places = {
      modelsDir,
      env: Object.fromEntries(names.map((name) => [name, env(name)])),
      ...(userHome === undefined ? {} : { userHome }),
    };
    return scanModels(places, signal === undefined ? {} : { signal });
  }

  /**
   * All models on disk with what their headers say. A header is read once, as long as its file keeps its size; of
   * many models the largest go without.
   */
  async described(signal?: AbortSignal): Promise<DiskModel[]> {
    const inventory = (await this.inventory(signal)).toSorted((a, b) => a.sizeBytes - b.sizeBytes);
    const described: DiskModel[] = [];
    for (const [index, model] of inventory.entries()) {
      const header = index < WEIGHED_MODELS_MAX ? await this.#headerOf(model, signal) : undefined;
      const { id, sizeBytes } = model;
      // No model after all: nobody could serve it.
      if (header === "damaged") continue;
      described.push({ id, sizeBytes, ...(header === undefined ? {} : { header }) });
    }
    const here = new Set(inventory.map(({ path }) => path));
    for (const path of this.#headers.keys()) if (!here.has(path)) this.#headers.delete(path);
    return described;
  }

  async #headerOf({ path, sizeBytes }: InventoryModel, signal?: AbortSignal): Promise<Header> {
    const known = this.#headers.get(path);
    if (known?.sizeBytes === sizeBytes) return known.header;
    const header = await readHeader(path, signal);
    // A damaged one may be a file that is being written, at its full size already.
    if (header !== "damaged") this.#headers.set(path, { sizeBytes, header });
    return header;
  }

  /** What a name means here. */
  async resolve(name: string, signal?: AbortSignal): Promise<ResolvedModel> {
    const hfEndpoint = this.#options.env("HF_ENDPOINT");
    return await findModel(name, {
      inventory: await this.inventory(signal),
      ...(hfEndpoint === undefined ? {} : { hfEndpoint }),
    });
  }

  async choose(
    name: string | undefined,
    options: { readonly memory: () => Promise<Memory>; readonly signal: AbortSignal },
  ): Promise<ChosenModel> {
    if (name !== undefined) return this.#chosen(await this.resolve(name, options.signal));
    return this.#chosen(await this.#best(options));
  }

  /** Fetches a model's file where it is not here yet, and reads its header. */
  async prepare(model: ResolvedModel, fetching: Fetching): Promise<PreparedModel> {
    const { modelsDir, env } = this.#options;
    const hfEndpoint = env("HF_ENDPOINT");
    const hfToken = env("HF_TOKEN");
    const { path, id } = await ensureModel(model, {
      modelsDir,
      ...fetching,
      ...(hfEndpoint === undefined ? {} : { hfEndpoint }),
      ...(hfToken === undefined ? {} : { hfToken }),
    });
    const facts = await readGgufFacts(path, fetching.signal);
    const { fileBytes } = facts.fingerprint;
    return { id, path, sizeBytes: fileBytes, fingerprint: fingerprintOf(facts), facts };
  }

  #chosen(model: ResolvedModel): ChosenModel {
    return { id: model.id, prepare: (fetching) => this.prepare(model, fetching) };
  }

  async #best(
    { memory, signal }: { readonly memory: () => Promise<Memory>; readonly signal: AbortSignal },
  ): Promise<ResolvedModel> {
    await installEmbeddedModel(embeddedFolder(EMBEDDED_MODEL_FOLDER), this.#options.modelsDir);
    const inventory = await this.inventory(signal);
    const others = inventory.filter(({ id }) => id !== STARTER.name);
    const starter = await this.resolve(STARTER.name, signal);
    if (others.length === 0) return starter;
    const largest = others.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
    const candidates = await readCandidates(largest.slice(0, WEIGHED_MODELS_MAX), signal);
    const free = await memory();
    const best = chooseBest(
      candidates,
      ({ facts }) => planMemory({ facts, memory: free, requested: this.#options.requested }).ok,
    );
    return best === undefined ? starter : { kind: "path", id: best.id, path: best.path };
  }
}

/** What a file says; undefined where it was not read. */
type Header = NonNullable<DiskModel["header"]> | "damaged" | undefined;

async function readHeader(path: string, signal?: AbortSignal): Promise<Header> {
  try {
    const facts = await readGgufFacts(path, signal);
    return { fingerprint: fingerprintOf(facts), facts };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return "damaged";
  }
}

function fingerprintOf({ fingerprint: { headerSha256, fileBytes } }: GgufFileFacts): string {
  return `${headerSha256}:${fileBytes}`;
}

interface WeighedModel {
  readonly id: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly parameterCount: number;
  readonly isChatModel: boolean;
  readonly facts: GgufFileFacts;
}

/** Files that are no models, or damaged, are left out: nobody asked for them by name. */
async function readCandidates(
  models: readonly InventoryModel[],
  signal: AbortSignal,
): Promise<WeighedModel[]> {
  const weighed: WeighedModel[] = [];
  for (const { id, path, sizeBytes } of models) {
    try {
      const facts = await readGgufFacts(path, signal);
      const isChatModel = facts.purpose === "text" && facts.hasChatTemplate;
      weighed.push({
        id,
        path,
        sizeBytes,
        parameterCount: facts.parameterCount,
        isChatModel,
        facts,
      });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  }
  return weighed;
}
