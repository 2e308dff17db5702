import assert from "node:assert/strict";
import { join } from "node:path";
import { walkFiles } from "~/engine/io/walk.ts";

Deno.test("walkFiles() lists files and links at every depth, and follows no link", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-walk-" });
  try {
    await Deno.mkdir(join(dir, "a", "b"), { recursive: true });
    await Deno.mkdir(join(dir, "empty"));
    await Deno.writeTextFile(join(dir, "top"), "");
    await Deno.writeTextFile(join(dir, "a", "b", "deep"), "");
    // Followed, this one would never end.
    await Deno.symlink("..", join(dir, "a", "up"));
    const files = await walkFiles(dir);
    assert.deepEqual(files.toSorted((x, y) => (x.path < y.path ? -1 : 1)), [
      { path: "a/b/deep", isLink: false },
      { path: "a/up", isLink: true },
      { path: "top", isLink: false },
    ]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
