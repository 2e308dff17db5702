/**
 * The certificate of the peer port: in `<home>/link-cert.pem` with its key, mode 0600, or one that nobody keeps. It
 * names nobody; peers pin its hash, and who is behind it is proved inside the connection.
 */
import { createHash, timingSafeEqual, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { UserError } from "../../base/errors.ts";
import { ensureDir, readTextIfAny, writeFileAtomic } from "../../base/io/files.ts";
import { pemBytes, pemText } from "../pem.ts";
import { refuseForeignAccess } from "./key_file.ts";

const FILE_BYTES_MAX = 16 * 1024;
const DAY_MS = 86_400_000;
/** Peers pin it, so only its owner changes it, by `rotate-key`. */
const LIFE_MS = 20 * 365 * DAY_MS;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const NAME = "CN=mesh-llm";

/** What the peer port shows. */
export interface LinkCert {
  readonly certPem: string;
  /** PKCS #8. */
  readonly keyPem: string;
  /** SHA-256 of the certificate's DER, base64url: what dialers pin. */
  readonly leafHash: string;
}

/**
 * Reads the certificate of this home, or makes one on the first start.
 *
 * @throws {UserError} when the file holds none, or others can read it
 */
export async function loadLinkCert(homeDir: string): Promise<LinkCert> {
  const path = pathOf(homeDir);
  const text = await readTextIfAny(path, FILE_BYTES_MAX);
  if (text === undefined) return await rotateLinkCert(homeDir);
  await refuseForeignAccess(path);
  return await parse(text, path);
}

/** Makes a new certificate over the old one; peers that pinned the old one learn the new hash from the node's record. */
export async function rotateLinkCert(homeDir: string): Promise<LinkCert> {
  const made = await makeEphemeralLinkCert();
  await ensureDir(homeDir, 0o700);
  await writeFileAtomic(pathOf(homeDir), made.keyPem + made.certPem, { mode: 0o600 });
  return made;
}

/** Makes a certificate that lives as long as this process. */
export async function makeEphemeralLinkCert(): Promise<LinkCert> {
  const { BasicConstraintsExtension, X509CertificateGenerator } = await loadGenerator();
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const nowMs = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: NAME,
    keys,
    signingAlgorithm: ALGORITHM,
    // Clocks differ.
    notBefore: new Date(nowMs - DAY_MS),
    notAfter: new Date(nowMs + LIFE_MS),
    // QUIC refuses a leaf that says it may sign others.
    extensions: [new BasicConstraintsExtension(false, undefined, true)],
  });
  return linkCert(await crypto.subtle.exportKey("pkcs8", keys.privateKey), certificate.rawData);
}

/** Takes 0.3 s to load from a checkout, so it is loaded only when a certificate is made: once in a home's life. */
async function loadGenerator(): Promise<typeof import("@peculiar/x509")> {
  // It has to be there before the other is.
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

async function parse(text: string, path: string): Promise<LinkCert> {
  const [key, der] = [pemBytes("PRIVATE KEY", text), pemBytes("CERTIFICATE", text)];
  try {
    if (key === undefined || der === undefined) throw new TypeError("The file lacks a block");
    const certificate = new X509Certificate(der);
    if (certificate.ca || !await isPair(key, certificate)) throw new TypeError("They do not fit");
    refuseWrongDates(certificate, path);
    return linkCert(key, der);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `Cannot use ${path} as the certificate of the peer port: it is no P-256 key with its ` +
        "certificate in PEM. Put the right file back, or remove it to have a new one made",
      { cause: error },
    );
  }
}

async function isPair(
  key: Uint8Array<ArrayBuffer>,
  { publicKey }: X509Certificate,
): Promise<boolean> {
  const secret = await crypto.subtle.importKey("pkcs8", key, ALGORITHM, true, ["sign"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", secret);
  const jwk = { kty, crv, x, y } as JsonWebKey;
  const open = await crypto.subtle.importKey("jwk", jwk, ALGORITHM, true, ["verify"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", open));
  const named = publicKey.export({ type: "spki", format: "der" });
  return spki.length === named.length && timingSafeEqual(spki, named);
}

/** Made while the clock was wrong, it would be refused by every peer, and nobody would know why. */
function refuseWrongDates({ validFrom, validTo }: X509Certificate, path: string): void {
  const nowMs = Date.now();
  const [notBefore, notAfter] = [new Date(validFrom), new Date(validTo)];
  if (nowMs >= notBefore.getTime() && nowMs <= notAfter.getTime()) return;
  const [from, to] = [notBefore, notAfter].map((date) => date.toISOString().slice(0, 10));
  throw new UserError(
    `Cannot use ${path}: the certificate holds from ${from} to ${to} only. Check the clock of this ` +
      "machine, or run: mesh-llm rotate-key",
  );
}

function linkCert(key: ArrayBuffer | Uint8Array, der: ArrayBuffer | Uint8Array): LinkCert {
  return {
    certPem: pemText("CERTIFICATE", der),
    keyPem: pemText("PRIVATE KEY", key),
    leafHash: createHash("sha256").update(new Uint8Array(der)).digest("base64url"),
  };
}

function pathOf(homeDir: string): string {
  return join(homeDir, "link-cert.pem");
}
