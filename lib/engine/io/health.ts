import { type IncomingMessage, request } from "node:http";
import type { EngineEndpoint, HealthProbe, HealthResult } from "../process.ts";

/**
 * Longest wait for an answer. More than the 5 s for which llama-server may leave a new connection waiting
 * when all its threads watch idle ones.
 */
const TIMEOUT_MS = 8_000;

/** Looks at `/health`, and when asked to at an endpoint that needs the key. */
export function httpHealthProbe(options: { readonly timeoutMs?: number } = {}): HealthProbe {
  const { timeoutMs = TIMEOUT_MS } = options;
  return {
    async check(endpoint, isThorough): Promise<HealthResult> {
      const status = await statusOf(endpoint, "/health", timeoutMs);
      if (status === 503) return "loading";
      if (status !== 200) return "failed";
      if (!isThorough) return "ok";
      return keyResult(await statusOf(endpoint, "/v1/models", timeoutMs));
    },
  };
}

function keyResult(status: number | undefined): HealthResult {
  if (status === 200) return "ok";
  if (status === 503) return "loading";
  // It is in good health and does not know our key, or not this endpoint: not the one we started.
  return status === undefined ? "failed" : "foreign";
}

/** Status of an answer; undefined when none came in time. Its body is not looked at. */
function statusOf(
  { port, apiKey }: EngineEndpoint,
  path: string,
  timeoutMs: number,
): Promise<number | undefined> {
  return new Promise((resolve) => {
    const outgoing = request({
      host: "127.0.0.1",
      port,
      path,
      // A connection of its own, closed at once: an idle one would hold a thread of the server.
      agent: false,
      headers: { connection: "close", authorization: `Bearer ${apiKey}` },
    });
    const finish = (status: number | undefined) => {
      clearTimeout(timer);
      outgoing.destroy();
      resolve(status);
    };
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    outgoing.on("response", (response: IncomingMessage) => {
      // Errors after the head are of no interest, but must not go unheard.
      response.on("error", () => {});
      finish(response.statusCode);
    });
    outgoing.on("error", () => finish(undefined));
    outgoing.end();
  });
}
