import assert from "node:assert/strict";
import type { GgufHeader, GgufValue } from "~/engine/gguf/header.ts";
import { Metadata } from "~/engine/gguf/metadata.ts";

function metadata(values: Readonly<Record<string, GgufValue>>): Metadata {
  const architecture: GgufValue = { kind: "scalar", value: "llama" };
  const header: GgufHeader = {
    version: 3,
    metadata: new Map(Object.entries({ "general.architecture": architecture, ...values })),
    tensors: [],
    alignment: 32,
    headerBytes: 24,
    dataOffset: 32,
  };
  return new Metadata(header);
}

const scalar = (value: number | bigint | boolean | string): GgufValue => ({
  kind: "scalar",
  value,
});

Deno.test("Metadata puts the architecture before keys that begin with a tilde", () => {
  const meta = metadata({ "llama.block_count": scalar(4), "split.no": scalar(1) });
  assert.deepEqual([meta.count("~.block_count"), meta.count("split.no")], [4, 1]);
  assert.deepEqual([meta.has("~.block_count"), meta.has("~.split.no")], [true, false]);
});

Deno.test("Metadata gives the largest of a list where one number is asked for", () => {
  const meta = metadata({
    heads: { kind: "list", values: [2, 8, 4] },
    none: { kind: "list", values: [] },
  });
  assert.deepEqual([meta.count("heads"), meta.counts("heads"), meta.count("none")], [
    8,
    [2, 8, 4],
    0,
  ]);
});

Deno.test("Metadata leaves out values of another kind", () => {
  const meta = metadata({
    text: scalar("x"),
    flag: scalar(true),
    long: { kind: "text", sizeBytes: 9 },
  });
  assert.deepEqual([meta.text("flag"), meta.flag("text"), meta.text("long")], [
    undefined,
    undefined,
    undefined,
  ]);
  assert.deepEqual([meta.text("text"), meta.flag("flag"), meta.has("long")], ["x", true, true]);
});

Deno.test("Metadata tells the length of lists, kept or not", () => {
  const meta = metadata({
    kept: { kind: "list", values: [1, 2] },
    large: { kind: "large", length: 150_000 },
    text: scalar("x"),
  });
  assert.deepEqual(["kept", "large", "text", "none"].map((key) => meta.lengthOf(key)), [
    2,
    150_000,
    undefined,
    undefined,
  ]);
});

Deno.test("Metadata believes no counts that cannot be any", () => {
  const wrong: readonly GgufValue[] = [
    scalar(-1),
    scalar(1.5),
    scalar(NaN),
    scalar(2 ** 40),
    scalar(2n ** 63n),
    scalar(true),
    scalar("4"),
    { kind: "list", values: [1, -1] },
    { kind: "large", length: 5_000 },
    { kind: "text", sizeBytes: 5 },
  ];
  for (const value of wrong) {
    assert.throws(() => metadata({ "llama.x": value }).count("~.x"), /"llama\.x"/);
  }
});
