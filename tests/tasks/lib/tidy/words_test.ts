import assert from "node:assert/strict";
import { findBannedWords } from "../../../../tasks/lib/tidy/words.ts";

// Put together from halves, so that this file does not break the rules that it tests.
const BAD: readonly [string, string][] = [
  ["lib/a.ts", "// TO" + "DO: later"],
  ["docs/A.md", "FIX" + "ME"],
  ["lib/a.ts", 'import "js' + 'r:@std/assert";'],
  ["docs/A.md", "see iss" + "ue #12"],
  ["lib/a.ts", "// iss" + "ue 12 says"],
  [".ci/run", "npm --registry https://registry.np" + "mjs.org"],
  ["native/a.json", '"http://deb.deb' + "ian.org/deb" + 'ian"'],
  ["lib/a.ts", "https://py" + "pi.org/simple"],
  ["tests/a_test.ts", '"/wo' + 'rk/main"'],
  ["docs/A.md", "as inter" + "face.md says"],
  ["lib/a.ts", "// deno-lint-ignore lay" + "ers/world"],
  ["tests/a_test.ts", "Deno.test.on" + "ly('x', () => {});"],
  ["tests/a_test.ts", "{ ignore: tr" + "ue }"],
  ["tasks/a.ts", "pk" + "ill -f llama-server"],
];

for (const [path, line] of BAD) {
  Deno.test(`findBannedWords() stops ${path} from saying: ${line}`, () => {
    const found = findBannedWords(path, `fine\n${line}\nfine`);
    assert.equal(found.length, 1);
    assert.match(found[0] ?? "", new RegExp(`^${path}:2: ".+" is banned, use .+`));
  });
}

Deno.test("findBannedWords() lets ordinary words pass", () => {
  const text = "huggingface.co github.com docs/ARCHITECTURE.md #field issue tokens, 12 issues; " +
    "debian:forky /workspace/ {ignore: false} xxx todo list.io registry.json";
  assert.deepEqual(findBannedWords("lib/a.ts", text), []);
});

Deno.test("findBannedWords() lets documents name what code must not do", () => {
  assert.deepEqual(findBannedWords("docs/A.md", "never pk" + "ill; no js" + "r: package"), []);
});
