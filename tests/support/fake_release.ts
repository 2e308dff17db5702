/**
 * Plays upstream's release API and its downloads on the loopback, with archives made up on the spot:
 * a small shell script stands for llama-server.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { zipSync } from "fflate";
import tar from "tar-stream";
import { type HttpScript, ScriptedHttp, type ScriptedRequest } from "#support/scripted_http.ts";

/** One thing in a made-up archive. */
export interface FakeEntry {
  readonly path: string;
  readonly text?: string;
  readonly mode?: number;
  /** Makes it a link. */
  readonly target?: string;
  readonly type?: "file" | "directory" | "symlink" | "link" | "character-device";
}

/** Prints what `llama-server --version` prints. */
export const FAKE_SERVER = "#!/bin/sh\necho 'version: 0.7.0 (build 11669, commit abc)' >&2\n";

/** An archive as upstream lays it out. */
export function engineEntries(server = FAKE_SERVER): FakeEntry[] {
  return [
    { path: "./", type: "directory" },
    { path: "./llama-b11669/", type: "directory" },
    { path: "./llama-b11669/llama-server", text: server, mode: 0o755 },
    { path: "./llama-b11669/rpc-server", text: FAKE_SERVER, mode: 0o755 },
    { path: "./llama-b11669/LICENSE", text: "MIT", mode: 0o644 },
    { path: "./llama-b11669/libggml.so.0", text: "library", mode: 0o755 },
    { path: "./llama-b11669/libggml.so", target: "libggml.so.0", type: "symlink" },
  ];
}

/** Packs entries as they stand, unsafe ones included. */
export async function makeTarGz(entries: readonly FakeEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  const pack = tar.pack();
  for (const { path, text = "", mode = 0o644, target, type } of entries) {
    const header = { name: path, mode, type: type ?? "file" as const };
    pack.entry(target === undefined ? header : { ...header, linkname: target }, text);
  }
  pack.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of pack) chunks.push(chunk as Uint8Array);
  return new Uint8Array(
    gzipSync(new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer())),
  );
}

/** Packs files into a zip. */
export function makeZip(entries: readonly FakeEntry[]): Uint8Array<ArrayBuffer> {
  const files = entries.map(({ path, text = "" }) => [path, new TextEncoder().encode(text)]);
  return new Uint8Array(zipSync(Object.fromEntries(files)));
}

/** What the fake server does apart from being correct. */
export interface FakeReleaseOptions {
  /** Archives by name. */
  readonly archives: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  /** Replaces facts that the API states about every archive. */
  readonly stated?: Readonly<Record<string, unknown>>;
  /** Answers a download instead of the server; false: let the server do it. */
  readonly onDownload?: (
    request: ScriptedRequest,
    reply: Parameters<HttpScript>[1],
    downloads: number,
  ) => Promise<boolean>;
}

/** The server, and how often what was asked. */
export class FakeRelease extends ScriptedHttp {
  constructor(options: FakeReleaseOptions) {
    let downloads = 0;
    super(async (request, reply) => {
      const origin = `http://${request.headers.get("host")}`;
      if (request.path.startsWith("/repos/")) {
        return await reply.file(new TextEncoder().encode(describe(options, origin)));
      }
      downloads += 1;
      if (await options.onDownload?.(request, reply, downloads)) return;
      const bytes = options.archives[request.path.slice("/download/".length)];
      if (bytes === undefined) return await reply.head(404);
      await reply.file(bytes, { etag: '"v1"' });
    });
  }

  /** Requests for archives. */
  get downloads(): readonly ScriptedRequest[] {
    return this.requests.filter(({ path }) => path.startsWith("/download/"));
  }
}

function describe({ archives, stated = {} }: FakeReleaseOptions, origin: string): string {
  const assets = Object.entries(archives).map(([name, bytes]) => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const facts = { name, size: bytes.byteLength, digest };
    return { ...facts, ["browser_download_url"]: `${origin}/download/${name}`, ...stated };
  });
  return JSON.stringify({ ["tag_name"]: "b11669", assets });
}
