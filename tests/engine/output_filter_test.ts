import assert from "node:assert/strict";
import fc from "fast-check";
import { keepHarmless, WITHHELD } from "~/engine/output_filter.ts";

const KEPT = [
  "0.00.416.185 I slot get_availabl: id  0 | task -1 | selected slot by LRU, n_tokens = 0, t_last = -1",
  "0.00.416.185 I slot get_availabl: id  0 | task -1 | selected slot by LCP similarity, sim_best = 0.956 (> 0.100 thold), f_keep = 0.900",
  "0.00.416.248 I slot launch_slot_: id  0 | task 0 | processing task, is_child = 0",
  "0.00.541.718 I slot print_timing: id  0 | task 0 | prompt eval time =      98.28 ms /    38 tokens (    2.59 ms per token,   386.65 tokens per second)",
  "0.00.541.739 I slot print_timing: id  0 | task 0 |        eval time =      27.15 ms /     5 tokens (    6.79 ms per token,   147.31 tokens per second)",
  "0.00.541.740 I slot print_timing: id  0 | task 0 |       total time =     125.44 ms /    43 tokens",
  "0.00.541.741 I slot print_timing: id  0 | task 0 |    graphs reused =          4",
  "0.00.541.742 I slot print_timing: id  0 | task 0 |   graph reallocs =          0    /     0        (same size) / (changed size)",
  "0.00.541.985 I slot      release: id  0 | task 0 | stop processing: n_tokens = 42, truncated = 0",
  "0.00.387.563 I srv  update_slots: all slots are idle",
  "0.00.387.608 W srv          stop: cancel task, id_task = 6",
  "0.00.394.520 W srv    operator(): unauthorized: Invalid API Key",
  "0.00.403.710 I srv    operator(): operator(): cleaning up before exit...",
];

for (const line of KEPT) {
  Deno.test(`keepHarmless() keeps "${line.slice(24, 80)}"`, () => {
    assert.equal(keepHarmless(line), line);
  });
}

Deno.test("keepHarmless() withholds the words of a body that llama-server could not parse", () => {
  const line = "0.00.556.283 W srv    operator(): got exception: " +
    `{"error":{"message":"parse error - invalid string; last read: '\\"my diary'"}}`;
  assert.equal(keepHarmless(line), `0.00.556.283 W srv operator(): ${WITHHELD}`);
});

Deno.test("keepHarmless() drops a grammar that llama-server prints line by line", () => {
  for (const line of ["parse: error parsing grammar: unexpected end", 'root ::= my diary "', ""]) {
    assert.equal(keepHarmless(line), undefined);
  }
});

const LAST_WORDS = [
  [
    "/src/ggml/src/ggml.c:1234: GGML_ASSERT(a == b) failed",
    "/src/ggml/src/ggml.c:1234: GGML_ASSERT",
  ],
  [
    "terminate called after throwing an instance of 'std::runtime_error'",
    "terminate called after throwing an instance of 'std::runtime_error'",
  ],
  ["CUDA error: out of memory", "CUDA error: out of memory"],
  ["  what():  std::bad_alloc", "  what():  std::bad_alloc"],
  ["  what():  my diary", undefined],
  [
    "Remote RPC server crashed or returned malformed response",
    "Remote RPC server crashed or returned malformed response",
  ],
] as const;

for (const [line, kept] of LAST_WORDS) {
  Deno.test(`keepHarmless() keeps of the last words "${line}" what names the cause`, () => {
    assert.equal(keepHarmless(line), kept);
  });
}

Deno.test("keepHarmless() lets no word of a request through, wherever it stands", () => {
  const secret = "Zanzibar";
  const around = fc.oneof(
    fc.string(),
    fc.constantFrom(...KEPT, "0.00.556.283 W srv    operator(): got exception: ", " tokens, "),
  );
  fc.assert(fc.property(around, around, (before, after) => {
    const kept = keepHarmless(`${before}${secret}${after}`);
    assert.ok(kept === undefined || !kept.includes(secret), kept);
  }));
});

Deno.test("keepHarmless() stays quick on long lines", () => {
  assert.equal(keepHarmless("a/".repeat(1e6)), undefined);
  assert.equal(keepHarmless("prompt eval time = ".repeat(100)), undefined);
});
