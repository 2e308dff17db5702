import assert from "node:assert/strict";
import { NATIVE_DEBIAN, NATIVE_RELEASES } from "~/engine/native.ts";
import { ACCELERATORS, ENGINE_PLATFORMS, isEnginePlatform } from "~/engine/platform.ts";
import { compareVersions, isVersionTested } from "~/engine/version.ts";

/** What upstream's archives have been called since 2025, on every platform. */
const ASSET_REGEXP =
  /^(?:cudart-)?llama-(?:\{tag\}-)?bin-(?:ubuntu|macos|win)-[a-z0-9{}.-]*(?:x64|arm64)\.(?:tar\.gz|zip)$/;

Deno.test("NATIVE_RELEASES pins a build by its tag and its version", () => {
  assert.match(NATIVE_RELEASES.tag, /^b\d{4,6}$/);
  assert.match(NATIVE_RELEASES.version, /^\d+\.\d+\.\d+$/);
  assert.match(NATIVE_RELEASES.repository, /^[\w.-]+\/[\w.-]+$/);
});

Deno.test("NATIVE_RELEASES says for every platform and accelerator what there is, or why not", () => {
  assert.deepEqual(Object.keys(NATIVE_RELEASES.platforms).sort(), [...ENGINE_PLATFORMS].sort());
  for (const platform of ENGINE_PLATFORMS) {
    const entries = NATIVE_RELEASES.platforms[platform];
    assert.deepEqual(Object.keys(entries).sort(), [...ACCELERATORS].sort(), platform);
    for (const accelerator of ACCELERATORS) {
      const { assets, proven, note } = entries[accelerator];
      assert.ok(note.length > 10, `${platform} ${accelerator}`);
      assert.ok(assets.length > 0 || !proven, "what does not exist is not proven");
      for (const asset of assets) assert.match(asset, ASSET_REGEXP);
    }
  }
});

Deno.test("NATIVE_RELEASES has a build for the CPU of every platform", () => {
  for (const platform of ENGINE_PLATFORMS) {
    assert.equal(NATIVE_RELEASES.platforms[platform].cpu.assets.length, 1, platform);
  }
});

Deno.test("NATIVE_RELEASES names archives that fit their platform, each name once per entry", () => {
  const words = { linux: "-ubuntu-", macos: "-macos-", windows: "-win-" };
  for (const platform of ENGINE_PLATFORMS) {
    const [os = "", arch = ""] = platform.split("-");
    for (const accelerator of ACCELERATORS) {
      const { assets } = NATIVE_RELEASES.platforms[platform][accelerator];
      assert.equal(new Set(assets).size, assets.length);
      for (const asset of assets) {
        assert.ok(asset.includes(words[os as keyof typeof words]), asset);
        assert.ok(asset.includes(`-${arch}.`), asset);
        assert.equal(asset.endsWith(".zip"), os === "windows", asset);
      }
    }
  }
});

Deno.test("NATIVE_RELEASES does not claim CUDA for Linux", () => {
  assert.deepEqual(NATIVE_RELEASES.platforms["linux-x64"].cuda.assets, []);
  assert.deepEqual(NATIVE_RELEASES.platforms["linux-arm64"].cuda.assets, []);
});

Deno.test("NATIVE_DEBIAN names packages, architectures and loaders", () => {
  const { cpu, vulkan } = NATIVE_DEBIAN.packages;
  for (const name of [...cpu, ...vulkan]) assert.match(name, /^[a-z0-9][a-z0-9.+-]+$/);
  assert.equal(new Set([...cpu, ...vulkan]).size, cpu.length + vulkan.length);
  assert.ok(cpu.includes(NATIVE_DEBIAN.leadPackage));
  for (const [platform, names] of Object.entries(NATIVE_DEBIAN.platforms)) {
    assert.ok(isEnginePlatform(platform) && platform.startsWith("linux-"), platform);
    assert.match(names.architecture, /^(?:amd64|arm64)$/);
    assert.match(names.triplet, /^[a-z0-9_]+-linux-gnu$/);
    assert.match(names.loader, /\/ld-linux-[a-z0-9_-]+\.so\.\d$/);
  }
});

Deno.test("NATIVE_DEBIAN holds every file that it needs among those that it keeps", () => {
  const { layout, keep } = NATIVE_DEBIAN;
  assert.ok(keep.includes(layout.server) && keep.includes(layout.rpcServer));
  assert.ok(keep.includes(`${layout.backends}/*`));
  assert.ok(keep.some((pattern) => pattern.endsWith("/copyright")), "licences stay");
});

Deno.test("NATIVE_DEBIAN tests a range of versions that holds the pinned one", () => {
  const { tested, suite, knownSuites } = NATIVE_DEBIAN;
  assert.ok(compareVersions(tested.minVersion, tested.belowVersion) < 0);
  assert.ok(isVersionTested(NATIVE_RELEASES.version, tested));
  assert.ok(knownSuites.includes(suite));
});
