import assert from "node:assert/strict";
import fc from "fast-check";
import { judgeImport, mayTouchWorld, placeOf, targetOf } from "../../../tasks/lib/layer_map.ts";

const VALUE = { typeOnly: false, names: ["x"] };
const TYPE = { typeOnly: true, names: ["X"] };

Deno.test("placeOf() tells room and io folder by the path", () => {
  assert.deepEqual(placeOf("main.ts"), { kind: "main" });
  assert.deepEqual(placeOf("lib/mesh/gossip.ts"), { kind: "lib", room: "mesh", isIo: false });
  assert.deepEqual(placeOf("lib/mesh/io/link.ts"), { kind: "lib", room: "mesh", isIo: true });
  assert.deepEqual(placeOf("lib/api/page/io/x.ts"), { kind: "lib", room: "api", isIo: true });
  assert.deepEqual(placeOf("lib/io/x.ts"), { kind: "other" });
  assert.deepEqual(placeOf("lib/cli/io.ts"), { kind: "lib", room: "cli", isIo: false });
  assert.deepEqual(placeOf("tasks/bench/main.ts"), { kind: "bench" });
  assert.deepEqual(placeOf("tests/io/x_test.ts"), { kind: "tests" });
});

Deno.test("mayTouchWorld() holds for io folders, lib/cli, main.ts, tests and tasks only", () => {
  for (const path of ["main.ts", "lib/cli/main.ts", "lib/base/io/system.ts", "tasks/test.ts"]) {
    assert.equal(mayTouchWorld(placeOf(path)), true, path);
  }
  for (const path of ["lib/node/node.ts", "lib/base/clock.ts", "lib/proxy/app.ts"]) {
    assert.equal(mayTouchWorld(placeOf(path)), false, path);
  }
});

Deno.test("targetOf() resolves the import map and relative specifiers alike", () => {
  assert.deepEqual(targetOf("lib/a/b.ts", "~/base/x.ts"), { kind: "own", path: "lib/base/x.ts" });
  assert.deepEqual(targetOf("lib/a/b.ts", "../base/x.ts"), { kind: "own", path: "lib/base/x.ts" });
  assert.deepEqual(targetOf("lib/a/b.ts", "./io/x.ts"), { kind: "own", path: "lib/a/io/x.ts" });
  assert.deepEqual(targetOf("main.ts", "./lib/x.ts"), { kind: "own", path: "lib/x.ts" });
  assert.deepEqual(targetOf("a/b.ts", "~/x/../../tests/y.ts"), {
    kind: "own",
    path: "tests/y.ts",
  });
  assert.deepEqual(targetOf("a.ts", "hono/streaming"), { kind: "package", name: "hono" });
  assert.deepEqual(targetOf("a.ts", "@optique/core/message"), {
    kind: "package",
    name: "@optique/core",
  });
  assert.deepEqual(targetOf("a.ts", "node:fs"), { kind: "node", name: "node:fs" });
  for (const specifier of ["npm:hono", "https://x.test/a.ts", "data:text/plain,", "/abs.ts"]) {
    assert.deepEqual(targetOf("a.ts", specifier), { kind: "prefixed" });
  }
});

/** Imports that the table allows: from, specifier, shape. */
const RIGHT: readonly [string, string, typeof VALUE][] = [
  ["main.ts", "~/cli/main.ts", VALUE],
  ["lib/mesh/x.ts", "~/base/clock.ts", VALUE],
  ["lib/mesh/x.ts", "./y.ts", VALUE],
  ["lib/mesh/io/x.ts", "./y.ts", VALUE],
  ["lib/mesh/io/x.ts", "~/base/io/system.ts", VALUE],
  ["lib/mesh/io/x.ts", "node:fs", VALUE],
  ["lib/election/x.ts", "~/mesh/member.ts", TYPE],
  ["lib/election/x.ts", "~/engine/memory.ts", TYPE],
  ["lib/proxy/x.ts", "~/election/x.ts", TYPE],
  ["lib/proxy/x.ts", "hono/streaming", VALUE],
  ["lib/engine/io/x.ts", "tar-stream", VALUE],
  ["lib/api/x.ts", "hono", VALUE],
  ["lib/node/x.ts", "~/proxy/x.ts", VALUE],
  ["lib/node/x.ts", "~/engine/x.ts", VALUE],
  ["lib/node/io/x.ts", "~/engine/io/x.ts", VALUE],
  ["lib/cli/x.ts", "~/node/io/x.ts", VALUE],
  ["lib/cli/x.ts", "node:child_process", VALUE],
  ["lib/cli/x.ts", "@optique/run", VALUE],
  ["lib/engine/x.ts", "#native/builds.json", VALUE],
  ["lib/engine/x.ts", "@logtape/logtape", VALUE],
  ["lib/engine/x.ts", "node:path", VALUE],
  ["lib/engine/x.ts", "node:http", TYPE],
  ["lib/proxy/x.ts", "node:crypto", { typeOnly: false, names: ["createHash", "hash"] }],
  ["lib/mesh/x.ts", "node:net", { typeOnly: false, names: ["isIPv4", "isIPv6"] }],
  ["tests/mesh/x_test.ts", "~/cli/main.ts", VALUE],
  ["tests/mesh/x_test.ts", "#support/virtual_time.ts", VALUE],
  ["tests/mesh/x_test.ts", "openai", VALUE],
  ["tasks/compile.ts", "~/base/version.ts", VALUE],
  ["tasks/bench/main.ts", "#support/upstream.ts", VALUE],
  ["tasks/bench/main.ts", "openai", VALUE],
];

for (const [from, specifier, shape] of RIGHT) {
  const kind = shape.typeOnly ? "types of " : "";
  Deno.test(`judgeImport() lets ${from} import ${kind}${specifier} (${shape.names})`, () => {
    assert.equal(judgeImport(from, specifier, shape), undefined);
  });
}

/** Imports that it forbids: from, specifier, shape, what the message must say. */
const WRONG: readonly [string, string, typeof VALUE, RegExp][] = [
  ["main.ts", "~/node/node.ts", VALUE, /hands over to lib\/cli/],
  ["main.ts", "hono", VALUE, /hands over to lib\/cli/],
  ["lib/base/x.ts", "~/mesh/x.ts", VALUE, /lib\/base may not import lib\/mesh: declare a port/],
  ["lib/base/io/x.ts", "../../engine/x.ts", VALUE, /lib\/base may not import lib\/engine/],
  ["lib/mesh/x.ts", "../engine/x.ts", TYPE, /lib\/mesh may not import lib\/engine/],
  ["lib/election/x.ts", "~/mesh/x.ts", VALUE, /only types of lib\/mesh: write "import type"/],
  ["lib/election/x.ts", "~/proxy/x.ts", TYPE, /may not import lib\/proxy/],
  ["lib/proxy/x.ts", "~/engine/x.ts", TYPE, /may not import lib\/engine/],
  ["lib/api/x.ts", "~/node/x.ts", TYPE, /may not import lib\/node/],
  ["lib/node/x.ts", "~/cli/x.ts", VALUE, /may not import lib\/cli/],
  ["lib/node/x.ts", "~/engine/io/x.ts", VALUE, /touches the world: declare a port/],
  ["lib/engine/x.ts", "./io/x.ts", VALUE, /lib\/engine\/io\/x.ts touches the world/],
  ["lib/engine/x.ts", "./io/x.ts", TYPE, /touches the world/],
  ["lib/mesh/x.ts", "~/base/io/system.ts", VALUE, /touches the world/],
  ["lib/mesh/x.ts", "#native/builds.json", VALUE, /only lib\/engine/],
  ["lib/mesh/x.ts", "#support/virtual_time.ts", VALUE, /only tests import tests/],
  ["lib/mesh/x.ts", "../../tests/mesh/x_test.ts", TYPE, /only tests import tests/],
  ["lib/mesh/x.ts", "../../tasks/lib/x.ts", VALUE, /is a task/],
  ["lib/cli/x.ts", "../../main.ts", VALUE, /is in no room/],
  ["tests/x_test.ts", "../main.ts", VALUE, /is in no room/],
  ["tasks/compile.ts", "#support/x.ts", VALUE, /only tests import tests/],
  ["tasks/bench/main.ts", "../../tests/x_test.ts", VALUE, /only tests import tests/],
  ["lib/mesh/x.ts", "hono", VALUE, /lib\/mesh may not use hono: it belongs to proxy, api/],
  ["lib/base/x.ts", "hono", TYPE, /use it in lib\/base\/io\/ only/],
  ["lib/engine/x.ts", "tar-stream", VALUE, /use it in lib\/engine\/io\/ only/],
  ["lib/engine/x.ts", "@optique/core/message", VALUE, /belongs to cli/],
  ["lib/cli/x.ts", "openai", VALUE, /not among the packages/],
  ["lib/cli/x.ts", "toString", VALUE, /not among the packages/],
  ["lib/cli/x.ts", "npm:left-pad@1", VALUE, /bypasses the import map/],
  ["tests/x_test.ts", "https://x.test/a.ts", VALUE, /bypasses the import map/],
  ["lib/engine/x.ts", "node:fs", VALUE, /node:fs touches the world/],
  ["lib/engine/x.ts", "node:fs/promises", VALUE, /touches the world/],
  ["lib/proxy/x.ts", "node:timers/promises", VALUE, /touches the world/],
  ["lib/proxy/x.ts", "node:os", VALUE, /touches the world/],
  ["lib/proxy/x.ts", "node:crypto", VALUE, /"x" of node:crypto/],
  ["lib/mesh/x.ts", "node:net", { typeOnly: false, names: ["isIP", "connect"] }, /"connect"/],
  ["lib/proxy/x.ts", "node:crypto", { typeOnly: false, names: ["*"] }, /can reach chance/],
  ["lib/proxy/x.ts", "node:crypto", { typeOnly: false, names: ["randomUUID"] }, /SecretSource/],
  ["lib/cli/x.ts", "node:assert/strict", VALUE, /is for tests/],
];

for (const [from, specifier, shape, says] of WRONG) {
  const kind = shape.typeOnly ? "types of " : "";
  Deno.test(`judgeImport() stops ${from} from importing ${kind}${specifier} (${shape.names})`, () => {
    assert.match(judgeImport(from, specifier, shape) ?? "allowed", says);
  });
}

Deno.test("judgeImport() never lets a pure file reach an io folder, however it is spelled", () => {
  const rooms = fc.constantFrom("base", "mesh", "engine", "models", "proxy", "api", "node");
  const detours = fc.array(fc.constantFrom("./", "x/../", "../lib/"), { maxLength: 4 });
  fc.assert(fc.property(rooms, rooms, detours, (from, to, detour) => {
    const path = `lib/${from}/x.ts`;
    const straight = `~/${to}/io/y.ts`;
    const winding = `../../lib/${
      detour.map((part) => part.replace("../lib/", "../lib/")).join("")
    }${to}/io/y.ts`;
    assert.notEqual(judgeImport(path, straight, VALUE), undefined);
    assert.notEqual(judgeImport(path, winding, VALUE), undefined);
  }));
});
