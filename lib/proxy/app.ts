/**
 * The OpenAI door: who may come in, which model is meant, who answers, and how it is said.
 *
 * One request for a model: guard -> body (bounded, scanned in passing) -> model -> slot -> target ->
 * answer, passed on as it comes. What happens at the end of one, however it ends, is in `call.ts`.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import { getLogger } from "@logtape/logtape";
import type { Clock, Timers } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { DoorEnv } from "../base/http_door.ts";
import {
  checkHost,
  checkOrigin,
  corsHeaders,
  credentialOf,
  type GuardPolicy,
  type KeyRing,
  type OriginFacts,
  originFactsOf,
  preflightHeaders,
} from "../base/http_guard.ts";
import { streamOf } from "../base/byte_source.ts";
import { FieldList } from "../base/field_list.ts";
import type { HeaderField } from "../base/http1_head.ts";
import type { JsonObject } from "../base/json.ts";
import type { Rng } from "../base/rng.ts";
import { wholeResponse } from "../base/whole_response.ts";
import type { AdmissionLimits } from "./admission.ts";
import { AdmissionDesk } from "./admission_desk.ts";
import { admit, poolOf } from "./admission_pools.ts";
import { answerOf, failureResponse } from "./answer.ts";
import { BODY_LIMITS, type BodyLimits, type ByteBudget, readBody, SharedBudget } from "./body.ts";
import { Call, type PatienceLimits } from "./call.ts";
import { Continuation } from "./continuation.ts";
import { streamKindOf } from "./continue_request.ts";
import { type Beginning, beginningOf } from "./conversation.ts";
import { ENGINE_PATHS, FORWARDED_HEADERS, FORWARDED_VALUE } from "./endpoints.ts";
import { type Dialect, DoorError, errorResponse, jsonResponse } from "./errors.ts";
import type { MetricsText, ObserveRequest } from "./events.ts";
import type { Forwarded } from "./far_refusal.ts";
import { BusyCounts, forward, rankTargets } from "./forward.ts";
import { JsonScanner, type ScanResult } from "./json_scan.ts";
import { chooseModel, modelEntry, namedModel } from "./models.ts";
import type { RoutingTable, ServedModel, UpstreamRequest } from "./ports.ts";
import { Router } from "./route.ts";
import { isEventStream } from "./sse.ts";
import { bodyOfRequest, NEVER_GONE } from "./web_body.ts";

const log = getLogger(["mesh-llm", "proxy"]);

/** Every bound of the door. */
export interface ProxyLimits {
  readonly body: BodyLimits;
  /** Bytes of all bodies together. */
  readonly bodiesBytesMax: number;
  readonly admission: AdmissionLimits;
  readonly patience: PatienceLimits;
}

/** The limits of a node. */
const PROXY_LIMITS: ProxyLimits = {
  body: BODY_LIMITS,
  // Eight of the largest; text requests never come near.
  bodiesBytesMax: 512 * 1024 * 1024,
  // With four slots and 5 s each, the last of 64 waits 80 s: longer than clients like to wait.
  admission: { queueMax: 64, waitMsMax: 600_000 },
  // An hour: long prompts on CPU-only machines are slow, and a dead engine is noticed otherwise.
  patience: { firstByteMs: 3_600_000, silenceMs: 600_000 },
};

/** What the door needs from the program. */
export interface OpenAiAppOptions {
  /** Id of this node: `x-mesh-llm-node` of what it answers itself. */
  readonly nodeId: string;
  readonly table: RoutingTable;
  /** What this node itself serves: all that peers may ask for, so that nothing is passed on twice. */
  readonly localTable: RoutingTable;
  readonly policy: GuardPolicy;
  /** The keys of which each request must carry one; undefined when none is needed. */
  readonly keys: KeyRing | undefined;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Makes an id for requests that bring none. */
  readonly newRequestId: () => string;
  readonly observe: ObserveRequest;
  readonly metrics: MetricsText;
  readonly rng: Rng;
  /** Told of each model that a caller of this node asks for, served or only known; not of what peers ask for. */
  readonly demanded?: (modelId: string) => void;
  /** Whether answers that break off are continued elsewhere. @default {true} */
  readonly continuesAnswers?: boolean;
  readonly limits?: Partial<ProxyLimits>;
}

/** The types of the door's Hono app. `c.env` is empty in tests that call the app directly. */
export interface OpenAiAppTypes {
  Bindings: Partial<DoorEnv>;
  Variables: { requestId: string; origin: OriginFacts };
}

type Ctx = Context<OpenAiAppTypes>;

const READ = ["GET", "HEAD"];
/** Paths that need no key: load balancers ask them, and they tell nothing. */
const OPEN_PATHS = new Set(["/health", "/v1/health"]);
/** A caller's own id, if it can stand in headers and logs as it is. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
/** Header by which a caller says "off": its answer is not to be continued elsewhere. */
const CONTINUE_HEADER = "x-mesh-llm-continue";
/** Longest part of an unknown path that is said back. */
const PATH_SHOWN_CHARS_MAX = 200;

/** Builds the door. It holds no connection and starts no timer until a request comes. */
export function createOpenAiApp(options: OpenAiAppOptions): Hono<OpenAiAppTypes> {
  const door = new OpenAiDoor(options);
  const app = new Hono<OpenAiAppTypes>();
  // One handler for each path: a chain of middleware costs every request a tenth of its time here.
  const serve = (paths: readonly string[], methods: readonly string[], respond: Respond): void => {
    const allow = [...methods, "OPTIONS"].join(", ");
    for (const path of paths) {
      app.all(path, (c) => {
        const isMeant = methods.includes(c.req.method);
        return door.answer(c, isMeant ? respond : () => door.wrongMethod(c, allow));
      });
    }
  };
  serve(ENGINE_PATHS, ["POST"], (c) => door.ask(c));
  serve(["/v1/models", "/models"], READ, () => door.listModels());
  serve(["/v1/models/:id{.+}", "/models/:id{.+}"], READ, (c) => {
    return door.oneModel(c.req.param("id") ?? "");
  });
  serve([...OPEN_PATHS], READ, (c) => door.health(c));
  serve(["/metrics"], READ, () => door.metrics());
  app.notFound((c) => door.answer(c, () => door.unknownPath(c)));
  app.onError((error, c) => door.onError(error, c));
  return app;
}

type Respond = (c: Ctx) => Response | Promise<Response>;

class OpenAiDoor {
  readonly #options: OpenAiAppOptions;
  readonly #limits: ProxyLimits;
  readonly #desk: AdmissionDesk;
  readonly #budget: SharedBudget;
  readonly #busy = new BusyCounts();
  readonly #router: Router;

  constructor(options: OpenAiAppOptions) {
    this.#options = options;
    this.#limits = { ...PROXY_LIMITS, ...options.limits };
    this.#budget = new SharedBudget(this.#limits.bodiesBytesMax);
    const { clock, timers } = options;
    this.#router = new Router(options.rng);
    this.#desk = new AdmissionDesk({ clock, timers, limits: this.#limits.admission });
  }

  /** Answers a request, if it may come in; whatever happens is an answer. */
  async answer(c: Ctx, respond: Respond): Promise<Response> {
    this.#greet(c);
    let response = this.#turnAway(c);
    try {
      response ??= await respond(c);
    } catch (error) {
      response = this.onError(error, c);
    }
    this.#stamp(c, response);
    return response;
  }

  /** Settles the request's id and who sent it. */
  #greet(c: Ctx): void {
    const given = c.req.header("x-request-id");
    const isSane = given !== undefined && REQUEST_ID.test(given);
    c.set("requestId", isSane ? given : this.#options.newRequestId());
    c.set("origin", originFactsOf((name) => c.req.header(name)));
  }

  /** Answers requests that come from the wrong place or without a key, and preflights. */
  #turnAway(c: Ctx): Response | undefined {
    // The link has proved who asks, and with which rights.
    if (c.env?.peer !== undefined) return this.#turnAwayPeer(c);
    const { policy } = this.#options;
    const origin = c.get("origin");
    const fault = checkHost(origin.host, policy) ?? checkOrigin(origin, policy);
    if (fault !== undefined) return this.#turnedAway(c, new DoorError("forbidden", fault));
    if (c.req.method === "OPTIONS") return this.#preflight(c);
    if (OPEN_PATHS.has(c.req.path) || this.#hasKey(c)) return undefined;
    const message = credentialOf((name) => c.req.header(name)) === undefined
      ? "An API key is needed: send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`"
      : "This API key is not one of this node's";
    return this.#turnedAway(
      c,
      new DoorError("invalid_api_key", message, { headers: { "www-authenticate": "Bearer" } }),
    );
  }

  /** Puts on every answer what every answer has. */
  #stamp(c: Ctx, { headers }: Response): void {
    headers.set("x-request-id", c.get("requestId"));
    if (!headers.has("x-mesh-llm-node")) headers.set("x-mesh-llm-node", this.#options.nodeId);
    const origin = c.get("origin");
    if (origin.origin === undefined) return;
    for (const [name, value] of Object.entries(corsHeaders(origin, this.#options.policy))) {
      if (!headers.has(name)) headers.set(name, value);
    }
  }

  listModels(): Response {
    return jsonResponse({ object: "list", data: this.#options.table.served().map(modelEntry) });
  }

  oneModel(id: string): Response {
    return jsonResponse(modelEntry(namedModel(id, this.#options.table)));
  }

  /** Needs no key, so it tells nobody without one which models there are. */
  health(c: Ctx): Response {
    const { table } = this.#options;
    if (table.served().length > 0) return jsonResponse({ status: "ok" });
    const models: JsonObject[] = table.loading().map(({ id, phase, percent = null }) => {
      return { id, phase, percent };
    });
    const facts: JsonObject = this.#hasKey(c) ? { models } : {};
    return jsonResponse({ status: "loading", ...facts }, {
      status: 503,
      headers: { "retry-after": "5" },
    });
  }

  async metrics(): Promise<Response> {
    const { contentType, text } = await this.#options.metrics();
    const headers = { "content-type": contentType };
    return wholeResponse(new TextEncoder().encode(text), { status: 200, headers });
  }

  wrongMethod(c: Ctx, allow: string): Response {
    const message = `Cannot use ${c.req.method} here: allowed are ${allow}`;
    return this.#turnedAway(
      c,
      new DoorError("method_not_allowed", message, { headers: { allow } }),
    );
  }

  unknownPath(c: Ctx): Response {
    const path = c.req.path.slice(0, PATH_SHOWN_CHARS_MAX);
    return this.#turnedAway(c, new DoorError("not_found", `Cannot find the path ${path}`));
  }

  onError(error: unknown, c: Ctx): Response {
    if (error instanceof DoorError) return errorResponse(error, dialectOf(c));
    log.error("Request {requestId} failed by a defect of ours: {error}", {
      requestId: c.get("requestId"),
      error: error instanceof Error ? error.stack ?? error.message : messageOf(error),
    });
    return errorResponse(
      new DoorError("internal_error", "mesh-llm failed to handle this request: its log says more"),
      dialectOf(c),
    );
  }

  /** A request for a model. */
  async ask(c: Ctx): Promise<Response> {
    const { clock, timers, observe } = this.#options;
    const peer = c.env?.peer;
    const budget = this.#budget.of(peer?.nodeId);
    const call = new Call({
      requestId: c.get("requestId"),
      endpoint: c.req.path,
      dialect: dialectOf(c),
      clientGone: c.env?.clientGone ?? NEVER_GONE,
      clock,
      timers,
      patience: this.#limits.patience,
      budget,
      observe,
      isForPeer: c.env?.peer !== undefined,
    });
    this.#router.handle({ kind: "received" }, clock.nowMs());
    try {
      return answerOf(await this.#forward(c, { call, budget }), call);
    } catch (error) {
      return failureResponse(error, call);
    }
  }

  /** Resolves when the answer of some target has begun. */
  async #forward(
    c: Ctx,
    { call, budget }: { readonly call: Call; readonly budget: ByteBudget },
  ): Promise<Forwarded> {
    const peer = c.env?.peer;
    const table = peer === undefined ? this.#options.table : this.#options.localTable;
    const { body, scan, beginning } = await this.#readBody(c, { call, budget });
    const model = modelOf(scan, table, {
      settled: peer?.model,
      asked: peer === undefined ? this.#options.demanded : undefined,
    });
    call.onModel(model.id);
    const parts = { call, modelId: model.id, table, busy: this.#busy, router: this.#router };
    const request = upstreamRequest(c, body, model.id);
    const targets = rankTargets(request, { ...parts, beginning });
    const [best] = targets;
    const { pool, ticket } = await admit(this.#desk, model.id, {
      targets,
      signal: call.signal,
      preferred: best === undefined ? undefined : poolOf(best),
      isContinuation: peer?.isContinuation,
      peer: peer?.nodeId,
    });
    call.onAdmitted(model.id, ticket);
    const continuation = this.#continuation(c, scan, { ...parts, request });
    const asked = continuation === undefined ? request : { ...request, ...continuation.middle };
    const forwarded = await forward(asked, {
      ...parts,
      beginning,
      pool,
      onMove: async (target) => {
        const { signal } = call;
        call.onMoved((await admit(this.#desk, model.id, { targets: [target], signal })).ticket);
      },
    });
    return continuation === undefined ? forwarded : continued(forwarded, continuation);
  }

  /** What goes on with the answer if it breaks off; undefined where nobody could, or shall. */
  #continuation(
    c: Ctx,
    scan: ScanResult,
    parts: Omit<ConstructorParameters<typeof Continuation>[0], "kind" | "acquire">,
  ): Continuation | undefined {
    const kind = streamKindOf(c.req.path);
    const isStream = scan.kind === "object" && scan.stream.kind === "boolean" && scan.stream.value;
    const isOff = this.#options.continuesAnswers === false ||
      c.req.header(CONTINUE_HEADER)?.toLowerCase() === "off";
    // A node that asks for its own clients goes on elsewhere by itself.
    if (kind === undefined || !isStream || isOff || parts.call.isForPeer) return undefined;
    const { modelId } = parts;
    return new Continuation({
      ...parts,
      kind,
      acquire: async (target, signal) => {
        const asked = { targets: [target], signal, isContinuation: true };
        return (await admit(this.#desk, modelId, asked)).ticket;
      },
    });
  }

  async #readBody(
    c: Ctx,
    { call, budget }: { readonly call: Call; readonly budget: ByteBudget },
  ): Promise<ReadRequest> {
    const { clock, timers } = this.#options;
    const scanner = new JsonScanner();
    const reading = readBody(c.env?.body ?? bodyOfRequest(c.req.raw), {
      limits: this.#limits.body,
      budget,
      clock,
      timers,
      inspect: (bytes) => scanner.push(bytes),
    });
    try {
      const body = await reading.whole;
      call.onBody({ sizeBytes: body.length, budgetedBytes: reading.budgetedBytes });
      let known: Beginning | undefined;
      const beginning = (): Beginning => known ??= beginningOf(body, scanner.beginning);
      return { body, scan: scanner.finish(), beginning };
    } catch (error) {
      call.onBody({ sizeBytes: 0, budgetedBytes: reading.budgetedBytes });
      throw error;
    }
  }

  /** Peers may ask engines, and nothing else: no list, no metrics. */
  #turnAwayPeer(c: Ctx): Response | undefined {
    if (c.req.method === "POST" && ENGINE_PATHS.includes(c.req.path)) return undefined;
    return this.unknownPath(c);
  }

  /** True when the request carries one of the keys, or none is needed. */
  #hasKey(c: Ctx): boolean {
    const { keys } = this.#options;
    return keys === undefined || keys.accepts(credentialOf((name) => c.req.header(name)));
  }

  #preflight(c: Ctx): Response {
    const headers = preflightHeaders(c.get("origin"), this.#options.policy, {
      methods: ["GET", "HEAD", "POST", "OPTIONS"],
      requestHeaders: c.req.header("access-control-request-headers"),
    });
    return new Response(null, { status: 204, headers });
  }

  #turnedAway(c: Ctx, error: DoorError): Response {
    this.#options.observe({ kind: "turned away", status: error.status, code: error.code });
    return errorResponse(error, dialectOf(c));
  }
}

interface ReadRequest {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly scan: ScanResult;
  readonly beginning: () => Beginning;
}

/** The answer with somebody who goes on with it, if it is a stream that may break off. */
function continued(forwarded: Forwarded, continuation: Continuation): Forwarded {
  const { response, target } = forwarded;
  const { body, headers } = response;
  const isStream = body instanceof ReadableStream && isEventStream(headers.get("content-type"));
  if (!isStream || response.status >= 400) return forwarded;
  continuation.begin(target, body);
  return {
    ...forwarded,
    response: { ...response, body: streamOf(continuation) },
    fail: (event) => continuation.fail(event),
  };
}

function dialectOf(c: Ctx): Dialect {
  return c.req.path.startsWith("/v1/messages") ? "anthropic" : "openai";
}

/** The served model that is meant; a peer says itself on which one it settled. */
function modelOf(
  scan: ScanResult,
  table: RoutingTable,
  { settled, asked }: {
    readonly settled: string | undefined;
    readonly asked: ((modelId: string) => void) | undefined;
  },
): ServedModel {
  switch (scan.kind) {
    case "invalid":
      throw new DoorError(
        "invalid_json",
        `Cannot read the body as JSON: ${scan.message} (at byte ${scan.offset})`,
      );
    case "not an object":
      throw new DoorError("invalid_request_error", "Cannot use this body: it must be an object");
    case "object":
      return settled === undefined
        ? chooseModel(scan.model, table, asked)
        : namedModel(settled, table);
  }
}

function upstreamRequest(
  c: Ctx,
  body: Uint8Array<ArrayBuffer>,
  model: string,
): UpstreamRequest {
  const fields: HeaderField[] = [
    // It was read as JSON, whatever it is called; the engine would take a form apart.
    ["content-type", "application/json"],
    ["x-request-id", c.get("requestId")],
  ];
  for (const name of FORWARDED_HEADERS) {
    const value = c.req.header(name);
    if (value !== undefined && FORWARDED_VALUE.test(value)) fields.push([name, value]);
  }
  return { method: "POST", path: c.req.path, headers: new FieldList(fields), body, model };
}
