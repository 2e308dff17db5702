/**
 * The order in which places are asked for llama.cpp. An explicit folder is obeyed or refused, never
 * passed over; what is at hand comes before what must be fetched; of two ways to fetch, upstream's
 * own comes first. Only one start at a time fetches; a second one waits and then finds what the
 * first one installed.
 */
import { messageOf, UserError } from "~/base/errors.ts";
import type { ReportSourceFailure } from "~/base/progress.ts";
import type { EngineInstall } from "./install.ts";

/** What a place answers; it throws when it should have an engine and fails to give it. */
export type SourceAnswer =
  | { readonly kind: "found"; readonly install: EngineInstall }
  | { readonly kind: "absent"; readonly reason: string };

/** A place that may have an engine. */
export interface EngineSource {
  /** In the user's words: "release archive", "Debian packages". */
  readonly name: string;
  look(): Promise<SourceAnswer>;
}

/** All places, in the roles that they play. */
export interface EngineSources {
  /** The folder that the user named; nothing else is asked when there is one. */
  readonly binDir?: EngineSource;
  /** Asked first: at hand, without a network. */
  readonly local: readonly EngineSource[];
  /** Asked next, by one start at a time. */
  readonly remote: readonly EngineSource[];
  /** Asked last. */
  readonly fallback: readonly EngineSource[];
}

/** Settings of {@link findEngineIn}. */
export interface FindEngineInOptions {
  readonly allowDownload: boolean;
  readonly onSourceFailure: ReportSourceFailure;
  readonly signal: AbortSignal;
  /** Runs `work` while no other start on this home does. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
}

/** No place has an engine. */
export class EngineNotFoundError extends UserError {
  override readonly name = "EngineNotFoundError";
  /** Every place that was asked, and what came of it. */
  readonly tried: readonly { readonly source: string; readonly reason: string }[];

  constructor(tried: readonly { readonly source: string; readonly reason: string }[]) {
    const lines = tried.map(({ source, reason }) => `  ${source}: ${reason}`);
    super(
      [
        "No llama.cpp found. Asked in this order:",
        ...lines,
        "Install llama.cpp and start again, or name its folder with --bin-dir",
      ].join("\n"),
    );
    this.tried = tried;
  }
}

/**
 * Asks the places in order and gives the first engine. A place that fails is told to
 * `onSourceFailure` in one line, and the next is asked.
 *
 * @throws {EngineNotFoundError} when none has one
 * @throws what the explicit folder throws
 */
export async function findEngineIn(
  sources: EngineSources,
  options: FindEngineInOptions,
): Promise<EngineInstall> {
  if (sources.binDir !== undefined) return await obey(sources.binDir);
  const search = new Search(options);
  return await search.ask(sources.local) ??
    await askRemote(search, sources, options) ??
    await search.ask(sources.fallback) ??
    search.giveUp();
}

async function askRemote(
  search: Search,
  sources: EngineSources,
  options: FindEngineInOptions,
): Promise<EngineInstall | undefined> {
  if (!options.allowDownload) {
    search.note(sources.remote, "not asked; a start and mesh-llm engine install fetch from there");
    return undefined;
  }
  return await options.exclusively(async () => {
    // Another start may have installed one while this one waited.
    const quiet = new Search({ ...options, onSourceFailure: () => {} });
    return await quiet.ask(sources.local) ?? await search.ask(sources.remote);
  });
}

async function obey(source: EngineSource): Promise<EngineInstall> {
  const answer = await source.look();
  if (answer.kind === "found") return answer.install;
  throw new UserError(answer.reason);
}

/** Remembers what every place answered. */
class Search {
  readonly #options: FindEngineInOptions;
  readonly #tried: { source: string; reason: string }[] = [];

  constructor(options: FindEngineInOptions) {
    this.#options = options;
  }

  async ask(sources: readonly EngineSource[]): Promise<EngineInstall | undefined> {
    for (const source of sources) {
      this.#options.signal.throwIfAborted();
      const install = await this.#askOne(source);
      if (install !== undefined) return install;
    }
    return undefined;
  }

  note(sources: readonly EngineSource[], reason: string): void {
    for (const { name } of sources) this.#tried.push({ source: name, reason });
  }

  giveUp(): never {
    throw new EngineNotFoundError(this.#tried);
  }

  async #askOne(source: EngineSource): Promise<EngineInstall | undefined> {
    try {
      const answer = await source.look();
      if (answer.kind === "found") return answer.install;
      this.note([source], answer.reason);
    } catch (error) {
      this.#options.signal.throwIfAborted();
      const reason = messageOf(error).replaceAll(/\s+/g, " ");
      this.note([source], reason);
      this.#options.onSourceFailure(source.name, reason);
    }
    return undefined;
  }
}
