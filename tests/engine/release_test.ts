import assert from "node:assert/strict";
import fc from "fast-check";
import { CombinedProgress } from "~/engine/combined_progress.ts";
import { NATIVE_RELEASES } from "~/engine/native.ts";
import { ACCELERATORS, ENGINE_PLATFORMS } from "~/engine/platform.ts";
import { chooseAssets, parseRelease, ReleaseError } from "~/engine/release.ts";
import type { TransferProgress } from "~/base/progress.ts";

const API = "https://api.example";
const DIGEST = "ab".repeat(32);

function asset(name: string, more: Record<string, unknown> = {}) {
  return {
    name,
    size: 10,
    digest: `sha256:${DIGEST}`,
    browser_download_url: `https://example/${name}`,
    ...more,
  };
}

function parse(assets: unknown[], apiBase = API) {
  return parseRelease(JSON.stringify({ tag_name: "b1", assets }), apiBase);
}

Deno.test("parseRelease() reads name, address, size and digest", () => {
  assert.deepEqual(parse([asset("a.tar.gz")]), [
    { name: "a.tar.gz", url: "https://example/a.tar.gz", sizeBytes: 10, sha256: DIGEST },
  ]);
});

Deno.test("parseRelease() leaves out what could not be checked", () => {
  const unchecked = [
    asset("a", { digest: null }),
    asset("a", { digest: "md5:abc" }),
    asset("a", { digest: DIGEST.toUpperCase() }),
    asset("a", { size: -1 }),
    asset("a", { size: 1.5 }),
    asset("a", { size: "10" }),
    asset("../a"),
    asset("a/b"),
    asset(""),
    asset("a", { browser_download_url: "http://example/a" }),
    asset("a", { browser_download_url: "file:///etc/passwd" }),
    asset("a", { browser_download_url: "no address" }),
    null,
    "a",
    [],
  ];
  assert.deepEqual(parse(unchecked), []);
});

Deno.test("parseRelease() takes an open address only from the server that was asked", () => {
  const base = "http://127.0.0.1:8080";
  const here = asset("a", { browser_download_url: `${base}/a` });
  const there = asset("b", { browser_download_url: "http://127.0.0.1:9/b" });
  assert.deepEqual(parse([here, there], base).map(({ name }) => name), ["a"]);
});

Deno.test("parseRelease() refuses what is no release, and nothing else surprises it", () => {
  for (const text of ["", "{", "null", "[]", "{}", '{"assets":{}}', '{"message":"Not Found"}']) {
    assert.throws(() => parseRelease(text, API), ReleaseError, text);
  }
  fc.assert(fc.property(fc.json(), (json) => {
    assert.deepEqual(parseRelease(`{"assets":[${json}]}`, API), []);
  }));
  assert.ok(parse(Array.from({ length: 5000 }, (_, index) => asset(`a${index}`))).length <= 1000);
});

/** Names as upstream publishes them for a build. */
const PUBLISHED = [
  "llama-{tag}-bin-ubuntu-x64.tar.gz",
  "llama-{tag}-bin-ubuntu-vulkan-x64.tar.gz",
  "llama-{tag}-bin-ubuntu-rocm-7.10-x64.tar.gz",
  "llama-{tag}-bin-ubuntu-rocm-7.2-x64.tar.gz",
  "llama-{tag}-bin-macos-arm64.tar.gz",
  "llama-{tag}-bin-win-cuda-13.3-x64.zip",
  "cudart-llama-bin-win-cuda-13.3-x64.zip",
  "llama-{tag}-bin-win-cuda-12.4-x64.zip",
].map((name) => name.replace("{tag}", NATIVE_RELEASES.tag));

function choose(
  platform: typeof ENGINE_PLATFORMS[number],
  accelerators: typeof ACCELERATORS[number][],
) {
  const wanted = { releases: NATIVE_RELEASES, platform, accelerators };
  const choice = chooseAssets(parse(PUBLISHED.map((name) => asset(name))), wanted);
  return [choice.accelerator, ...choice.assets.map(({ name }) => name)];
}

Deno.test("chooseAssets() takes the first accelerator that there is", () => {
  const { tag } = NATIVE_RELEASES;
  assert.deepEqual(choose("linux-x64", ["cuda", "vulkan", "cpu"]), [
    "vulkan",
    `llama-${tag}-bin-ubuntu-vulkan-x64.tar.gz`,
  ]);
  assert.deepEqual(choose("linux-x64", ["cpu"]), ["cpu", `llama-${tag}-bin-ubuntu-x64.tar.gz`]);
  assert.deepEqual(choose("macos-arm64", ["metal", "cpu"])[0], "metal");
});

Deno.test("chooseAssets() takes the lowest version, as a number", () => {
  assert.match(choose("linux-x64", ["rocm"])[1] ?? "", /rocm-7\.2-x64/);
});

Deno.test("chooseAssets() takes only a version that has all its archives", () => {
  assert.deepEqual(choose("windows-x64", ["cuda", "cpu"]), [
    "cuda",
    `llama-${NATIVE_RELEASES.tag}-bin-win-cuda-13.3-x64.zip`,
    "cudart-llama-bin-win-cuda-13.3-x64.zip",
  ]);
});

Deno.test("chooseAssets() says what it looked for in vain", () => {
  assert.throws(
    () => choose("windows-x64", ["vulkan", "cpu"]),
    /no checked archive for windows-x64 with vulkan, cpu/,
  );
});

Deno.test("chooseAssets() finds every archive that native/ names, when all are published", () => {
  for (const platform of ENGINE_PLATFORMS) {
    for (const accelerator of ACCELERATORS) {
      const templates = NATIVE_RELEASES.platforms[platform][accelerator].assets;
      if (templates.length === 0) continue;
      const names = templates.map((template) =>
        template.replace("{tag}", NATIVE_RELEASES.tag).replace("{version}", "12.4")
      );
      const wanted = { releases: NATIVE_RELEASES, platform, accelerators: [accelerator] };
      const choice = chooseAssets(parse(names.map((name) => asset(name))), wanted);
      assert.deepEqual(choice.assets.map(({ name }) => name), names);
    }
  }
});

Deno.test("CombinedProgress shows several transfers as one", () => {
  const reports: TransferProgress[] = [];
  const progress = new CombinedProgress({
    what: "engine",
    source: "somewhere",
    totalBytes: 30,
    report: (report) => void reports.push(report),
  });
  const [a, b] = [progress.part(), progress.part()];
  a({ what: "", source: "", doneBytes: 5 });
  b({ what: "", source: "", doneBytes: 20, isDone: true });
  a({ what: "", source: "", doneBytes: 10, isDone: true });
  progress.finish();
  assert.deepEqual(reports.map(({ doneBytes }) => doneBytes), [5, 25, 30, 30]);
  assert.deepEqual(reports.map(({ isDone }) => isDone), [undefined, undefined, undefined, true]);
  assert.ok(reports.every(({ what, totalBytes }) => what === "engine" && totalBytes === 30));
});
