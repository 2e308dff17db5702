import assert from "node:assert/strict";
import fc from "fast-check";
import { InterfaceWatch } from "~/node/mesh/interface_watch.ts";
import { VirtualTime } from "#support/virtual_time.ts";

function watched(first: readonly string[]) {
  const time = new VirtualTime();
  const machine = { addresses: first, changes: 0 };
  const watch = new InterfaceWatch({
    read: () => machine.addresses,
    timers: time,
    changed: () => machine.changes += 1,
  });
  return { time, machine, watch };
}

Deno.test("an interface watch tells once that the addresses are others", () => {
  const { time, machine, watch } = watched(["192.0.2.1"]);
  time.advance(60_000);
  assert.equal(machine.changes, 0);
  machine.addresses = ["192.0.2.2"];
  time.advance(5_000);
  assert.equal(machine.changes, 1);
  time.advance(60_000);
  assert.equal(machine.changes, 1);
  assert.deepEqual(watch.current(), ["192.0.2.2"]);
  watch.close();
  assert.equal(time.pendingCount, 0);
});

Deno.test("an interface watch knows what was its own, until it is so again", () => {
  const { machine, watch } = watched(["192.0.2.1", "192.0.2.9"]);
  assert.equal(watch.wasOwn("192.0.2.1"), false);
  machine.addresses = ["192.0.2.9"];
  assert.deepEqual(watch.current(), ["192.0.2.9"]);
  assert.deepEqual([watch.wasOwn("192.0.2.1"), watch.wasOwn("192.0.2.9")], [true, false]);
  machine.addresses = ["192.0.2.9", "192.0.2.1"];
  watch.current();
  assert.equal(watch.wasOwn("192.0.2.1"), false);
});

Deno.test("regression: a change that was asked for between two looks is told, too", () => {
  const { time, machine, watch } = watched(["192.0.2.1"]);
  machine.addresses = ["192.0.2.2"];
  watch.current();
  time.advance(5_000);
  assert.equal(machine.changes, 1);
});

Deno.test("an interface watch remembers a bounded number, and never what the machine has", () => {
  const ip = fc.nat(200).map((n) => `192.0.2.${n}`);
  fc.assert(
    fc.property(fc.array(fc.uniqueArray(ip, { maxLength: 40 }), { maxLength: 20 }), (all) => {
      const { machine, watch } = watched([]);
      const seen = new Set<string>();
      for (const addresses of all) {
        machine.addresses = addresses;
        for (const each of watch.current()) seen.add(each);
        assert.ok(addresses.every((each) => !watch.wasOwn(each)));
      }
      assert.ok([...seen].filter((each) => watch.wasOwn(each)).length <= 64);
    }),
  );
});
