import assert from "node:assert/strict";
import fc from "fast-check";
import { UserError } from "~/base/errors.ts";
import { STARTER } from "~/models/catalogue.ts";
import { modelIdOfFile, type ResolveContext, resolveModel } from "~/models/resolve.ts";

const NOTHING: ResolveContext = { inventory: [] };
const ON_DISK: ResolveContext = {
  inventory: [{ id: "Mistral-7B", path: "/models/Mistral-7B.gguf" }],
};

function messageFor(argument: string, context = NOTHING): string {
  try {
    resolveModel(argument, context);
  } catch (error) {
    assert.ok(error instanceof UserError, `threw ${error}`);
    return error.message;
  }
  throw new assert.AssertionError({ message: `"${argument}" resolved` });
}

Deno.test("resolveModel() takes an existing file before anything else", () => {
  const file = { path: "/tmp/Qwen3-8B.gguf", sizeBytes: 5 };
  assert.deepEqual(resolveModel("Qwen3-8B", { ...ON_DISK, file }), {
    kind: "path",
    id: "Qwen3-8B",
    path: "/tmp/Qwen3-8B.gguf",
  });
});

Deno.test("resolveModel() finds models on disk by name, whatever the case and ending", () => {
  for (const name of ["Mistral-7B", "mistral-7b", "Mistral-7B.gguf"]) {
    const found = resolveModel(name, ON_DISK);
    assert.deepEqual(found, { kind: "path", id: "Mistral-7B", path: "/models/Mistral-7B.gguf" });
  }
});

Deno.test("resolveModel() finds entries of the catalogue by their name or file name", () => {
  for (const name of ["SmolLM2-135M-Instruct", "smollm2-135m-instruct.gguf", STARTER.fileName]) {
    const found = resolveModel(name, NOTHING);
    assert.deepEqual(found, { kind: "catalogue", id: STARTER.name, entry: STARTER });
  }
});

const HUGGING_FACE:
  readonly (readonly [argument: string, repo: string, file: string, revision: string])[] = [
    ["org/repo/model.gguf", "org/repo", "model.gguf", "main"],
    ["org/repo/sub/model-Q4_K_M.GGUF", "org/repo", "sub/model-Q4_K_M.GGUF", "main"],
    ["https://huggingface.co/org/repo/resolve/main/m.gguf", "org/repo", "m.gguf", "main"],
    [
      "https://huggingface.co/org/repo/resolve/v1.0/a/m.gguf?download=true",
      "org/repo",
      "a/m.gguf",
      "v1.0",
    ],
    ["https://hf.co/org/repo/blob/abc123/m.gguf", "org/repo", "m.gguf", "abc123"],
    ["https://huggingface.co/org/repo/blob/main/m%2B1.gguf", "org/repo", "m+1.gguf", "main"],
  ];

Deno.test("resolveModel() reads names and addresses of files on Hugging Face", () => {
  for (const [argument, repo, file, revision] of HUGGING_FACE) {
    const found = resolveModel(argument, NOTHING);
    assert.deepEqual(found.kind === "hugging-face" && found.source, { repo, file, revision });
  }
});

Deno.test("resolveModel() names a model of Hugging Face by its file, without the part", () => {
  const { id } = resolveModel("org/repo/big-Q4-00001-of-00003.gguf", NOTHING);
  assert.equal(id, "big-Q4");
});

Deno.test("resolveModel() knows a file of the catalogue that is named in full", () => {
  const { repo, file } = STARTER.huggingFace;
  assert.equal(resolveModel(`${repo}/${file}`, NOTHING).kind, "catalogue");
  const other = `https://huggingface.co/${repo}/resolve/0123456/${file}`;
  assert.equal(resolveModel(other, NOTHING).kind, "hugging-face");
});

Deno.test("resolveModel() accepts addresses at another endpoint only when it is configured", () => {
  const url = "https://mirror.example/org/repo/resolve/main/m.gguf";
  assert.match(messageFor(url), /only addresses of files on Hugging Face/);
  const found = resolveModel(url, { ...NOTHING, hfEndpoint: "https://mirror.example/" });
  assert.equal(found.kind, "hugging-face");
});

const REFUSED: readonly (readonly [argument: string, message: RegExp])[] = [
  ["", /empty or far too long/],
  ["x".repeat(3_000), /empty or far too long/],
  ["./model.gguf", /Cannot find the model file/],
  ["/no/such/model.gguf", /Cannot find the model file/],
  ["model-that-is-not-here.gguf", /Cannot find the model file/],
  ["C:\\models\\m.gguf", /Cannot find the model file/],
  ["org/repo", /name one, org\/repo\/<file>\.gguf/],
  ["org/repo/readme.md", /needs a \.gguf file/],
  ["org/repo/../../etc/m.gguf", /does not name a file/],
  ["../repo/m.gguf", /Cannot find the model file/],
  ["-org/repo/m.gguf", /does not name a file/],
  ["https://example.com/m.gguf", /only addresses of files on Hugging Face/],
  ["https://huggingface.co/org/repo", /the address of one \.gguf file is wanted/],
  ["https://huggingface.co/org/repo/resolve/main/%2e%2e/m.gguf", /address of one|does not name/],
  ["https://huggingface.co/org/repo/resolve/main/%ff.gguf", /does not name a file/],
  ["https://[", /not a URL/],
];

Deno.test("resolveModel() refuses what means nothing, saying why", async (t) => {
  for (const [argument, message] of REFUSED) {
    await t.step(argument.slice(0, 60) || "nothing", () => {
      assert.match(messageFor(argument), message);
    });
  }
});

Deno.test("resolveModel() keeps secrets in addresses out of its messages", () => {
  const message = messageFor("https://user:hunter2@example.com/m.gguf?token=hunter3");
  assert.doesNotMatch(message, /hunter/);
});

Deno.test("resolveModel() suggests names that may have been meant", () => {
  assert.match(messageFor("Mistral-8B", ON_DISK), /Did you mean "Mistral-7B"/);
  assert.match(messageFor("smolm2-135m-instruct"), /Did you mean "SmolLM2-135M-Instruct"/);
  assert.match(messageFor("zzzzzzzzzzzz"), /"mesh-llm models" lists/);
});

Deno.test("resolveModel() gives a model or an error for people, for any text", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.webUrl(), fc.string({ unit: "binary" })), (text) => {
      try {
        const found = resolveModel(text, ON_DISK);
        if (found.kind !== "hugging-face") return;
        const parts = [...found.source.repo.split("/"), ...found.source.file.split("/")];
        assert.ok(parts.every((part) => part !== ".." && part !== "." && part !== ""));
      } catch (error) {
        assert.ok(error instanceof UserError, `threw ${error}`);
      }
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("modelIdOfFile() knows the starter model by its file and size", () => {
  const path = `/anywhere/${STARTER.fileName}`;
  assert.equal(modelIdOfFile(path, STARTER.pinned?.sizeBytes ?? 0), "SmolLM2-135M-Instruct");
  assert.equal(modelIdOfFile(path, 5), "SmolLM2-135M-Instruct.Q4_1");
  assert.equal(modelIdOfFile("C:\\m\\Other.gguf", 5), "Other");
});
