import assert from "node:assert/strict";
import fc from "fast-check";
import { isControlLine, parseLoadLine } from "~/engine/load_progress.ts";

function state(payload: unknown, name = "loading"): string {
  return `cmd_child_to_router:state:${JSON.stringify({ state: name, payload })}`;
}

Deno.test("parseLoadLine() reads how much of the weights is loaded", () => {
  const payload = { stages: ["text_model"], current: "text_model", value: 0.0823916494846344 };
  assert.deepEqual(parseLoadLine(state(payload)), { step: "loading", percent: 8 });
});

Deno.test("parseLoadLine() counts the stages of a model with several parts", () => {
  const payload = { stages: ["text_model", "mmproj"], current: "mmproj", value: 0.5 };
  assert.deepEqual(parseLoadLine(state(payload)), { step: "loading", percent: 75 });
});

Deno.test("parseLoadLine() reads that it is ready", () => {
  assert.deepEqual(parseLoadLine(state({ id: "m" }, "ready")), { step: "ready", percent: 100 });
});

const LOG_LINES = [
  ["0.00.040.831 I srv    load_model: loading model '/m.gguf'", "loading"],
  ["0.00.315.591 I cmn          init: llama threadpool init, n_threads = 2", "warming"],
  [
    "0.00.130.776 I cmn  common_init_: warming up the model with an empty run - please wait ... (--no-warmup to disable)",
    "warming",
  ],
  ["0.00.372.312 I srv  llama_server: model loaded", "ready"],
  [
    "0.00.010.724 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18250",
    "port-taken",
  ],
] as const;

for (const [line, step] of LOG_LINES) {
  Deno.test(`parseLoadLine() takes "${line.slice(-30)}" for ${step}`, () => {
    assert.equal(parseLoadLine(line)?.step, step);
  });
}

Deno.test("parseLoadLine() passes over everything else", () => {
  for (const line of ["", "0.00.001.550 I srv  llama_server: initializing ...", "[1, 2]"]) {
    assert.equal(parseLoadLine(line), undefined);
  }
});

Deno.test("parseLoadLine() gives no percentage for a value that is none", () => {
  for (const value of ["0.5", null, undefined]) {
    assert.deepEqual(parseLoadLine(state({ stages: [], current: "x", value })), {
      step: "loading",
    });
  }
});

Deno.test("isControlLine() tells lines for programs from lines for people", () => {
  assert.ok(isControlLine("cmd_child_to_router:state:{}"));
  assert.ok(!isControlLine("0.00.001.550 I srv  llama_server: cmd_child_to_router:"));
});

Deno.test("parseLoadLine() gives a whole percentage from 0 to 100 for any report, and never fails", () => {
  const payload = fc.record({
    stages: fc.oneof(fc.array(fc.string()), fc.anything()),
    current: fc.oneof(fc.string(), fc.anything()),
    value: fc.oneof(fc.double(), fc.anything()),
  });
  const line = fc.oneof(
    payload.map((value) =>
      `cmd_child_to_router:state:${text({ state: "loading", payload: value })}`
    ),
    fc.json().map((json) => `cmd_child_to_router:state:${json}`),
    fc.string().map((text) => `cmd_child_to_router:state:${text}`),
    fc.string(),
  );
  fc.assert(fc.property(line, (one) => {
    const percent = parseLoadLine(one)?.percent;
    assert.ok(
      percent === undefined || (Number.isInteger(percent) && percent >= 0 && percent <= 100),
    );
  }));
});

/** JSON of anything, or no JSON at all where there is none. */
function text(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return "{";
  }
}
