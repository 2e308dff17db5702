/** Version of the program. The one in `deno.json` must be the same; `tasks/tidy.ts` compares. */
export const VERSION = "0.1.0";

/**
 * Stands in the program where `tasks/compile.ts` writes the commit: whoever runs from source has a working
 * tree that may differ from any commit, so nothing true can be said there.
 */
export const COMMIT_PLACEHOLDER = "@commit-is-stamped-here@";

/** `commit` as it was stamped; undefined when nothing was. */
export function stampedCommit(commit: string): string | undefined {
  return /^[0-9a-f]{7,40}(-dirty)?$/.test(commit) ? commit : undefined;
}

/** Commit that a compiled program was made from, with "-dirty" when the tree had changes; else absent. */
export const COMMIT: string | undefined = stampedCommit(COMMIT_PLACEHOLDER);

/** The version as people see it: `0.1.0 (0123456789ab)`, or `0.1.0 (from source)`. */
export function versionText(commit: string | undefined): string {
  return `${VERSION} (${commit ?? "from source"})`;
}

/** {@link versionText} of this program. */
export const VERSION_TEXT = versionText(COMMIT);
