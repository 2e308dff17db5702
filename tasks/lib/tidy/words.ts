/**
 * Words that do not belong in the repository, each with what to write instead. The patterns are spelled so
 * that this file does not match itself.
 *
 * @module
 */

interface Ban {
  readonly pattern: RegExp;
  /** Paths in which it holds; all without. */
  readonly in?: RegExp;
  readonly use: string;
}

/** Documents may speak of what code must not do. */
const CODE = /\.(?:ts|js|json|sh)$|^\.ci\//;

const BANS: readonly Ban[] = [
  {
    pattern: /\b(?:TO[D]O|FIXM[E]|XX[X])\b/,
    use: "do it now, or leave it out and say in docs/ what the program does not do yet",
  },
  {
    pattern: /\bjs[r]:/,
    in: CODE,
    use: "a package of the import map: that registry cannot be relied on",
  },
  {
    pattern: /\b(?:issue|ticket|pull request)s?\s*#?\d+\b/i,
    use: "the reason itself: numbers of a tracker tell a reader nothing",
  },
  {
    pattern:
      /\bregistry\.[a-z]+js\.org\b|\b(?:deb|ftp|security|snapshot)\.[a-z]{4}an\.(?:org|net)\b/,
    use: "the machine's own configuration: no registry or mirror is named here",
  },
  {
    pattern: /\b(?:files\.)?py(?:pi\.org|thonhosted\.org)\b|\bregistry\.yarnpkg\b/,
    use: "the machine's own configuration: no registry or mirror is named here",
  },
  {
    pattern: /\/wor[k]\/|\bshared\/(?:design|reference|prototypes|hooks)\b/,
    use: "a path inside the repository, or a temporary folder made for the purpose",
  },
  {
    pattern:
      /(?<![\w/.-])(?:\.\.\/reference\/)?(?:interface|style|llama-rpc|rust-baseline|lessons)\.md\b/,
    use: "a document in docs/",
  },
  {
    pattern: /deno-lint-ignore(?:-file)?\b[^\n]*\b(?:layers|size)\//,
    use: "a port, or smaller functions: house rules have no exceptions",
  },
  {
    pattern: /\bDeno\.test\.onl[y]\b|\bDeno\.test\.ignor[e]\(|\bonly: tru[e]\b|\bignore: tru[e]\b/,
    in: /^tests\/(?!tasks\/)/,
    use: "a test that runs always",
  },
  {
    pattern: /\bpkil[l]\b|\bkillal[l]\b/,
    in: CODE,
    use: "the process id: processes are never ended by name",
  },
];

/** Complaints about the words in `text`, the content of the file `path`. */
export function findBannedWords(path: string, text: string): string[] {
  const bans = BANS.filter((ban) => ban.in === undefined || ban.in.test(path));
  if (!bans.some(({ pattern }) => pattern.test(text))) return [];
  return text.split("\n").flatMap((line, index) =>
    bans.flatMap(({ pattern, use }) => {
      const found = pattern.exec(line)?.[0];
      return found === undefined ? [] : [`${path}:${index + 1}: "${found}" is banned, use ${use}`];
    })
  );
}
