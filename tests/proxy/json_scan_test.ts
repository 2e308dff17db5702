import assert from "node:assert/strict";
import fc from "fast-check";
import {
  JSON_DEPTH_MAX,
  JsonScanner,
  type MemberValue,
  type ScanResult,
} from "~/proxy/json_scan.ts";

function scan(text: string | Uint8Array, cuts: readonly number[] = []): ScanResult {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const scanner = new JsonScanner();
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    const to = Math.max(from, Math.min(cut, bytes.length));
    scanner.push(bytes.subarray(from, to));
    from = to;
  }
  scanner.push(bytes.subarray(from));
  return scanner.finish();
}

function object(model: MemberValue, stream: MemberValue = { kind: "absent" }): ScanResult {
  return { kind: "object", model, stream };
}

/** What the scanner should say, told by the whole parser. */
function oracle(text: string): ScanResult | "invalid" {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "invalid";
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { kind: "not an object" };
  }
  return object(memberOf(value, "model"), memberOf(value, "stream"));
}

function memberOf(value: object, name: string): MemberValue {
  if (!Object.hasOwn(value, name)) return { kind: "absent" };
  const member: unknown = Reflect.get(value, name);
  if (member === null) return { kind: "null" };
  if (typeof member === "boolean") return { kind: "boolean", value: member };
  if (typeof member === "string") return { kind: "string", value: member };
  return { kind: "other" };
}

const CASES: readonly (readonly [string, ScanResult])[] = [
  ['{"model":"m"}', object({ kind: "string", value: "m" })],
  [' {\n"model" :\t"m" } \r\n', object({ kind: "string", value: "m" })],
  ["{}", object({ kind: "absent" })],
  ['{"model":"a","model":"b"}', object({ kind: "string", value: "b" })],
  ['{"model":"a","model":7}', object({ kind: "other" })],
  ['{"model":null}', object({ kind: "null" })],
  ['{"model":{"model":"inner"}}', object({ kind: "other" })],
  ['{"model":["a"],"x":{"model":"inner"}}', object({ kind: "other" })],
  ['{"tools":[{"model":"inner"}],"a":{"stream":true}}', object({ kind: "absent" })],
  ['{"mod\\u0065l":"m"}', object({ kind: "string", value: "m" })],
  ['{"model":"\\u00e9\\n\\"\\\\"}', object({ kind: "string", value: 'é\n"\\' })],
  ['{"model":"名前"}', object({ kind: "string", value: "名前" })],
  ['{"stream":true}', object({ kind: "absent" }, { kind: "boolean", value: true })],
  ['{"stream":false,"model":""}', {
    kind: "object",
    model: { kind: "string", value: "" },
    stream: { kind: "boolean", value: false },
  }],
  ['\ufeff{"model":"m"}', object({ kind: "string", value: "m" })],
  [`{"model":"${"m".repeat(5000)}"}`, object({ kind: "too long" })],
  [`{"${"m".repeat(5000)}":"x"}`, object({ kind: "absent" })],
  [`{"model":"${"\\u0061".repeat(5000)}"}`, object({ kind: "too long" })],
  ["[]", { kind: "not an object" }],
  ['[{"model":"m"}]', { kind: "not an object" }],
  ["12", { kind: "not an object" }],
  ['"model"', { kind: "not an object" }],
];

for (const [text, expected] of CASES) {
  Deno.test(`JsonScanner reads ${text.slice(0, 50)}`, () => {
    assert.deepEqual(scan(text), expected);
    assert.deepEqual(scan(text, [...text].map((_, i) => i)), expected, "byte by byte");
  });
}

const BROKEN = [
  "",
  " ",
  "{",
  '{"model"',
  '{"model":',
  '{"model":"m"',
  '{"model":"m"}}',
  '{"model":"m"} x',
  '{"model":"m",}',
  "{model:1}",
  "{'model':1}",
  '{"a":01}',
  '{"a":1.}',
  '{"a":.5}',
  '{"a":+1}',
  '{"a":-}',
  '{"a":1e}',
  '{"a":tru}',
  '{"a":nul1}',
  '{"a":NaN}',
  '{"a":"\\x"}',
  '{"a":"\\u12g4"}',
  '{"a":"\n"}',
  '{"a":[1 2]}',
  '{"a":[1}',
  "[1]]",
  "hello",
  "\ufeff",
  " \ufeff{}",
];

for (const text of BROKEN) {
  Deno.test(`JsonScanner calls ${JSON.stringify(text)} invalid`, () => {
    assert.equal(scan(text).kind, "invalid");
    assert.equal(scan(text, [...text].map((_, i) => i)).kind, "invalid");
  });
}

Deno.test("JsonScanner tells at which byte a text went wrong", () => {
  assert.deepEqual(scan('{"a":1,}'), {
    kind: "invalid",
    message: "a name in quotes is missing",
    offset: 7,
  });
  const early = scan('{"a":');
  assert.deepEqual(early, { kind: "invalid", message: "it ends too early", offset: 5 });
});

Deno.test("JsonScanner refuses a model that is not UTF-8", () => {
  const bytes = new Uint8Array([...new TextEncoder().encode('{"model":"'), 0xff, 0x22, 0x7d]);
  assert.equal(scan(bytes).kind, "invalid");
});

Deno.test("JsonScanner makes no decoder for each of a million names, which took seconds", () => {
  const real = globalThis.TextDecoder;
  let made = 0;
  globalThis.TextDecoder = class extends real {
    constructor(...args: ConstructorParameters<typeof real>) {
      super(...args);
      made += 1;
    }
  };
  try {
    scan(`{${'"model":"a",'.repeat(1000)}"model":"b"}`);
  } finally {
    globalThis.TextDecoder = real;
  }
  assert.equal(made, 0);
});

Deno.test("JsonScanner bounds the depth of nesting", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  assert.equal(scan(nested(JSON_DEPTH_MAX)).kind, "not an object");
  assert.equal(scan(nested(JSON_DEPTH_MAX + 1)).kind, "invalid");
});

Deno.test("JsonScanner agrees with JSON.parse on any JSON, however it is cut", () => {
  const name = fc.oneof(fc.constantFrom("model", "stream", "mode", "models"), fc.string());
  const member = fc.tuple(name, fc.jsonValue());
  const text = fc.tuple(fc.array(member, { maxLength: 8 }), fc.constantFrom("", " ", "\n\t"))
    .map(([members, space]) => {
      const parts = members.map(([key, value]) =>
        `${space}${JSON.stringify(key)}${space}:${space}${JSON.stringify(value)}${space}`
      );
      return `{${parts.join(",")}}`;
    });
  fc.assert(fc.property(text, fc.array(fc.nat(200), { maxLength: 10 }), (json, cuts) => {
    assert.deepEqual(scan(json, cuts), oracle(json));
  }));
});

Deno.test("JsonScanner agrees with JSON.parse on damaged JSON", () => {
  const damage = fc.tuple(
    fc.json(),
    fc.nat(),
    fc.constantFrom(
      "",
      '"',
      "\\",
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      "0",
      "-",
      "e",
      ".",
      " ",
      "t",
      "\u0001",
    ),
  );
  fc.assert(
    fc.property(damage, fc.boolean(), ([json, at, text], isWrapped) => {
      const whole = isWrapped ? `{"model":${json},"stream":true}` : json;
      const place = whole.length === 0 ? 0 : at % whole.length;
      const damaged = whole.slice(0, place) + text + whole.slice(place + 1);
      const expected = oracle(damaged);
      const result = scan(damaged);
      if (expected === "invalid") assert.equal(result.kind, "invalid", damaged);
      else assert.deepEqual(result, expected, damaged);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("JsonScanner stands any bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const result = scan(bytes);
    if (result.kind === "invalid") assert.ok(result.offset <= bytes.length);
    else JSON.parse(new TextDecoder().decode(bytes));
  }));
});
