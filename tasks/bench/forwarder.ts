/**
 * Forwards TCP to a port of this machine and looks at nothing: what a piece of a stream costs any program of this
 * runtime. Prints its own port; ends when its stdin does.
 *
 * @module
 */

async function pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  try {
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) return await to.closeWrite();
      let at = 0;
      while (at < count) at += await to.write(buffer.subarray(at, count));
    }
  } catch {
    // One end is gone: the other one is told by what follows.
  }
}

async function forward(near: Deno.TcpConn, port: number): Promise<void> {
  using client = near;
  using engine = await Deno.connect({ hostname: "127.0.0.1", port });
  client.setNoDelay(true);
  engine.setNoDelay(true);
  await Promise.race([pump(client, engine), pump(engine, client)]);
}

if (import.meta.main) {
  const port = Number(Deno.args[0]);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  Deno.stdout.writeSync(new TextEncoder().encode(`${listener.addr.port}\n`));
  void Deno.stdin.readable.pipeTo(new WritableStream()).finally(() => Deno.exit(0));
  for await (const conn of listener) forward(conn, port).catch(() => {});
}
