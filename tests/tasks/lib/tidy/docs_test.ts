import assert from "node:assert/strict";
import { anchorsOf, findDocFaults } from "../../../../tasks/lib/tidy/docs.ts";

function faults(documents: Record<string, string>): string[] {
  return findDocFaults({
    paths: new Set(["lib/base/clock.ts", "LICENSE", ...Object.keys(documents)]),
    documents: new Map(Object.entries(documents)),
    tasks: new Set(["ok", "test", "test:system"]),
  });
}

Deno.test("findDocFaults() accepts links to files, folders, headings and the web", () => {
  assert.deepEqual(
    faults({
      "README.md":
        "[a](docs/A.md) [b](docs/A.md#two-words) [c](lib/) [d](https://x.test/) [e](#me)\n# Me",
      "docs/A.md": '## Two words!\n[up](../LICENSE) [self](./A.md "title") [mail](mailto:a@x.test)',
    }),
    [],
  );
});

Deno.test("findDocFaults() names links that lead nowhere", () => {
  const found = faults({
    "README.md": "[a](docs/B.md) [b](docs/A.md#three) [c](#none)",
    "docs/A.md": "## Two\n[x](lib/base/clock.ts)",
  });
  assert.deepEqual(found, [
    "README.md: link to docs/B.md leads nowhere",
    "README.md: link to docs/A.md#three: docs/A.md has no such heading",
    "README.md: link to #none: README.md has no such heading",
    "docs/A.md: link to lib/base/clock.ts leads nowhere",
  ]);
});

Deno.test("findDocFaults() looks for links in prose and for commands everywhere", () => {
  const fence = "```";
  const text =
    `${fence}sh\nnpx -y deno@2.9.6 task oke\n[x](nowhere)\n${fence}\n\`deno task test:system\``;
  assert.deepEqual(faults({ "README.md": text }), [
    'README.md: there is no task "oke": name one of deno.json',
  ]);
});

Deno.test("anchorsOf() makes anchors as hosts do", () => {
  const anchors = anchorsOf("# What `it` is\n## 5. Limits, and why\ntext # no\n### snake_case-x");
  assert.deepEqual([...anchors], ["what-it-is", "5-limits-and-why", "snake_case-x"]);
});
