import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { formatEmbedded, parseEmbedded } from "~/engine/embedded.ts";
import { chooseInstalled, type InstalledEngine } from "~/engine/installed.ts";
import {
  type EngineManifest,
  formatManifest,
  installOf,
  parseManifest,
  type ProgramLayout,
} from "~/engine/manifest.ts";
import { NATIVE_DEBIAN, NATIVE_RELEASES } from "~/engine/native.ts";
import { ACCELERATORS, ENGINE_PLATFORMS } from "~/engine/platform.ts";

const MANIFEST: EngineManifest = {
  origin: "release",
  source: "release archive llama.tar.gz",
  platform: "linux-x64",
  accelerator: "cpu",
  version: NATIVE_RELEASES.version,
  tag: NATIVE_RELEASES.tag,
  server: { program: "llama.cpp/llama-server", libraryPath: ["llama.cpp"] },
};

const name = fc.constantFrom("bin", "lib", "llama-server", "libggml.so.0", "a b");
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const layout: fc.Arbitrary<ProgramLayout> = fc.record(
  { program: path, loader: path, libraryPath: fc.array(path, { maxLength: 3 }), workingDir: path },
  { requiredKeys: ["program"], noNullPrototype: true },
);
const manifest: fc.Arbitrary<EngineManifest> = fc.record({
  origin: fc.constantFrom("embedded", "release", "debian"),
  source: fc.string(),
  platform: fc.constantFrom(...ENGINE_PLATFORMS),
  accelerator: fc.constantFrom(...ACCELERATORS),
  version: fc.string(),
  tag: fc.string(),
  server: layout,
  rpcServer: layout,
}, {
  requiredKeys: ["origin", "source", "platform", "accelerator", "version", "server"],
  noNullPrototype: true,
});

Deno.test("parseManifest() gives back what formatManifest() wrote", () => {
  fc.assert(fc.property(manifest, (any) => {
    assert.deepEqual(parseManifest(formatManifest(any)), any);
  }));
});

Deno.test("parseManifest() takes nothing that it does not understand", () => {
  const good = JSON.parse(formatManifest(MANIFEST));
  const spoilt = [
    { ...good, format: 2 },
    { ...good, origin: "path" },
    { ...good, platform: "amiga" },
    { ...good, accelerator: "abacus" },
    { ...good, version: 7 },
    { ...good, source: null },
    { ...good, server: undefined },
    { ...good, server: { program: "../../bin/sh" } },
    { ...good, server: { program: "/bin/sh" } },
    { ...good, server: { program: "a", loader: "../ld.so" } },
    { ...good, server: { program: "a", libraryPath: ["/lib"] } },
    { ...good, server: { program: "a", libraryPath: "lib" } },
    { ...good, server: { program: "a", workingDir: ".." } },
    { ...good, rpcServer: {} },
    [],
    null,
  ];
  for (const value of spoilt) {
    assert.equal(parseManifest(JSON.stringify(value)), undefined, JSON.stringify(value));
  }
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    assert.equal(parseManifest(text), undefined);
  }));
});

Deno.test("installOf() starts a program with its own loader when it has one", () => {
  const server = {
    program: "root/usr/bin/llama-server",
    loader: "root/ld.so",
    libraryPath: ["root/lib", "root/lib/llama"],
    workingDir: "root/backends",
  };
  const install = installOf({ ...MANIFEST, origin: "debian", server, rpcServer: server }, "/h/e");
  assert.deepEqual(install.server, {
    command: "/h/e/root/ld.so",
    leadingArgs: [
      "--library-path",
      "/h/e/root/lib:/h/e/root/lib/llama",
      "/h/e/root/usr/bin/llama-server",
    ],
    workingDir: "/h/e/root/backends",
    env: {},
  });
  assert.deepEqual(install.rpcServer, install.server);
});

Deno.test("installOf() names the libraries to Linux only", () => {
  assert.deepEqual(installOf(MANIFEST, "/h/e").server, {
    command: join("/h/e", "llama.cpp/llama-server"),
    leadingArgs: [],
    env: { LD_LIBRARY_PATH: join("/h/e", "llama.cpp") },
  });
  assert.deepEqual(installOf({ ...MANIFEST, platform: "macos-arm64" }, "/h/e").server.env, {});
});

function engine(dir: string, more: Partial<EngineManifest>): InstalledEngine {
  return { dir, manifest: { ...MANIFEST, ...more } };
}

function choose(engines: InstalledEngine[], accelerators = ["vulkan", "cpu"] as const) {
  const facts = { releases: NATIVE_RELEASES, debian: NATIVE_DEBIAN };
  return chooseInstalled(engines, { platform: "linux-x64", accelerators, ...facts })?.dir;
}

Deno.test("chooseInstalled() goes by accelerator, then origin, then version", () => {
  const { tag: _, ...debian } = { ...MANIFEST, origin: "debian" as const };
  const engines = [
    { dir: "debian", manifest: { ...debian, version: "0.7.1" } },
    { dir: "older debian", manifest: { ...debian, version: "0.7.0" } },
    engine("release", {}),
    engine("vulkan", { accelerator: "vulkan" }),
  ];
  assert.equal(choose(engines), "vulkan");
  assert.equal(choose(engines.slice(0, 3)), "release");
  assert.equal(choose(engines.slice(0, 2).reverse()), "debian");
  assert.equal(choose([]), undefined);
});

Deno.test("chooseInstalled() leaves alone what does not fit this program or machine", () => {
  const { tag: _, ...untagged } = MANIFEST;
  const unfit = [
    engine("other build", { tag: "b1" }),
    engine("other platform", { platform: "linux-arm64" }),
    engine("other accelerator", { accelerator: "cuda" }),
    { dir: "untested", manifest: { ...untagged, version: "99.0" } },
  ];
  assert.equal(choose(unfit), undefined);
});

const DIGEST = "ab".repeat(32);
const FILE = { path: "root/bin/a", isExecutable: true, sizeBytes: 3, sha256: DIGEST };

Deno.test("parseEmbedded() gives back what formatEmbedded() wrote", () => {
  const embedded = {
    manifest: MANIFEST,
    files: [FILE, { ...FILE, path: "root/b", isExecutable: false }],
    links: [{ path: "root/lib.so", target: "lib.so.1" }],
  };
  assert.deepEqual(parseEmbedded(formatEmbedded(embedded)), embedded);
});

Deno.test("parseEmbedded() takes no list that names anything outside", () => {
  const good = JSON.parse(formatEmbedded({ manifest: MANIFEST, files: [FILE], links: [] }));
  const spoilt = [
    { ...good, format: 9 },
    { ...good, engine: {} },
    { ...good, files: {} },
    { ...good, files: [{ ...FILE, path: "../a" }] },
    { ...good, files: [{ ...FILE, sha256: "../../etc/passwd" }] },
    { ...good, files: [{ ...FILE, sizeBytes: -1 }] },
    { ...good, files: [{ ...FILE, isExecutable: 1 }] },
    { ...good, files: [FILE, FILE] },
    { ...good, links: [{ path: "a", target: "/etc/passwd" }] },
    { ...good, links: [{ path: FILE.path, target: "b" }] },
    { ...good, links: [null] },
  ];
  assert.ok(parseEmbedded(JSON.stringify(good)) !== undefined);
  for (const value of spoilt) assert.equal(parseEmbedded(JSON.stringify(value)), undefined);
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    assert.equal(parseEmbedded(text), undefined);
  }));
});
