import assert from "node:assert/strict";
import { join } from "node:path";
import { runCommand } from "~/base/io/command.ts";
import { chooseMirrors } from "~/engine/apt_sources.ts";
import { readAptSources, resolveMirrorList } from "~/engine/io/apt_sources.ts";
import { NATIVE_DEBIAN } from "~/engine/native.ts";

/** An index of 10 MB and packages of 13 MB, over a slow line. */
const DEADLINE_MS = 300_000;

/** A plain HTTP proxy that notes what it was asked for. */
class Proxy implements AsyncDisposable {
  readonly asked: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (it) => {
        this.asked.push(new URL(it.url).pathname);
        const { status, headers, body } = await fetch(it.url, { headers: { accept: "*/*" } });
        const type = headers.get("content-type") ?? "application/octet-stream";
        return new Response(body, { status, headers: { "content-type": type } });
      },
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** The machine's own mirror, asked without encryption: what is encrypted a proxy only passes on. */
async function plainMirror(): Promise<string> {
  const [mirror] = chooseMirrors(await readAptSources("/etc/apt"), NATIVE_DEBIAN);
  assert.ok(mirror !== undefined, "this machine's apt has a mirror of Debian");
  const { uri } = await resolveMirrorList(mirror);
  return uri.replace(/^https:/, "http:");
}

Deno.test("tryDebian() goes through the proxy that apt is set up with, for packages too", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-proxy-" });
  await using proxy = new Proxy();
  try {
    // Stands for a line in the machine's own configuration.
    const machineConfig = join(dir, "machine.conf");
    await Deno.writeTextFile(machineConfig, `Acquire::http::Proxy "${proxy.url}";\n`);
    await Deno.writeTextFile(join(dir, "sources.list"), `deb ${await plainMirror()} stable main\n`);
    const module = new URL("../../../lib/engine/io/find_engine.ts", import.meta.url).href;
    const code = `
      const { findEngine } = await import(${JSON.stringify(module)});
      const install = await findEngine({
        home: ${JSON.stringify(join(dir, "home"))},
        aptDir: ${JSON.stringify(dir)},
        releaseApiBase: "http://nowhere.invalid",
        allowDownload: true,
        accelerators: [],
        report: () => {},
        onSourceFailure: (source, reason) => console.error(source, reason),
        signal: AbortSignal.timeout(${DEADLINE_MS}),
      });
      console.log(install.origin);
      Deno.exit(0);`;
    const config = new URL("../../../deno.json", import.meta.url).pathname;
    const { stdout, stderr } = await runCommand({
      command: Deno.execPath(),
      args: ["run", "--quiet", "-A", "--config", config, "--ext=ts", "-"],
      env: { APT_CONFIG: machineConfig },
      stdin: code,
      timeoutMs: DEADLINE_MS,
    });
    assert.equal(stdout, "debian\n", stderr);
    const packages = proxy.asked.filter((path) => path.endsWith(".deb"));
    assert.equal(packages.length, NATIVE_DEBIAN.packages.cpu.length, proxy.asked.join("\n"));
    assert.ok(proxy.asked.some((path) => path.endsWith("/InRelease")));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
