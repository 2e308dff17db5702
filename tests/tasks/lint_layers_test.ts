import assert from "node:assert/strict";
import plugin from "../../tasks/lint_layers.ts";

/** Ids and messages that the plugin reports for `source` in the file `path`. */
function lint(path: string, source: string): { id: string; message: string }[] {
  return Deno.lint.runPlugin(plugin, path, source).map(({ id, message }) => ({ id, message }));
}

const PURE = "lib/mesh/x.ts";

/** Pure code that must pass. */
const GOOD: readonly string[] = [
  'import type { Clock } from "~/base/clock.ts"; export const x = (c: Clock) => c.nowMs();',
  'import { type Clock, startAt } from "~/base/clock.ts"; startAt({} as Clock);',
  'export { backoffMs } from "~/base/backoff.ts";',
  "export type Child = Deno.ChildProcess;",
  "export type Fetch = typeof fetch;",
  "export interface World { fetch: typeof fetch; location(): string; process: number }",
  "export function get(fetch: (url: string) => unknown) { return fetch('/'); }",
  "export function get({ fetch }: { fetch: () => unknown }) { return fetch(); }",
  "export function get({ fetch = () => 1 } = {}) { return fetch(); }",
  "export function get([setTimeout, ...process]: any[]) { return [setTimeout, process]; }",
  "export class Lane { fetch() { return this.fetch; } process = 1; }",
  "export const options = { fetch: 1, process: 2, setTimeout: 3 };",
  "export const year = new Date(0).getUTCFullYear() + Date.UTC(2020) + Date.parse('2020');",
  "export const isDate = (x: unknown) => x instanceof Date;",
  "export const n = Math.floor(1.5) + Math['max'](1, 2);",
  "export const key = crypto.subtle.importKey;",
  "export const any = (a: AbortSignal) => AbortSignal.any([a, AbortSignal.abort()]);",
  "try { JSON.parse(''); } catch (process) { String(process); }",
  "for (const self of [1, 2]) String(self);",
  "for (let window = 0; window < 2; window += 1) String(window);",
  "export function f() { function require() {} return require(); }",
  "export const g = (x: { fetch: number }) => x.fetch;",
  "label: for (;;) { break label; }",
  "export const text = 'Deno.readFile, Date.now() and Math.random()'; // Deno.exit()",
  "queueMicrotask(() => {});",
  "class Worker {} export const w = new Worker();",
  "switch (1) { case 1: { const location = 1; String(location); } }",
];

for (const source of GOOD) {
  Deno.test(`layers/* lets a pure file say: ${source}`, () => {
    assert.deepEqual(lint(PURE, source), []);
  });
}

/** Pure code that must fail: source, what the message must say. */
const BAD_WORLD: readonly [string, RegExp][] = [
  ["Deno.readTextFile('x');", /^Deno touches the world.*declare a port/],
  ["const { env } = Deno;", /^Deno/],
  ["const d = typeof Deno;", /^Deno/],
  ["fetch('/');", /^fetch/],
  ["const o = { fetch };", /^fetch/],
  ["const o = { get: fetch };", /^fetch/],
  ["export { fetch as get };", /^fetch/],
  ["new WebSocket('ws://x');", /^WebSocket/],
  ["new Worker('x');", /^Worker/],
  ["setTimeout(() => {}, 1);", /^setTimeout.*Timers/],
  ["clearTimeout(1);", /^clearTimeout.*Timers/],
  ["setInterval(() => {}, 1);", /^setInterval.*Timers/],
  ["Date.now();", /^Date\.now.*Clock/],
  ["new Date();", /^Date touches.*Clock/],
  ["Date();", /^Date touches/],
  ["const D = Date;", /^Date touches/],
  ["const { now } = Date;", /^Date touches/],
  ["Date['now']();", /^Date\.now/],
  ["Date[`now`]();", /^Date\.now/],
  ["const k = 'now'; Date[k]();", /^Date\.\[computed\]/],
  ["performance.now();", /^performance.*Clock/],
  ["Math.random();", /^Math\.random.*Rng/],
  ["Math['random']();", /^Math\.random/],
  ["const { random } = Math;", /^Math touches/],
  ["crypto.getRandomValues(new Uint8Array(1));", /^crypto\.getRandomValues.*SecretSource/],
  ["crypto.randomUUID();", /^crypto\.randomUUID/],
  ["crypto.subtle.generateKey('Ed25519', true, []);", /^generateKey reaches chance/],
  ["AbortSignal.timeout(5);", /^AbortSignal\.timeout.*Timers/],
  ["process.env;", /^process.*lib\/cli reads the environment/],
  ["globalThis.fetch('/');", /^globalThis/],
  ["const g = globalThis as any;", /^globalThis/],
  ["self['Deno'];", /^self/],
  ["eval('1');", /^eval/],
  ["new Function('return fetch')();", /^Function/],
  ["console.log(1);", /^console.*getLogger/],
  ["Temporal.Now.instant();", /^Temporal/],
  ["navigator.hardwareConcurrency;", /^navigator/],
  ["class C { [process.pid]() {} }", /^process/],
  ["function f(x = Date.now()) { return x; }", /^Date\.now/],
  ["function f() { { const fetch = 1; String(fetch); } return fetch; }", /^fetch/],
  ["declare const Deno: any; Deno.exit();", /^Deno/],
  ["(() => (fetch as any)('/'))();", /^fetch/],
];

for (const [source, says] of BAD_WORLD) {
  Deno.test(`layers/world stops a pure file from saying: ${source}`, () => {
    const found = lint(PURE, source);
    assert.ok(found.some(({ id, message }) => id === "layers/world" && says.test(message)), source);
    for (const path of ["lib/mesh/io/x.ts", "lib/cli/x.ts", "tests/x_test.ts", "tasks/x.ts"]) {
      assert.deepEqual(lint(path, source).filter(({ id }) => id === "layers/world"), [], path);
    }
  });
}

/** Every way of importing, once forbidden and once allowed. */
const BAD_IMPORTS: readonly [string, RegExp][] = [
  ['import { x } from "~/engine/x.ts";', /may not import lib\/engine/],
  ['import "~/engine/x.ts";', /may not import lib\/engine/],
  ['import * as all from "../engine/x.ts";', /may not import lib\/engine/],
  ['import type { X } from "../engine/x.ts";', /may not import lib\/engine/],
  ['export { x } from "../engine/x.ts";', /may not import lib\/engine/],
  ['export * from "../engine/x.ts";', /may not import lib\/engine/],
  ['await import("../engine/x.ts");', /may not import lib\/engine/],
  ["await import(`../engine/x.ts`);", /may not import lib\/engine/],
  ['type X = import("../engine/x.ts").X;', /may not import lib\/engine/],
  ["const name = 'x'; await import(name);", /hides from the layer map/],
  ['import { readFile } from "node:fs/promises";', /touches the world/],
  ['import { randomBytes } from "node:crypto";', /"randomBytes" of node:crypto/],
  ['import crypto from "node:crypto";', /"default" of node:crypto/],
  ['import * as c from "node:crypto";', /"\*" of node:crypto/],
  ['export * from "node:crypto";', /"\*" of node:crypto/],
  ['export { randomBytes as b } from "node:crypto";', /"randomBytes" of node:crypto/],
  ['import { "randomInt" as i } from "node:crypto";', /"randomInt" of node:crypto/],
  ['import { Hono } from "hono";', /may not use hono/],
  ['import { x } from "./io/x.ts";', /touches the world/],
];

for (const [source, says] of BAD_IMPORTS) {
  Deno.test(`layers/imports sees: ${source}`, () => {
    const found = lint(PURE, source).filter(({ id }) => id === "layers/imports");
    assert.equal(found.length, 1);
    assert.match(found[0]?.message ?? "", says);
  });
}

Deno.test("layers/imports tells type-only imports from mixed ones", () => {
  const path = "lib/election/x.ts";
  assert.deepEqual(lint(path, 'import type { A } from "~/mesh/a.ts";'), []);
  assert.deepEqual(lint(path, 'import { type A } from "~/mesh/a.ts";'), []);
  assert.deepEqual(lint(path, 'export type { A } from "~/mesh/a.ts";'), []);
  assert.deepEqual(lint(path, 'export type * from "~/mesh/a.ts";'), []);
  assert.deepEqual(lint(path, 'type A = import("~/mesh/a.ts").A;'), []);
  for (
    const source of [
      'import { type A, b } from "~/mesh/a.ts";',
      'import "~/mesh/a.ts";',
      'import a from "~/mesh/a.ts";',
      'export { a } from "~/mesh/a.ts";',
    ]
  ) {
    assert.match(lint(path, source)[0]?.message ?? "", /only types of lib\/mesh/, source);
  }
});
