/**
 * Keeps documents true where a program can: links lead somewhere, commands exist.
 *
 * @module
 */
import { dirname, normalize } from "node:path/posix";

/** What documents may refer to. */
export interface DocsWorld {
  /** Every file of the repository. */
  readonly paths: ReadonlySet<string>;
  /** Content of documents by path, for links to headings. */
  readonly documents: ReadonlyMap<string, string>;
  /** Names of the tasks in deno.json. */
  readonly tasks: ReadonlySet<string>;
}

const LINK_REGEXP = /\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g;
const TASK_REGEXP = /\b(?:deno|deno@[\d.]+) task ([a-z][\w:-]*)/g;

/** Complaints about links and commands in the documents. */
export function findDocFaults(world: DocsWorld): string[] {
  const complaints: string[] = [];
  for (const [path, text] of world.documents) {
    const prose = text.replace(/^```[\s\S]*?^```/gm, "");
    for (const [, link = ""] of prose.matchAll(LINK_REGEXP)) {
      const fault = judgeLink(path, link, world);
      if (fault !== undefined) complaints.push(`${path}: ${fault}`);
    }
    for (const [, task = ""] of text.matchAll(TASK_REGEXP)) {
      if (world.tasks.has(task)) continue;
      complaints.push(`${path}: there is no task "${task}": name one of deno.json`);
    }
  }
  return complaints;
}

function judgeLink(from: string, link: string, world: DocsWorld): string | undefined {
  if (/^[a-z]+:/.test(link)) return undefined;
  const [file = "", anchor] = link.split("#");
  const path = file === ""
    ? from
    : normalize(`${dirname(from)}/${decodeURI(file)}`).replace(/\/$/, "");
  const isFolder = [...world.paths].some((each) => each.startsWith(`${path}/`));
  if (!world.paths.has(path) && !isFolder) return `link to ${link} leads nowhere`;
  const target = world.documents.get(path);
  if (anchor === undefined || target === undefined) return undefined;
  return anchorsOf(target).has(anchor) ? undefined : `link to ${link}: ${path} has no such heading`;
}

/** Anchors that a page of `markdown` gets on the usual hosts. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of markdown.matchAll(/^#{1,6}\s+(.+)$/gm)) {
    const plain = heading.trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "");
    anchors.add(plain.replaceAll(" ", "-"));
  }
  return anchors;
}
