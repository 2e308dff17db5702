/**
 * Who may do what on the management door.
 *
 * Three circles. Reads on loopback need nothing. Reads beyond loopback need an API key or the
 * management token; a browser sends the key as the password of Basic authentication, because a page
 * cannot add headers to its navigation or its event source. Writes need the management token as a
 * bearer, which no browser sends by itself, so that no page can make one write.
 *
 * The invite token is shown on loopback only to programs, never to a page or through a proxy; on a door that is
 * open beyond loopback only with the management token, since anybody who reaches it can write "localhost" as Host.
 *
 * @module
 */
import {
  checkHost,
  checkOrigin,
  credentialOf,
  type GuardPolicy,
  isLoopbackHost,
  type KeyRing,
  originFactsOf,
} from "~/base/http_guard.ts";
import { ApiError } from "./errors.ts";

/** What a door accepts. */
export interface AccessRules {
  readonly policy: GuardPolicy;
  /** Holds just the management token. */
  readonly managementKeys: KeyRing;
  /** The API keys; they open reads when the policy is "any". */
  readonly apiKeys: KeyRing;
}

/** What a caller turned out to be. */
export interface Caller {
  /** Brought the management token: may write, sees everything. */
  readonly isManager: boolean;
  /** May see the invite token. */
  readonly maySeeToken: boolean;
}

/** Longest Basic credentials looked at: a key of 1,024 characters and a name, in base64. */
const BASIC_CHARS_MAX = 2048;

/** Headers that only browsers or proxies send; each alone hides the invite token. */
const INDIRECT_HEADER = /^(?:origin|forwarded|x-forwarded-.*|sec-fetch-.*)$/i;

/**
 * Lets a caller in and says what it is.
 *
 * @throws {ApiError} 403 `forbidden` for a foreign Host or Origin, 401 `invalid_api_key` when a key
 * is needed beyond loopback and none fits
 */
export function admitCaller(headers: Headers, rules: AccessRules): Caller {
  const header = (name: string): string | undefined => headers.get(name) ?? undefined;
  const facts = originFactsOf(header);
  const refusal = checkHost(facts.host, rules.policy) ?? checkOrigin(facts, rules.policy);
  if (refusal !== undefined) throw new ApiError(403, "forbidden", { message: refusal });
  const isManager = rules.managementKeys.accepts(bearerOf(headers));
  if (rules.policy.hosts === "any" && !isManager && !isKeyHolder(headers, rules.apiKeys)) {
    throw keyNeeded();
  }
  const isOnLoopback = rules.policy.hosts === "loopback";
  return { isManager, maySeeToken: isManager || (isOnLoopback && isDirectProgram(headers)) };
}

/**
 * Lets only those write who have the management token.
 *
 * @throws {ApiError} 401 `invalid_management_token`
 */
export function requireManager(caller: Caller): void {
  if (caller.isManager) return;
  throw new ApiError(401, "invalid_management_token", {
    message: "Cannot change anything without the management token: send it as " +
      '"authorization: Bearer <token>"; it is in the file management-token in the home of the node',
    headers: { "www-authenticate": 'Bearer realm="mesh-llm"' },
  });
}

/** The password of `Authorization: Basic`; undefined when there is none or it is not base64. */
export function basicPasswordOf(authorization: string | null): string | undefined {
  if (authorization === null || authorization.length > BASIC_CHARS_MAX) return undefined;
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  try {
    const pair = atob(encoded);
    const colon = pair.indexOf(":");
    return colon < 0 ? undefined : pair.slice(colon + 1);
  } catch {
    return undefined;
  }
}

function bearerOf(headers: Headers): string | undefined {
  return credentialOf((name) =>
    name === "authorization" ? headers.get(name) ?? undefined : undefined
  );
}

function isKeyHolder(headers: Headers, apiKeys: KeyRing): boolean {
  if (apiKeys.accepts(credentialOf((name) => headers.get(name) ?? undefined))) return true;
  return apiKeys.accepts(basicPasswordOf(headers.get("authorization")));
}

/** True for a program on this machine that speaks to us without anything in between. */
function isDirectProgram(headers: Headers): boolean {
  if (!isLoopbackHost(headers.get("host") ?? undefined)) return false;
  return ![...headers.keys()].some((name) => INDIRECT_HEADER.test(name));
}

function keyNeeded(): ApiError {
  return new ApiError(401, "invalid_api_key", {
    message: "Cannot answer without a valid key: send an API key or the management token as " +
      '"authorization: Bearer <key>"',
    // Basic, so that a browser asks its user and then sends the key with every read by itself.
    headers: { "www-authenticate": 'Basic realm="mesh-llm: any name, API key as password"' },
  });
}
