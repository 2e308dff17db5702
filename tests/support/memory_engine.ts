/** Engine processes, health and ports in memory: twins of what `lib/engine/io` does with the system. */
import type {
  EndSignal,
  EngineProcess,
  EngineProcesses,
  FreePorts,
  HealthProbe,
  HealthResult,
  ProcessExit,
  SpawnOrder,
} from "~/engine/process.ts";
import { isControlLine } from "~/engine/load_progress.ts";
import { keepHarmless } from "~/engine/output_filter.ts";

/** A process that does what the test says. */
export class MemoryProcess implements EngineProcess {
  readonly pid: number;
  readonly order: SpawnOrder;
  readonly exited: Promise<ProcessExit>;
  /** Signals that it was sent, oldest first. */
  readonly signals: EndSignal[] = [];
  /** Signals that it takes no notice of. */
  ignored: readonly EndSignal[] = [];
  #resolve: (exit: ProcessExit) => void = () => {};
  readonly #lines: string[] = [];
  #isServing = false;
  #isEnded = false;

  constructor(pid: number, order: SpawnOrder) {
    this.pid = pid;
    this.order = order;
    this.exited = new Promise((resolve) => this.#resolve = resolve);
  }

  get isAlive(): boolean {
    return !this.#isEnded;
  }

  get isServing(): boolean {
    return this.#isServing;
  }

  /** Writes a line of output. */
  print(line: string): void {
    this.order.onLine(line);
    if (isControlLine(line)) return;
    const kept = this.#isServing ? keepHarmless(line) : line;
    if (kept !== undefined) this.#lines.push(kept);
  }

  /** Ends by itself. */
  end(exit: Omit<ProcessExit, "lastLines">): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#resolve({ ...exit, lastLines: this.#lines });
  }

  kill(signal: EndSignal): void {
    this.signals.push(signal);
    if (this.ignored.includes(signal)) return;
    this.end({ code: signal === "SIGKILL" ? 137 : 143, signal });
  }

  beginServing(): void {
    this.#isServing = true;
  }
}

/** Starts {@link MemoryProcess}es. */
export class MemoryProcesses implements EngineProcesses {
  readonly started: MemoryProcess[] = [];
  /** Called with each process before anybody else has it. */
  onSpawn: (process: MemoryProcess) => void = () => {};
  /** Thrown by the next starts, while it is set. */
  failure: Error | undefined;

  /** The latest process. */
  get latest(): MemoryProcess {
    const process = this.started.at(-1);
    if (process === undefined) throw new Error("No process was started");
    return process;
  }

  spawn(order: SpawnOrder): Promise<EngineProcess> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const process = new MemoryProcess(1000 + this.started.length, order);
    this.started.push(process);
    this.onSpawn(process);
    return Promise.resolve(process);
  }
}

/** Answers each look at the health with what is set. */
export class MemoryHealth implements HealthProbe {
  result: HealthResult = "loading";
  readonly looks: { readonly port: number; readonly isThorough: boolean }[] = [];

  check({ port }: { readonly port: number }, isThorough: boolean): Promise<HealthResult> {
    this.looks.push({ port, isThorough });
    return Promise.resolve(this.result);
  }
}

/** Ports from 9001 on. */
export class MemoryPorts implements FreePorts {
  #last = 9000;

  take(): Promise<number> {
    this.#last += 1;
    return Promise.resolve(this.#last);
  }
}
