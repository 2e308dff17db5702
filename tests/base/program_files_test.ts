import assert from "node:assert/strict";
import { join } from "node:path";
import { EMBEDDED_ENGINE_FOLDER, embeddedFolder } from "~/base/io/program_files.ts";

Deno.test("embeddedFolder() is absent while the program runs from its sources", () => {
  assert.equal(embeddedFolder(EMBEDDED_ENGINE_FOLDER), undefined);
  assert.equal(embeddedFolder("x", { isCompiled: true, dir: undefined }), undefined);
});

Deno.test("embeddedFolder() lies beside the code of a compiled program", () => {
  assert.equal(embeddedFolder("x", { isCompiled: true, dir: "/program" }), join("/program", "x"));
});
