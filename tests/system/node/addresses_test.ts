import assert from "node:assert/strict";
import { isIP } from "node:net";
import { interfaceAddresses, resolveAdvertised } from "~/node/io/addresses.ts";

Deno.test("addresses: those of the machine are IP literals that need no zone", () => {
  const found = interfaceAddresses();
  assert.ok(found.length > 0);
  for (const ip of found) {
    assert.notEqual(isIP(ip), 0, ip);
    assert.ok(!/^fe80:/i.test(ip) && !ip.startsWith("169.254."), ip);
  }
});

Deno.test("addresses: a literal is taken as it is, with the bound port where it names none", async () => {
  assert.deepEqual(await resolveAdvertised("203.0.113.9", 4433), [
    { ip: "203.0.113.9", port: 4433 },
  ]);
  assert.deepEqual(await resolveAdvertised("203.0.113.9:7000", 4433), [
    { ip: "203.0.113.9", port: 7000 },
  ]);
  assert.deepEqual(await resolveAdvertised("[2001:db8::9]:7000", 4433), [
    { ip: "2001:db8::9", port: 7000 },
  ]);
});

Deno.test("addresses: a name is looked up", async () => {
  const found = await resolveAdvertised("localhost:7000", 4433);
  assert.ok(found.length > 0);
  for (const { ip, port } of found) assert.ok(isIP(ip) !== 0 && port === 7000, ip);
});

for (const text of ["", "a b", "203.0.113.9:0", "0.0.0.0", "224.0.0.1", "[::]:1", "x:70000"]) {
  Deno.test(`addresses: "${text}" cannot be advertised, and the sentence names it`, async () => {
    await assert.rejects(resolveAdvertised(text, 4433), {
      name: "UserError",
      exitCode: 2,
      message: `Cannot advertise "${text}": it must be HOST or HOST:PORT`,
    });
  });
}
