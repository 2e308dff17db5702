import assert from "node:assert/strict";
import fc from "fast-check";
import { parseJunit, unescapeXml } from "../../../tasks/lib/junit.ts";

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="5" failures="2" errors="0" time="0.179">
    <testsuite name="./tests/a_test.ts" tests="4" disabled="1" errors="0" failures="2">
        <testcase name="good &lt;a&gt; &amp; &quot;b&quot;" classname="./tests/a_test.ts" time="0.000">
        </testcase>
        <testcase name="bad" classname="./tests/a_test.ts" time="0.000" line="2" col="6">
            <failure message="Uncaught Error: &lt;skipped/&gt;">Error: x &lt; y
    at file:///x/a_test.ts:2:32</failure>
        </testcase>
        <testcase name="skipped" classname="./tests/a_test.ts" time="0.000">
            <skipped/>
        </testcase>
        <testcase name="steps &gt; one" classname="./tests/a_test.ts" time="0.000">
            <error message="x"/>
        </testcase>
    </testsuite>
    <testsuite name="./tests/b_test.ts" tests="1" disabled="0" errors="0" failures="0">
        <testcase name="self closing" classname="./tests/b_test.ts" time="0.000"/>
    </testsuite>
    <testsuite name="./tests/empty_test.ts" tests="0" disabled="0" errors="0" failures="0"/>
</testsuites>
`;

Deno.test("parseJunit() reads files, names and outcomes", () => {
  const { files, cases } = parseJunit(REPORT);
  assert.deepEqual(files, ["tests/a_test.ts", "tests/b_test.ts", "tests/empty_test.ts"]);
  assert.deepEqual(cases, [
    { file: "tests/a_test.ts", name: 'good <a> & "b"', outcome: "passed" },
    { file: "tests/a_test.ts", name: "bad", outcome: "failed" },
    { file: "tests/a_test.ts", name: "skipped", outcome: "skipped" },
    { file: "tests/a_test.ts", name: "steps > one", outcome: "failed" },
    { file: "tests/b_test.ts", name: "self closing", outcome: "passed" },
  ]);
});

Deno.test("parseJunit() reads a report without tests", () => {
  assert.deepEqual(parseJunit('<testsuites name="deno test" tests="0"/>'), {
    files: [],
    cases: [],
  });
});

Deno.test("parseJunit() refuses every report that was cut off", () => {
  const whole = REPORT.trimEnd();
  for (let end = 0; end < whole.length; end += 7) {
    assert.throws(() => parseJunit(whole.slice(0, end)), SyntaxError, `cut at ${end}`);
  }
});

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;").replaceAll("'", "&apos;");
}

Deno.test("unescapeXml() undoes the escaping of any text", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => {
    assert.equal(unescapeXml(escapeXml(text)), text);
  }));
});

Deno.test("unescapeXml() reads numbered entities and leaves unknown ones", () => {
  assert.equal(unescapeXml("&#65;&#x42;&nbsp;&#xffffff;&#x;"), "AB&nbsp;&#xffffff;&#x;");
});
