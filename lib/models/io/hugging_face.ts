/** Asks Hugging Face what a file is: its size, its digest, the commit it belongs to. */
import { messageOf, UserError } from "../../base/errors.ts";
import { isSha256 } from "../../base/transfer.ts";
import type { HuggingFaceFile } from "../catalogue.ts";

/** Where Hugging Face is unless `HF_ENDPOINT` says otherwise. */
const HF_ENDPOINT_DEFAULT = "https://huggingface.co";
/** The user's words for this source. */
export const HUGGING_FACE_SOURCE = "Hugging Face";
/** Time for each answer: where it can't be reached, the next source should not wait longer. */
const ANSWER_TIMEOUT_MS = 5_000;
/** Redirects in a row within the endpoint, for repositories that were renamed. */
const REDIRECTS_MAX = 5;
/** Statuses that mean "look there". */
const REDIRECT_STATUSES: readonly number[] = [301, 302, 303, 307, 308];

/** Access to Hugging Face. */
export interface HuggingFaceAccess {
  /** Base URL. @default {"https://huggingface.co"} */
  readonly endpoint?: string;
  /** Sent to the endpoint's own host only. */
  readonly token?: string;
}

/** A file as Hugging Face states it. */
export interface StatedFile {
  /** Where to download it from; the token is needed there, not where it redirects to. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Commit that the revision stands for today. */
  readonly commit?: string;
}

/**
 * Asks for a file without downloading it.
 *
 * @throws {UserError} when it cannot be reached, does not exist, or may not be read
 */
export async function stateOfFile(
  file: HuggingFaceFile,
  access: HuggingFaceAccess,
  signal: AbortSignal,
): Promise<StatedFile> {
  // Variables that are set to nothing are as good as not set.
  const url = fileUrl(file, access.endpoint || HF_ENDPOINT_DEFAULT);
  const hasToken = access.token !== undefined && access.token !== "";
  const headers: Record<string, string> = hasToken
    ? { authorization: `Bearer ${access.token}` }
    : {};
  const answer = await askHead(url, { headers, signal });
  refuseIfMissing(answer, { file, hasToken });
  const sizeText = answer.headers.get("x-linked-size") ?? answer.headers.get("content-length") ??
    "";
  const sha256 = (answer.headers.get("x-linked-etag") ?? "").replace(/^(W\/)?"|"$/g, "");
  if (!/^\d{1,15}$/.test(sizeText) || !isSha256(sha256)) {
    throw new UserError(`It states no size and SHA-256 of ${file.file}, so it cannot be checked`);
  }
  const commit = answer.headers.get("x-repo-commit") ?? "";
  const isCommit = /^[0-9a-f]{40}$/.test(commit);
  return { url, headers, sizeBytes: Number(sizeText), sha256, ...(isCommit ? { commit } : {}) };
}

function fileUrl({ repo, file, revision }: HuggingFaceFile, endpoint: string): string {
  const base = endpoint.replace(/\/+$/, "");
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol)) {
    throw new UserError("HF_ENDPOINT is not an http:// or https:// address");
  }
  const path = file.split("/").map(encodeURIComponent).join("/");
  return `${base}/${repo}/resolve/${encodeURIComponent(revision)}/${path}`;
}

interface AskOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** The first answer that is not a redirect inside the endpoint: it states the facts. */
async function askHead(url: string, { headers, signal }: AskOptions): Promise<Response> {
  let next = url;
  for (let hops = 0; hops <= REDIRECTS_MAX; hops += 1) {
    const answer = await askOnce(next, { headers, signal });
    await answer.body?.cancel().catch(() => {});
    const location = answer.headers.get("location");
    const isFinal = answer.headers.has("x-linked-etag") || location === null ||
      !REDIRECT_STATUSES.includes(answer.status);
    if (isFinal || !URL.canParse(location, next)) return answer;
    const target = new URL(location, next);
    // Elsewhere are the stores: they state other things, and must not see the token.
    if (target.origin !== new URL(url).origin) return answer;
    next = target.href;
  }
  throw new UserError(`It redirected more than ${REDIRECTS_MAX} times`);
}

async function askOnce(url: string, { headers, signal }: AskOptions): Promise<Response> {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), ANSWER_TIMEOUT_MS);
  try {
    return await fetch(url, {
      method: "HEAD",
      headers: { ...headers, "accept-encoding": "identity" },
      redirect: "manual",
      signal: AbortSignal.any([signal, patience.signal]),
    });
  } catch (cause) {
    signal.throwIfAborted();
    const reason = patience.signal.aborted
      ? `no answer within ${ANSWER_TIMEOUT_MS / 1000} s`
      : innermost(cause);
    throw new UserError(`${new URL(url).host} cannot be reached: ${reason}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** The last cause of what `fetch` threw, without the URL that it repeats. */
/** The last words of a chain of causes, which the runtime joins with colons: what really went wrong. */
function innermost(thrown: unknown): string {
  let cause = thrown;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  const line = messageOf(cause).replaceAll(/\s*\(https?:\/\/[^)]*\)/g, "").split("\n", 1)[0] ?? "";
  return line.split(": ").at(-1) ?? line;
}

function refuseIfMissing(
  { status, headers }: Response,
  { file, hasToken }: { readonly file: HuggingFaceFile; readonly hasToken: boolean },
): void {
  if (status < 400) return;
  const code = headers.get("x-error-code") ?? "";
  const where = `${file.repo} at ${file.revision}`;
  if (code === "EntryNotFound") throw new UserError(`There is no file ${file.file} in ${where}`);
  if (code === "RevisionNotFound") throw new UserError(`There is no ${where}`);
  if (status === 401 || status === 403) {
    const wish = hasToken
      ? "the token in HF_TOKEN may not read it; accept the model's terms on its page"
      : "put a token that may read it into HF_TOKEN";
    const what = code === "GatedRepo" ? "gated" : "private, gated or does not exist";
    throw new UserError(`${file.repo} is ${what}: ${wish}`);
  }
  if (status === 404) throw new UserError(`There is no ${file.file} in ${where}`);
  throw new UserError(`It answered ${status} for ${file.repo}`);
}
