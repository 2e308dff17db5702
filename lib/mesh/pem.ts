/** PEM (RFC 7468): keys and certificates as text. */
import { Buffer } from "node:buffer";

/** Writes one block. */
export function pemText(label: PemLabel, der: ArrayBuffer | Uint8Array): string {
  const lines = Buffer.from(new Uint8Array(der)).toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** Bytes of the first block with this label; undefined when there is none. */
export function pemBytes(label: PemLabel, text: string): Uint8Array<ArrayBuffer> | undefined {
  const body = BLOCKS[label].exec(text)?.[1];
  return body === undefined ? undefined : new Uint8Array(Buffer.from(body, "base64"));
}

type PemLabel = "PRIVATE KEY" | "CERTIFICATE";

const BLOCKS: Readonly<Record<PemLabel, RegExp>> = {
  "PRIVATE KEY": /-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----/,
  "CERTIFICATE": /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/,
};
