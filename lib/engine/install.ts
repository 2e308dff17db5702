/**
 * An installed llama.cpp, as the rest of the program sees it: where it came from and how each of its
 * programs is started. Files are found and unpacked in `io/`.
 */

/** Where an engine was found, in the order in which places are tried. */
export type EngineOrigin = "bin-dir" | "embedded" | "release" | "debian" | "path";

/** How one program of the engine is started. */
export interface EngineProgram {
  /** Absolute path of what the operating system executes; a loader, where the build brings its own. */
  readonly command: string;
  /** Arguments that stand before the program's own: the loader's, with the program's path last. */
  readonly leadingArgs: readonly string[];
  /** Working directory that the program needs to find its backends; absent when any will do. */
  readonly workingDir?: string;
  /** Variables that the program needs, such as a library path. */
  readonly env: Readonly<Record<string, string>>;
}

/** A llama.cpp that can be started. */
export interface EngineInstall {
  readonly origin: EngineOrigin;
  /** For people: "Debian forky packages, llama.cpp-tools 1:0.7.0+dfsg-2". */
  readonly source: string;
  /** Folder that holds it. */
  readonly dir: string;
  readonly server: EngineProgram;
  /** Absent when the build has no RPC server. */
  readonly rpcServer?: EngineProgram;
}

/** One accelerator as llama.cpp lists it. */
export interface EngineDevice {
  /** Name for `--device`, e.g. "CUDA0". */
  readonly name: string;
  readonly description: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** What an engine says about itself; never assumed. A field that it does not tell is absent. */
export interface EngineFacts {
  /** Human version, e.g. "0.7.0". */
  readonly version?: string;
  /** Build number, e.g. 11669. */
  readonly build?: number;
  readonly commit?: string;
  /** Version of ggml's RPC protocol, e.g. "8.0.0". */
  readonly rpcVersion?: string;
  /** Every command-line flag that its help names, e.g. "--ctx-size", "-c". */
  readonly flags: ReadonlySet<string>;
  /** Accelerators; empty on a machine that computes on its CPU. */
  readonly devices: readonly EngineDevice[];
}
