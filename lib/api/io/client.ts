/**
 * How a command talks to the node that runs on this machine. `node:http` rather than `fetch`, because
 * the latter would send requests for loopback to the proxy that `HTTP_PROXY` names.
 */
import http from "node:http";
import { joined } from "~/base/bytes.ts";
import { messageOf, UserError } from "~/base/errors.ts";
import { isJsonObject, type JsonObject } from "~/base/json.ts";
import { MIB } from "~/base/units.ts";
import {
  JOIN_TIMEOUT_MS,
  type Joined,
  type MadeInvite,
  type MemberInfo,
  type ModelExplanation,
  type Revoked,
  type StatusSnapshot,
} from "../ports.ts";
import { readManagementToken } from "./token_file.ts";

/** How long a node may take to answer; it answers in milliseconds, save on a swapping machine. */
const ANSWER_TIMEOUT_MS = 10_000;
/** A join may take as long as the door lets it; then it answers. */
const JOIN_ANSWER_TIMEOUT_MS = JOIN_TIMEOUT_MS + ANSWER_TIMEOUT_MS;
/** Largest answer: the status of a mesh of a thousand nodes has some 500 kB. */
const ANSWER_BYTES_MAX = 4 * MIB;

/** No node answers on the console port. */
export class NoNodeError extends UserError {
  override readonly name = "NoNodeError";
}

/** What a {@link ManagementClient} is made with. */
export interface ManagementClientOptions {
  /** Console port of the node. */
  readonly port: number;
  /** The file with the management token. */
  readonly tokenPath: string;
  /** @default {10000} */
  readonly timeoutMs?: number;
}

/** The running node, as a command sees it. Everything throws {@link UserError}s fit for people. */
export interface ManagementClient {
  /** @throws {NoNodeError} when nothing listens on the port */
  status(): Promise<StatusSnapshot>;
  /** Resolves when the node has begun to stop. */
  shutdown(): Promise<void>;
  /** Resolves when the node has begun to load. */
  loadModel(name: string): Promise<{ readonly model: string }>;
  dropModel(name: string): Promise<void>;
  /** Resolves when the node is in the mesh of the token. */
  join(token: string): Promise<Joined>;
  /** What is not given is the node's to choose. */
  makeInvite(wish: {
    readonly role?: string | undefined;
    readonly expires?: string | undefined;
  }): Promise<MadeInvite>;
  /** @param subject a whole node id, or a serial */
  revoke(
    subject: { readonly node: string } | { readonly serial: string },
    options: { readonly keep: boolean },
  ): Promise<Revoked>;
  /** What becomes of a model, and why. */
  explainModel(name: string): Promise<ModelExplanation>;
  /** Who is in the mesh. */
  members(): Promise<MembersAnswer>;
}

/** What `/api/members` answers. */
export interface MembersAnswer {
  /** Null outside of a mesh. */
  readonly "mesh_id": string | null;
  readonly members: readonly MemberInfo[];
}

interface Answer {
  readonly status: number;
  readonly body: JsonObject;
}

/** Makes a client; it connects only when asked something, anew each time. */
export function managementClient(options: ManagementClientOptions): ManagementClient {
  const write = async (method: string, path: string, body?: JsonObject): Promise<JsonObject> =>
    await sendWrite(options, { method, path, body });
  return {
    status: () => read<StatusSnapshot>(options, "/api/status", ["node_status", "version"]),
    shutdown: async () => void await write("POST", "/api/shutdown", {}),
    loadModel: async (name) => {
      const answer = await write("POST", "/api/models", { model: name });
      return { model: String(answer["model"] ?? name) };
    },
    dropModel: async (name) =>
      void await write("DELETE", `/api/models/${encodeURIComponent(name)}`),
    explainModel: (name) =>
      read<ModelExplanation>(options, `/api/plan?model=${encodeURIComponent(name)}`, [
        "model",
        "summary",
      ]),
    ...meshCalls(options),
  };
}

type MeshCalls = Pick<ManagementClient, "join" | "makeInvite" | "revoke" | "members">;

function meshCalls(options: ManagementClientOptions): MeshCalls {
  const post = async <T>(path: string, body: JsonObject, members: readonly string[]): Promise<T> =>
    checked(await sendWrite(options, { method: "POST", path, body }), members, options);
  const { timeoutMs = JOIN_ANSWER_TIMEOUT_MS } = options;
  return {
    join: async (token) => {
      const request = { method: "POST", path: "/api/join", body: { token } };
      return checked(await sendWrite({ ...options, timeoutMs }, request), ["mesh_id"], options);
    },
    makeInvite: ({ role, expires }) => {
      const wish = {
        ...(role === undefined ? {} : { role }),
        ...(expires === undefined ? {} : { expires }),
      };
      return post("/api/invites", wish, ["token", "serial"]);
    },
    revoke: (subject, { keep }) => post("/api/revocations", { ...subject, keep }, ["revoked"]),
    members: async () => {
      const answer = await read<MembersAnswer>(options, "/api/members", []);
      if (!Array.isArray(answer.members)) throw foreignProgram(options);
      return answer;
    },
  };
}

async function sendWrite(options: ManagementClientOptions, request: {
  readonly method: string;
  readonly path: string;
  readonly body?: JsonObject | undefined;
}): Promise<JsonObject> {
  const token = await tokenOf(options);
  return unwrap(await exchange(options, { ...request, token }), options);
}

async function read<T>(
  options: ManagementClientOptions,
  path: string,
  members: readonly string[],
): Promise<T> {
  const request = { method: "GET", path };
  let answer = await exchange(options, request);
  // Beyond loopback reads need the token. It is not sent unasked: the port may be another program's.
  if (answer.status === 401) {
    answer = await exchange(options, { ...request, token: await tokenOf(options) });
  }
  return checked(unwrap(answer, options), members, options);
}

/** The answer, when it has these members as texts: another program's would not. */
function checked<T>(
  answer: JsonObject,
  members: readonly string[],
  options: ManagementClientOptions,
): T {
  if (members.some((name) => typeof answer[name] !== "string")) throw foreignProgram(options);
  return answer as unknown as T;
}

async function tokenOf(options: ManagementClientOptions): Promise<string> {
  const { tokenPath } = options;
  let token: string | undefined;
  try {
    token = await readManagementToken(tokenPath);
  } catch (cause) {
    const message = `Cannot read the management token in "${tokenPath}": ${messageOf(cause)}`;
    throw new UserError(message, { cause });
  }
  if (token !== undefined) return token;
  throw new UserError(
    `Cannot find a management token in "${tokenPath}": no node was started with this home; ` +
      "name the home of the running node with --home",
  );
}

/** The body of a good answer; everything else becomes a sentence. */
function unwrap(answer: Answer, options: ManagementClientOptions): JsonObject {
  const { status, body } = answer;
  if (status >= 200 && status < 300) return body;
  const error = body["error"];
  if (!isJsonObject(error) || typeof error["message"] !== "string") throw foreignProgram(options);
  if (error["code"] === "invalid_management_token") {
    throw new UserError(
      `Cannot manage the node on console port ${options.port}: the management token in ` +
        `"${options.tokenPath}" is not its own; name the home of that node with --home`,
    );
  }
  throw new UserError(error["message"]);
}

function foreignProgram({ port }: ManagementClientOptions): UserError {
  return new UserError(
    `Cannot talk to a node on console port ${port}: another program answers there; ` +
      "name the console port of the node with --console",
  );
}

function exchange(options: ManagementClientOptions, request: {
  readonly method: string;
  readonly path: string;
  readonly token?: string | undefined;
  readonly body?: JsonObject | undefined;
}): Promise<Answer> {
  const { port, timeoutMs = ANSWER_TIMEOUT_MS } = options;
  const text = request.body === undefined ? undefined : JSON.stringify(request.body);
  const headers: Record<string, string> = { connection: "close" };
  if (request.token !== undefined) headers["authorization"] = `Bearer ${request.token}`;
  if (text !== undefined) headers["content-type"] = "application/json";
  return new Promise((resolve, reject) => {
    const { method, path } = request;
    const outgoing = http.request({ host: "127.0.0.1", port, method, path, headers, agent: false });
    const late = setTimeout(() => outgoing.destroy(new LateError()), timeoutMs);
    const fail = (cause: unknown): void => {
      clearTimeout(late);
      outgoing.destroy();
      reject(explain(cause, { port, timeoutMs }));
    };
    outgoing.on("error", fail);
    outgoing.on("response", (incoming) => {
      collect(incoming).then((body) => {
        clearTimeout(late);
        resolve({ status: incoming.statusCode ?? 0, body });
      }).catch(fail);
    });
    outgoing.end(text);
  });
}

class LateError extends Error {
  override readonly name = "LateError";
}

/** Reads a JSON object; anything else counts as an empty one. */
async function collect(incoming: http.IncomingMessage): Promise<JsonObject> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of incoming) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > ANSWER_BYTES_MAX) return {};
    chunks.push(chunk);
  }
  const text = new TextDecoder().decode(joined(chunks));
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}

function explain(
  cause: unknown,
  { port, timeoutMs }: { readonly port: number; readonly timeoutMs: number },
): UserError {
  if (cause instanceof LateError) {
    return new UserError(
      `The node on console port ${port} did not answer within ${timeoutMs / 1000} s`,
      { cause },
    );
  }
  const code = (cause as { code?: unknown }).code;
  if (code === "ECONNREFUSED") {
    return new NoNodeError(
      `No node is running on console port ${port}: start one with "mesh-llm", or name its console ` +
        "port with --console",
      { cause },
    );
  }
  const reason = messageOf(cause);
  return new UserError(`Cannot talk to the node on console port ${port}: ${reason}`, { cause });
}
