/**
 * Names of the runtime that reach the world (clock, chance, sockets, files, processes), with what pure code
 * uses instead.
 *
 * @module
 */

const TIMERS = "take Timers (lib/base/clock.ts)";
const CLOCK = "take a Clock (lib/base/clock.ts)";
const RNG = "take an Rng (lib/base/rng.ts)";
const SECRETS = "take a SecretSource (lib/base/rng.ts)";
const PORT = "declare a port here and write its adapter in an io/ folder";
const ENVIRONMENT = "take what you need as an argument: lib/cli reads the environment";
const EVASION = "name what you need, so that the layer map sees it";
const LOG = 'use getLogger() of "@logtape/logtape"';

/** Globals that pure code may not name at all. */
export const WORLD_GLOBALS: Readonly<Record<string, string>> = {
  BroadcastChannel: PORT,
  CacheStorage: PORT,
  Deno: PORT,
  EventSource: PORT,
  Function: EVASION,
  SharedWorker: PORT,
  Temporal: CLOCK,
  WebSocket: PORT,
  WebSocketStream: PORT,
  WebTransport: PORT,
  Worker: PORT,
  XMLHttpRequest: PORT,
  alert: PORT,
  caches: PORT,
  clearImmediate: TIMERS,
  clearInterval: TIMERS,
  clearTimeout: TIMERS,
  confirm: PORT,
  console: LOG,
  eval: EVASION,
  fetch: PORT,
  global: EVASION,
  globalThis: EVASION,
  localStorage: PORT,
  location: ENVIRONMENT,
  navigator: ENVIRONMENT,
  performance: CLOCK,
  process: ENVIRONMENT,
  prompt: PORT,
  require: "import it",
  self: EVASION,
  sessionStorage: PORT,
  setImmediate: TIMERS,
  setInterval: TIMERS,
  setTimeout: TIMERS,
  window: EVASION,
};

/** Globals of which only some members are pure. */
export interface PartialGlobal {
  readonly pure: ReadonlySet<string>;
  readonly use: string;
}

/** Globals that pure code may use by the members listed here only. */
export const PARTIAL_GLOBALS: Readonly<Record<string, PartialGlobal>> = {
  AbortSignal: { pure: new Set(["abort", "any", "prototype"]), use: TIMERS },
  Atomics: {
    pure: new Set(["add", "and", "exchange", "load", "notify", "or", "store", "sub", "xor"]),
    use: PORT,
  },
  Date: { pure: new Set(["UTC", "parse", "prototype"]), use: CLOCK },
  Math: { pure: mathMembers(), use: RNG },
  crypto: { pure: new Set(["subtle"]), use: SECRETS },
};

function mathMembers(): ReadonlySet<string> {
  return new Set(Object.getOwnPropertyNames(Math).filter((name) => name !== "random"));
}
