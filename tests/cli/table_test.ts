import assert from "node:assert/strict";
import fc from "fast-check";
import { formatTable, printable } from "~/cli/table.ts";

Deno.test("formatTable() aligns columns and leaves no space at the end", () => {
  assert.deepEqual(formatTable(["A", "LONG", "C"], [["wide cell", "1", ""], ["x", "2", "last"]]), [
    "A          LONG  C",
    "wide cell  1",
    "x          2     last",
  ]);
  assert.deepEqual(formatTable(["A", "B"], []), ["A  B"]);
});

Deno.test("printable() leaves nothing that a terminal would obey or that breaks a line", () => {
  assert.equal(printable("Qwen3-4B größe"), "Qwen3-4B größe");
  assert.equal(
    printable("\u001b[2J\u001b]0;title\u0007a\r\nb\u202ec\u2028d"),
    "?[2J?]0;title?a??b?c?d",
  );
  assert.equal(printable("m".repeat(500)).length, 120);
});

Deno.test("formatTable() writes one line a row, whatever the cells hold", () => {
  const rows = fc.array(fc.tuple(fc.string({ unit: "binary" }), fc.string()), { maxLength: 5 });
  fc.assert(fc.property(rows, (cells) => {
    const lines = formatTable(["A", "B"], cells);
    assert.equal(lines.length, cells.length + 1);
    // deno-lint-ignore no-control-regex -- what a terminal would obey is looked for
    for (const line of lines) assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f]/);
  }));
});
