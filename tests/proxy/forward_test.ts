import assert from "node:assert/strict";
import { MemoryUpstream, nowhere } from "#support/memory_upstream.ts";
import { TestCall } from "#support/test_call.ts";
import { TestTable } from "#support/test_door.ts";
import { ClientGoneError } from "~/proxy/call.ts";
import { DoorError } from "~/proxy/errors.ts";
import type { Forwarded } from "~/proxy/far_refusal.ts";
import { BusyCounts, forward } from "~/proxy/forward.ts";
import { type Target, type Upstream, UpstreamError, type UpstreamRequest } from "~/proxy/ports.ts";
import { Router } from "~/proxy/route.ts";

const REQUEST: UpstreamRequest = {
  method: "POST",
  path: "/v1/completions",
  headers: new Headers(),
};

interface Setup {
  readonly table: TestTable;
  readonly busy: BusyCounts;
  readonly router: Router;
  readonly test: TestCall;
  readonly run: () => Promise<Forwarded>;
}

function setup(): Setup {
  const table = new TestTable();
  const busy = new BusyCounts();
  const test = new TestCall();
  const router = new Router({ next: () => 0 });
  const options = { call: test.call, modelId: "m", table, busy, router };
  return { table, busy, router, test, run: () => forward(REQUEST, options) };
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

async function failureOf(run: () => Promise<unknown>): Promise<DoorError> {
  const error = await run().then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof DoorError);
  return error;
}

Deno.test("forward() prefers a target with a free slot to a better one without", async () => {
  const { table, busy, run } = setup();
  const [best, next] = [new MemoryUpstream(), new MemoryUpstream()];
  table.serve("m", best, { slots: 1, nodeId: "best" });
  table.alsoServe("m", { nodeId: "next", upstream: next, slots: 1 });
  const done = busy.add(best);
  void next.script({ whole: bytes("{}") });
  assert.equal((await run()).target.nodeId, "next");
  done();
  void best.script({ whole: bytes("{}") });
  assert.equal((await run()).target.nodeId, "best");
});

Deno.test("BusyCounts counts each request out once", () => {
  const busy = new BusyCounts();
  const done = busy.add(nowhere);
  busy.add(nowhere);
  done();
  done();
  assert.equal(busy.of(nowhere), 1);
});

Deno.test("forward() stops trying when the client leaves", async () => {
  const { table, test, run } = setup();
  const silent = new MemoryUpstream();
  const second = new MemoryUpstream();
  table.serve("m", silent);
  table.alsoServe("m", { nodeId: "b", upstream: second, slots: 1 });
  const seen = silent.script({ isSilent: true });
  const running = run();
  await seen;
  test.leave();
  await assert.rejects(running, ClientGoneError);
  assert.equal(second.seen.length, 0);
});

Deno.test("forward() reads an error answer whole, in pieces too", async () => {
  const { table, run } = setup();
  const engine = new MemoryUpstream();
  table.serve("m", engine);
  void engine.script({
    status: 400,
    async *pieces() {
      yield bytes('{"error":');
      await Promise.resolve();
      yield bytes('{"message":"bad"}}');
    },
  });
  assert.deepEqual((await run()).error, { error: { message: "bad" } });
});

Deno.test("forward() does not read an endless error answer", async () => {
  const { table, run } = setup();
  const engine = new MemoryUpstream();
  table.serve("m", engine);
  const seen = engine.script({
    status: 500,
    async *pieces() {
      for (;;) {
        await Promise.resolve();
        yield new Uint8Array(16 * 1024);
      }
    },
  });
  const { error, response } = await run();
  assert.deepEqual([error, response.status], [undefined, 500]);
  await (await seen).cancelled;
});

Deno.test("forward() tries the next target when one is still loading", async () => {
  const { table, run } = setup();
  const [loading, ready] = [new MemoryUpstream(), new MemoryUpstream()];
  table.serve("m", loading);
  table.alsoServe("m", { nodeId: "b", upstream: ready, slots: 1 });
  const body = '{"error":{"message":"Loading model","type":"unavailable_error","code":503}}';
  void loading.script({ status: 503, whole: bytes(body) });
  void ready.script({ whole: bytes("{}") });
  assert.equal((await run()).target.nodeId, "b");
});

Deno.test("forward() says that a model loads when its only target says so", async () => {
  const { table, run } = setup();
  const engine = new MemoryUpstream();
  table.serve("m", engine);
  table.loadingModels = [{ id: "m", phase: "restarting", percent: 5 }];
  const body = '{"error":{"message":"Loading model","type":"unavailable_error","code":503}}';
  void engine.script({ status: 503, whole: bytes(body) });
  const error = await failureOf(run);
  assert.equal(error.code, "model_loading");
  assert.match(error.message, /restarting \(5 %\)/);
});

Deno.test("forward() answers for a model without targets as a new request would be", async () => {
  const { table, run } = setup();
  assert.equal((await failureOf(run)).code, "no_host");
  table.loadingModels = [{ id: "m", phase: "restarting" }];
  assert.equal((await failureOf(run)).code, "model_loading");
  table.serve("m", nowhere);
  table.targetsOf.set("m", []);
  assert.equal((await failureOf(run)).code, "upstream_failed");
});

Deno.test("forward() prefers targets that are heard, have a slot, are in the pool, and are idle", async () => {
  const { table, busy, test } = setup();
  const upstreams = new Map<string, MemoryUpstream>();
  const add = (nodeId: string, facts: Partial<Target>): void => {
    const upstream = new MemoryUpstream();
    upstreams.set(nodeId, upstream);
    table.alsoServe("m", { nodeId, upstream, slots: 2, isRemote: true, ...facts });
  };
  table.targetsOf.set("m", []);
  add("suspect", { isSuspect: true });
  add("half busy", {});
  add("full", { slots: 1 });
  add("own", { isRemote: false });
  add("idle", {});
  busy.add(upstreams.get("half busy")!);
  busy.add(upstreams.get("full")!);
  const order: string[] = [];
  for (const [nodeId, upstream] of upstreams) {
    upstream.send = () => {
      order.push(nodeId);
      return Promise.reject(new UpstreamError("no", false));
    };
  }
  for (const pool of ["elsewhere", "here"] as const) {
    const router = new Router({ next: () => 0 });
    const options = { call: test.call, modelId: "m", table, busy, router, pool };
    await failureOf(() => forward(REQUEST, options));
  }
  assert.deepEqual(order, ["idle", "half busy", "own", "own", "idle", "half busy"]);
});

Deno.test("forward() says whether another target would be tried", async () => {
  const { table, run } = setup();
  const said: unknown[] = [];
  const upstream = (): Upstream => ({
    send: ({ hasAlternative }) => {
      said.push(hasAlternative);
      return Promise.reject(new UpstreamError("no", false));
    },
  });
  table.serve("m", upstream());
  for (const nodeId of ["b", "c", "d"]) {
    table.alsoServe("m", { nodeId, upstream: upstream(), slots: 1 });
  }
  await failureOf(run);
  assert.deepEqual(said, [true, true, undefined]);
});

Deno.test("forward() passes on what the most hopeful of several busy nodes says", async () => {
  const { table, run } = setup();
  table.targetsOf.set("m", []);
  const answers = [[502, "upstream_failed", ""], [429, "queue_full", "9"], [
    503,
    "model_loading",
    "5",
  ]];
  for (const [status, code, retry] of answers) {
    const upstream = new MemoryUpstream();
    void upstream.script({
      status: Number(status),
      headers: { "retry-after": String(retry) },
      whole: bytes(JSON.stringify({ error: { code, message: code } })),
    });
    table.alsoServe("m", { nodeId: String(code), upstream, slots: 1, isRemote: true });
  }
  const { response, target } = await run();
  assert.deepEqual([response.status, target.nodeId], [429, "queue_full"]);
});

Deno.test("forward() names each cause when every node failed", async () => {
  const { table, run } = setup();
  const far = new MemoryUpstream();
  void far.script({ status: 502, whole: bytes('{"error":{"message":"its engine died"}}') });
  table.serve("m", far);
  table.targetsOf.set("m", [
    { nodeId: "far", upstream: far, slots: 1, isRemote: true },
    { nodeId: "own", upstream: nowhere, slots: 1 },
  ]);
  const { code, message } = await failureOf(run);
  assert.equal(code, "upstream_failed");
  assert.match(message, /far: its engine died/);
  assert.match(message, /own: Cannot connect/);
});

Deno.test("forward() waits for a slot before it tries a target of the other pool", async () => {
  const { table, busy, router, test } = setup();
  const [far, own] = [new MemoryUpstream(), new MemoryUpstream()];
  table.serve("m", own);
  table.targetsOf.set("m", [
    { nodeId: "far", upstream: far, slots: 1, isRemote: true },
    { nodeId: "own", upstream: own, slots: 1 },
  ]);
  void far.script({ cut: "before the head" });
  void own.script({ whole: bytes("{}") });
  const slot = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<string>();
  const running = forward(REQUEST, {
    call: test.call,
    modelId: "m",
    table,
    busy,
    router,
    pool: "elsewhere",
    onMove: ({ nodeId }) => {
      asked.resolve(nodeId);
      return slot.promise;
    },
  });
  assert.equal(await asked.promise, "own");
  assert.equal(own.seen.length, 0);
  slot.resolve();
  assert.equal((await running).target.nodeId, "own");
});

Deno.test("forward() says that the queue here is full when all others failed", async () => {
  const { table, busy, router, test } = setup();
  table.targetsOf.set("m", [
    { nodeId: "far", upstream: nowhere, slots: 1, isRemote: true },
    { nodeId: "own", upstream: nowhere, slots: 1 },
  ]);
  const error = await failureOf(() =>
    forward(REQUEST, {
      call: test.call,
      modelId: "m",
      table,
      busy,
      router,
      pool: "elsewhere",
      onMove: () => Promise.reject(new DoorError("queue_full", "full", { retryAfterS: 3 })),
    })
  );
  assert.deepEqual([error.code, error.facts.retryAfterS], ["queue_full", 3]);
});

Deno.test("forward() asks nobody else once too much has failed", async () => {
  const { table, router, run } = setup();
  table.serve("m", nowhere);
  const second = new MemoryUpstream();
  table.alsoServe("m", { nodeId: "b", upstream: second, slots: 1 });
  while (router.mayRetry(0));
  const { message } = await failureOf(run);
  assert.match(message, /too much fails at once/);
  assert.equal(second.seen.length, 0);
});

Deno.test("forward() tells of retries, and avoids the target that failed for the next request", async () => {
  const { table, test, run } = setup();
  const [bad, good] = [new MemoryUpstream(), new MemoryUpstream()];
  table.serve("m", bad, { nodeId: "bad" });
  table.alsoServe("m", { nodeId: "good", upstream: good, slots: 4 });
  void bad.script({ cut: "before the head" });
  for (let i = 0; i < 2; i += 1) {
    void good.script({ whole: bytes("{}") });
    assert.equal((await run()).target.nodeId, "good");
  }
  assert.equal(bad.seen.length, 1);
  assert.deepEqual(test.events.filter(({ kind }) => kind === "retried").length, 1);
});

Deno.test("forward() has an engine's figures taken in when the answer is complete", async () => {
  const { table, router, run, test } = setup();
  const engine = new MemoryUpstream();
  table.serve("m", engine, { nodeId: "a" });
  void engine.script({ whole: bytes("{}") });
  assert.equal((await run()).onComplete, undefined, "where there is no choice, nothing is learned");
  table.alsoServe("m", { nodeId: "b", upstream: nowhere, slots: 1, isSuspect: true });
  void engine.script({ whole: bytes("{}") });
  const { onComplete } = await run();
  test.time.advance(500);
  onComplete?.(bytes('"timings":{"prompt_n":100,"prompt_ms":100000,"predicted_n":9}'));
  const target = { nodeId: "a", upstream: engine, slots: 1 };
  const { order } = router.rank({ model: "m", bodyBytes: 4 }, [{ target, busyCount: 0 }], 0);
  assert.ok((order[0]?.expectedMs ?? 0) >= 1_000);
});

Deno.test("forward() gives up a link in the middle only while the client has nothing yet", async () => {
  const { table, run } = setup();
  const asked: (() => boolean)[] = [];
  const first = Promise.withResolvers<void>();
  const upstream: Upstream = {
    send: ({ givesUp }) => {
      asked.push(givesUp ?? (() => false));
      const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
        async pull(controller) {
          await first.promise;
          controller.enqueue(bytes("data: 1\n\n"));
        },
      }, { highWaterMark: 0 });
      const headers = new Headers({ "content-type": "text/event-stream" });
      return Promise.resolve({ status: 200, headers, body });
    },
  };
  table.serve("m", upstream);
  table.alsoServe("m", { nodeId: "b", upstream: nowhere, slots: 1 });
  const running = run();
  assert.equal(asked[0]?.(), true);
  first.resolve();
  await running;
  assert.equal(asked[0]?.(), false);
});
