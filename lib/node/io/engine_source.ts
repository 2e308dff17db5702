/** Finds llama.cpp on this machine, or fetches it, and asks it what it can do. */
import { join } from "node:path";
import { EMBEDDED_ENGINE_FOLDER, embeddedFolder } from "~/base/io/program_files.ts";
import { findAccelerators } from "~/engine/io/accelerators.ts";
import { findEngine } from "~/engine/io/find_engine.ts";
import { inspectEngine } from "~/engine/io/inspect.ts";
import type { EngineSource } from "../ports.ts";

/** Where a {@link localEngineSource} looks. */
export interface LocalEngineOptions {
  readonly homeDir: string;
  readonly binDir?: string;
  /** False: only what is here already. @default {true} */
  readonly allowDownload?: boolean;
}

/** File in the home that keeps what engines said about themselves. */
function engineFactsPath(homeDir: string): string {
  return join(homeDir, "engine", "facts.json");
}

/** The engine of this machine. */
export function localEngineSource(options: LocalEngineOptions): EngineSource {
  const { homeDir, binDir, allowDownload = true } = options;
  const embeddedDir = embeddedFolder(EMBEDDED_ENGINE_FOLDER);
  return {
    async prepare({ report, onSourceFailure, signal }) {
      const install = await findEngine({
        home: homeDir,
        allowDownload,
        accelerators: await findAccelerators(),
        report,
        onSourceFailure,
        signal,
        ...(binDir === undefined ? {} : { binDir }),
        ...(embeddedDir === undefined ? {} : { embeddedDir }),
      });
      const facts = await inspectEngine(install, {
        parentEnv: Deno.env.toObject(),
        cachePath: engineFactsPath(homeDir),
        signal,
      });
      return { install, facts };
    },
  };
}
