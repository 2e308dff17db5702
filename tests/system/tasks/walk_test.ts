import assert from "node:assert/strict";
import { join } from "node:path";
import { walk } from "../../../tasks/lib/walk.ts";

Deno.test("walk() lists files below a folder, without what tools made", async () => {
  const root = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  try {
    for (const folder of ["lib/base", ".git", ".cache", "node_modules/x", "dist"]) {
      await Deno.mkdir(join(root, folder), { recursive: true });
      await Deno.writeTextFile(join(root, folder, "a.ts"), "");
    }
    await Deno.writeTextFile(join(root, "main.ts"), "");
    await Deno.symlink(join(root, "main.ts"), join(root, "link.ts"));
    await Deno.symlink(root, join(root, "lib", "loop"));
    assert.deepEqual(await walk(root), ["lib/base/a.ts", "main.ts"]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
