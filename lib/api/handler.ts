/** What the handlers of the management door have in common. */
import type { Context } from "hono";
import type { Timers } from "~/base/clock.ts";
import { UserError } from "~/base/errors.ts";
import type { DoorEnv } from "~/base/http_door.ts";
import type { JsonObject } from "~/base/json.ts";
import { type Caller, requireManager } from "./access.ts";
import { readJsonObject } from "./body.ts";
import { ApiError } from "./errors.ts";
import { NodeRefusal, type RefusalKind } from "./ports.ts";

/** What the app keeps with each request. */
export interface ManagementEnv {
  Bindings: DoorEnv;
  Variables: { caller: Caller };
}
/** One request, as its handler sees it. */
export type Ctx = Context<ManagementEnv>;
/** Answers one request. */
export type Handler = (c: Ctx) => Response | Promise<Response>;

/** A handler for those only who have the management token. */
export function write(handler: Handler): Handler {
  return (c) => {
    requireManager(c.var.caller);
    return handler(c);
  };
}

/** The JSON object that a request carries; see {@link readJsonObject}. */
export function readBody(c: Ctx, options: {
  readonly timers: Timers;
  readonly isOptional?: boolean;
}): Promise<JsonObject> {
  return readJsonObject(c.env.body, { contentType: c.req.header("content-type"), ...options });
}

/** How a refusal is told when the node does not say more. */
interface UsualRefusal {
  readonly status: number;
  readonly code: string;
  /** Member of the request that it is about. */
  readonly param?: string;
}

const REFUSALS: Readonly<Record<RefusalKind, UsualRefusal>> = {
  "not_found": { status: 404, code: "not_found" },
  "conflict": { status: 409, code: "conflict" },
};

/**
 * Does what the node may say no to: that is the caller's to mend, not a failure of ours.
 *
 * @throws {ApiError} in the node's words
 */
export async function asRefusal<T>(work: () => Promise<T>, usual: UsualRefusal): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    const told = thrown instanceof NodeRefusal ? REFUSALS[thrown.kind] : usual;
    const param = usual.param === undefined ? {} : { param: usual.param };
    throw new ApiError(told.status, told.code, { message: thrown.message, ...param });
  }
}
