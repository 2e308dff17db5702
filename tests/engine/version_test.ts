import assert from "node:assert/strict";
import fc from "fast-check";
import { executableName, platformOf } from "~/engine/platform.ts";
import { compareVersions, isVersionTested, upstreamVersion } from "~/engine/version.ts";

const version = fc.array(fc.nat(9999), { minLength: 1, maxLength: 4 })
  .map((numbers) => numbers.join("."));

Deno.test("upstreamVersion() drops epoch, repacking and revision", () => {
  assert.equal(upstreamVersion("1:0.7.0+dfsg-2"), "0.7.0");
  assert.equal(upstreamVersion("0.27.0-1"), "0.27.0");
  assert.equal(upstreamVersion("v0.7"), "0.7");
  assert.equal(upstreamVersion("0.7.0~rc1-1"), "0.7.0");
  for (const bad of ["", "latest", "1:", "-1", "0..1", "1.2.3.4.5"]) {
    assert.equal(upstreamVersion(bad), undefined, bad);
  }
});

Deno.test("upstreamVersion() never throws and gives numbers and dots", () => {
  fc.assert(fc.property(fc.string(), (any) => {
    assert.match(upstreamVersion(any) ?? "0", /^\d+(?:\.\d+)*$/);
  }));
});

Deno.test("compareVersions() orders numbers as numbers", () => {
  const sorted = ["0.6.9", "0.7", "0.7.1", "0.10.0", "1.0"];
  assert.deepEqual(sorted.toReversed().toSorted(compareVersions), sorted);
  assert.equal(compareVersions("0.7", "0.7.0"), 0);
});

Deno.test("compareVersions() is an order", () => {
  fc.assert(fc.property(version, version, version, (a, b, c) => {
    // Compared by difference, as -0 and 0 mean the same here.
    assert.ok(compareVersions(a, b) + compareVersions(b, a) === 0);
    if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
      assert.ok(compareVersions(a, c) <= 0);
    }
  }));
});

Deno.test("isVersionTested() takes the lower bound and leaves the upper one out", () => {
  const range = { minVersion: "0.7.0", belowVersion: "0.8.0" };
  assert.ok(isVersionTested("0.7.0", range) && isVersionTested("0.7.12", range));
  assert.ok(!isVersionTested("0.6.9", range) && !isVersionTested("0.8.0", range));
});

Deno.test("platformOf() knows the five platforms and no other", () => {
  assert.equal(platformOf({ os: "linux", arch: "x86_64" }), "linux-x64");
  assert.equal(platformOf({ os: "linux", arch: "aarch64" }), "linux-arm64");
  assert.equal(platformOf({ os: "darwin", arch: "aarch64" }), "macos-arm64");
  assert.equal(platformOf({ os: "darwin", arch: "x86_64" }), "macos-x64");
  assert.equal(platformOf({ os: "windows", arch: "x86_64" }), "windows-x64");
  assert.equal(platformOf({ os: "windows", arch: "aarch64" }), undefined);
  assert.equal(platformOf({ os: "freebsd", arch: "x86_64" }), undefined);
});

Deno.test("executableName() knows the ending that Windows wants", () => {
  assert.equal(executableName("windows-x64", "llama-server"), "llama-server.exe");
  assert.equal(executableName("macos-arm64", "llama-server"), "llama-server");
});
