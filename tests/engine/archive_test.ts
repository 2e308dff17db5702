import assert from "node:assert/strict";
import { posix } from "node:path";
import fc from "fast-check";
import {
  ArchiveBudget,
  type ArchiveEntry,
  ArchiveError,
  findProgram,
  isSafePath,
  judgeEntry,
} from "~/engine/archive.ts";

const ROOT = "/home/of/engine";

/** Paths as an attacker would put them together. */
const hostilePath = fc.array(
  fc.constantFrom("..", ".", "", "a", "b.so", "C:", "a\\b", "\0", "~", "..."),
  { maxLength: 6 },
).map((parts) => parts.join("/"));

Deno.test("isSafePath() takes names and refuses everything that is more", () => {
  for (const good of ["a", "a/b.so.1", "build/bin/llama-server", "...", "a b", "ä/ö"]) {
    assert.ok(isSafePath(good), good);
  }
  const bad = ["", "/", "/etc/passwd", "..", "../a", "a/../b", "a/./b", "a//b", "a/", "C:/a"];
  for (const path of [...bad, "a\\b", "a\0b", "a\nb", "a:b", "a".repeat(600), "a/".repeat(20)]) {
    assert.ok(!isSafePath(path), JSON.stringify(path));
  }
});

Deno.test("isSafePath() never lets a path leave its folder", () => {
  fc.assert(fc.property(fc.oneof(hostilePath, fc.string()), (path) => {
    if (!isSafePath(path)) return;
    assert.ok(posix.join(ROOT, path).startsWith(`${ROOT}/`));
  }));
});

Deno.test("judgeEntry() takes files and folders, and archives that begin with ./", () => {
  assert.deepEqual(judgeEntry({ kind: "file", path: "./bin/a" }), { kind: "file", path: "bin/a" });
  assert.deepEqual(judgeEntry({ kind: "folder", path: "bin/" }), { kind: "folder", path: "bin" });
  for (const path of ["./", ".", ""]) {
    assert.deepEqual(judgeEntry({ kind: "folder", path }), { kind: "skip" });
  }
});

Deno.test("judgeEntry() refuses paths that lead outside", () => {
  for (const path of ["../a", "/etc/passwd", "a/../../b", "..\\a", "C:\\a", "", "a\0"]) {
    assert.throws(() => judgeEntry({ kind: "file", path }), ArchiveError, path);
  }
});

Deno.test("judgeEntry() takes links to neighbours and refuses those that lead outside", () => {
  const link = (path: string, target: string): ArchiveEntry => ({ kind: "symlink", path, target });
  assert.deepEqual(judgeEntry(link("lib/a.so", "a.so.1")), {
    kind: "link",
    path: "lib/a.so",
    target: "a.so.1",
  });
  assert.equal(judgeEntry(link("bin/x", "../lib/x")).kind, "link");
  for (const target of ["/etc/passwd", "../../x", "..", "", "x/../../../y", "C:/x", "a\\b"]) {
    assert.throws(() => judgeEntry(link("lib/a", target)), ArchiveError, target);
  }
  assert.throws(() => judgeEntry(link("a", ".")), ArchiveError);
});

Deno.test("judgeEntry() makes a hard link a link to the same file", () => {
  const hard = { kind: "hardlink" as const, path: "a/b/c", target: "./a/d" };
  assert.deepEqual(judgeEntry(hard), { kind: "link", path: "a/b/c", target: "../../a/d" });
  assert.throws(() => judgeEntry({ ...hard, target: "../d" }), ArchiveError);
  assert.throws(() => judgeEntry({ ...hard, target: "/etc/passwd" }), ArchiveError);
});

Deno.test("judgeEntry() refuses devices and pipes", () => {
  assert.throws(() => judgeEntry({ kind: "other", path: "dev/sda" }), ArchiveError);
});

Deno.test("judgeEntry() is not deceived by slashes in a row: links left the folder with them", () => {
  for (const target of ["a//..", "a//../..", "a////../../..", "/a", "//a"]) {
    const link = { kind: "symlink", path: "link", target } as const;
    assert.throws(() => judgeEntry(link), ArchiveError, target);
  }
  const good = { kind: "symlink", path: "lib/link", target: "..//share//x" } as const;
  assert.equal(judgeEntry(good).kind, "link");
});

Deno.test("judgeEntry() never gives anything that leaves the folder", () => {
  const kind = fc.constantFrom<ArchiveEntry["kind"]>("file", "folder", "symlink", "hardlink");
  fc.assert(fc.property(kind, hostilePath, hostilePath, (kind, path, target) => {
    let verdict;
    try {
      verdict = judgeEntry({ kind, path, target });
    } catch (error) {
      assert.ok(error instanceof ArchiveError);
      return;
    }
    if (verdict.kind === "skip") return;
    const at = posix.join(ROOT, verdict.path);
    assert.ok(at.startsWith(`${ROOT}/`));
    if (verdict.kind !== "link") return;
    assert.ok(posix.resolve(posix.dirname(at), verdict.target).startsWith(`${ROOT}/`));
  }));
});

Deno.test("ArchiveBudget.addEntry() refuses too many entries and equal names", () => {
  const budget = new ArchiveBudget({ entriesMax: 2, totalBytesMax: 10 });
  budget.addEntry("a");
  assert.throws(() => budget.addEntry("A"), /twice/);
  budget.addEntry("b");
  assert.throws(() => budget.addEntry("c"), /more than 2 entries/);
});

Deno.test("ArchiveBudget.addBytes() counts what comes out, not what was stated", () => {
  const budget = new ArchiveBudget({ entriesMax: 2, totalBytesMax: 10 });
  budget.addBytes(10);
  assert.throws(() => budget.addBytes(1), ArchiveError);
});

Deno.test("findProgram() prefers the one nearest to the root, then the newer name", () => {
  const paths = ["x/tools/llama-server", "x/llama-server", "x/rpc-server", "x/ggml-rpc-server"];
  assert.equal(findProgram(paths, ["llama-server"]), "x/llama-server");
  assert.equal(findProgram(paths, ["ggml-rpc-server", "rpc-server"]), "x/ggml-rpc-server");
  assert.equal(findProgram(paths, ["llama-cli"]), undefined);
  assert.equal(findProgram(["not-llama-server"], ["llama-server"]), undefined);
});
