/**
 * What an installed engine says about itself in `engine.json`, which lies in its folder. All paths
 * in it are relative to that folder, so that a home can be moved.
 */
import { join } from "node:path";
import { isJsonObject, type JsonObject } from "~/base/json.ts";
import type { EngineInstall, EngineOrigin, EngineProgram } from "./install.ts";
import {
  type Accelerator,
  type EnginePlatform,
  isAccelerator,
  isEnginePlatform,
} from "./platform.ts";
import { isSafePath } from "./archive.ts";

/** Name of the file; a folder under `<home>/engine` without it is no engine. */
export const MANIFEST_NAME = "engine.json";
/** Manifests take about 1 KiB. */
export const MANIFEST_BYTES_MAX = 64 * 1024;
/** Raised when a reader of this version would misunderstand a newer file. */
const FORMAT = 1;

/** Where one program lies, and what it needs. */
export interface ProgramLayout {
  readonly program: string;
  /** Dynamic loader to start it with; absent when the system's own will do. */
  readonly loader?: string;
  readonly libraryPath?: readonly string[];
  readonly workingDir?: string;
}

/** Places that installs come from. */
export type InstallOrigin = Extract<EngineOrigin, "embedded" | "release" | "debian">;

/** An engine that lies in a folder under the home. */
export interface EngineManifest {
  readonly origin: InstallOrigin;
  /** For people: where it came from and which version it is. */
  readonly source: string;
  readonly platform: EnginePlatform;
  readonly accelerator: Accelerator;
  /** Upstream version, e.g. "0.7.0". */
  readonly version: string;
  /** Upstream tag, e.g. "b11669", where it is known. */
  readonly tag?: string;
  readonly server: ProgramLayout;
  readonly rpcServer?: ProgramLayout;
}

export function formatManifest(manifest: EngineManifest): string {
  return `${JSON.stringify({ format: FORMAT, ...manifest }, null, 2)}\n`;
}

/** Reads a manifest; undefined when it is none that this version understands. */
export function parseManifest(text: string): EngineManifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isJsonObject(value) && value["format"] === FORMAT ? asManifest(value) : undefined;
}

function asManifest(value: JsonObject): EngineManifest | undefined {
  const { origin, source, platform, accelerator, version, tag } = value;
  const server = asLayout(value["server"]);
  const rpcServer = asLayout(value["rpcServer"]);
  if (origin !== "embedded" && origin !== "release" && origin !== "debian") return undefined;
  if (typeof source !== "string" || typeof version !== "string") return undefined;
  if (!isEnginePlatform(platform) || !isAccelerator(accelerator)) return undefined;
  if (server === undefined || (rpcServer === undefined) !== (value["rpcServer"] === undefined)) {
    return undefined;
  }
  return {
    origin,
    source,
    platform,
    accelerator,
    version,
    ...(typeof tag === "string" ? { tag } : {}),
    server,
    ...(rpcServer === undefined ? {} : { rpcServer }),
  };
}

function asLayout(value: unknown): ProgramLayout | undefined {
  if (!isJsonObject(value)) return undefined;
  const { program, loader, libraryPath, workingDir } = value;
  if (typeof program !== "string" || !isSafePath(program)) return undefined;
  const paths = [loader, workingDir].filter((path) => path !== undefined);
  const libraries = libraryPath ?? [];
  if (!Array.isArray(libraries)) return undefined;
  const areSafe = [...paths, ...libraries]
    .every((path) => typeof path === "string" && isSafePath(path));
  if (!areSafe) return undefined;
  return {
    program,
    ...(typeof loader === "string" ? { loader } : {}),
    ...(libraryPath === undefined ? {} : { libraryPath: libraries as string[] }),
    ...(typeof workingDir === "string" ? { workingDir } : {}),
  };
}

/** The install that lies in the folder `dir`, an absolute path. */
export function installOf(manifest: EngineManifest, dir: string): EngineInstall {
  const { origin, source, platform } = manifest;
  return {
    origin,
    source,
    dir,
    server: programOf(manifest.server, dir, platform),
    ...(manifest.rpcServer === undefined
      ? {}
      : { rpcServer: programOf(manifest.rpcServer, dir, platform) }),
  };
}

function programOf(layout: ProgramLayout, dir: string, platform: EnginePlatform): EngineProgram {
  const program = join(dir, layout.program);
  const libraries = (layout.libraryPath ?? []).map((path) => join(dir, path)).join(":");
  const workingDir = layout.workingDir === undefined
    ? {}
    : { workingDir: join(dir, layout.workingDir) };
  if (layout.loader !== undefined) {
    const leadingArgs = libraries === "" ? [program] : ["--library-path", libraries, program];
    return { command: join(dir, layout.loader), leadingArgs, env: {}, ...workingDir };
  }
  // Only Linux has a library path that is safe to set; elsewhere builds find their neighbours.
  const needsPath = libraries !== "" && platform.startsWith("linux");
  const env: Record<string, string> = needsPath ? { LD_LIBRARY_PATH: libraries } : {};
  return { command: program, leadingArgs: [], env, ...workingDir };
}
