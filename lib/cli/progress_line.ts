/** Progress of downloads for people: a bar on a terminal, a line now and then elsewhere. */
import cliProgress from "cli-progress";
import { percentOf, type ReportProgress, type TransferProgress } from "~/base/progress.ts";
import { formatBytes } from "~/base/units.ts";

/** Without a terminal a line is written each time this much more has arrived. */
const LINE_STEP_PERCENT = 20;
/** Without a terminal and without a known size: a line for so many bytes. */
const LINE_STEP_BYTES = 64 * 1024 * 1024;

/** Where progress goes. */
export interface ProgressOutput {
  readonly isTerminal: boolean;
  readonly write: (line: string) => void;
}

/** Shows any number of transfers; one reporter for the life of the program. */
export function createProgressReporter(output: ProgressOutput): ReportProgress {
  return output.isTerminal ? createBars() : createLines(output.write);
}

/** The line for one state of a transfer. */
export function formatProgress(progress: TransferProgress): string {
  const { what, source, doneBytes, totalBytes } = progress;
  if (progress.isDone === true) {
    return `${what}: ${formatBytes(doneBytes)} from ${source}, complete`;
  }
  const percent = percentOf(progress);
  if (percent === undefined || totalBytes === undefined) {
    return `${what}: ${formatBytes(doneBytes)} from ${source}`;
  }
  return `${what}: ${percent} % of ${formatBytes(totalBytes)} from ${source}`;
}

function createLines(write: (line: string) => void): ReportProgress {
  const reached = new Map<string, number>();
  return (progress) => {
    const key = `${progress.what}\n${progress.source}`;
    const step = progress.isDone === true ? Infinity : stepOf(progress);
    const before = reached.get(key) ?? -1;
    if (step <= before) return;
    reached.set(key, step);
    write(formatProgress(progress) + "\n");
  };
}

function stepOf(progress: TransferProgress): number {
  const percent = percentOf(progress);
  return percent === undefined
    ? Math.floor(progress.doneBytes / LINE_STEP_BYTES)
    : Math.floor(percent / LINE_STEP_PERCENT);
}

function createBars(): ReportProgress {
  const bars = new Map<string, cliProgress.SingleBar>();
  const multi = new cliProgress.MultiBar({
    format: "{what} {bar} {percentage} % of {size} from {source}",
    hideCursor: null,
    clearOnComplete: false,
    linewrap: false,
  }, cliProgress.Presets.shades_classic);
  return (progress) => {
    const { what, source, doneBytes } = progress;
    const totalBytes = progress.totalBytes ?? Math.max(doneBytes, 1);
    const payload = { what, source, size: formatBytes(totalBytes) };
    const key = `${what}\n${source}`;
    const bar = bars.get(key) ?? multi.create(totalBytes, 0, payload);
    bars.set(key, bar);
    bar.setTotal(totalBytes);
    bar.update(doneBytes, payload);
    if (progress.isDone !== true) return;
    bar.stop();
    bars.delete(key);
    if (bars.size === 0) multi.stop();
  };
}
