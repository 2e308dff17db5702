/**
 * Reads source text just closely enough for house rules: comments, imports, exports. Not a parser: what it
 * takes for an import by mistake can only keep a dead file alive.
 *
 * @module
 */
import { targetOf } from "./layer_map.ts";

const COMMENT_OR_STRING_REGEXP =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g;

/** `source` without comments; strings stay. */
export function stripComments(source: string): string {
  return source.replace(COMMENT_OR_STRING_REGEXP, (found) => found.startsWith("/") ? " " : found);
}

/** `source` without comments and without strings that hold code: those have quotes inside. */
function stripQuotedCode(source: string): string {
  return source.replace(COMMENT_OR_STRING_REGEXP, (found) => {
    if (found.startsWith("/")) return " ";
    return /["'`]/.test(found.slice(1, -1)) ? '""' : found;
  });
}

/** One `import … from` or `export … from`, or `import(…)`. */
export interface ImportEdge {
  /** Path from the repository root of the file that is imported. */
  readonly path: string;
  /** Names taken from it; `*` for all. */
  readonly names: readonly string[];
}

const FROM_REGEXP =
  /\b(?:import|export)\s+(?:type\s+)?((?:[\w$]+\s*,?\s*)?(?:\{[^}]*\}|\*(?:\s+as\s+[\w$]+)?)?)\s*from\s*["']([^"']+)["']/g;
/** `import "x"`, `import("x")`, `import("x").Type`, `new URL("./x.ts", …)`, `import.meta.resolve("x")`. */
const WHOLE_REGEXP =
  /\bimport\s*\(?\s*["']([^"']+)["']|\bnew\s+URL\(\s*["']([^"']+)["']|\bresolve\(\s*["'](\.[^"']+)["']/g;

/** Files of the repository that `source`, the text of the file `from`, imports. */
export function importsOf(from: string, source: string): ImportEdge[] {
  const text = stripQuotedCode(source);
  const edges: ImportEdge[] = [];
  const add = (specifier: string, names: readonly string[]) => {
    const target = targetOf(from, specifier);
    if (target.kind === "own") edges.push({ path: target.path, names });
  };
  for (const [, clause = "", specifier = ""] of text.matchAll(FROM_REGEXP)) {
    add(specifier, namesOf(clause));
  }
  for (const [, ...found] of text.matchAll(WHOLE_REGEXP)) {
    add(found.find((each) => each !== undefined) ?? "", ["*"]);
  }
  return edges;
}

function namesOf(clause: string): string[] {
  const [, lead = "", braces] = /^([^{]*)(?:\{([^}]*)\})?/.exec(clause) ?? [];
  const names = (braces ?? "").split(",").map((each) => each.trim()).filter((each) => each !== "")
    .map((each) => each.replace(/^type\s+/, "").split(/\s+as\s+/)[0] ?? "");
  if (lead.includes("*")) names.push("*");
  else if (lead.trim().replace(/,$/, "") !== "") names.push("default");
  return names;
}

/** Something that a file exports. */
export interface Exported {
  readonly name: string;
  readonly isType: boolean;
}

const DECLARED_REGEXP =
  /^export\s+(?:declare\s+)?(default\b|(?:async\s+)?function\b\*?|abstract\s+class\b|class\b|const\b|let\b|interface\b|type\b)\s*([\w$]*)/gm;
const LISTED_REGEXP = /^export\s+(type\s+)?\{([^}]*)\}/gm;

/** What `source` exports. */
export function exportsOf(source: string): Exported[] {
  const text = stripComments(source);
  const found: Exported[] = [];
  for (const [, kind = "", name = ""] of text.matchAll(DECLARED_REGEXP)) {
    if (kind === "default") found.push({ name: "default", isType: false });
    else if (name !== "") found.push({ name, isType: kind === "interface" || kind === "type" });
  }
  for (const [, type, list = ""] of text.matchAll(LISTED_REGEXP)) {
    for (const entry of list.split(",").map((each) => each.trim())) {
      if (entry === "") continue;
      const name = entry.replace(/^type\s+/, "").split(/\s+as\s+/).at(-1) ?? "";
      found.push({ name, isType: type !== undefined || entry.startsWith("type ") });
    }
  }
  return found;
}

/** Whether `source` only names things: types, constants, error classes that carry facts. */
export function decidesNothing(source: string): boolean {
  return !/\breturn\b|=>|\bawait\b|\byield\b|\bthrow\b/.test(stripTypes(stripComments(source)));
}

/** `text` without types and interfaces, where `=>` is no code. */
function stripTypes(text: string): string {
  return text
    .replace(/^(?:export\s+)?(?:declare\s+)?interface\b[^{]*\{[\s\S]*?^\}/gm, "")
    .replace(/^(?:export\s+)?type\b[\s\S]*?;$/gm, "");
}

/** How often `name` stands in `source` as a word of its own, comments left out. */
export function countWord(source: string, name: string): number {
  const text = stripComments(source);
  return text.split(new RegExp(`(?<![\\w$])${name.replaceAll("$", "\\$")}(?![\\w$])`)).length - 1;
}

/** Lines that hold something. */
export function countFilledLines(text: string): number {
  return text.split("\n").filter((line) => line.trim() !== "").length;
}
