/**
 * Which file may import which: the import table of `docs/ARCHITECTURE.md` as data, and the one function
 * that judges an import by it.
 *
 * Two things are told by a path: the room (`lib/<room>/…`) and whether the file may touch the world (a
 * folder named `io/` on the way to it). Both decide.
 *
 * @module
 */

/** A room of `lib/`. */
export type Room =
  | "base"
  | "mesh"
  | "election"
  | "engine"
  | "models"
  | "proxy"
  | "nostr"
  | "api"
  | "node"
  | "cli";

/** What a room may import of the others. Its own files and `base` are always open to it. */
interface RoomRule {
  readonly values: readonly Room[];
  /** Rooms of which only types may be named. */
  readonly types: readonly Room[];
}

const ROOM_RULES: Readonly<Record<Room, RoomRule>> = {
  base: { values: [], types: [] },
  mesh: { values: ["base"], types: [] },
  engine: { values: ["base"], types: [] },
  models: { values: ["base"], types: [] },
  nostr: { values: ["base"], types: [] },
  election: { values: ["base"], types: ["mesh", "engine"] },
  proxy: { values: ["base"], types: ["election", "mesh"] },
  api: { values: ["base"], types: [] },
  node: {
    values: ["base", "mesh", "election", "engine", "models", "proxy", "nostr", "api"],
    types: [],
  },
  cli: {
    values: ["base", "mesh", "election", "engine", "models", "proxy", "nostr", "api", "node"],
    types: [],
  },
};

/** Rooms that may read the data of `native/`: the one that installs engines, and the composition root. */
const NATIVE_ROOMS: readonly Room[] = ["engine", "cli"];

interface PackageRule {
  /** Rooms whose every file may import the package. */
  readonly rooms: readonly Room[] | "all";
  /** Rooms whose `io/` files may import it besides. */
  readonly ioRooms?: readonly Room[];
}

/** Packages that `lib/` uses. One that is not here is for `tests/` and `tasks/` only. */
const PACKAGE_RULES: Readonly<Record<string, PackageRule>> = {
  "@logtape/logtape": { rooms: "all" },
  "@logtape/redaction": { rooms: ["cli"] },
  "@optique/core": { rooms: ["cli"] },
  "@optique/run": { rooms: ["cli"] },
  "cli-progress": { rooms: ["cli"] },
  "hono": { rooms: ["proxy", "api", "node", "cli"], ioRooms: ["base"] },
  "prom-client": { rooms: ["proxy", "api", "node", "cli"] },
  "jose": { rooms: [], ioRooms: ["mesh"] },
  "@peculiar/x509": { rooms: [], ioRooms: ["mesh"] },
  "reflect-metadata": { rooms: [], ioRooms: ["mesh"] },
  "fflate": { rooms: ["engine", "models", "cli"], ioRooms: ["base"] },
  "tar-stream": { rooms: ["cli"], ioRooms: ["base", "engine", "models"] },
};

/** Node's own modules that only compute: open to every file. */
const PURE_NODE_MODULES: ReadonlySet<string> = new Set([
  "node:async_hooks",
  "node:buffer",
  "node:events",
  "node:path",
  "node:path/posix",
  "node:path/win32",
  "node:querystring",
  "node:stream",
  "node:stream/web",
  "node:string_decoder",
  "node:url",
  "node:util",
  "node:zlib",
]);

/** What may be imported by name, because it only computes, from modules that can do more. */
const PURE_NAMES: Readonly<Record<string, ReadonlySet<string>>> = {
  "node:crypto": new Set([
    "KeyObject",
    "X509Certificate",
    "createHash",
    "createHmac",
    "createPrivateKey",
    "createPublicKey",
    "hash",
    "sign",
    "timingSafeEqual",
    "verify",
  ]),
  "node:net": new Set(["isIP", "isIPv4", "isIPv6"]),
};

/** Where a file stands in the house. */
export type Place =
  | { readonly kind: "main" | "native" | "tests" | "tasks" | "bench" | "other" }
  | { readonly kind: "lib"; readonly room: Room; readonly isIo: boolean };

/** Tells where `path` (relative to the repository, with `/`) stands. */
export function placeOf(path: string): Place {
  if (path === "main.ts") return { kind: "main" };
  const parts = path.split("/");
  const [top = "", room = ""] = parts;
  if (top === "lib" && isRoom(room)) {
    return { kind: "lib", room, isIo: parts.slice(2, -1).includes("io") };
  }
  if (top === "tasks" && room === "bench") return { kind: "bench" };
  if (top === "native" || top === "tests" || top === "tasks") return { kind: top };
  return { kind: "other" };
}

function isRoom(name: string): name is Room {
  return Object.hasOwn(ROOM_RULES, name);
}

/** Whether files at `place` may use clocks, chance, sockets, files and processes. */
export function mayTouchWorld(place: Place): boolean {
  return place.kind !== "lib" || place.isIo || place.room === "cli";
}

/** What a specifier leads to. */
export type Target =
  | { readonly kind: "own"; readonly path: string }
  | { readonly kind: "node"; readonly name: string }
  | { readonly kind: "package"; readonly name: string }
  | { readonly kind: "prefixed" };

const OWN_PREFIXES: readonly (readonly [string, string])[] = [
  ["~/", "lib/"],
  ["#support/", "tests/support/"],
  ["#native/", "native/"],
];

/** Resolves `specifier`, written in the file `from`, to a path of the repository or a package. */
export function targetOf(from: string, specifier: string): Target {
  for (const [prefix, folder] of OWN_PREFIXES) {
    if (specifier.startsWith(prefix)) {
      return { kind: "own", path: normalise(folder + specifier.slice(prefix.length)) };
    }
  }
  if (specifier.startsWith("./") || specifier.startsWith("../")) {
    const folder = from.includes("/") ? from.slice(0, from.lastIndexOf("/") + 1) : "";
    return { kind: "own", path: normalise(folder + specifier) };
  }
  if (specifier.startsWith("node:")) return { kind: "node", name: specifier };
  if (/^[a-z]+:/.test(specifier) || specifier.startsWith("/")) return { kind: "prefixed" };
  const depth = specifier.startsWith("@") ? 2 : 1;
  return { kind: "package", name: specifier.split("/").slice(0, depth).join("/") };
}

function normalise(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "." || part === "") continue;
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

/** How something is imported. */
export interface ImportShape {
  /** Nothing of it is left at run time. */
  readonly typeOnly: boolean;
  /** Names taken; `*` for the whole module and `default` for its default export. */
  readonly names: readonly string[];
}

/** Says what is wrong with importing `specifier` in the file `from`, and what to do; undefined when it is right. */
export function judgeImport(
  from: string,
  specifier: string,
  shape: ImportShape,
): string | undefined {
  const place = placeOf(from);
  if (place.kind === "native" || place.kind === "other") return undefined;
  const target = targetOf(from, specifier);
  switch (target.kind) {
    case "prefixed":
      return `"${specifier}" bypasses the import map: give it a bare name in deno.json`;
    case "own":
      return judgeOwn(place, target.path, shape);
    case "node":
      return judgeNode(place, target.name, shape);
    case "package":
      return judgePackage(place, target.name);
  }
}

function judgeOwn(place: Place, path: string, shape: ImportShape): string | undefined {
  const to = placeOf(path);
  if (to.kind === "main" || to.kind === "other") {
    return `${path} is in no room: only files of lib/, native/, tests/ and tasks/ are imported`;
  }
  if (place.kind === "tests") return undefined;
  if (to.kind === "tests") {
    if (place.kind === "bench" && path.startsWith("tests/support/")) return undefined;
    return `${path} is a test: only tests import tests, so move what both need to lib/ or tasks/lib/`;
  }
  if (place.kind === "tasks" || place.kind === "bench") return undefined;
  if (to.kind === "tasks" || to.kind === "bench") {
    return `${path} is a task: the program must not need it, so move what both need to lib/`;
  }
  if (place.kind === "main") {
    if (to.kind === "lib" && to.room === "cli") return undefined;
    return `main.ts only hands over to lib/cli: import ${path} there`;
  }
  if (place.kind !== "lib") return undefined;
  if (to.kind === "lib") return judgeRooms(place, to, { path, typeOnly: shape.typeOnly });
  if (NATIVE_ROOMS.includes(place.room)) return undefined;
  return `lib/${place.room} may not read ${path}: only lib/engine knows what is in native/`;
}

type LibPlace = Extract<Place, { kind: "lib" }>;

function judgeRooms(
  from: LibPlace,
  to: LibPlace,
  { path, typeOnly }: { path: string; typeOnly: boolean },
): string | undefined {
  if (from.room !== to.room) {
    const rule = ROOM_RULES[from.room];
    const open = rule.values.includes(to.room) || (typeOnly && rule.types.includes(to.room));
    if (!open && rule.types.includes(to.room)) {
      return `lib/${from.room} may import only types of lib/${to.room}: write "import type", ` +
        `or declare a port in lib/${from.room} that lib/node fills`;
    }
    if (!open) {
      return `lib/${from.room} may not import lib/${to.room}: declare a port in lib/${from.room} ` +
        "that lib/node fills, or move the shared word to lib/base";
    }
  }
  if (!to.isIo || from.isIo || from.room === "cli") return undefined;
  return `${path} touches the world: declare a port beside this file and let an io/ file or ` +
    "lib/cli hand the adapter in";
}

function judgeNode(place: Place, name: string, shape: ImportShape): string | undefined {
  if (place.kind === "lib" && /^node:(assert|test)\b/.test(name)) {
    return `${name} is for tests: throw a typed error of lib/base/errors.ts`;
  }
  if (mayTouchWorld(place) || shape.typeOnly || PURE_NODE_MODULES.has(name)) return undefined;
  const pure = Object.hasOwn(PURE_NAMES, name) ? PURE_NAMES[name] : undefined;
  if (pure !== undefined) {
    const bad = shape.names.find((taken) => !pure.has(taken));
    if (bad === undefined) return undefined;
    return `"${bad}" of ${name} can reach chance or the network: take a port (for chance, ` +
      "SecretSource of lib/base/rng.ts), or import a computing function by name";
  }
  return `${name} touches the world: move the code to an io/ folder, or take a port`;
}

function judgePackage(place: Place, name: string): string | undefined {
  if (place.kind === "main") return `main.ts only hands over to lib/cli: import ${name} there`;
  if (place.kind !== "lib") return undefined;
  const rule = Object.hasOwn(PACKAGE_RULES, name) ? PACKAGE_RULES[name] : undefined;
  if (rule === undefined) {
    return `${name} is not among the packages of the program: say in tasks/lib/layer_map.ts which ` +
      "rooms may use it, and why, or write the few lines yourself";
  }
  if (rule.rooms === "all" || rule.rooms.includes(place.room)) return undefined;
  if (rule.ioRooms?.includes(place.room)) {
    if (place.isIo) return undefined;
    return `${name} touches the world here: use it in lib/${place.room}/io/ only`;
  }
  return `lib/${place.room} may not use ${name}: it belongs to ${
    [...rule.rooms, ...(rule.ioRooms ?? []).map((room) => `${room}/io`)].join(", ")
  }`;
}
