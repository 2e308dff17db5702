import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress, parseAddress } from "~/mesh/address.ts";
import { type AddressFacts, dialableOf, ownAddresses } from "~/node/mesh/addresses.ts";

function shown(facts: Partial<AddressFacts>): string[] {
  return ownAddresses({ advertised: [], interfaces: [], observed: [], port: 4433, ...facts })
    .map(formatAddress);
}

Deno.test("own addresses: advertised first, loopback last", () => {
  const facts = {
    advertised: [{ ip: "203.0.113.9", port: 7000 }],
    interfaces: ["127.0.0.1", "192.168.1.5", "::1", "2001:db8::5"],
    observed: [{ ip: "198.51.100.7", port: 40_000 }],
  };
  assert.deepEqual(shown(facts), [
    "203.0.113.9:7000",
    "192.168.1.5:4433",
    "[2001:db8::5]:4433",
    "198.51.100.7:40000",
    "127.0.0.1:4433",
  ]);
});

Deno.test("own addresses: of what peers see, what most agree on comes first, and two at most", () => {
  const seen = (port: number) => ({ ip: "198.51.100.7", port });
  const observed = [seen(1), seen(2), seen(3), seen(2), seen(3), seen(3)];
  assert.deepEqual(shown({ observed }), ["198.51.100.7:3", "198.51.100.7:2"]);
});

Deno.test("own addresses: what a peer on the same machine sees is not told to others", () => {
  assert.deepEqual(shown({ observed: [{ ip: "127.0.0.1", port: 4433 }] }), []);
});

Deno.test("own addresses: never more than eight, never one twice", () => {
  const ip = fc.ipV4().filter((text) => parseAddress(`${text}:1`) !== undefined);
  fc.assert(fc.property(fc.array(ip, { maxLength: 30 }), fc.array(ip), (interfaces, seen) => {
    const texts = shown({ interfaces, observed: seen.map((text) => ({ ip: text, port: 9 })) });
    assert.ok(texts.length <= 8);
    assert.equal(new Set(texts).size, texts.length);
  }));
});

Deno.test("own addresses: what peers see keeps its room beside many interfaces, and loopback too", () => {
  const interfaces = [
    "127.0.0.1",
    ...Array.from({ length: 12 }, (_, n) => `172.${17 + n}.0.1`),
    "192.168.1.5",
  ];
  const observed = [{ ip: "198.51.100.7", port: 40_000 }, { ip: "192.168.1.5", port: 4433 }];
  const texts = shown({ interfaces, observed });
  assert.equal(texts.length, 8);
  assert.equal(texts[0], "192.168.1.5:4433", "what peers do see comes first");
  assert.deepEqual(texts.slice(-2), ["198.51.100.7:40000", "127.0.0.1:4433"]);
});

Deno.test("own addresses: regression: the order of the links changes nothing", () => {
  const seen = (port: number) => ({ ip: "198.51.100.7", port });
  const one = shown({ observed: [seen(1), seen(2), seen(3)] });
  assert.deepEqual(one, shown({ observed: [seen(3), seen(1), seen(2)] }));
});

const BEHIND: AddressFacts = {
  advertised: [],
  interfaces: ["127.0.0.1", "192.168.1.5"],
  observed: [{ ip: "198.51.100.7", port: 40_000 }],
  port: 4433,
};

Deno.test("dialable: who was reached can be; who is seen elsewhere than it is cannot, as far as one knows", () => {
  assert.equal(dialableOf(BEHIND, true), "yes");
  assert.equal(dialableOf(BEHIND, false), "no");
  assert.equal(dialableOf({ ...BEHIND, observed: [] }, false), "unknown");
  const plain = [{ ip: "192.168.1.5", port: 4433 }, { ip: "127.0.0.1", port: 4433 }];
  assert.equal(dialableOf({ ...BEHIND, observed: plain }, false), "unknown");
});

Deno.test("dialable: who has forwarded a port by hand is not called unreachable", () => {
  const advertised = [{ ip: "198.51.100.7", port: 4433 }];
  assert.equal(dialableOf({ ...BEHIND, advertised }, false), "unknown");
});

Deno.test("dialable: one peer's word is not enough against those of others", () => {
  const observed = [...BEHIND.observed, { ip: "192.168.1.5", port: 4433 }];
  assert.equal(dialableOf({ ...BEHIND, observed }, false), "unknown");
});
