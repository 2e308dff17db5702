import assert from "node:assert/strict";
import fc from "fast-check";
import { parseDevices, parseFlags, parseRpcVersion, parseVersion } from "~/engine/capabilities.ts";
import { MIB } from "~/base/units.ts";

Deno.test("parseVersion() reads version, build and commit of a release", () => {
  const text =
    "version: 0.7.0 (build 11669, commit Debian)\nbuilt with GNU 16.2.0 for Linux x86_64";
  assert.deepEqual(parseVersion(text), { version: "0.7.0", build: 11669, commit: "Debian" });
});

Deno.test("parseVersion() takes the number of an older build for its build number", () => {
  assert.deepEqual(parseVersion("version: 6000 (abcdef0)\n"), { build: 6000, commit: "abcdef0" });
});

Deno.test("parseVersion() finds the line behind what drivers print first", () => {
  const text =
    "ggml_cuda_init: found 1 CUDA devices:\r\nversion: 0.7.0 (build 1, commit a1b2c3)\r\n";
  assert.equal(parseVersion(text).build, 1);
});

Deno.test("parseVersion() knows nothing of another program", () => {
  assert.deepEqual(parseVersion("GNU bash, version 5.2.15(1)-release"), {});
});

const HELP = `----- common params -----

-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size of the prompt context (default: 0, --not-a-flag)
                                        (env: LLAMA_ARG_CTX_SIZE)
-kvo,  --kv-offload, -nkvo, --no-kv-offload
                                        whether to enable KV cache offloading
-fit,  --fit [on|off]                   whether to adjust unset arguments ('on' or
                                        'off', default: 'on')
-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers to store in VRAM
--spec-type none,draft-simple,draft-eagle3
                                        comma-separated list of types
--draft, --draft-n, --draft-max N       the argument has been removed. use --spec-draft-n-max
                                        (env: LLAMA_ARG_DRAFT_MAX)
--spec-ngram-size-n N                   the argument has been removed. use the respective
                                        --spec-ngram-*-size-n
--old-long-spelling-without-room-beside N
                                        the argument has been removed. use --new
--ui,  --webui, --no-ui, --no-webui     whether to enable the Web UI (default: enabled)
`;

Deno.test("parseFlags() finds every spelling at the margin", () => {
  const wanted = "-h --help --usage -c --ctx-size -kvo --kv-offload -nkvo --no-kv-offload " +
    "-fit --fit -ngl --gpu-layers --n-gpu-layers --spec-type --ui --webui --no-ui --no-webui";
  assert.deepEqual([...parseFlags(HELP)], wanted.split(" "));
});

Deno.test("parseFlags() leaves out what was removed: passing it would be an error", () => {
  const flags = parseFlags(HELP);
  for (const name of ["--draft", "--draft-max", "--spec-ngram-size-n"]) {
    assert.equal(flags.has(name), false, name);
  }
  assert.equal(flags.has("--old-long-spelling-without-room-beside"), false);
});

Deno.test("parseDevices() reads name, description and memory", () => {
  const text = "Available devices:\n" +
    "  CUDA0: NVIDIA GeForce RTX 4090 (24105 MiB, 23000 MiB free)\n" +
    "  Vulkan0: AMD Radeon: RX (Navi 31) (16368 MiB, 16000 MiB free)\r\n";
  assert.deepEqual(parseDevices(text), [
    {
      name: "CUDA0",
      description: "NVIDIA GeForce RTX 4090",
      totalBytes: 24105 * MIB,
      freeBytes: 23000 * MIB,
    },
    {
      name: "Vulkan0",
      description: "AMD Radeon: RX (Navi 31)",
      totalBytes: 16368 * MIB,
      freeBytes: 16000 * MIB,
    },
  ]);
});

Deno.test("parseDevices() finds none on a machine without accelerators", () => {
  assert.deepEqual(parseDevices("Available devices:\n  (none)\n"), []);
});

Deno.test("parseDevices() takes a bounded number", () => {
  const line = "  GPU0: card (1 MiB, 1 MiB free)\n";
  assert.equal(parseDevices(line.repeat(1000)).length, 64);
});

Deno.test("parseRpcVersion() reads the banner of an RPC server", () => {
  const text = "WARNING: Host ('192.0.2.1') is != '127.0.0.1'\n\nStarting RPC server v8.0.0\n";
  assert.equal(parseRpcVersion(text), "8.0.0");
  assert.equal(parseRpcVersion("No devices found\n"), undefined);
});

const devices = fc.record({
  name: fc.stringMatching(/^[A-Za-z][A-Za-z0-9]{0,10}$/),
  description: fc.stringMatching(/^[!-~]([ -~]{0,38}[!-~])?$/),
  totalMib: fc.nat(10_000_000),
  freeMib: fc.nat(10_000_000),
}, { noNullPrototype: true });

Deno.test("parseDevices() reads back whatever is printed in llama.cpp's form", () => {
  fc.assert(fc.property(fc.array(devices, { maxLength: 20 }), (list) => {
    const lines = list.map(({ name, description, totalMib, freeMib }) =>
      `  ${name}: ${description} (${totalMib} MiB, ${freeMib} MiB free)`
    );
    const wanted = list.map(({ name, description, totalMib, freeMib }) => ({
      name,
      description,
      totalBytes: totalMib * MIB,
      freeBytes: freeMib * MIB,
    }));
    assert.deepEqual(parseDevices(["Available devices:", ...lines].join("\n")), wanted);
  }));
});

Deno.test("parseFlags() reads back whatever is printed in llama.cpp's form", () => {
  const flag = fc.stringMatching(/^--[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,6}){0,3}$/);
  const groups = fc.uniqueArray(flag, { minLength: 1, maxLength: 30 });
  fc.assert(fc.property(groups, fc.string(), (flags, text) => {
    const value = text.replaceAll(/[\r\n]/g, "").replace(/^the/, "");
    const help = flags.map((name) => `${name} N`.padEnd(40) + `about ${value}`).join("\n");
    assert.deepEqual([...parseFlags(help)], flags);
  }));
});

Deno.test("no parser fails on any text", () => {
  const lines = fc.array(fc.oneof(
    fc.string(),
    fc.constantFrom(...HELP.split("\n"), "version: ", "  A: (1 MiB, 2 MiB free)"),
  ));
  fc.assert(fc.property(lines, (parts) => {
    const text = parts.join("\n");
    parseVersion(text);
    parseDevices(text);
    parseRpcVersion(text);
    for (const flag of parseFlags(text)) assert.match(flag, /^-/);
  }));
});

Deno.test("parsers stay quick on long hostile lines", () => {
  for (
    const text of [
      "-".repeat(1e6),
      " (".repeat(5e5),
      "-a, ".repeat(2e5),
      "  A: " + "(1 MiB, ".repeat(1e5),
    ]
  ) {
    assert.ok(parseFlags(text).size < 1e6);
    assert.deepEqual(parseDevices(text), []);
    assert.deepEqual(parseVersion(text), {});
  }
});
