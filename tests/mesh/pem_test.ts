import assert from "node:assert/strict";
import fc from "fast-check";
import { pemBytes, pemText } from "~/mesh/pem.ts";

Deno.test("pemText() wraps lines at 64 characters", () => {
  const lines = pemText("CERTIFICATE", new Uint8Array(100)).split("\n");
  assert.deepEqual(lines.map((line) => line.length), [27, 64, 64, 8, 25, 0]);
});

Deno.test("pemBytes() reads what pemText() wrote, among other blocks and text", () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 });
  fc.assert(fc.property(bytes, bytes, fc.string(), (key, cert, noise) => {
    const text = noise + pemText("PRIVATE KEY", key) + pemText("CERTIFICATE", cert) + noise;
    assert.deepEqual(pemBytes("PRIVATE KEY", text), new Uint8Array(key));
    assert.deepEqual(pemBytes("CERTIFICATE", text), new Uint8Array(cert));
  }));
});

Deno.test("pemBytes() finds nothing in other text", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    assert.equal(pemBytes("CERTIFICATE", text), undefined);
  }));
  assert.equal(pemBytes("CERTIFICATE", pemText("PRIVATE KEY", new Uint8Array(9))), undefined);
});
