import assert from "node:assert/strict";
import { ApiError } from "~/api/errors.ts";
import { asRefusal } from "~/api/handler.ts";
import { NodeRefusal } from "~/api/ports.ts";
import { UserError } from "~/base/errors.ts";

const USUAL = { status: 400, code: "invalid_request_error", param: "token" } as const;

/** What becomes of this failure. */
async function refusalFor(
  thrown: unknown,
  usual: Parameters<typeof asRefusal>[1] = USUAL,
): Promise<ApiError> {
  const error = await asRefusal(() => Promise.reject(thrown), usual).catch((caught) => caught);
  assert.ok(error instanceof ApiError, String(error));
  return error;
}

Deno.test("asRefusal() passes on what went well", async () => {
  assert.equal(await asRefusal(() => Promise.resolve(7), USUAL), 7);
});

Deno.test("asRefusal() tells a person's mistake in the usual way, about the usual member", async () => {
  const { status, code, param, message } = await refusalFor(new UserError("Cannot: too old"));
  assert.deepEqual({ status, code, param }, USUAL);
  assert.equal(message, "Cannot: too old");
  const bare = await refusalFor(new UserError("Cannot"), { status: 404, code: "not_found" });
  assert.deepEqual([bare.status, bare.param], [404, null]);
});

Deno.test("asRefusal() tells what is not there from what cannot be now", async () => {
  const absent = await refusalFor(new NodeRefusal("not_found", "Cannot: nobody has that name"));
  assert.deepEqual([absent.status, absent.code], [404, "not_found"]);
  const early = await refusalFor(new NodeRefusal("conflict", "Cannot: in no mesh"));
  assert.deepEqual([early.status, early.code], [409, "conflict"]);
});

Deno.test("asRefusal() leaves defects and refusals of the door as they are", async () => {
  for (
    const thrown of [new TypeError("a defect"), new ApiError(504, "late", { message: "late" })]
  ) {
    const work = asRefusal(() => Promise.reject(thrown), USUAL);
    await assert.rejects(work, (error) => error === thrown);
  }
});
