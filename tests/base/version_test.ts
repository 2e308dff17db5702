import assert from "node:assert/strict";
import {
  COMMIT,
  COMMIT_PLACEHOLDER,
  stampedCommit,
  VERSION,
  VERSION_TEXT,
  versionText,
} from "~/base/version.ts";

Deno.test("VERSION is a semantic version", () => {
  assert.match(VERSION, /^\d+\.\d+\.\d+(-[0-9a-z.]+)?$/);
});

Deno.test("COMMIT is absent when the program runs from source", () => {
  assert.equal(COMMIT, undefined);
  assert.equal(stampedCommit(COMMIT_PLACEHOLDER), undefined);
});

Deno.test("stampedCommit() takes a commit and its dirty mark, and nothing else", () => {
  assert.equal(stampedCommit("0123456789ab"), "0123456789ab");
  assert.equal(stampedCommit("0123456789ab-dirty"), "0123456789ab-dirty");
  for (const text of ["", "unknown", "0123456789AB", "0123", "0123456789ab-odd"]) {
    assert.equal(stampedCommit(text), undefined, text);
  }
});

Deno.test("VERSION_TEXT says that nothing was stamped here", () => {
  assert.equal(VERSION_TEXT, `${VERSION} (from source)`);
});

Deno.test("versionText() names the commit where there is one", () => {
  assert.equal(versionText("0123456789ab"), `${VERSION} (0123456789ab)`);
  assert.equal(versionText(undefined), `${VERSION} (from source)`);
});
