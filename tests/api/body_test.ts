import assert from "node:assert/strict";
import fc from "fast-check";
import {
  BODY_BYTES_MAX,
  BODY_TIMEOUT_MS,
  MODEL_NAME_CHARS_MAX,
  modelOf,
  modelOfPath,
  parseJsonObject,
  readJsonObject,
} from "~/api/body.ts";
import { ApiError } from "~/api/errors.ts";
import type { JsonObject } from "~/base/json.ts";
import { memoryDoor } from "#support/managed_node.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const JSON_TYPE = "application/json";

function read(
  door: Parameters<typeof memoryDoor>[0],
  options: { contentType?: string; isOptional?: boolean } = {},
): Promise<JsonObject> {
  const { contentType = JSON_TYPE, isOptional = false } = options;
  const timers = new VirtualTime();
  return readJsonObject(memoryDoor(door).body, { contentType, timers, isOptional });
}

Deno.test("readJsonObject() joins the parts of a body, letters cut in two included", async () => {
  const bytes = new TextEncoder().encode('{"model":"größe"}');
  const parts = [...bytes].map((byte) => Uint8Array.of(byte));
  assert.deepEqual(await read({ parts }), { model: "größe" });
});

Deno.test.each(
  ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=utf-8"],
)("readJsonObject() takes content-type %s", async (contentType) => {
  assert.deepEqual(await read({ parts: ["{}"] }, { contentType }), {});
});

Deno.test.each(
  ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)("readJsonObject() refuses content-type '%s', which any page can post", async (contentType) => {
  await assert.rejects(read({ parts: ["{}"] }, { contentType }), {
    status: 415,
    code: "unsupported_media_type",
  });
});

Deno.test.each(
  [
    { title: "nothing", parts: [""] },
    { title: "half an object", parts: ['{"model":'] },
    { title: "an array", parts: ["[1]"] },
    { title: "null", parts: ["null"] },
    { title: "a number", parts: ["7"] },
    { title: "broken UTF-8", parts: [Uint8Array.of(0x7b, 0xff, 0x7d)] },
    { title: "a letter cut off", parts: [Uint8Array.of(0xc3)] },
  ],
)("readJsonObject() refuses $title as invalid_json", async ({ parts }) => {
  await assert.rejects(read({ parts }), { status: 400, code: "invalid_json" });
});

Deno.test("readJsonObject() takes no body for an empty object where that is allowed", async () => {
  assert.deepEqual(await read({}, { isOptional: true }), {});
  await assert.rejects(read({ parts: ["nonsense"] }, { isOptional: true }), {
    code: "invalid_json",
  });
});

Deno.test("readJsonObject() refuses a body that is announced as too large before reading it", async () => {
  let isRead = false;
  const { body } = memoryDoor({ declaredBytes: BODY_BYTES_MAX + 1 });
  const watched = {
    ...body,
    read: (): () => void => {
      isRead = true;
      return () => {};
    },
  };
  const reading = readJsonObject(watched, { contentType: JSON_TYPE, timers: new VirtualTime() });
  await assert.rejects(reading, { status: 413, code: "body_too_large" });
  assert.equal(isRead, false);
});

Deno.test("readJsonObject() refuses a body that turns out too large, and stops reading", async () => {
  let isStopped = false;
  const part = new Uint8Array(BODY_BYTES_MAX / 2).fill(0x20);
  const body = {
    declaredBytes: undefined,
    read(sink: { chunk(bytes: Uint8Array): void }): () => void {
      for (let i = 0; i < 3; i++) sink.chunk(part);
      return () => void (isStopped = true);
    },
  };
  const reading = readJsonObject(body, { contentType: JSON_TYPE, timers: new VirtualTime() });
  await assert.rejects(reading, { status: 413, code: "body_too_large" });
  assert.equal(isStopped, true);
});

Deno.test("readJsonObject() takes a body of exactly the largest size", async () => {
  const text = `{"a":"${"x".repeat(BODY_BYTES_MAX - 8)}"}`;
  assert.equal(text.length, BODY_BYTES_MAX);
  const body = await read({ parts: [text], declaredBytes: BODY_BYTES_MAX });
  assert.equal(String(body["a"]).length, BODY_BYTES_MAX - 8);
});

Deno.test("readJsonObject() gives up on a body that does not arrive", async () => {
  const time = new VirtualTime();
  const { body } = memoryDoor({ parts: ["{", "hang"] });
  const reading = readJsonObject(body, { contentType: JSON_TYPE, timers: time });
  time.advance(BODY_TIMEOUT_MS);
  await assert.rejects(reading, { status: 408, code: "request_timeout" });
});

Deno.test("readJsonObject() leaves no timer behind", async () => {
  const time = new VirtualTime();
  const { body } = memoryDoor({ parts: ["{}"] });
  await readJsonObject(body, { contentType: JSON_TYPE, timers: time });
  assert.equal(time.pendingCount, 0);
});

Deno.test("readJsonObject() refuses a body that breaks off", async () => {
  await assert.rejects(read({ parts: ["{", "fail"] }), { status: 400 });
});

Deno.test("parseJsonObject() reads what JSON.stringify wrote", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
    const text = JSON.stringify(value);
    assert.deepEqual(parseJsonObject(text), JSON.parse(text));
  }));
});

Deno.test("parseJsonObject() refuses any other text with invalid_json, without quoting it", () => {
  fc.assert(fc.property(fc.string({ minLength: 12 }), (text) => {
    try {
      parseJsonObject(text);
    } catch (thrown) {
      assert.ok(thrown instanceof ApiError && thrown.code === "invalid_json");
      assert.ok(!thrown.message.includes(text));
    }
  }));
});

Deno.test.each(
  [
    { body: {}, code: "model_required" },
    { body: { model: null }, code: "model_required" },
    { body: { model: "" }, code: "model_required" },
    { body: { model: 7 }, code: "invalid_request_error" },
    { body: { model: ["a"] }, code: "invalid_request_error" },
    { body: { model: "   " }, code: "invalid_request_error" },
    { body: { model: "a\nb" }, code: "invalid_request_error" },
    { body: { model: "a\u0000" }, code: "invalid_request_error" },
    { body: { model: "a\u2028b" }, code: "invalid_request_error" },
    { body: { model: "x".repeat(MODEL_NAME_CHARS_MAX + 1) }, code: "invalid_request_error" },
  ] as { body: JsonObject; code: string }[],
)("modelOf() refuses a body with $code", ({ body, code }) => {
  assert.throws(() => modelOf(body), { status: 400, code, param: "model" });
});

Deno.test("modelOfPath() reads back any model name that modelOf() takes, encoded or with slashes", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }), (name) => {
    let taken: string;
    try {
      taken = modelOf({ model: name });
    } catch {
      return;
    }
    assert.equal(modelOfPath(encodeURIComponent(taken)), taken);
    const withSlashes = taken.split("/").map(encodeURIComponent).join("/");
    assert.equal(modelOfPath(withSlashes), taken);
  }));
});

Deno.test.each(["%", "a%zz", "%ff", "%00", "%0a", "%20", ""])(
  "modelOfPath() refuses '%s'",
  (encoded) => assert.throws(() => modelOfPath(encoded), { status: 400 }),
);
