import assert from "node:assert/strict";
import fc from "fast-check";
import { parseAdvertised } from "~/node/advertise.ts";

Deno.test.each([
  ["192.0.2.7", "192.0.2.7", false, undefined],
  ["192.0.2.7:4433", "192.0.2.7", false, 4433],
  ["2001:db8::7", "2001:db8::7", false, undefined],
  ["[2001:db8::7]", "2001:db8::7", false, undefined],
  ["[2001:db8::7]:65535", "2001:db8::7", false, 65_535],
  ["home.example.org", "home.example.org", true, undefined],
  ["home.example.org:1", "home.example.org", true, 1],
  ["home.example.org.", "home.example.org.", true, undefined],
  ["rack-7", "rack-7", true, undefined],
  ["7up.example:4433", "7up.example", true, 4433],
])("parseAdvertised() reads '%s'", (text, host, isName, port) => {
  assert.deepEqual(parseAdvertised(text), { host, isName, port });
});

Deno.test.each([
  "",
  ":4433",
  "host:",
  "host:0",
  "host:65536",
  "host:4433:1",
  "host name",
  "host\n",
  "http://host",
  "host/path",
  "user@host",
  "-host",
  "host-",
  "a..b",
  "1.2.3",
  "12345",
  "999.0.2.7",
  "0.0.0.0",
  "224.0.0.1:4433",
  "255.255.255.255",
  "::",
  "[::]:4433",
  "[ff02::1]",
  "[192.0.2.7]",
  "[host]",
  `${"a".repeat(64)}.example`,
  `${"a.".repeat(130)}example`,
])("parseAdvertised() does not read %j", (text) => {
  assert.equal(parseAdvertised(text), undefined);
});

Deno.test("parseAdvertised() answers any text, with a host and a port that can be dialled", () => {
  const near = fc.stringMatching(/^\[?[0-9a-zA-Z:.-]{0,40}\]?(:[0-9]{0,6})?$/);
  fc.assert(fc.property(fc.oneof(fc.string(), near), (text) => {
    const read = parseAdvertised(text);
    if (read === undefined) return;
    assert.ok(text.includes(read.host) && !/[\s[\]@/]/.test(read.host));
    assert.ok(read.port === undefined || (read.port >= 1 && read.port <= 65_535));
  }));
});

Deno.test("parseAdvertised() takes no time for a long text", () => {
  // A pattern that tries every way to cut the labels would never come back from this.
  assert.equal(parseAdvertised("a-".repeat(50_000) + "!"), undefined);
  assert.equal(parseAdvertised("a.".repeat(50_000) + "-"), undefined);
});
