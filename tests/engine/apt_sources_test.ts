import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type AptSource,
  chooseMirrors,
  firstMirrorIn,
  parseDeb822Sources,
  parseOneLineSources,
} from "~/engine/apt_sources.ts";
import { NATIVE_DEBIAN } from "~/engine/native.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** What a Debian container image has. */
const STANZAS = `Types: deb
# http://snapshot.example/archive/debian/20250520T000000Z
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: ${KEYRING}

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;

Deno.test("parseDeb822Sources() reads stanzas, with comments in them", () => {
  assert.deepEqual(parseDeb822Sources(STANZAS), [
    {
      uris: ["http://mirror.example/debian"],
      suites: ["bookworm", "bookworm-updates"],
      components: ["main"],
      signedBy: KEYRING,
      isTrusted: false,
    },
    {
      uris: ["http://mirror.example/debian-security"],
      suites: ["bookworm-security"],
      components: ["main"],
      isTrusted: false,
    },
  ]);
});

Deno.test("parseDeb822Sources() knows folded lines, case, several addresses and Windows line ends", () => {
  const text = "types: deb\r\nuris: http://a.example/\r\n http://b.example/\r\nSUITES: sid\r\n" +
    "components: main\r\n contrib\r\ntrusted: yes\r\n";
  assert.deepEqual(parseDeb822Sources(text), [{
    uris: ["http://a.example/", "http://b.example/"],
    suites: ["sid"],
    components: ["main", "contrib"],
    isTrusted: true,
  }]);
});

Deno.test("parseDeb822Sources() leaves out what is switched off or holds sources only", () => {
  const stanza = "URIs: http://a.example/\nSuites: sid\nComponents: main\n";
  assert.deepEqual(parseDeb822Sources(`Types: deb\nEnabled: no\n${stanza}`), []);
  assert.deepEqual(parseDeb822Sources(`Types: deb-src\n${stanza}`), []);
  assert.equal(parseDeb822Sources(`Types: deb\nEnabled: yes\n${stanza}`).length, 1);
});

Deno.test("parseDeb822Sources() does not take an inlined key for a path", () => {
  const key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n";
  const [source] = parseDeb822Sources(`Types: deb\nURIs: http://a.example/\nSuites: sid\n${key}`);
  assert.equal(source?.signedBy, undefined);
  assert.deepEqual(source?.suites, ["sid"]);
});

Deno.test("parseOneLineSources() reads lines with and without options", () => {
  const text = [
    "# deb http://commented.example/ sid main",
    `deb [arch=amd64 signed-by=${KEYRING}] http://a.example/debian trixie main contrib # why`,
    "deb-src http://a.example/debian trixie main",
    "  deb\thttp://b.example/debian  sid   main",
    "deb [ trusted=yes ] http://c.example ./",
    "deb",
    "",
  ].join("\n");
  assert.deepEqual(parseOneLineSources(text), [
    {
      uris: ["http://a.example/debian"],
      suites: ["trixie"],
      components: ["main", "contrib"],
      signedBy: KEYRING,
      isTrusted: false,
    },
    { uris: ["http://b.example/debian"], suites: ["sid"], components: ["main"], isTrusted: false },
    { uris: ["http://c.example"], suites: ["./"], components: [], isTrusted: true },
  ]);
});

function source(uri: string, suites: string[], more: Partial<AptSource> = {}): AptSource {
  return { uris: [uri], suites, components: ["main"], isTrusted: false, ...more };
}

function chosen(sources: AptSource[]): string[] {
  return chooseMirrors(sources, NATIVE_DEBIAN).map(({ uri }) => uri);
}

Deno.test("chooseMirrors() takes Debian's archive and nobody else's packages", () => {
  assert.deepEqual(
    chosen([
      source("https://packages.example/apt", ["cloud-sdk-bookworm"]),
      source("https://node.example/node_20.x", ["nodistro"]),
      source("http://mirror.example/debian-security", ["bookworm-security"]),
      source("http://mirror.example/debian", ["bookworm", "bookworm-updates"]),
      source("http://mirror.example/debian", ["sid"]),
      source("http://ubuntu.example/ubuntu", ["noble", "noble-updates"]),
      source("http://other.example/debian", ["stable"], { components: ["contrib"] }),
    ]),
    ["http://mirror.example/debian"],
  );
});

Deno.test("chooseMirrors() keeps how the machine trusts its mirror", () => {
  const own = source("http://a.example/", ["sid"], { signedBy: "/etc/key.gpg", isTrusted: true });
  assert.deepEqual(chooseMirrors([own], NATIVE_DEBIAN), [
    { uri: "http://a.example/", signedBy: "/etc/key.gpg", isTrusted: true },
  ]);
});

Deno.test("chooseMirrors() takes no address that would say more in a line of our own", () => {
  const tricks = ["http://a.example/[trusted=yes]", "http://a.example/#", "no-address", "http:"];
  assert.deepEqual(chosen(tricks.map((uri) => source(uri, ["sid"]))), []);
});

Deno.test("firstMirrorIn() takes the first web address of a list", () => {
  const list =
    "# mirrors\nfile:/srv/debian\nhttps://a.example/debian\tpriority:1\nhttp://b.example\n";
  assert.equal(firstMirrorIn(list), "https://a.example/debian");
  assert.equal(firstMirrorIn("\n#http://a.example\n"), undefined);
});

Deno.test("both parsers stand any text, and every mirror fits on one line", () => {
  const word = fc.constantFrom(
    "deb",
    "Types:",
    "URIs:",
    "Suites: sid",
    "Components: main",
    "http://a.example/",
    "[trusted=yes]",
    "[",
    "]",
    "sid",
    "main",
    "#",
    " ",
    "\n",
    "\n\n",
    "\t",
    ":",
  );
  const text = fc.oneof(fc.string(), fc.array(word, { maxLength: 30 }).map((all) => all.join("")));
  fc.assert(fc.property(text, (any) => {
    const sources = [...parseOneLineSources(any), ...parseDeb822Sources(any)];
    for (const { uri, signedBy } of chooseMirrors(sources, NATIVE_DEBIAN)) {
      assert.doesNotMatch(`${uri}${signedBy ?? ""}`, /[\s[\]#]/);
    }
  }));
});
