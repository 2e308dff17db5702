/** What upstream's release API says, and which archives of it are wanted. Pure. */
import { UserError } from "~/base/errors.ts";
import { isJsonObject } from "~/base/json.ts";
import { isSha256 } from "~/base/transfer.ts";
import type { NativeReleases } from "./native.ts";
import type { Accelerator, EnginePlatform } from "./platform.ts";
import { compareVersions } from "./version.ts";

/** Archives of one release; upstream has about 40. */
const ASSETS_MAX = 1000;

/** The release API did not offer what is needed. */
export class ReleaseError extends UserError {
  override readonly name = "ReleaseError";
}

/** One archive of a release. */
export interface ReleaseAsset {
  readonly name: string;
  readonly url: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** The archives that make one engine. */
export interface ReleaseChoice {
  readonly accelerator: Accelerator;
  readonly assets: readonly ReleaseAsset[];
}

/**
 * Reads the answer of `GET /repos/…/releases/tags/…`. Assets that state no SHA-256 digest, no size
 * or no usable address are left out: they could not be checked.
 *
 * @throws {ReleaseError} when it is no such answer
 */
export function parseRelease(text: string, apiBase: string): ReleaseAsset[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ReleaseError("The release API answered something that is not JSON", { cause });
  }
  const list = isJsonObject(value) ? value["assets"] : undefined;
  if (!Array.isArray(list)) throw new ReleaseError("The release API answered without assets");
  return list.slice(0, ASSETS_MAX).flatMap((entry) => asAsset(entry, apiBase) ?? []);
}

function asAsset(value: unknown, apiBase: string): ReleaseAsset | undefined {
  if (!isJsonObject(value)) return undefined;
  const { name, size, digest, browser_download_url: url } = value;
  if (typeof name !== "string" || !/^[\w.+-]{1,200}$/.test(name)) return undefined;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size <= 0) return undefined;
  const sha256 = typeof digest === "string" ? digest.replace(/^sha256:/, "") : "";
  if (!isSha256(sha256) || typeof url !== "string" || !isTrustedUrl(url, apiBase)) return undefined;
  return { name, url, sizeBytes: size, sha256 };
}

/** An encrypted address, or the very server that was asked: a mirror in a local network. */
function isTrustedUrl(url: string, apiBase: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, origin } = new URL(url);
  return protocol === "https:" || (protocol === "http:" && origin === new URL(apiBase).origin);
}

/**
 * Picks the archives for a platform: the first accelerator of `accelerators` that has them all.
 *
 * @throws {ReleaseError} when there are none; says what was looked for
 */
export function chooseAssets(
  assets: readonly ReleaseAsset[],
  wanted: {
    readonly releases: NativeReleases;
    readonly platform: EnginePlatform;
    readonly accelerators: readonly Accelerator[];
  },
): ReleaseChoice {
  const { releases, platform, accelerators } = wanted;
  for (const accelerator of accelerators) {
    const templates = releases.platforms[platform][accelerator].assets
      .map((template) => template.replaceAll("{tag}", releases.tag));
    const found = findAll(assets, templates);
    if (found !== undefined) return { accelerator, assets: found };
  }
  throw new ReleaseError(
    `Release ${releases.tag} has no checked archive for ${platform} with ${
      accelerators.join(", ")
    }`,
  );
}

/** One asset per template, all of the lowest version that has them all. */
function findAll(
  assets: readonly ReleaseAsset[],
  templates: readonly string[],
): ReleaseAsset[] | undefined {
  const [first] = templates;
  if (first === undefined) return undefined;
  const versions = assets.flatMap(({ name }) => versionIn(name, first) ?? []);
  for (const version of versions.toSorted(compareVersions)) {
    const names = templates.map((template) => template.replaceAll("{version}", version));
    const found = names.flatMap((name) => assets.find((asset) => asset.name === name) ?? []);
    if (found.length === names.length) return found;
  }
  return undefined;
}

/** The version in a name that fits a template; "" where the template has none. */
function versionIn(name: string, template: string): string | undefined {
  const [before = "", after] = template.split("{version}");
  if (after === undefined) return name === template ? "" : undefined;
  if (!name.startsWith(before) || !name.endsWith(after)) return undefined;
  const version = name.slice(before.length, name.length - after.length);
  return /^\d{1,6}(?:\.\d{1,6}){0,3}$/.test(version) ? version : undefined;
}
