import assert from "node:assert/strict";
import fc from "fast-check";
import {
  aptComplaint,
  aptConfig,
  aptProxy,
  checkPackages,
  DebianError,
  type DebianPackage,
  describeUnpacked,
  isKept,
  matches,
  packageSetText,
  packagesFor,
  parsePrintUris,
  reachSettings,
  sourceLine,
} from "~/engine/debian.ts";
import { type DebianPlatform, NATIVE_DEBIAN } from "~/engine/native.ts";

const DIGEST = "ab".repeat(32);
const AMD64: DebianPlatform = {
  architecture: "amd64",
  triplet: "x86_64-linux-gnu",
  loader: "usr/lib/{triplet}/ld-linux-x86-64.so.2",
};

function line(name: string, version: string, more: { digest?: string; scheme?: string } = {}) {
  const { digest = `SHA256:${DIGEST}`, scheme = "http" } = more;
  const file = `${name}_${version.replace(":", "%3a")}_amd64.deb`;
  return `'${scheme}://mirror.example/pool/${file}' ${file} 1642656 ${digest}`;
}

function found(version: string): DebianPackage[] {
  return NATIVE_DEBIAN.packages.cpu.flatMap((name) =>
    parsePrintUris(line(name, name === NATIVE_DEBIAN.leadPackage ? version : "1.0-1"))
  );
}

Deno.test("parsePrintUris() reads what apt prints, epochs unescaped", () => {
  const text = `${line("llama.cpp-tools", "1:0.7.0+dfsg-2")}\n${line("libstdc++6", "16.2.0-3")}\n`;
  assert.deepEqual(parsePrintUris(text), [
    {
      name: "llama.cpp-tools",
      version: "1:0.7.0+dfsg-2",
      fileName: "llama.cpp-tools_1%3a0.7.0+dfsg-2_amd64.deb",
      url: "http://mirror.example/pool/llama.cpp-tools_1%3a0.7.0+dfsg-2_amd64.deb",
      sizeBytes: 1_642_656,
      sha256: DIGEST,
    },
    {
      name: "libstdc++6",
      version: "16.2.0-3",
      fileName: "libstdc++6_16.2.0-3_amd64.deb",
      url: "http://mirror.example/pool/libstdc++6_16.2.0-3_amd64.deb",
      sizeBytes: 1_642_656,
      sha256: DIGEST,
    },
  ]);
  assert.deepEqual(parsePrintUris(""), []);
});

Deno.test("parsePrintUris() refuses other digests, other lines and files on the disk", () => {
  const bad = [
    line("a", "1", { digest: `MD5Sum:${"a".repeat(32)}` }),
    line("a", "1", { digest: "" }),
    line("a", "1", { scheme: "file" }),
    line("../a", "1"),
    "W: something is odd",
    `'http://a.example/x' x 10 SHA256:${DIGEST}`,
  ];
  for (const text of bad) assert.throws(() => parsePrintUris(text), DebianError, text);
});

Deno.test("parsePrintUris() gives plain file names or an error, whatever comes", () => {
  const part = fc.constantFrom("'", " ", "/", "..", "_", ".deb", "http://a", "1", "%3a", "amd64");
  const text = fc.oneof(fc.string(), fc.array(part, { maxLength: 20 }).map((all) => all.join("")));
  fc.assert(fc.property(text, (any) => {
    try {
      for (const { fileName } of parsePrintUris(`${any} SHA256:${DIGEST}`)) {
        assert.doesNotMatch(fileName, /[/\\]/);
      }
    } catch (error) {
      assert.ok(error instanceof DebianError, String(error));
    }
  }));
});

Deno.test("checkPackages() gives the upstream version when everything is there", () => {
  const wanted = packagesFor(NATIVE_DEBIAN, "cpu");
  assert.equal(checkPackages(found("1:0.7.3+dfsg-2"), wanted, NATIVE_DEBIAN), "0.7.3");
});

Deno.test("checkPackages() says which package is missing and which version was found", () => {
  const wanted = packagesFor(NATIVE_DEBIAN, "cpu");
  assert.throws(
    () => checkPackages(found("1:0.7.0-1").slice(1), wanted, NATIVE_DEBIAN),
    /has no package llama\.cpp-tools$/,
  );
  for (const version of ["1:0.8.0-1", "1:0.6.9-1", "1:9.0-1"]) {
    const check = () => checkPackages(found(version), wanted, NATIVE_DEBIAN);
    assert.throws(
      check,
      (error) =>
        error instanceof DebianError && error.message.includes(version) &&
        error.message.includes("from 0.7.0 to below 0.8.0"),
    );
  }
});

Deno.test("packagesFor() puts an accelerator's packages on top of the CPU's", () => {
  const cpu = packagesFor(NATIVE_DEBIAN, "cpu");
  const vulkan = packagesFor(NATIVE_DEBIAN, "vulkan");
  assert.ok(!cpu.includes("libggml0-backend-vulkan") && vulkan.includes("libggml0-backend-vulkan"));
  assert.deepEqual(vulkan.slice(0, cpu.length), cpu);
});

Deno.test("packageSetText() is the same for the same files in any order, and for no others", () => {
  const packages = found("1:0.7.0-1");
  assert.equal(packageSetText(packages), packageSetText(packages.toReversed()));
  const [first, ...rest] = packages;
  assert.ok(first !== undefined);
  const other = [{ ...first, sha256: "cd".repeat(32) }, ...rest];
  assert.notEqual(packageSetText(packages), packageSetText(other));
});

Deno.test("sourceLine() trusts as the machine does, and with Debian's keyring otherwise", () => {
  const uri = "http://mirror.example/debian";
  assert.equal(
    sourceLine({ uri, isTrusted: false }, NATIVE_DEBIAN),
    `deb [signed-by=${NATIVE_DEBIAN.keyring}] ${uri} forky main\n`,
  );
  assert.equal(
    sourceLine({ uri, isTrusted: false, signedBy: "/etc/key.gpg" }, NATIVE_DEBIAN),
    `deb [signed-by=/etc/key.gpg] ${uri} forky main\n`,
  );
  assert.equal(
    sourceLine({ uri, isTrusted: true }, NATIVE_DEBIAN),
    `deb [trusted=yes] ${uri} forky main\n`,
  );
});

const PLACES = { sourceList: "/h/list", stateDir: "/h/state", cacheDir: "/h/c", status: "/h/st" };

Deno.test("aptConfig() keeps apt away from the system's files and hooks", () => {
  const lines = aptConfig(PLACES, ['Acquire::http::Proxy "http://p.example:1";']).split("\n");
  assert.equal(lines[0], 'Acquire::http::Proxy "http://p.example:1";');
  for (const name of ["parts", "main", "sourceparts"]) {
    assert.ok(lines.includes(`Dir::Etc::${name} "/dev/null";`), name);
  }
  assert.ok(lines.includes('Dir::State::status "/h/st";'));
  assert.ok(lines.includes('APT::Update::Error-Mode "any";'));
});

Deno.test("aptConfig() refuses a path that would end its own line", () => {
  assert.throws(() => aptConfig({ ...PLACES, stateDir: '/h"; x "' }, []), DebianError);
});

Deno.test("reachSettings() takes over how servers are reached, and no hooks or indexes", () => {
  const dump = [
    'Acquire "";',
    'Acquire::http::Proxy "http://user:pw@p.example:3128";',
    'Acquire::http::Proxy::internal.example "DIRECT";',
    'Acquire::https::CaInfo "/etc/ssl/own.pem";',
    'Acquire::IndexTargets::deb::DEP-11::MetaKey "$(COMPONENT)/x";',
    'Acquire::Languages "de";',
    'APT::Update::Post-Invoke:: "rm -rf /";',
    'Acquire::http::Proxy "a"; APT::Update::Post-Invoke:: "x";',
  ].join("\n");
  assert.deepEqual(reachSettings(dump), [
    'Acquire::http::Proxy "http://user:pw@p.example:3128";',
    'Acquire::http::Proxy::internal.example "DIRECT";',
    'Acquire::https::CaInfo "/etc/ssl/own.pem";',
  ]);
});

Deno.test("aptProxy() finds the proxy of a scheme", () => {
  const settings = [
    'Acquire::http::Proxy::internal.example "http://other.example";',
    'Acquire::http::Proxy "http://p.example:3128";',
    'Acquire::https::Proxy "DIRECT";',
  ];
  assert.equal(aptProxy(settings, "http"), "http://p.example:3128");
  assert.equal(aptProxy(settings, "https"), undefined);
  assert.equal(aptProxy([], "http"), undefined);
});

Deno.test("aptComplaint() gives the first error in one line", () => {
  assert.equal(
    aptComplaint("W: a warning\nE: Failed to fetch  x\nE: Some index files failed\n"),
    "Failed to fetch x",
  );
  assert.equal(aptComplaint("W: only a warning"), "only a warning");
  assert.equal(aptComplaint(""), "it gave no reason");
  fc.assert(fc.property(fc.string(), (any) => {
    const text = aptComplaint(any);
    assert.ok(text.length <= 300 && !text.includes("\n"));
  }));
});

Deno.test("matches() lets a star stand for part of one name only", () => {
  assert.ok(matches("usr/lib/a.so.1", "usr/lib/*.so.*"));
  assert.ok(!matches("usr/lib/gconv/a.so.1", "usr/lib/*.so.*"));
  assert.ok(!matches("usr/libXa.so", "usr/lib.a.so"));
  assert.ok(matches("a+b", "a+b") && !matches("aab", "a+b"));
});

Deno.test("isKept() keeps programs, libraries, backends and licences, and drops the rest", () => {
  const kept = [
    "usr/bin/llama-server",
    "usr/libexec/x86_64-linux-gnu/llama/bin/ggml-rpc-server",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-cpu-haswell.so",
    "usr/share/doc/libc6/copyright",
  ];
  const dropped = [
    "usr/bin/llama-cli",
    "usr/lib/x86_64-linux-gnu/gconv/UTF-16.so",
    "usr/lib/x86_64-linux-gnu/engines-3/afalg.so",
    "usr/share/doc/libc6/NEWS.gz",
    "etc/ld.so.conf.d/x86_64-linux-gnu.conf",
  ];
  for (const path of kept) assert.ok(isKept(path, NATIVE_DEBIAN, AMD64), path);
  for (const path of dropped) assert.ok(!isKept(path, NATIVE_DEBIAN, AMD64), path);
});

const UNPACKED = [
  "usr/bin/llama-server",
  "usr/libexec/x86_64-linux-gnu/llama/bin/ggml-rpc-server",
  "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
  "usr/lib/x86_64-linux-gnu/ggml/backends1/libggml-cpu-x64.so",
];

function describe(paths: string[]) {
  return describeUnpacked(paths, {
    debian: NATIVE_DEBIAN,
    platform: "linux-x64",
    names: AMD64,
    packages: found("1:0.7.0+dfsg-2"),
    version: "0.7.0",
    accelerator: "cpu",
    prefix: "root",
  });
}

Deno.test("describeUnpacked() finds loader, libraries and the backends' folder, whatever its number", () => {
  const manifest = describe(UNPACKED);
  assert.equal(manifest.source, "Debian forky packages, llama.cpp-tools 1:0.7.0+dfsg-2");
  assert.deepEqual(manifest.server, {
    program: "root/usr/bin/llama-server",
    loader: "root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    libraryPath: ["root/usr/lib/x86_64-linux-gnu", "root/usr/lib/x86_64-linux-gnu/llama"],
    workingDir: "root/usr/lib/x86_64-linux-gnu/ggml/backends1",
  });
  assert.equal(manifest.rpcServer?.loader, manifest.server.loader);
});

Deno.test("describeUnpacked() says which file is not there any more", () => {
  for (const path of UNPACKED) {
    assert.throws(() => describe(UNPACKED.filter((other) => other !== path)), DebianError);
  }
});
