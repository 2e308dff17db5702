/** From what people type after `--model` to a file, wherever it lies. */
import { UserError } from "../base/errors.ts";
import { shownUrl } from "../base/transfer.ts";
import {
  bareName,
  CATALOGUE,
  type CatalogueEntry,
  catalogueEntryOfFile,
  findInCatalogue,
  type HuggingFaceFile,
} from "./catalogue.ts";
import { suggestNames } from "./suggest.ts";

/** A model that is named but perhaps not here yet. `id` is the name that clients use. */
export type ResolvedModel =
  | { readonly kind: "path"; readonly id: string; readonly path: string }
  | { readonly kind: "catalogue"; readonly id: string; readonly entry: CatalogueEntry }
  | { readonly kind: "hugging-face"; readonly id: string; readonly source: HuggingFaceFile };

/** What the machine has to do with the argument. */
export interface ResolveContext {
  /** The argument taken as a path, absolute, when a file lies there. */
  readonly file?: { readonly path: string; readonly sizeBytes: number };
  /** Models on disk. */
  readonly inventory: readonly { readonly id: string; readonly path: string }[];
  /** Where Hugging Face is, when not at its usual place. */
  readonly hfEndpoint?: string;
}

/** Longest argument that makes sense; a URL with a long path stays far below. */
const ARGUMENT_CHARS_MAX = 2048;
/** Organisations, repositories and revisions, as Hugging Face allows them. */
const NAME_REGEXP = /^[A-Za-z0-9][\w.-]{0,95}$/;
/** Hosts that are Hugging Face. */
const HUGGING_FACE_HOSTS: readonly string[] = ["huggingface.co", "www.huggingface.co", "hf.co"];

/**
 * Finds out what an argument means: a file that exists, a model on disk, one of the catalogue, or a
 * file on Hugging Face (`org/repo/file.gguf`, or a URL), in this order.
 *
 * @throws {UserError} when it means nothing; names what may have been meant
 */
export function resolveModel(argument: string, context: ResolveContext): ResolvedModel {
  const text = argument.trim();
  if (text === "" || text.length > ARGUMENT_CHARS_MAX) {
    throw new UserError("Cannot use the model name: it is empty or far too long");
  }
  if (context.file !== undefined) return fromPath(context.file);
  const onDisk = findById(context.inventory, text);
  if (onDisk !== undefined) return { kind: "path", id: onDisk.id, path: onDisk.path };
  const entry = findInCatalogue(text);
  if (entry !== undefined) return { kind: "catalogue", id: entry.name, entry };
  if (/^https?:\/\//i.test(text)) return fromSource(parseUrl(text, context.hfEndpoint));
  if (looksLikePath(text)) throw new UserError(`Cannot find the model file "${text}"`);
  if (text.includes("/")) return fromSource(parseShorthand(text));
  throw unknownName(text, context);
}

function fromPath({ path, sizeBytes }: NonNullable<ResolveContext["file"]>): ResolvedModel {
  return { kind: "path", id: modelIdOfFile(path, sizeBytes), path };
}

/** The name that clients use for a file: that of the catalogue, else the file's own. */
export function modelIdOfFile(path: string, sizeBytes: number): string {
  const fileName = path.split(/[/\\]/).at(-1) ?? path;
  return catalogueEntryOfFile(fileName, sizeBytes)?.name ?? bareName(fileName);
}

function findById<T extends { readonly id: string }>(
  inventory: readonly T[],
  name: string,
): T | undefined {
  const wanted = bareName(name);
  return inventory.find(({ id }) => id === name || id === wanted) ??
    inventory.find(({ id }) => id.toLowerCase() === wanted.toLowerCase());
}

/** A file of the catalogue that is named in full is still that model. */
function fromSource(source: HuggingFaceFile): ResolvedModel {
  const entry = CATALOGUE.find(({ huggingFace }) =>
    huggingFace.repo === source.repo && huggingFace.file === source.file &&
    (source.revision === "main" || source.revision === huggingFace.revision)
  );
  if (entry !== undefined) return { kind: "catalogue", id: entry.name, entry };
  const fileName = source.file.split("/").at(-1) ?? source.file;
  return { kind: "hugging-face", id: bareName(fileName), source };
}

function parseUrl(text: string, hfEndpoint: string | undefined): HuggingFaceFile {
  if (!URL.canParse(text)) throw new UserError("Cannot use the model address: it is not a URL");
  const url = new URL(text);
  const isOwnHost = hfEndpoint !== undefined && URL.canParse(hfEndpoint) &&
    new URL(hfEndpoint).host === url.host;
  if (!isOwnHost && !HUGGING_FACE_HOSTS.includes(url.hostname)) {
    throw new UserError(
      `Cannot use ${shownUrl(text)}: only addresses of files on Hugging Face are known`,
    );
  }
  const [org, name, verb, revision, ...file] = url.pathname.split("/").slice(1).map(decoded);
  if ((verb !== "resolve" && verb !== "blob") || revision === undefined) {
    throw new UserError(
      `Cannot use ${shownUrl(text)}: the address of one .gguf file is wanted, ` +
        "https://huggingface.co/<org>/<repo>/resolve/main/<file>.gguf",
    );
  }
  return checkedFile({ org, name, revision, file, shown: shownUrl(text) });
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return "";
  }
}

function parseShorthand(text: string): HuggingFaceFile {
  const [org, name, ...file] = text.split("/");
  if (file.length === 0) {
    throw new UserError(
      `Cannot tell which file of "${text}" is wanted: name one, ${text}/<file>.gguf`,
    );
  }
  return checkedFile({ org, name, revision: "main", file, shown: `"${text}"` });
}

interface FileClaim {
  readonly org: string | undefined;
  readonly name: string | undefined;
  readonly revision: string;
  readonly file: readonly string[];
  /** The argument as it may be shown. */
  readonly shown: string;
}

/** Its parts become a path on disk and in a URL, so each must be a plain name. */
function checkedFile({ org, name, revision, file, shown }: FileClaim): HuggingFaceFile {
  const names = [org ?? "", name ?? "", revision];
  // deno-lint-ignore no-control-regex
  const isPlain = (part: string) => !/^\.{0,2}$|[\\\x00-\x1f:?#%]/.test(part);
  const isFile = file.length > 0 && file.every(isPlain);
  if (!isFile || !names.every((part) => NAME_REGEXP.test(part))) {
    throw new UserError(`Cannot use ${shown}: it does not name a file of a repository`);
  }
  if (!/\.gguf$/i.test(file.at(-1) ?? "")) {
    throw new UserError(`Cannot use ${shown}: llama.cpp needs a .gguf file`);
  }
  return { repo: `${org}/${name}`, file: file.join("/"), revision };
}

function looksLikePath(text: string): boolean {
  return /^(\/|\.{1,2}[/\\]|~|[A-Za-z]:[/\\])|\\/.test(text) ||
    (!text.includes("/") && /\.gguf$/i.test(text));
}

/** The error for a name that nothing has. */
function unknownName(name: string, { inventory }: ResolveContext): UserError {
  const known = [...new Set([...inventory.map(({ id }) => id), ...CATALOGUE.map((e) => e.name)])];
  const near = suggestNames(name, known);
  const hint = near.length > 0
    ? `Did you mean ${near.map((candidate) => `"${candidate}"`).join(" or ")}?`
    : `"mesh-llm models" lists what there is; files work too: a path, or org/repo/file.gguf`;
  return new UserError(`Cannot find a model named "${name.slice(0, 100)}". ${hint}`);
}
