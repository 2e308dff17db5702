/**
 * Reads the report that `deno test --junit-path` writes. Only what the closing line needs: which files ran,
 * and how each test ended.
 *
 * @module
 */

/** How one test or step ended. */
export interface TestCase {
  /** File as Deno names it, without the leading "./". */
  readonly file: string;
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
}

/** What one run of `deno test` reported. */
export interface JunitReport {
  /** Files that were loaded and ran to their end, without the leading "./". */
  readonly files: readonly string[];
  readonly cases: readonly TestCase[];
}

const SUITE_REGEXP = /<testsuite name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testsuite>)/g;
const CASE_REGEXP = /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/**
 * Parses a report.
 *
 * @throws {SyntaxError} when `xml` is not a whole report: an interrupted run must not pass for a short one
 */
export function parseJunit(xml: string): JunitReport {
  if (!/<testsuites\b/.test(xml) || !/(<\/testsuites>|<testsuites\b[^>]*\/>)\s*$/.test(xml)) {
    throw new SyntaxError("Cannot read the test report: it has no end");
  }
  const files: string[] = [];
  const cases: TestCase[] = [];
  for (const [, suiteName = "", suite = ""] of xml.matchAll(SUITE_REGEXP)) {
    const file = unescapeXml(suiteName).replace(/^\.\//, "");
    files.push(file);
    for (const [, name = "", body = ""] of suite.matchAll(CASE_REGEXP)) {
      cases.push({ file, name: unescapeXml(name), outcome: outcomeOf(body) });
    }
  }
  return { files, cases };
}

function outcomeOf(body: string): TestCase["outcome"] {
  if (/<(failure|error)\b/.test(body)) return "failed";
  return /<skipped\b/.test(body) ? "skipped" : "passed";
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  apos: "'",
  gt: ">",
  lt: "<",
  quot: '"',
};

/** Undoes what XML does to text; unknown entities stay as they are. */
export function unescapeXml(text: string): string {
  return text.replace(/&(#x?[0-9a-fA-F]+|[a-z]+);/g, (whole, entity: string) => {
    if (entity.startsWith("#x")) return codePoint(Number.parseInt(entity.slice(2), 16), whole);
    if (entity.startsWith("#")) return codePoint(Number(entity.slice(1)), whole);
    return ENTITIES[entity] ?? whole;
  });
}

function codePoint(code: number, otherwise: string): string {
  return code >= 0 && code <= 0x10ffff ? String.fromCodePoint(code) : otherwise;
}
