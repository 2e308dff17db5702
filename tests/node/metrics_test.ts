import assert from "node:assert/strict";
import fc from "fast-check";
import { MODEL_LABELS_MAX, NodeMetrics } from "~/node/metrics.ts";
import type { FinishedRequest } from "~/proxy/events.ts";

const SOURCES = {
  residentBytes: () => 123_456,
  upMs: () => 61_500,
  queuedRequests: () => 3,
  isReady: () => true,
};

function makeMetrics(sources: Partial<typeof SOURCES> = {}): NodeMetrics {
  return new NodeMetrics({
    version: "0.1.0",
    commit: "abc",
    sources: { ...SOURCES, ...sources },
  });
}

function finished(changes: Partial<FinishedRequest> = {}): FinishedRequest {
  return {
    kind: "finished",
    requestId: "r1",
    endpoint: "/v1/chat/completions",
    model: "m",
    nodeId: "n",
    outcome: "answered",
    status: 200,
    durationMs: 1200,
    queuedMs: 5,
    firstByteMs: 40,
    requestBytes: 100,
    responseBytes: 2000,
    ...changes,
  };
}
const received = (requestId: string) =>
  ({ kind: "received", requestId, endpoint: "/v1/chat/completions" }) as const;
const started = (requestId: string) =>
  ({ ...received(requestId), kind: "started", model: "m", queuedMs: 5 }) as const;

/** The value of one series, by its name with labels. */
async function valueOf(metrics: NodeMetrics, series: string): Promise<number | undefined> {
  const { text } = await metrics.text();
  const line = text.split("\n").find((line) => line.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

Deno.test("NodeMetrics.text() is Prometheus text in which every series has help and type", async () => {
  const metrics = makeMetrics();
  metrics.observe(received("r1"));
  metrics.observe(finished());
  metrics.observe({ kind: "turned away", status: 403, code: "forbidden" });
  metrics.modelLoaded("m", 300);
  metrics.engineRestarted("m");
  const { contentType, text } = await metrics.text();
  assert.equal(contentType, "text/plain; version=0.0.4; charset=utf-8");
  const described = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  for (const [, name] of text.matchAll(/^# HELP (\S+) \S/gm)) assert.ok(described.has(name));
  for (const [, name = ""] of text.matchAll(/^([a-z_]+)/gm)) {
    assert.match(name, /^mesh_llm_/);
    assert.ok(described.has(name.replace(/_(?:bucket|sum|count)$/, "")) || described.has(name));
  }
});

Deno.test("NodeMetrics counts a request from its arrival to its end", async () => {
  const metrics = makeMetrics();
  const gauges = async (): Promise<(number | undefined)[]> => [
    await valueOf(metrics, "mesh_llm_requests_open"),
    await valueOf(metrics, "mesh_llm_requests_running"),
  ];
  assert.deepEqual(await gauges(), [0, 0]);
  metrics.observe(received("r1"));
  metrics.observe(received("r2"));
  metrics.observe(started("r1"));
  assert.deepEqual(await gauges(), [2, 1]);
  metrics.observe(finished({ requestId: "r2", outcome: "client gone", status: 499 }));
  assert.deepEqual(await gauges(), [1, 1]);
  metrics.observe(finished());
  assert.deepEqual(await gauges(), [0, 0]);
  const labels = 'endpoint="/v1/chat/completions",model="m"';
  const total = (more: string): Promise<number | undefined> =>
    valueOf(metrics, `mesh_llm_requests_total{${labels},${more}}`);
  assert.equal(await total('status="200",outcome="answered"'), 1);
  assert.equal(await total('status="499",outcome="client_gone"'), 1);
});

Deno.test("NodeMetrics measures times in seconds, and bytes", async () => {
  const metrics = makeMetrics();
  metrics.observe(finished());
  const inModel = (name: string): Promise<number | undefined> =>
    valueOf(metrics, `mesh_llm_${name}{model="m"}`);
  assert.equal(await inModel("request_first_byte_seconds_sum"), 0.04);
  assert.equal(await inModel("request_queue_seconds_sum"), 0.005);
  assert.equal(await inModel("request_bytes_total"), 100);
  assert.equal(await inModel("response_bytes_total"), 2000);
  const duration = 'mesh_llm_request_duration_seconds_bucket{le="1",endpoint=' +
    '"/v1/chat/completions",model="m"}';
  assert.equal(await valueOf(metrics, duration), 0);
  assert.equal(await valueOf(metrics, duration.replace('"1"', '"2.5"')), 1);
});

Deno.test("NodeMetrics has no first byte for an answer that had none", async () => {
  const metrics = makeMetrics();
  const { firstByteMs: _none, ...rest } = finished();
  metrics.observe(rest);
  assert.ok(!(await metrics.text()).text.includes("request_first_byte_seconds_sum{"));
});

Deno.test("NodeMetrics reads what it is asked for at the moment of reading", async () => {
  let waiting = 3;
  const metrics = makeMetrics({ queuedRequests: () => waiting, isReady: () => waiting > 3 });
  assert.equal(await valueOf(metrics, "mesh_llm_requests_waiting"), 3);
  assert.equal(await valueOf(metrics, "mesh_llm_ready"), 0);
  waiting = 7;
  assert.equal(await valueOf(metrics, "mesh_llm_requests_waiting"), 7);
  assert.equal(await valueOf(metrics, "mesh_llm_ready"), 1);
  assert.equal(await valueOf(metrics, "mesh_llm_resident_memory_bytes"), 123_456);
  assert.equal(await valueOf(metrics, "mesh_llm_uptime_seconds"), 61.5);
  assert.equal(await valueOf(metrics, 'mesh_llm_build_info{version="0.1.0",commit="abc"}'), 1);
});

Deno.test("NodeMetrics counts engine restarts and load times per model", async () => {
  const metrics = makeMetrics();
  metrics.engineRestarted("a");
  metrics.engineRestarted("a");
  metrics.modelLoaded("b", 2500);
  assert.equal(await valueOf(metrics, 'mesh_llm_engine_restarts_total{model="a"}'), 2);
  assert.equal(await valueOf(metrics, 'mesh_llm_model_load_seconds_sum{model="b"}'), 2.5);
});

Deno.test("NodeMetrics gives a bounded number of models a label of their own", async () => {
  const metrics = makeMetrics();
  for (let n = 0; n < MODEL_LABELS_MAX + 10; n++) metrics.observe(finished({ model: `m${n}` }));
  const { model: _none, ...unsettled } = finished({ status: 404, outcome: "refused" });
  metrics.observe(unsettled);
  const { text } = await metrics.text();
  const labels = [...text.matchAll(/^mesh_llm_request_bytes_total\{model="([^"]+)"\}/gm)];
  assert.equal(labels.length, MODEL_LABELS_MAX + 2);
  assert.equal(await valueOf(metrics, 'mesh_llm_request_bytes_total{model="other"}'), 1000);
  assert.equal(await valueOf(metrics, 'mesh_llm_request_bytes_total{model="unknown"}'), 100);
});

Deno.test("two NodeMetrics in one process do not share anything", async () => {
  const [one, two] = [makeMetrics(), makeMetrics()];
  one.engineRestarted("a");
  assert.equal(await valueOf(two, 'mesh_llm_engine_restarts_total{model="a"}'), undefined);
});

Deno.test("NodeMetrics writes any model name so that it stays one label", async () => {
  await fc.assert(fc.asyncProperty(fc.string({ unit: "binary", minLength: 1 }), async (model) => {
    const metrics = makeMetrics();
    metrics.observe(finished({ model }));
    const { text } = await metrics.text();
    const line = /^mesh_llm_request_bytes_total\{model="((?:[^"\\\n]|\\[\\"n])*)"\} 100$/m.exec(
      text,
    );
    const read = line?.[1]?.replace(/\\(.)/g, (_all, c) => c === "n" ? "\n" : c);
    assert.equal(read, model);
  }));
});

Deno.test("NodeMetrics ends at zero open requests whatever order they end in", async () => {
  const requests = fc.array(fc.record({ runs: fc.boolean(), rank: fc.nat() }), { maxLength: 30 });
  await fc.assert(fc.asyncProperty(requests, async (plan) => {
    const metrics = makeMetrics();
    const ids = plan.map((request, n) => ({ ...request, id: `r${n}` }));
    for (const { id, runs } of ids) {
      metrics.observe(received(id));
      if (runs) metrics.observe(started(id));
    }
    assert.equal(await valueOf(metrics, "mesh_llm_requests_open"), plan.length);
    const running = plan.filter(({ runs }) => runs).length;
    assert.equal(await valueOf(metrics, "mesh_llm_requests_running"), running);
    for (const { id } of ids.toSorted((a, b) => a.rank - b.rank)) {
      metrics.observe(finished({ requestId: id }));
    }
    assert.equal(await valueOf(metrics, "mesh_llm_requests_open"), 0);
    assert.equal(await valueOf(metrics, "mesh_llm_requests_running"), 0);
  }));
});

Deno.test("NodeMetrics counts retries, continuations and spills by model", async () => {
  const metrics = makeMetrics();
  for (const kind of ["retried", "continued", "continued", "spilled"] as const) {
    metrics.observe({ kind, requestId: "r", model: "m" });
  }
  const names = ["retries", "continuations", "spills"];
  const counts = names.map((name) => valueOf(metrics, `mesh_llm_${name}_total{model="m"}`));
  assert.deepEqual(await Promise.all(counts), [1, 2, 1]);
});
