import type { ReportProgress } from "~/base/progress.ts";

/** Shows several transfers as one. */
export class CombinedProgress {
  readonly #what: string;
  readonly #source: string;
  readonly #totalBytes: number;
  readonly #report: ReportProgress;
  readonly #doneBytes: number[] = [];

  constructor(options: {
    readonly what: string;
    readonly source: string;
    /** Sum of all parts. */
    readonly totalBytes: number;
    readonly report: ReportProgress;
  }) {
    this.#what = options.what;
    this.#source = options.source;
    this.#totalBytes = options.totalBytes;
    this.#report = options.report;
  }

  /** Receives the progress of one more part. */
  part(): ReportProgress {
    const index = this.#doneBytes.push(0) - 1;
    return ({ doneBytes }) => {
      this.#doneBytes[index] = doneBytes;
      this.#tell({});
    };
  }

  /** Says that all parts have arrived and were checked. */
  finish(): void {
    this.#tell({ isDone: true });
  }

  #tell(more: { isDone?: boolean }): void {
    this.#report({
      what: this.#what,
      source: this.#source,
      doneBytes: this.#doneBytes.reduce((sum, bytes) => sum + bytes, 0),
      totalBytes: this.#totalBytes,
      ...more,
    });
  }
}
