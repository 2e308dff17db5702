/** What callers may ask about the mesh, read from their bodies: known members only, of the right kind. */
import { DURATION_FORM, formatDurationS, parseDurationS } from "~/base/duration.ts";
import type { JsonObject } from "~/base/json.ts";
import { ApiError } from "./errors.ts";
import type { InviteRequest, RevokeRequest } from "./ports.ts";

/** Invite tokens have at most 2 KiB. */
export const TOKEN_CHARS_MAX = 2048;
/** How long an invite holds when nobody says. */
const INVITE_EXPIRES_DEFAULT = "7d";
/** Shorter, and nobody could use it. */
const INVITE_MIN_S = 60;
/** Longer, and it is better made anew. */
const INVITE_MAX_S = 365 * 86_400;
/** Longest node id or serial looked at: 43 and 28 characters. */
const NAME_CHARS_MAX = 64;
const WORD = /^[\x21-\x7e]+$/;
/** What of an unknown member's name is repeated. */
const ECHO_CHARS_MAX = 40;

/**
 * The token of `POST /api/join`; space around it, as copying leaves it, does not matter.
 *
 * @throws {ApiError} 400 that never repeats the token: it is a secret
 */
export function joinTokenOf(body: JsonObject): string {
  refuseUnknown(body, ["token"]);
  const { token } = body;
  if (typeof token !== "string" || token.trim() === "") {
    throw invalid("token", 'Cannot join without an invite token: send {"token": "TOKEN"}');
  }
  const text = token.trim();
  if (text.length > TOKEN_CHARS_MAX) {
    throw invalid("token", `Cannot use this token: it has more than ${TOKEN_CHARS_MAX} characters`);
  }
  if (!WORD.test(text)) {
    throw invalid(
      "token",
      "Cannot use this token: it holds spaces or characters that no token has",
    );
  }
  return text;
}

/**
 * What `POST /api/invites` asks for; a member for 7 days when it does not say.
 *
 * @throws {ApiError} 400
 */
export function inviteRequestOf(body: JsonObject): InviteRequest {
  refuseUnknown(body, ["role", "expires"]);
  const { role = "member", expires = INVITE_EXPIRES_DEFAULT } = body;
  if (role !== "member" && role !== "client") {
    throw invalid("role", 'Cannot make this invite: "role" must be "member" or "client"');
  }
  return { role, expiresInS: inviteSeconds(expires) };
}

/**
 * What `POST /api/revocations` is about: exactly one node or serial.
 *
 * @throws {ApiError} 400
 */
export function revokeRequestOf(body: JsonObject): RevokeRequest {
  refuseUnknown(body, ["node", "serial", "keep"]);
  const { node, serial, keep = false } = body;
  if (typeof keep !== "boolean") {
    throw invalid("keep", 'Cannot revoke: "keep" must be true or false');
  }
  if ((node === undefined) === (serial === undefined)) {
    throw invalid("node", 'Cannot revoke: send either {"node": "ID"} or {"serial": "SERIAL"}');
  }
  return node === undefined
    ? { serial: nameOf("serial", serial), keep }
    : { node: nameOf("node", node), keep };
}

function inviteSeconds(expires: unknown): number {
  const seconds = readInviteSeconds(expires);
  if (typeof seconds === "number") return seconds;
  throw invalid("expires", `Cannot make this invite: "expires" is ${seconds}`);
}

/** For how long an invite is to hold, in seconds; else what was found and what was wanted, in words. */
export function readInviteSeconds(expires: unknown): number | string {
  const seconds = typeof expires === "string" ? parseDurationS(expires) : undefined;
  const found = JSON.stringify(expires).slice(0, ECHO_CHARS_MAX);
  if (seconds === undefined) return `${found}, wanted is ${DURATION_FORM}`;
  if (seconds >= INVITE_MIN_S && seconds <= INVITE_MAX_S) return seconds;
  const range = `from ${formatDurationS(INVITE_MIN_S)} to ${formatDurationS(INVITE_MAX_S)}`;
  return `${found}, wanted is a time ${range}`;
}

function nameOf(param: "node" | "serial", value: unknown): string {
  if (typeof value === "string" && value.length <= NAME_CHARS_MAX && WORD.test(value)) return value;
  throw invalid(param, `Cannot revoke: "${param}" is not written like one`);
}

/** A misspelt member that is ignored would be a wish that is not granted. */
function refuseUnknown(body: JsonObject, known: readonly string[]): void {
  const unknown = Object.keys(body).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const name = JSON.stringify(unknown.slice(0, ECHO_CHARS_MAX));
  throw new ApiError(400, "invalid_request_error", {
    message: `Cannot use the member ${name}: this path knows ${known.join(", ")}`,
  });
}

function invalid(param: string, message: string): ApiError {
  return new ApiError(400, "invalid_request_error", { message, param });
}
