/**
 * Passes connections to UNIX sockets on to TCP ports of localhost, as the system sees it where this runs: a test
 * outside a network namespace reaches the doors of a node inside through files.
 *
 *   ip netns exec NAME deno run -A tests/support/socket_bridge.ts /tmp/api.sock 9337 /tmp/console.sock 3131
 *
 * Prints `ready` when all sockets listen; ends with its standard input.
 *
 * @module
 */

/** Takes connections at `path` until the process ends. */
async function serve(listener: Deno.UnixListener, port: number): Promise<void> {
  for await (const near of listener) void bridge(near, port);
}

/** One connection; whatever breaks ends both of its sides. */
async function bridge(near: Deno.UnixConn, port: number): Promise<void> {
  let far: Deno.TcpConn;
  try {
    far = await Deno.connect({ hostname: "127.0.0.1", port });
  } catch {
    return near.close();
  }
  await Promise.allSettled([
    near.readable.pipeTo(far.writable),
    far.readable.pipeTo(near.writable),
  ]);
}

if (import.meta.main) {
  for (let at = 0; at < Deno.args.length; at += 2) {
    const path = Deno.args[at] ?? "";
    void serve(Deno.listen({ transport: "unix", path }), Number(Deno.args[at + 1]));
  }
  await Deno.stdout.write(new TextEncoder().encode("ready\n"));
  for await (const _ of Deno.stdin.readable);
  Deno.exit(0);
}
