import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { withTempHome } from "#support/temp_home.ts";
// It has to be there before @peculiar/x509 is.
import "reflect-metadata";
import { BasicConstraintsExtension, X509CertificateGenerator } from "@peculiar/x509";
import { UserError } from "~/base/errors.ts";
import {
  type LinkCert,
  loadLinkCert,
  makeEphemeralLinkCert,
  rotateLinkCert,
} from "~/mesh/io/link_cert.ts";
import { pemBytes, pemText } from "~/mesh/pem.ts";

Deno.test("loadLinkCert() makes a certificate once and keeps it, mode 600", async () => {
  await withTempHome(async (homeDir) => {
    const made = await loadLinkCert(homeDir);
    assert.deepEqual(await loadLinkCert(homeDir), made);
    const { mode } = await Deno.stat(join(homeDir, "link-cert.pem"));
    assert.equal((mode ?? 0) & 0o777, 0o600);
  });
});

Deno.test("rotateLinkCert() replaces it for good", async () => {
  await withTempHome(async (homeDir) => {
    const before = await loadLinkCert(homeDir);
    const after = await rotateLinkCert(homeDir);
    assert.notEqual(after.leafHash, before.leafHash);
    assert.deepEqual(await loadLinkCert(homeDir), after);
  });
});

Deno.test("the certificate is a P-256 leaf for 20 years, dated back a day, that names nobody", async () => {
  const { certPem, leafHash } = await makeEphemeralLinkCert();
  const certificate = new X509Certificate(certPem);
  const der = pemBytes("CERTIFICATE", certPem) ?? new Uint8Array(0);
  assert.equal(leafHash, createHash("sha256").update(der).digest("base64url"));
  assert.equal(certificate.ca, false);
  assert.equal(certificate.subject, "CN=mesh-llm");
  const [from, to] = [new Date(certificate.validFrom), new Date(certificate.validTo)];
  const lifeDays = (to.getTime() - from.getTime()) / 86_400_000;
  assert.equal(Math.round(lifeDays), 20 * 365 + 1);
  assert.ok(from.getTime() <= Date.now() - 86_000_000);
  const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
  assert.equal(asymmetricKeyType, "ec");
  assert.match(asymmetricKeyDetails?.namedCurve ?? "", /prime256v1|P-256/i);
});

Deno.test("QUIC takes the certificate by its pin, and no other pin", async () => {
  const cert = await makeEphemeralLinkCert();
  const other = await makeEphemeralLinkCert();
  assert.equal(await dialsWith(cert, cert.leafHash), true);
  assert.equal(await dialsWith(cert, other.leafHash), false);
});

/** Whether a dialer that pins `leafHash` gets through to a listener that shows `cert`. */
async function dialsWith(cert: LinkCert, leafHash: string): Promise<boolean> {
  using server = new Endpoint();
  using client = new Endpoint();
  const listener = server.quic.listen({
    cert: cert.certPem,
    key: cert.keyPem,
    alpnProtocols: ["test"],
  });
  const accepted = listener.incoming().then((incoming) => incoming.accept()).catch(() => undefined);
  try {
    const pinned = {
      hostname: "127.0.0.1",
      port: server.quic.addr.port,
      alpnProtocols: ["test"],
      endpoint: client.quic,
      // Missing from the types of connectQuic.
      serverCertificateHashes: [
        { algorithm: "sha-256", value: new Uint8Array(Buffer.from(leafHash, "base64url")) },
      ],
    };
    const connection = await Deno.connectQuic(pinned as Deno.ConnectQuicOptions<false>);
    connection.close({ closeCode: 0, reason: "" });
    await connection.closed.catch(() => {});
    return true;
  } catch {
    return false;
  } finally {
    listener.stop();
    await (await accepted)?.closed.catch(() => {});
  }
}

class Endpoint implements Disposable {
  readonly quic = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });

  [Symbol.dispose](): void {
    this.quic.close({ closeCode: 0, reason: "" });
  }
}

Deno.test("loadLinkCert() refuses what is no certificate with its key, in one sentence", async () => {
  await withTempHome(async (homeDir) => {
    const path = join(homeDir, "link-cert.pem");
    const [one, other] = [await rotateLinkCert(homeDir), await makeEphemeralLinkCert()];
    const wrong = ["", "hello", one.certPem, one.keyPem, other.keyPem + one.certPem];
    for (const text of wrong) {
      await Deno.writeTextFile(path, text);
      await assert.rejects(loadLinkCert(homeDir), UserError, JSON.stringify(text.slice(0, 40)));
    }
    await Deno.writeTextFile(path, one.certPem + one.keyPem);
    assert.deepEqual(await loadLinkCert(homeDir), one);
    await Deno.chmod(path, 0o644);
    await assert.rejects(loadLinkCert(homeDir), /chmod 600/);
  });
});

Deno.test("loadLinkCert() says that a certificate made while the clock was wrong is of no use", async () => {
  const dayMs = 86_400_000;
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const key = pemText("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  for (const fromMs of [Date.now() - 9 * dayMs, Date.now() + dayMs]) {
    const { rawData } = await X509CertificateGenerator.createSelfSigned({
      name: "CN=mesh-llm",
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(fromMs),
      notAfter: new Date(fromMs + 2 * dayMs),
      extensions: [new BasicConstraintsExtension(false, undefined, true)],
    });
    await withTempHome(async (homeDir) => {
      const path = join(homeDir, "link-cert.pem");
      await rotateLinkCert(homeDir);
      await Deno.writeTextFile(path, key + pemText("CERTIFICATE", rawData));
      await assert.rejects(loadLinkCert(homeDir), /holds from .* only.*rotate-key/);
    });
  }
});
