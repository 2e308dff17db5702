import assert from "node:assert/strict";
import fc from "fast-check";
import { compareProcess, parseChild, parseOwner, type ProcessMark } from "~/engine/run_record.ts";

const MARK: ProcessMark = { pid: 4711, started: "123456", bootId: "b-1" };

Deno.test("compareProcess() knows a process by id, start and boot together", () => {
  assert.equal(compareProcess(MARK, { ...MARK }), "same");
  assert.equal(compareProcess(MARK, undefined), "gone");
});

for (const other of [{ started: "123457" }, { bootId: "b-2" }, { pid: 4712 }]) {
  Deno.test(`compareProcess() takes a process with another ${Object.keys(other)} for another`, () => {
    assert.equal(compareProcess(MARK, { ...MARK, ...other }), "gone");
  });
}

Deno.test("compareProcess() is not sure when nothing but the id is known", () => {
  assert.equal(compareProcess({ pid: 4711 }, MARK), "unknown");
  assert.equal(compareProcess(MARK, { pid: 4711 }), "unknown");
  assert.equal(compareProcess({ pid: 4711 }, { pid: 4711 }), "unknown");
});

Deno.test("compareProcess() is not sure of a boot that it cannot confirm", () => {
  const { bootId: _, ...bootless } = MARK;
  assert.equal(compareProcess(MARK, bootless), "unknown");
  assert.equal(compareProcess(bootless, MARK), "unknown");
});

Deno.test("compareProcess() needs no boot where a start is a date", () => {
  const dated = { pid: 4711, started: "Mon Nov 23 10:00:00 2026" };
  assert.equal(compareProcess(dated, { ...dated }), "same");
});

Deno.test("compareProcess() never says same of two processes that differ in anything known", () => {
  const mark = fc.record({
    pid: fc.integer({ min: 2, max: 4 }),
    started: fc.option(fc.constantFrom("1", "2"), { nil: undefined }),
    bootId: fc.option(fc.constantFrom("a", "b"), { nil: undefined }),
  }).map(({ pid, started, bootId }): ProcessMark => ({
    pid,
    ...(started === undefined ? {} : { started }),
    ...(bootId === undefined ? {} : { bootId }),
  }));
  fc.assert(fc.property(mark, mark, (a, b) => {
    const isSame = compareProcess(a, b) === "same";
    const isProven = a.pid === b.pid && a.started !== undefined && a.started === b.started &&
      a.bootId === b.bootId;
    assert.equal(isSame, isProven);
  }));
});

Deno.test("parseOwner() reads who owns a folder and how it is reached", () => {
  const owner = { process: MARK, isEphemeral: true, apiPort: 9337, consolePort: 3131 };
  assert.deepEqual(parseOwner(JSON.stringify(owner)), owner);
});

Deno.test("parseOwner() leaves out doors that are none", () => {
  const text = JSON.stringify({ process: MARK, apiPort: 70_000, consolePort: "3131" });
  assert.deepEqual(parseOwner(text), { process: MARK, isEphemeral: false });
});

Deno.test("parseChild() reads a record", () => {
  const child = { process: MARK, name: "llama-server" };
  assert.deepEqual(parseChild(JSON.stringify(child)), child);
});

for (const pid of [1, 0, -1, -4711, 1.5, "4711", null]) {
  Deno.test(`parseChild() refuses the process id ${pid}: a signal would hit others`, () => {
    const text = JSON.stringify({ process: { ...MARK, pid }, name: "llama-server" });
    assert.equal(parseChild(text), undefined);
  });
}

Deno.test("no parser fails on any text, and none gives an id that means a group", () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.anything().map((pid) => safeJson({ process: { pid }, name: "x" })),
  );
  fc.assert(fc.property(text, (one) => {
    for (const record of [parseOwner(one), parseChild(one)]) {
      if (record !== undefined) assert.ok(record.process.pid > 1);
    }
  }));
});

function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "";
  }
}
