/** What the node needs from whoever runs engine processes. The real one is `io/child_process.ts`. */

/** Signals that the program sends. */
export type EndSignal = "SIGTERM" | "SIGKILL";

/** A program to start. */
export interface SpawnOrder {
  /** For people and for the name of its record: "llama-server". */
  readonly name: string;
  /** Absolute path of what the operating system executes. */
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment: nothing of our own is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Receives each line of its output as soon as it is complete; must be cheap and must not throw. */
  readonly onLine: (line: string) => void;
}

/** How a process ended. */
export interface ProcessExit {
  /** Exit status; 128 and the signal's number where a signal ended it. */
  readonly code: number;
  /** Name of the signal that ended it, if one did. */
  readonly signal?: string;
  /** Its last lines of output, oldest first, bounded. */
  readonly lastLines: readonly string[];
}

/** A process that was started. */
export interface EngineProcess {
  readonly pid: number;
  /** Resolves when it has ended and its output is read; never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** Sends a signal to it and to all that it started; nothing happens when it has ended. */
  kill(signal: EndSignal): void;
  /**
   * From now on its output may quote requests: of each line only what is known to be harmless is kept
   * and logged.
   */
  beginServing(): void;
}

/** Starts engine processes. */
export interface EngineProcesses {
  /** @throws {Error} when the program cannot be started */
  spawn(order: SpawnOrder): Promise<EngineProcess>;
}

/** Where a running server is reached and with which key; never leaves the process. */
export interface EngineEndpoint {
  readonly port: number;
  readonly apiKey: string;
}

/**
 * What a look at a server's health found: `foreign` is an answer from a program that is not ours,
 * because it does not take the key that ours was given.
 */
export type HealthResult = "ok" | "loading" | "failed" | "foreign";

/** Looks at a server's health, within a limit of time. */
export interface HealthProbe {
  /**
   * @param isThorough whether to check, too, that the server takes our key; never rejects
   */
  check(endpoint: EngineEndpoint, isThorough: boolean): Promise<HealthResult>;
}

/** Finds a port for a server. */
export interface FreePorts {
  /** A TCP port of the loopback address that was free a moment ago. */
  take(): Promise<number>;
}
