/**
 * Who may talk to a door: checks of Host, Origin and key that both HTTP doors share.
 *
 * A web page anywhere can make a browser send requests to `localhost`, and can give a name of its own
 * the address 127.0.0.1 (DNS rebinding), so "it came from this machine" proves nothing. What a page
 * cannot do is choose `Host`, `Origin` and `Sec-Fetch-*`: the browser writes these. Programs that are
 * not browsers send no Origin and are not held up.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { UserError } from "./errors.ts";

/** How strict a door is. */
export interface GuardPolicy {
  /**
   * "loopback": `Host` must name this machine's loopback. "any": any name will do, because every
   * request needs a key (`--listen-all`), which a page that was not given one cannot know.
   */
  readonly hosts: "loopback" | "any";
  /** Origins allowed beside pages of loopback, each exactly as browsers send it. */
  readonly extraOrigins?: readonly string[];
}

/** The headers by which a browser says where a request comes from; undefined when absent. */
export interface OriginFacts {
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly secFetchSite: string | undefined;
  readonly secFetchMode: string | undefined;
  readonly secFetchDest: string | undefined;
}

/** Longest Host or Origin worth looking at: a DNS name has at most 253 characters. */
const AUTHORITY_CHARS_MAX = 300;
/** Longest key accepted; real ones have 20 to 200 characters. */
const KEY_CHARS_MAX = 1024;
/** Most header names echoed in a preflight answer; the SDKs of today send about a dozen. */
const PREFLIGHT_HEADERS_CHARS_MAX = 2048;
/** How long a browser may remember a preflight answer, in seconds. */
const PREFLIGHT_MAX_AGE_S = 600;

const LOOPBACK_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i;
const ANY_HOST = /^(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;
const LOOPBACK_ORIGIN = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i;
const HEADER_NAME_LIST = /^[!#$%&'*+.^_`|~0-9a-z-]+(?:\s*,\s*[!#$%&'*+.^_`|~0-9a-z-]+)*$/i;

/** True for a Host header that names this machine's loopback, with or without a port. */
export function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && LOOPBACK_HOST.test(host);
}

/** Collects what {@link checkHost} and {@link checkOrigin} look at. */
export function originFactsOf(header: (name: string) => string | undefined): OriginFacts {
  return {
    host: header("host"),
    origin: header("origin"),
    secFetchSite: header("sec-fetch-site"),
    secFetchMode: header("sec-fetch-mode"),
    secFetchDest: header("sec-fetch-dest"),
  };
}

/** Says why a request with this Host is refused (403 `forbidden`); undefined when it is welcome. */
export function checkHost(host: string | undefined, policy: GuardPolicy): string | undefined {
  if (host === undefined || host === "") return "Cannot accept a request without a Host header";
  if (host.length > AUTHORITY_CHARS_MAX) return "Cannot accept a Host header of this length";
  const accepted = policy.hosts === "loopback" ? LOOPBACK_HOST : ANY_HOST;
  if (accepted.test(host)) return undefined;
  if (policy.hosts === "any") return "Cannot accept this Host header: it is not a host name";
  return "Cannot accept this Host header: only localhost, 127.0.0.1 and [::1] are served here";
}

/**
 * Says why a request from this page is refused (403 `forbidden`); undefined when it is welcome.
 *
 * Without Origin, only a browser's own words (`Sec-Fetch-Site: cross-site`) speak against it; a
 * person who follows a link to a page of ours is welcome from anywhere.
 */
export function checkOrigin(facts: OriginFacts, policy: GuardPolicy): string | undefined {
  if (facts.origin === undefined) {
    if (facts.secFetchSite !== "cross-site") return undefined;
    const isFollowedLink = facts.secFetchMode === "navigate" && facts.secFetchDest === "document";
    return isFollowedLink ? undefined : "Cannot accept requests that pages of other sites make";
  }
  if (isOriginAllowed(facts, policy)) return undefined;
  return "Cannot accept requests from pages of this origin: only pages of localhost may call";
}

/**
 * CORS headers for any answer to a request that {@link checkOrigin} let pass; empty without Origin.
 * Never `*`: each origin is named, so that a key in a page is no use to another page.
 */
export function corsHeaders(facts: OriginFacts, policy: GuardPolicy): Record<string, string> {
  if (facts.origin === undefined || !isOriginAllowed(facts, policy)) return {};
  return {
    "access-control-allow-origin": facts.origin,
    "access-control-expose-headers": "x-request-id, x-mesh-llm-node, retry-after",
    "vary": "Origin",
  };
}

/**
 * All headers of the answer (204) to a preflight that {@link checkOrigin} let pass.
 *
 * @param requestHeaders the preflight's `access-control-request-headers`; echoed when well formed
 */
export function preflightHeaders(
  facts: OriginFacts,
  policy: GuardPolicy,
  options: { readonly methods: readonly string[]; readonly requestHeaders: string | undefined },
): Record<string, string> {
  const { methods, requestHeaders = "" } = options;
  const isEchoed = requestHeaders.length <= PREFLIGHT_HEADERS_CHARS_MAX &&
    HEADER_NAME_LIST.test(requestHeaders);
  return {
    ...corsHeaders(facts, policy),
    "access-control-allow-methods": methods.join(", "),
    "access-control-allow-headers": isEchoed ? requestHeaders : "authorization, content-type",
    "access-control-max-age": String(PREFLIGHT_MAX_AGE_S),
    "vary": "Origin, Access-Control-Request-Headers",
  };
}

/**
 * The key that a request carries: `Authorization: Bearer KEY` (OpenAI) or `x-api-key: KEY`
 * (Anthropic); the first wins. Undefined when there is none, or it is longer than any real key.
 */
export function credentialOf(header: (name: string) => string | undefined): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(header("authorization") ?? "")?.[1];
  const key = bearer ?? header("x-api-key")?.trim();
  return key === undefined || key === "" || key.length > KEY_CHARS_MAX ? undefined : key;
}

/**
 * The keys that a door accepts. Compares digests of equal length, all of them, each in constant
 * time, so that neither a prefix nor the position of the right key shows in the answer's delay.
 */
export class KeyRing {
  readonly #digests: readonly Uint8Array[];

  /** @throws {UserError} when a key cannot be sent in a header or is too long */
  constructor(keys: readonly string[]) {
    for (const key of keys) checkKey(key);
    this.#digests = keys.map(digestOf);
  }

  /** True when there is no key at all: nothing is ever accepted. */
  get isEmpty(): boolean {
    return this.#digests.length === 0;
  }

  /** True when `candidate` is one of the keys. */
  accepts(candidate: string | undefined): boolean {
    if (candidate === undefined) return false;
    const digest = digestOf(candidate);
    let isFound = false;
    for (const known of this.#digests) isFound = timingSafeEqual(known, digest) || isFound;
    return isFound;
  }
}

function isOriginAllowed(facts: OriginFacts, policy: GuardPolicy): boolean {
  const { host, origin } = facts;
  if (origin === undefined || origin.length > AUTHORITY_CHARS_MAX) return false;
  if (LOOPBACK_ORIGIN.test(origin)) return true;
  if (policy.extraOrigins?.includes(origin) === true) return true;
  // Beyond loopback our own pages have the name under which the machine was reached.
  if (policy.hosts !== "any" || host === undefined) return false;
  return origin === `http://${host}` || origin === `https://${host}`;
}

function checkKey(key: string): void {
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new UserError("Cannot use an API key that is empty or holds spaces or non-ASCII letters");
  }
  if (key.length > KEY_CHARS_MAX) {
    throw new UserError(`Cannot use an API key of more than ${KEY_CHARS_MAX} characters`);
  }
}

function digestOf(key: string): Uint8Array {
  return createHash("sha256").update(key).digest();
}
