import assert from "node:assert/strict";
import fc from "fast-check";
import { jsonText } from "~/cli/json_text.ts";

Deno.test("jsonText() spells names of members as the status does, at any depth, and nothing else", () => {
  const value = {
    onDisk: [{ sizeBytes: 1, path: "/someWhere/aB.gguf" }],
    "mesh_id": "someId",
    isGood: true,
    none: null,
    left: undefined,
  };
  assert.equal(
    jsonText(value),
    '{"on_disk":[{"size_bytes":1,"path":"/someWhere/aB.gguf"}],"mesh_id":"someId","is_good":true,"none":null}',
  );
  assert.equal(jsonText(["aB"]), '["aB"]');
});

Deno.test("jsonText() changes no value, and nothing that is spelt so already", () => {
  const name = fc.stringMatching(/^[a-z]{1,8}(_[a-z]{1,8})?$/);
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value")),
      fc.dictionary(name, tie("value"), { noNullPrototype: true }),
    ),
  })).value;
  fc.assert(fc.property(json, (value) => {
    assert.equal(jsonText(value), JSON.stringify(value));
  }));
});
