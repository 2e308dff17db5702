import { createHash } from "node:crypto";

/** A file that the stand-in has. */
export interface HostedFile {
  /** "org/repo". */
  readonly repo: string;
  readonly revision: string;
  readonly file: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What it claims the digest to be, when not the truth. */
  readonly statedSha256?: string;
  /** Only for this token. */
  readonly token?: string;
  /** Bytes after which the first download of it is cut. */
  readonly cutAfterBytes?: number;
  /** Bytes after which the first download of it stands still, until the client gives up. */
  readonly stallAfterBytes?: number;
  /** Claims nothing about size and digest. */
  readonly isUnstated?: boolean;
}

/** One request as it arrived. */
export interface SeenRequest {
  readonly host: "endpoint" | "store";
  readonly method: string;
  readonly path: string;
  readonly authorization: string | null;
  readonly range: string | null;
}

/** Plays Hugging Face: an endpoint that states facts and redirects, and a store that has the bytes. */
export interface HuggingFaceStandIn extends AsyncDisposable {
  readonly endpoint: string;
  readonly seen: readonly SeenRequest[];
}

/** The commit that every revision stands for. */
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

const LOOPBACK = { hostname: "127.0.0.1", port: 0, onListen: () => {} };

/** Starts the stand-in on two ports of its own. */
export function serveHuggingFace(files: readonly HostedFile[]): HuggingFaceStandIn {
  const seen: SeenRequest[] = [];
  const cuts = new Set(files.filter((file) => file.cutAfterBytes !== undefined));
  const stalls = new Set(files.filter((file) => file.stallAfterBytes !== undefined));
  const store = Deno.serve(LOOPBACK, (request) => {
    seen.push(look(request, "store"));
    const file = files.find((one) => `/${sha256(one.bytes)}` === new URL(request.url).pathname);
    if (file === undefined) return new Response(null, { status: 404 });
    if (stalls.delete(file)) return stalledAnswer(file);
    return cuts.delete(file) ? cutAnswer(file) : storeAnswer(file, request.headers.get("range"));
  });
  const storeUrl = `http://127.0.0.1:${store.addr.port}`;
  const endpoint = Deno.serve(LOOPBACK, (request) => {
    seen.push(look(request, "endpoint"));
    return endpointAnswer(request, { files, storeUrl });
  });
  return {
    endpoint: `http://127.0.0.1:${endpoint.addr.port}`,
    seen,
    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all([endpoint.shutdown(), store.shutdown()]);
    },
  };
}

function look(request: Request, host: SeenRequest["host"]): SeenRequest {
  const { method, headers, url } = request;
  const path = new URL(url).pathname;
  return {
    host,
    method,
    path,
    authorization: headers.get("authorization"),
    range: headers.get("range"),
  };
}

interface EndpointContext {
  readonly files: readonly HostedFile[];
  readonly storeUrl: string;
}

function endpointAnswer(request: Request, { files, storeUrl }: EndpointContext): Response {
  const path = decodeURIComponent(new URL(request.url).pathname);
  // A repository that was renamed answers with a redirect inside the endpoint.
  if (path.startsWith("/old/")) {
    return new Response(null, {
      status: 307,
      headers: { location: path.replace("/old/", "/org/") },
    });
  }
  const file = files.find(({ repo, revision, file }) =>
    [revision, COMMIT].some((name) => path === `/${repo}/resolve/${name}/${file}`)
  );
  if (file === undefined) return refusal(path, files);
  if (file.token !== undefined && request.headers.get("authorization") !== `Bearer ${file.token}`) {
    return new Response(null, { status: 401, headers: { "x-error-code": "GatedRepo" } });
  }
  const digest = sha256(file.bytes);
  const stated = {
    "x-linked-size": String(file.bytes.length),
    "x-linked-etag": `"${file.statedSha256 ?? digest}"`,
  };
  const headers = {
    location: `${storeUrl}/${digest}`,
    "x-repo-commit": COMMIT,
    ...(file.isUnstated === true ? {} : stated),
  };
  return new Response(null, { status: 302, headers });
}

function refusal(path: string, files: readonly HostedFile[]): Response {
  const isKnownRepo = files.some(({ repo }) => path.startsWith(`/${repo}/`));
  return isKnownRepo
    ? new Response(null, { status: 404, headers: { "x-error-code": "EntryNotFound" } })
    : new Response(null, { status: 401, headers: { "x-error-code": "RepoNotFound" } });
}

function storeAnswer({ bytes }: HostedFile, range: string | null): Response {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  if (from === 0) return new Response(bytes, { headers: { etag: '"v1"' } });
  const headers = {
    "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
    etag: '"v1"',
  };
  return new Response(bytes.slice(from), { status: 206, headers });
}

/** Promises everything and ends after some: the server then breaks the connection. */
function cutAnswer({ bytes, cutAfterBytes = 0 }: HostedFile): Response {
  let isSent = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (isSent) return controller.close();
      isSent = true;
      controller.enqueue(bytes.slice(0, cutAfterBytes));
    },
  }, { highWaterMark: 0 });
  return new Response(body, { headers: { "content-length": String(bytes.length), etag: '"v1"' } });
}

/** Promises everything, sends some, and says nothing more. */
function stalledAnswer({ bytes, stallAfterBytes = 0 }: HostedFile): Response {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes.slice(0, stallAfterBytes)),
  });
  return new Response(body, { headers: { "content-length": String(bytes.length), etag: '"v1"' } });
}

/** SHA-256 in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
