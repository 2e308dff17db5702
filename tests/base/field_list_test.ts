import assert from "node:assert/strict";
import fc from "fast-check";
import { FieldList, type HeadersView } from "~/base/field_list.ts";

Deno.test("FieldList is read as Headers are, but keeps the order", () => {
  const name = fc.constantFrom("accept", "content-type", "retry-after", "x-request-id");
  const value = fc.stringMatching(/^[!-~]{1,8}$/);
  fc.assert(fc.property(fc.array(fc.tuple(name, value)), name, (fields, wanted) => {
    const list: HeadersView = new FieldList(fields);
    const real = new Headers();
    for (const [each, text] of fields) real.append(each, text);
    assert.equal(list.get(wanted), real.get(wanted));
    assert.equal(list.has(wanted), real.has(wanted));
    assert.deepEqual([...list], fields);
  }));
});
