/**
 * What may come out of an archive: a stranger made it, so nothing of it may leave the folder that it
 * is unpacked into, or fill the disk.
 */
import { UserError } from "~/base/errors.ts";
import { formatBytes } from "~/base/units.ts";

/** Longest path inside an archive; upstream's are under 100 characters. */
const PATH_CHARS_MAX = 512;
/** Deepest nesting; upstream's is 3. */
const DEPTH_MAX = 16;

/** An archive holds something that no honest one does. */
export class ArchiveError extends UserError {
  override readonly name = "ArchiveError";
}

/** Bounds on what comes out of one archive. */
export interface ArchiveLimits {
  readonly entriesMax: number;
  readonly totalBytesMax: number;
}

/** One thing in an archive, as the archive states it. */
export interface ArchiveEntry {
  readonly kind: "file" | "folder" | "symlink" | "hardlink" | "other";
  readonly path: string;
  /** Where a link points. */
  readonly target?: string;
}

/** What to make of it; paths are relative, with `/`, and stay inside. */
export type EntryVerdict =
  | { readonly kind: "file" | "folder"; readonly path: string }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | { readonly kind: "skip" };

/**
 * True for a relative path with `/` that names something below its folder on every system: no empty
 * or dotted parts, no drive, nothing that a terminal or Windows would read as more.
 */
export function isSafePath(path: string): boolean {
  if (path === "" || path.length > PATH_CHARS_MAX) return false;
  const parts = path.split("/");
  if (parts.length > DEPTH_MAX) return false;
  return parts.every((part) =>
    // deno-lint-ignore no-control-regex -- names with control characters are what is looked for
    part !== "" && part !== "." && part !== ".." && !/[\x00-\x1f\x7f\\:*?"<>|]/.test(part)
  );
}

/**
 * Judges one entry.
 *
 * @throws {ArchiveError} when it would leave the folder, or is nothing that belongs into an archive
 */
export function judgeEntry(entry: ArchiveEntry): EntryVerdict {
  const path = tidyPath(entry.path);
  // Many archives begin with their own root, "./".
  if (path === "" && entry.kind === "folder") return { kind: "skip" };
  if (!isSafePath(path)) {
    throw new ArchiveError(`The archive is refused: it holds the unsafe path ${quote(entry.path)}`);
  }
  switch (entry.kind) {
    case "file":
    case "folder":
      return { kind: entry.kind, path };
    case "symlink":
      return { kind: "link", path, target: safeTarget(path, entry.target ?? "") };
    case "hardlink":
      // Points at another entry, from the archive's root; a link to it serves as well.
      return { kind: "link", path, target: relativeTo(path, tidyPath(entry.target ?? "")) };
    case "other":
      throw new ArchiveError(
        `The archive is refused: ${quote(path)} is neither file nor folder nor link`,
      );
  }
}

function tidyPath(path: string): string {
  return path.replace(/^(?:\.\/+)+/, "").replace(/\/+$/, "").replace(/^\.$/, "");
}

/** Checks that a link points to a neighbour or to something below the root. */
function safeTarget(path: string, target: string): string {
  if (target === "" || target.startsWith("/")) throw leavingLink(path, target);
  const resolved: string[] = path.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") {
      if (resolved.pop() === undefined) throw leavingLink(path, target);
    } else if (part !== "." && part !== "") {
      // Slashes in a row are one: "a////../../.." would count as below the root otherwise.
      resolved.push(part);
    }
  }
  if (!isSafePath(resolved.join("/"))) throw leavingLink(path, target);
  return target;
}

function relativeTo(path: string, target: string): string {
  if (!isSafePath(target)) throw leavingLink(path, target);
  return "../".repeat(path.split("/").length - 1) + target;
}

function leavingLink(path: string, target: string): ArchiveError {
  return new ArchiveError(
    `The archive is refused: its link ${quote(path)} leads outside, to ${quote(target)}`,
  );
}

/** Counts what came out so far. */
export class ArchiveBudget {
  readonly #limits: ArchiveLimits;
  readonly #paths = new Set<string>();
  #totalBytes = 0;

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
  }

  /** @throws {ArchiveError} when there are too many entries, or two of the same name */
  addEntry(path: string): void {
    // macOS and Windows take names that differ in case only for the same.
    const key = path.toLowerCase();
    if (this.#paths.has(key)) {
      throw new ArchiveError(`The archive is refused: it holds ${quote(path)} twice`);
    }
    this.#paths.add(key);
    if (this.#paths.size > this.#limits.entriesMax) {
      const { entriesMax } = this.#limits;
      throw new ArchiveError(`The archive is refused: it holds more than ${entriesMax} entries`);
    }
  }

  /** @throws {ArchiveError} when more comes out than is allowed, whatever sizes were stated */
  addBytes(sizeBytes: number): void {
    this.#totalBytes += sizeBytes;
    const { totalBytesMax } = this.#limits;
    if (this.#totalBytes > totalBytesMax) {
      const limit = formatBytes(totalBytesMax);
      throw new ArchiveError(`The archive is refused: more than ${limit} come out of it`);
    }
  }
}

/** Finds a program among unpacked files: the one nearest to the root, then in the order of `names`. */
export function findProgram(
  paths: readonly string[],
  names: readonly string[],
): string | undefined {
  const depthOf = (path: string) => path.split("/").length;
  const rankOf = (path: string) => names.indexOf(path.slice(path.lastIndexOf("/") + 1));
  return paths
    .filter((path) => rankOf(path) >= 0)
    .toSorted((a, b) => depthOf(a) - depthOf(b) || rankOf(a) - rankOf(b))[0];
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, PATH_CHARS_MAX));
}
