/**
 * The compiled program runs on Deno 2.4, whose QUIC fails in other ways than that of today: what links need of it
 * is proved there too.
 */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const ROOT = resolve(import.meta.dirname ?? ".", "..", "..", "..");
const SUITES = ["tests/contracts/transport_quic_test.ts", "tests/contracts/link_quic_test.ts"];
/** The oldest version that the program runs on, when nothing else is named. */
const OLDEST = "npx -y deno@2.4.2";

Deno.test("links keep their contracts on the oldest runtime", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-oldest-" });
  try {
    const config = join(dir, "deno.json");
    await Deno.writeTextFile(config, JSON.stringify(await oldConfig()));
    const [command = "npx", ...before] = (Deno.env.get("MESH_LLM_COMPILE_DENO") ?? OLDEST).split(
      " ",
    );
    const { code, stdout, stderr } = await new Deno.Command(command, {
      args: [...before, "test", "-A", "--no-check", "--no-lock", "--config", config, ...SUITES],
      cwd: ROOT,
      // Packages come over TLS; on some machines only the system knows who may vouch for their source.
      env: { NO_COLOR: "1", DENO_TLS_CA_STORE: "mozilla,system" },
      stdin: "null",
    }).output();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.equal(code, 0, text);
    const passed = Number(/(\d+) passed \| 0 failed/.exec(text)?.[1] ?? 0);
    assert.ok(passed >= 28, `too few tests ran: ${text}`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

/** The configuration without what the old version does not know, usable from another folder. */
async function oldConfig(): Promise<unknown> {
  const config = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const imports = Object.entries<string>(config.imports).map(([name, to]) => [
    name,
    to.startsWith("./") ? pathToFileURL(join(ROOT, to)).href + (to.endsWith("/") ? "/" : "") : to,
  ]);
  const { unstable, nodeModulesDir } = config;
  return { unstable, nodeModulesDir, imports: Object.fromEntries(imports) };
}
