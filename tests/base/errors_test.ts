import assert from "node:assert/strict";
import {
  assert as claim,
  assertNever,
  InvariantError,
  messageOf,
  UserError,
} from "~/base/errors.ts";

Deno.test("assert() throws what was claimed when it is false", () => {
  claim(true, "true is true");
  assert.throws(() => claim(false, "water is dry"), {
    name: "InvariantError",
    message: "Broken invariant: water is dry",
  });
});

Deno.test("assertNever() names the value that nobody handled", () => {
  assert.throws(() => assertNever({ kind: "new" } as never), /\{"kind":"new"\}/);
});

Deno.test("UserError ends commands with 1 unless it was wrong usage", () => {
  assert.equal(new UserError("Cannot read the file").exitCode, 1);
  assert.equal(new UserError("Cannot use that flag", { exitCode: 2 }).exitCode, 2);
  assert.equal(new UserError("x", { cause: 7 }).cause, 7);
});

Deno.test("messageOf() finds a sentence in whatever was thrown", () => {
  assert.equal(messageOf(new Error("disk full")), "disk full");
  assert.equal(messageOf(new InvariantError("")), "InvariantError");
  assert.equal(messageOf("plain text"), "plain text");
  assert.equal(messageOf(undefined), "undefined");
});
