/**
 * The management door: what the node is doing, live, and the few things that can be asked of it.
 * Each request passes, in this order: Host and Origin, key (beyond loopback), path, method,
 * management token (writes), content type, body. What fails first is what the answer names.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import { Hono } from "hono";
import type { Timers } from "~/base/clock.ts";
import { messageOf } from "~/base/errors.ts";
import { type GuardPolicy, KeyRing } from "~/base/http_guard.ts";
import { type AccessRules, admitCaller } from "./access.ts";
import { modelOf, modelOfPath, modelOfQuery } from "./body.ts";
import { ApiError } from "./errors.ts";
import { type EventFollower, openEventStream, parseEventId, statusFor } from "./event_stream.ts";
import {
  asRefusal,
  type Ctx,
  type Handler,
  type ManagementEnv,
  readBody,
  write,
} from "./handler.ts";
import { meshHandlers } from "./mesh_handlers.ts";
import { BARE_CONTENT_POLICY, type Page } from "./page.ts";
import type { ManagedNode } from "./ports.ts";

const log = getLogger(["mesh-llm", "api"]);

/** Followers of `/api/events` at once: browser tabs and scripts of one person, with room. */
const FOLLOWERS_MAX = 32;
/** When one who found all places taken may ask again, in seconds. */
const FOLLOWERS_RETRY_S = 5;
const MODELS_PATH = "/api/models/";
const LOAD_REFUSAL = { status: 400, code: "invalid_request_error", param: "model" } as const;
const DROP_REFUSAL = { status: 404, code: "model_not_found", param: "model" } as const;

/** What the management door is made with. */
export interface ManagementAppOptions {
  readonly node: ManagedNode;
  /** What `/` shows; `PAGE` of `io/page.ts`. */
  readonly page: Page;
  /** The management token: opens everything. */
  readonly managementToken: string;
  /** API keys; they open reads when the policy is "any". @default {[]} */
  readonly apiKeys?: readonly string[];
  readonly policy: GuardPolicy;
  readonly timers: Timers;
  /** Aborted when the node stops: event streams end with a last comment. */
  readonly closing?: AbortSignal;
  /** @default {32} */
  readonly followersMax?: number;
}

/**
 * Makes the app for `serveHttp`; it has no timers or connections of its own but those of requests.
 *
 * @throws {UserError} when a key or the token cannot be sent in a header
 */
export function createManagementApp(options: ManagementAppOptions): Hono<ManagementEnv> {
  const rules: AccessRules = {
    policy: options.policy,
    managementKeys: new KeyRing([options.managementToken]),
    apiKeys: new KeyRing(options.apiKeys ?? []),
  };
  const app = new Hono<ManagementEnv>();
  app.use(async (c, next) => {
    setSecurityHeaders(c);
    c.set("caller", admitCaller(c.req.raw.headers, rules));
    await next();
  });
  addRoutes(app, options);
  app.notFound(() => {
    const message = "Cannot find this path: the management API is under /api, the page at /";
    return withSecurity(new ApiError(404, "not_found", { message }).toResponse());
  });
  app.onError((error) => withSecurity(answerError(error)));
  return app;
}

function addRoutes(app: Hono<ManagementEnv>, options: ManagementAppOptions): void {
  const { node, timers } = options;
  const startModel = write(async (c) => {
    const name = modelOf(await readBody(c, { timers }));
    return c.json(await asRefusal(() => node.loadModel(name), LOAD_REFUSAL), 202);
  });
  const dropModel = write(async (c) => {
    const name = modelOfPath(c.req.path.slice(MODELS_PATH.length));
    await asRefusal(() => node.dropModel(name), DROP_REFUSAL);
    return c.json({ model: name });
  });
  const shutdown = write(async (c) => {
    await readBody(c, { timers, isOptional: true });
    await node.shutdown();
    return c.json({ status: "stopping" }, 202);
  });
  route(app, "/", { GET: (c) => sendPage(c, options.page) });
  route(app, "/metrics", { GET: (c) => sendMetrics(c, node) });
  route(app, "/api/status", { GET: (c) => c.json(statusFor(node, c.var.caller)) });
  route(app, "/api/events", { GET: followEvents(options) });
  route(app, "/api/models", { POST: startModel });
  route(app, `${MODELS_PATH}:name{.+}`, { DELETE: dropModel });
  route(app, "/api/plan", {
    GET: (c) => c.json(node.explainModel(modelOfQuery(c.req.query("model")))),
  });
  route(app, "/api/shutdown", { POST: shutdown });
  route(app, "/api/discover", { GET: answerNotBuilt });
  const mesh = meshHandlers({ node, timers });
  route(app, "/api/join", { POST: mesh.join });
  route(app, "/api/invites", { POST: mesh.invite });
  route(app, "/api/revocations", { POST: mesh.revoke });
  route(app, "/api/members", { GET: mesh.members });
}

/** Answers the named methods (HEAD with GET) and refuses all others with 405. */
function route(
  app: Hono<ManagementEnv>,
  path: string,
  handlers: Readonly<Record<string, Handler>>,
): void {
  for (const [method, handler] of Object.entries(handlers)) app.on(method, path, handler);
  const allow = Object.keys(handlers).join(", ");
  app.all(path, () => {
    throw new ApiError(405, "method_not_allowed", {
      message: `Cannot use this method here: this path takes ${allow}`,
      headers: { allow },
    });
  });
}

function followEvents(options: ManagementAppOptions): Handler {
  const { node, timers, closing, followersMax = FOLLOWERS_MAX } = options;
  const followers = new Set<EventFollower>();
  return (c) => {
    // HEAD would get the headers, and nobody would ever read or cancel the stream.
    if (c.req.method === "HEAD") return c.body(null, 200, EVENT_HEADERS);
    // Pages that were closed or loaded anew still hold their places until a write fails.
    for (const follower of followers) follower.probe();
    if (followers.size >= followersMax) throw tooManyFollowers();
    const afterId = parseEventId(c.req.header("last-event-id") ?? c.req.query("after"));
    const follower = openEventStream({
      node,
      timers,
      maySeeToken: c.var.caller.maySeeToken,
      ...(afterId === undefined ? {} : { afterId }),
      endSignals: [c.env.clientGone, ...(closing === undefined ? [] : [closing])],
      onOver: () => void followers.delete(follower),
    });
    followers.add(follower);
    return c.body(follower.stream, 200, EVENT_HEADERS);
  };
}

/** `x-accel-buffering` asks proxies of nginx's kind to pass each event on at once. */
const EVENT_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "x-accel-buffering": "no",
};

function tooManyFollowers(): ApiError {
  return new ApiError(503, "too_many_followers", {
    message: "Cannot follow events: as many as allowed do so already; close a page or a script",
    headers: { "retry-after": String(FOLLOWERS_RETRY_S) },
  });
}

function sendPage(c: Ctx, page: Page): Response | Promise<Response> {
  c.header("content-security-policy", page.contentPolicy);
  return c.html(page.html);
}

async function sendMetrics(c: Ctx, node: ManagedNode): Promise<Response> {
  const { contentType, text } = await node.metrics();
  return c.body(text, 200, { "content-type": contentType });
}

function answerNotBuilt(): never {
  throw new ApiError(501, "not_implemented", {
    message: "Cannot do this: this version does not know public meshes yet",
  });
}

function answerError(error: unknown): Response {
  if (error instanceof ApiError) return error.toResponse();
  log.error("A management request failed: {reason}", { reason: messageOf(error) });
  const message = "The node failed to answer this; its log says why";
  return new ApiError(500, "internal_error", { message }).toResponse();
}

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": BARE_CONTENT_POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

function setSecurityHeaders(c: Ctx): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) c.header(name, value);
}

/** Answers made from errors do not carry what was set before. */
function withSecurity(response: Response): Response {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.headers.set(name, value);
  return response;
}
