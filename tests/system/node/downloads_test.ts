import assert from "node:assert/strict";
import { join } from "node:path";
import { until } from "#support/fake_engine.ts";
import { FakeNode } from "#support/fake_node.ts";
import { type HostedFile, serveHuggingFace, sha256 } from "#support/hugging_face.ts";
import { NodeProcess, runProgram } from "#support/node_process.ts";
import { tinyModel } from "#support/tiny_gguf.ts";

/** Some megabytes, so that a download has a middle. */
const MODEL = tinyModel({ width: 256, vocabulary: 4000, weights: "q8" });
const FILE: HostedFile = { repo: "org/repo", revision: "main", file: "m.gguf", bytes: MODEL };
const NAMED = ["--model", "org/repo/m.gguf"];

/** A node that has to fetch its model first. */
async function startFetching(
  endpoint: string,
  options: { readonly env?: Record<string, string>; readonly wrapper?: readonly string[] } = {},
): Promise<FakeNode> {
  const env = { HF_ENDPOINT: endpoint, ...options.env };
  return await FakeNode.start({ ...options, servesTiny: false, args: NAMED, env });
}

async function modelFiles({ node }: FakeNode): Promise<string[]> {
  const dir = join(node.homeDir, "models", "org", "repo");
  const entries = await Array.fromAsync(Deno.readDir(dir)).catch(() => []);
  return entries.map(({ name }) => name).filter((name) => !name.endsWith(".lock")).sort();
}

Deno.test("a model is fetched at the first start, and not again at the second", async () => {
  await using source = serveHuggingFace([FILE]);
  await using fake = await startFetching(source.endpoint);
  assert.equal(await fake.node.line("Ready: "), "m");
  await fake.node.told(/^model m: .* from Hugging Face, complete$/m);
  assert.deepEqual(await modelFiles(fake), ["m.gguf"]);
  await fake.node.stop();
  const asked = source.seen.length;
  const args = ["--bin-dir", fake.binDir, ...NAMED];
  const env = { HF_ENDPOINT: source.endpoint };
  await using again = await NodeProcess.start({ homeDir: fake.node.homeDir, args, env });
  assert.equal(await again.line("Ready: "), "m");
  assert.equal(source.seen.length, asked);
});

Deno.test("mesh-llm download fetches without serving, and says where it lies", async () => {
  const home = await Deno.makeTempDir({ prefix: "mesh-llm-download-" });
  {
    await using source = serveHuggingFace([FILE]);
    const env = { HF_ENDPOINT: source.endpoint, HOME: home };
    const words = ["download", "org/repo/m.gguf", "--home", home];
    const first = await runProgram([...words, "--json"], env);
    const path = join(home, "models", "org", "repo", "m.gguf");
    assert.equal(first.code, 0);
    assert.deepEqual(JSON.parse(first.stdout), { model: "m", path, "size_bytes": MODEL.length });
    assert.deepEqual(await Deno.readFile(path), MODEL);
    const second = await runProgram(words, env);
    assert.deepEqual([second.code, second.stderr], [0, ""]);
    assert.match(second.stdout, /^m: [\d.]+ MiB at .*m\.gguf\n$/);
    const absent = await runProgram(["download", "org/repo/none.gguf", "--home", home], env);
    assert.deepEqual([absent.code, absent.stdout], [1, ""]);
    assert.match(absent.stderr, /^mesh-llm: Cannot get model "none"\. .*no file none\.gguf/m);
  }
  await Deno.remove(home, { recursive: true });
});

Deno.test("a download that is cut goes on where it was, within one start", async () => {
  await using source = serveHuggingFace([{ ...FILE, cutAfterBytes: 1_000_000 }]);
  await using fake = await startFetching(source.endpoint);
  assert.equal(await fake.node.line("Ready: "), "m");
  const ranges = source.seen.filter(({ host }) => host === "store").map(({ range }) => range);
  assert.deepEqual(ranges, [null, "bytes=1000000-"]);
});

Deno.test("a download that was killed goes on where it was at the next start", async () => {
  await using source = serveHuggingFace([{ ...FILE, stallAfterBytes: 1_000_000 }]);
  await using fake = await startFetching(source.endpoint);
  const { homeDir } = fake.node;
  await until(async () => (await fake.status()).node_status === "downloading", "downloading");
  const partPath = join(homeDir, "models", "org", "repo", "m.gguf.part");
  const partBytes = async () => (await Deno.stat(partPath).catch(() => undefined))?.size;
  await until(async () => await partBytes() === 1_000_000, "the first million bytes");
  fake.node.kill("SIGKILL");
  await fake.node.exited;
  assert.ok(!(await modelFiles(fake)).includes("m.gguf"));
  const args = ["--bin-dir", fake.binDir, ...NAMED];
  const env = { HF_ENDPOINT: source.endpoint };
  await using again = await NodeProcess.start({ homeDir, args, env });
  assert.equal(await again.line("Ready: "), "m");
  const ranges = source.seen.filter(({ host }) => host === "store").map(({ range }) => range);
  assert.deepEqual(ranges, [null, "bytes=1000000-"]);
  assert.deepEqual(await Deno.readFile(join(homeDir, "models/org/repo/m.gguf")), MODEL);
});

Deno.test("a running download shows in the status and in the refusals, and can be stopped", async () => {
  await using source = serveHuggingFace([{ ...FILE, stallAfterBytes: MODEL.length / 2 }]);
  await using fake = await startFetching(source.endpoint);
  const percent = async () => (await fake.status()).progress?.percent;
  await until(async () => typeof await percent() === "number", "some percent");
  assert.equal((await fake.status()).progress?.phase, "downloading model m");
  const response = await fake.chat({ model: "m" });
  assert.equal(response.status, 503);
  assert.match(await response.text(), /downloading model m \(\d+ %\)/);
  const { code } = await runProgram(["stop", "--home", fake.node.homeDir]);
  assert.equal(code, 0);
  assert.equal((await fake.node.exited).code, 0);
  // What has arrived is kept for the next start.
  assert.ok((await modelFiles(fake)).includes("m.gguf.part"));
});

Deno.test("bytes with another digest than stated are thrown away, and the program says so", async () => {
  const liar = { ...FILE, statedSha256: sha256(new Uint8Array(1)) };
  await using source = serveHuggingFace([liar]);
  await using fake = await startFetching(source.endpoint);
  assert.equal((await fake.node.exited).code, 1);
  assert.match(fake.node.stderr, /^mesh-llm: Cannot get model "m"\. .*SHA-256 is .* is wanted/m);
  assert.deepEqual(await modelFiles(fake), []);
  assert.deepEqual(await fake.starts(), []);
});

Deno.test("a file that cannot be had ends the program with the reason", async () => {
  await using source = serveHuggingFace([{ ...FILE, token: "hf_right_token" }]);
  await using fake = await startFetching(source.endpoint, { env: { HF_TOKEN: "hf_wrong_token" } });
  assert.equal((await fake.node.exited).code, 1);
  assert.match(fake.node.stderr, /^mesh-llm: Cannot get model "m"\. .*org\/repo is gated/m);
  assert.doesNotMatch(fake.node.stderr + fake.node.stdout, /hf_wrong_token/);
});

/** Runs a program with a disk of 1 MiB mounted for it alone, which vanishes with it. */
function withSmallDisk(dir: string): string[] {
  const script = `mount -t tmpfs -o size=1m tmpfs '${dir}' && exec "$@"`;
  const rights = Deno.uid() === 0 ? ["-m"] : ["-r", "-m"];
  return ["unshare", ...rights, "sh", "-c", script, "sh"];
}

Deno.test({
  name: "a disk that is full ends the download, not the words: which disk, and what is kept",
  // Only Linux can be given a small disk without changing the machine.
  ignore: Deno.build.os !== "linux",
  async fn() {
    const modelsDir = await Deno.makeTempDir({ prefix: "mesh-llm-small-disk-" });
    {
      await using source = serveHuggingFace([FILE]);
      const env = { MESH_LLM_MODELS_DIR: modelsDir };
      const wrapper = withSmallDisk(modelsDir);
      await using fake = await startFetching(source.endpoint, { env, wrapper });
      assert.equal((await fake.node.exited).code, 1);
      const { stderr } = fake.node;
      assert.match(
        stderr,
        /^mesh-llm: Cannot get model "m"\. Hugging Face: .*the disk of ".*" is full/m,
      );
      assert.match(stderr, /free some space and start again, what has arrived is kept$/m);
      assert.doesNotMatch(stderr, /should not happen/);
      assert.deepEqual(await fake.starts(), []);
    }
    await Deno.remove(modelsDir, { recursive: true });
  },
});
