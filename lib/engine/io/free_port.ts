import type { FreePorts } from "../process.ts";

/**
 * Ports of the loopback address that were free a moment ago. Another program may take one before it
 * is used: whoever uses it must be ready to try another.
 */
export const freePorts: FreePorts = {
  take() {
    try {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      return Promise.resolve(listener.addr.port);
    } catch (error) {
      return Promise.reject(error);
    }
  },
};
