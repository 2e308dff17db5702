/**
 * `deno task tidy`: house rules that neither the formatter nor the linter knows. Needs to read files only.
 *
 * @module
 */
import { resolve } from "node:path";
import { VERSION } from "~/base/version.ts";
import { print } from "./lib/entry.ts";
import { findDocFaults } from "./lib/tidy/docs.ts";
import { findDeadCode } from "./lib/tidy/reach.ts";
import { measureSizes } from "./lib/tidy/size.ts";
import { findUntested, measureVolume } from "./lib/tidy/tested.ts";
import { findBannedWords } from "./lib/tidy/words.ts";
import { walk } from "./lib/walk.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "..");

/** What of deno.json the rules look at. */
interface DenoConfig {
  readonly version: string;
  readonly tasks: Readonly<Record<string, { description?: string; command?: string } | string>>;
  readonly lint: { readonly plugins: readonly string[] };
}

async function main(): Promise<number> {
  const startedMs = performance.now();
  const paths = await walk(ROOT);
  const texts = await readTexts(paths);
  const config: DenoConfig = JSON.parse(texts.get("deno.json") ?? "{}");
  const code = filter(
    texts,
    /^(?:main\.ts|(?:lib|native|tasks|tests)\/.*\.(?:ts|js|html|css|json))$/,
  );
  const typescript = filter(texts, /^(?:main\.ts|(?:lib|tasks|tests)\/.*\.ts)$/);
  const sizes = measureSizes(typescript);
  const volume = measureVolume(typescript);
  const complaints = [
    ...sizes.complaints,
    ...[...texts].flatMap(([path, text]) => findBannedWords(path, text)),
    ...findDeadCode(code, entriesOf(config)),
    ...findUntested(typescript),
    ...judgeVolume(volume),
    ...judgeConfig(config),
    ...findDocFaults({
      paths: new Set(paths),
      documents: filter(texts, /\.md$/),
      tasks: new Set(Object.keys(config.tasks)),
    }),
  ];
  const tookMs = Math.round(performance.now() - startedMs);
  print([
    ...complaints,
    `${sizes.files} files of code, median ${sizes.medianLines} lines, largest ${sizes.largestLines}; ` +
    `${volume.testLines} lines of test for ${volume.programLines} of program; ` +
    `${complaints.length} complaints (${tookMs} ms)`,
  ]);
  return complaints.length === 0 ? 0 : 1;
}

/** Content of the files that people write; pictures and licence texts are left out. */
async function readTexts(paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const written = paths.filter((path) =>
    /\.(?:ts|js|json|jsonc|md|html|css|sh|yml|txt|lock)$|^\.ci\//.test(path)
  );
  const texts = await Promise.all(written.map((path) => Deno.readTextFile(`${ROOT}/${path}`)));
  return new Map(written.map((path, index) => [path, texts[index] ?? ""]));
}

function filter(texts: ReadonlyMap<string, string>, pattern: RegExp): ReadonlyMap<string, string> {
  return new Map([...texts].filter(([path]) => pattern.test(path)));
}

/** Files that deno.json starts: those named in tasks, and the lint plugins. */
function entriesOf(config: DenoConfig): string[] {
  const commands = Object.values(config.tasks).map((task) =>
    typeof task === "string" ? task : task.command ?? ""
  );
  const named = commands.flatMap((command) => command.match(/\btasks\/[\w/.-]+\.ts\b/g) ?? []);
  return [...named, ...config.lint.plugins.map((path) => path.replace(/^\.\//, ""))];
}

function judgeVolume(
  { programLines, testLines }: { programLines: number; testLines: number },
): string[] {
  if (testLines >= programLines) return [];
  return [`tests: ${testLines} lines of test for ${programLines} of program: write more tests`];
}

function judgeConfig(config: DenoConfig): string[] {
  const complaints: string[] = [];
  if (config.version !== VERSION) {
    complaints.push(`deno.json: version ${config.version}, lib/base/version.ts says ${VERSION}`);
  }
  for (const [name, task] of Object.entries(config.tasks)) {
    if (typeof task !== "string" && task.description !== undefined) continue;
    complaints.push(`deno.json: task "${name}" has no description`);
  }
  return complaints;
}

if (import.meta.main) Deno.exit(await main());
