/** Reads where a machine's apt gets its packages from; formats after sources.list(5). Pure. */
import type { NativeDebian } from "./native.ts";

/** One line or stanza of apt's sources that names packages (not their sources). */
export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Path of the keyring that the source is checked with. */
  readonly signedBy?: string;
  /** The machine's owner trusts it without a signature. */
  readonly isTrusted: boolean;
}

/** A mirror of Debian's archive. */
export interface AptMirror {
  readonly uri: string;
  readonly signedBy?: string;
  readonly isTrusted: boolean;
}

/** Reads the one-line format: `deb [option=value …] URI suite component…`. */
export function parseOneLineSources(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const bare = line.replace(/#.*$/, "").trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)(.*)$/.exec(bare);
    if (match === null) return [];
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const values = new Map(words(options).map((option) => splitOnce(option, "=")));
    return [sourceOf({
      uris: [uri],
      suites: [suite],
      components: words(components),
      signedBy: values.get("signed-by"),
      trusted: values.get("trusted"),
    })];
  });
}

/** Reads the stanza format of `.sources` files. */
export function parseDeb822Sources(text: string): AptSource[] {
  return stanzasOf(text).flatMap((fields) => {
    if (!words(fields.get("types") ?? "").includes("deb")) return [];
    if (isNo(fields.get("enabled"))) return [];
    return [sourceOf({
      uris: words(fields.get("uris") ?? ""),
      suites: words(fields.get("suites") ?? ""),
      components: words(fields.get("components") ?? ""),
      signedBy: fields.get("signed-by"),
      trusted: fields.get("trusted"),
    })];
  });
}

/**
 * The mirrors of Debian's archive among the sources, in their order, each once: those with a plain
 * Debian suite and the wanted component. Updates, backports and others' packages do not count.
 */
export function chooseMirrors(sources: readonly AptSource[], debian: NativeDebian): AptMirror[] {
  const mirrors = sources
    .filter(({ suites }) => suites.some((suite) => debian.knownSuites.includes(suite)))
    .filter(({ components }) => components.includes(debian.component))
    .flatMap(({ uris, signedBy, isTrusted }) =>
      uris.map((uri) => ({ uri, isTrusted, ...(signedBy === undefined ? {} : { signedBy }) }))
    )
    .filter(({ uri }) => isPlainUri(uri));
  return mirrors.filter(({ uri }, index) =>
    mirrors.findIndex((other) => other.uri === uri) === index
  );
}

/** The first web address in a list that a `mirror+file:` source names; one per line. */
export function firstMirrorIn(text: string): string | undefined {
  return text.split("\n")
    .map((line) => line.replace(/#.*$/, "").trim().split(/\s+/)[0] ?? "")
    .find((uri) => /^https?:/.test(uri) && isPlainUri(uri));
}

/** Nothing that would end the address, or the line, when written into a source line of our own. */
function isPlainUri(uri: string): boolean {
  return /^[a-z][a-z0-9+.-]*:[\x21-\x5a\x5e-\x7e]{1,1000}$/i.test(uri) && !uri.includes("#");
}

function sourceOf(fields: {
  uris: string[];
  suites: string[];
  components: string[];
  signedBy: string | undefined;
  trusted: string | undefined;
}): AptSource {
  const { uris, suites, components, signedBy, trusted } = fields;
  const keyring = signedBy?.trim() ?? "";
  // A key may also stand there itself, or as a fingerprint; only a path can be passed on.
  const isPath = /^\/[\x21-\x5a\x5e-\x7e]{1,1000}$/.test(keyring) && !keyring.includes(",");
  return {
    uris,
    suites,
    components,
    isTrusted: trusted?.trim().toLowerCase() === "yes",
    ...(isPath ? { signedBy: keyring } : {}),
  };
}

function stanzasOf(text: string): Map<string, string>[] {
  const stanzas: Map<string, string>[] = [];
  let fields = new Map<string, string>();
  let name = "";
  for (const line of [...text.split(/\r?\n/), ""]) {
    if (line.startsWith("#")) continue;
    if (line.trim() === "") {
      if (fields.size > 0) stanzas.push(fields);
      fields = new Map();
      name = "";
    } else if (/^[ \t]/.test(line)) {
      if (name !== "") fields.set(name, `${fields.get(name)}\n${line.trim()}`);
    } else {
      const [field, value] = splitOnce(line, ":");
      name = field.trim().toLowerCase();
      fields.set(name, value.trim());
    }
  }
  return stanzas;
}

function isNo(value: string | undefined): boolean {
  return ["no", "false", "0", "off", "without", "disable"].includes(value?.toLowerCase() ?? "");
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}
