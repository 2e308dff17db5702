/** How far a transfer is. Shown to people; decisions never depend on it. */
export interface TransferProgress {
  /** What is fetched, in the user's words: "engine llama.cpp", "model SmolLM2-135M-Instruct". */
  readonly what: string;
  /** Where it comes from, in the user's words: "Debian packages", "Hugging Face". */
  readonly source: string;
  readonly doneBytes: number;
  /** Absent while the size is not known. */
  readonly totalBytes?: number;
  /** True in the last report of a transfer, when everything arrived and was checked. */
  readonly isDone?: boolean;
}

/** Receives progress; called often, so it must be cheap and must not throw. */
export type ReportProgress = (progress: TransferProgress) => void;

/** Tells the user, in one line, that a source failed and why; the next one is tried. */
export type ReportSourceFailure = (source: string, reason: string) => void;

/** Whole percent from 0 to 100, or undefined while the total is unknown. */
export function percentOf(progress: TransferProgress): number | undefined {
  const { doneBytes, totalBytes } = progress;
  if (totalBytes === undefined || totalBytes <= 0) return undefined;
  return Math.min(100, Math.floor((doneBytes / totalBytes) * 100));
}
