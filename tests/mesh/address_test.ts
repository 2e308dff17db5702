import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress, parseAddress, sameAddress, seenAddress } from "~/mesh/address.ts";

Deno.test("an address is read as it was written", () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), port, (ip, port) => {
    const read = parseAddress(formatAddress({ ip, port }));
    if (read !== undefined) assert.ok(sameAddress(read, { ip, port }));
  }));
  for (const text of ["192.0.2.7:4433", "[2001:db8::7]:1", "[::ffff:192.0.2.7]:65535"]) {
    const address = parseAddress(text);
    assert.equal(address && formatAddress(address), text);
  }
});

Deno.test("names, ports that are none and addresses nobody has are no addresses", () => {
  const wrong = [
    "",
    "localhost:1",
    "192.0.2.7",
    "192.0.2.7:0",
    "192.0.2.7:65536",
    "192.0.2.700:1",
    "2001:db8::7:1",
    "[2001:db8::7]",
    "[192.0.2.7]:1",
    "[fe80::1%eth0]:1",
    "0.0.0.0:1",
    "224.0.0.1:1",
    "255.255.255.255:1",
    "[::]:1",
    "[ff02::1]:1",
    " 192.0.2.7:1",
  ];
  for (const text of wrong) assert.equal(parseAddress(text), undefined, text);
  fc.assert(fc.property(fc.string(), (text) => {
    const read = parseAddress(text);
    if (read !== undefined) assert.equal(formatAddress(read), text);
  }));
});

Deno.test("an address is told as others can use it", () => {
  assert.deepEqual(seenAddress("::ffff:192.0.2.7", 1), { ip: "192.0.2.7", port: 1 });
  assert.deepEqual(seenAddress("::FFFF:192.0.2.7", 1), { ip: "192.0.2.7", port: 1 });
  assert.deepEqual(seenAddress("192.0.2.7", 1), { ip: "192.0.2.7", port: 1 });
  assert.deepEqual(seenAddress("2001:db8::7", 1), { ip: "2001:db8::7", port: 1 });
  assert.deepEqual(seenAddress("fe80::1%eth0", 1), { ip: "fe80::1", port: 1 });
});
