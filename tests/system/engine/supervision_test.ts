import assert from "node:assert/strict";
import { join } from "node:path";
import { freePorts } from "~/engine/io/free_port.ts";
import type { EngineSnapshot } from "~/node/engine_driver.ts";
import { type DrivenEngine, withDrivenEngine } from "#support/driven_engine.ts";
import { controlFake, fakeRecord, until } from "#support/fake_engine.ts";

const isReady = ({ phase }: EngineSnapshot) => phase === "ready";
const isFailed = ({ phase }: EngineSnapshot) => phase === "failed";

async function startReady(engine: DrivenEngine): Promise<number> {
  await engine.start();
  const { port } = await engine.when(isReady, "it is ready");
  return port ?? assert.fail("no port");
}

async function complete(
  engine: DrivenEngine,
  body: object,
  path = "/v1/chat/completions",
): Promise<Response> {
  const { port, apiKey } = engine.driver.endpoint() ?? assert.fail("not ready");
  return await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

function isGone(pid: number): boolean {
  try {
    return / [ZX] /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return true;
  }
}

Deno.test("a server comes up, answers with its key only, and stops", async () => {
  await withDrivenEngine({}, async (engine) => {
    const port = await startReady(engine);
    const response = await complete(engine, {});
    assert.equal(response.status, 200);
    await response.body?.cancel();
    const keyless = await fetch(`http://127.0.0.1:${port}/v1/models`);
    assert.equal(keyless.status, 401);
    await keyless.body?.cancel();
    const { pid = 0 } = engine.driver.snapshot;
    await engine.driver.stop();
    assert.ok(isGone(pid));
    assert.equal(engine.driver.snapshot.phase, "stopped");
  });
});

Deno.test("a server has no key in its arguments and nothing of ours in its environment", async () => {
  Deno.env.set("HF_TOKEN", "hf_test");
  try {
    await withDrivenEngine({}, async (engine) => {
      await startReady(engine);
      const [start] = await engine.starts();
      const { apiKey = "" } = engine.driver.endpoint() ?? {};
      assert.ok(apiKey.length === 64 && !JSON.stringify(start?.args).includes(apiKey));
      assert.ok(start?.env.includes("LLAMA_API_KEY"));
      assert.ok(!start?.env.includes("HF_TOKEN") && !start?.env.includes("HOME"));
    });
  } finally {
    Deno.env.delete("HF_TOKEN");
  }
});

Deno.test("a slow load is followed from its output until it is ready", async () => {
  const script = { load: { progress: [0, 0.3, 0.6], untilControl: true } };
  await withDrivenEngine({ script }, async (engine) => {
    await engine.start();
    const { port = 0 } = await engine.when(({ percent }) => percent === 60, "60 % are loaded");
    assert.equal(engine.driver.endpoint(), undefined);
    await controlFake(port, { finishLoading: true });
    await engine.when(isReady, "it is ready");
    const percents = engine.seen.map(({ percent }) => percent).filter((one) => one !== undefined);
    assert.deepEqual([...new Set(percents)].slice(0, 3), [0, 30, 60]);
  });
});

Deno.test("a crash while loading is tried again, then given up with the last words", async () => {
  const script = { load: { lines: ["error loading model: the tensor is missing"], exitCode: 1 } };
  await withDrivenEngine({ script }, async (engine) => {
    await engine.start();
    const { reason, lastLines } = await engine.when(isFailed, "it is given up");
    assert.match(reason ?? "", /before it was ready, exit status 1/);
    assert.ok(lastLines?.includes("error loading model: the tensor is missing"));
    assert.equal((await engine.starts()).length, 3);
  });
});

Deno.test("a crash while loading that does not come again is forgotten", async () => {
  const script = { load: { exitCode: 134, exitStarts: 1 } };
  await withDrivenEngine({ script }, async (engine) => {
    await startReady(engine);
    assert.equal(engine.driver.snapshot.restarts, 1);
  });
});

Deno.test("a crash while idle brings a new server", async () => {
  await withDrivenEngine({}, async (engine) => {
    const port = await startReady(engine);
    const { pid } = engine.driver.snapshot;
    await controlFake(port, { exit: 139 });
    await engine.when((snapshot) => isReady(snapshot) && snapshot.pid !== pid, "a new one is up");
    const restarting = engine.seen.find(({ phase }) => phase === "restarting");
    assert.match(restarting?.reason ?? "", /while it served, exit status 139/);
    const response = await complete(engine, {});
    assert.equal(response.status, 200);
    await response.body?.cancel();
  });
});

Deno.test("a crash in the middle of an answer is seen at once, and the next request is answered", async () => {
  const answers = { "/v1/completions": { kind: "stream", chunks: 8, crashAfter: 3 } } as const;
  await withDrivenEngine({ script: { answers } }, async (engine) => {
    await startReady(engine);
    const gone = engine.when(({ phase }) => phase === "restarting", "the crash is seen");
    const response = await complete(engine, { stream: true }, "/v1/completions");
    await assert.rejects(() => response.text());
    await gone;
    assert.equal(engine.driver.endpoint(), undefined);
    await engine.when(isReady, "a new one is up");
    const next = await complete(engine, { stream: true });
    assert.match(await next.text(), /\[DONE\]/);
  });
});

Deno.test("a server that crashes again and again under requests comes back each time", async () => {
  const restartBackoff = { baseMs: 1, capMs: 20 };
  await withDrivenEngine({ config: { crashesMax: 2, restartBackoff } }, async (engine) => {
    await engine.start();
    for (let crash = 1; crash <= 4; crash += 1) {
      const { port = 0, pid } = await engine.when(isReady, "it is ready");
      await controlFake(port, { exit: 134 });
      await engine.when((snapshot) => snapshot.pid !== pid, "the crash is seen");
    }
    await engine.when(isReady, "it is ready once more");
  });
});

Deno.test("a server that hangs is ended by force and replaced", async () => {
  await withDrivenEngine(
    { script: { ignoresSigterm: true, ignoresStdin: true } },
    async (engine) => {
      const port = await startReady(engine);
      const { pid = 0 } = engine.driver.snapshot;
      await controlFake(port, { isHealthHanging: true });
      await engine.when(({ phase }) => phase === "unhealthy", "the hang is seen");
      await engine.when((snapshot) => isReady(snapshot) && snapshot.pid !== pid, "a new one is up");
      assert.ok(isGone(pid));
    },
  );
});

Deno.test("stop() ends a server that ignores SIGTERM and its input", async () => {
  await withDrivenEngine(
    { script: { ignoresSigterm: true, ignoresStdin: true } },
    async (engine) => {
      await startReady(engine);
      const { pid = 0 } = engine.driver.snapshot;
      await engine.driver.stop();
      assert.ok(isGone(pid));
    },
  );
});

Deno.test("stop() ends a server that still loads", async () => {
  await withDrivenEngine({ script: { load: { untilControl: true } } }, async (engine) => {
    await engine.start();
    const { pid = 0 } = await engine.when(({ step }) => step === "loading", "it loads");
    await engine.driver.stop();
    assert.ok(isGone(pid));
  });
});

Deno.test("a load without any sign of life is given up", async () => {
  const script = { load: { untilControl: true } };
  await withDrivenEngine({ script, config: { stallMs: 300 } }, async (engine) => {
    await engine.start();
    const { reason } = await engine.when(isFailed, "it is given up");
    assert.match(reason ?? "", /silent/);
  });
});

Deno.test("a port that another program took is replaced by another one", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let isFirst = true;
  const ports = {
    take: () => {
      if (!isFirst) return freePorts.take();
      isFirst = false;
      return Promise.resolve(taken.addr.port);
    },
  };
  await withDrivenEngine({ ports }, async (engine) => {
    assert.notEqual(await startReady(engine), taken.addr.port);
    assert.equal(engine.driver.snapshot.restarts, 0);
    assert.equal((await engine.starts()).length, 2);
  });
});

Deno.test("another server that answers on the port is not taken for ours", async () => {
  await withDrivenEngine({}, async (stranger) => {
    const strangerPort = await startReady(stranger);
    let isFirst = true;
    const ports = {
      take: () => {
        if (!isFirst) return freePorts.take();
        isFirst = false;
        return Promise.resolve(strangerPort);
      },
    };
    await withDrivenEngine({ ports }, async (engine) => {
      assert.notEqual(await startReady(engine), strangerPort);
      assert.equal(engine.seen.filter(isReady).length, 1);
    });
  });
});

Deno.test("a request in hand does not make a busy server look sick", async () => {
  await withDrivenEngine({ script: { serviceMs: 600_000 } }, async (engine) => {
    const port = await startReady(engine);
    const controller = new AbortController();
    const { apiKey = "" } = engine.driver.endpoint() ?? {};
    const request = fetch(`http://127.0.0.1:${port}/v1/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}` },
      body: "{}",
      signal: controller.signal,
    }).catch(() => {});
    await until(async () => (await fakeRecord(port)).active === 1, "the request is in hand");
    const { healthLooks } = await fakeRecord(port);
    const isWatched = async () => (await fakeRecord(port)).healthLooks > healthLooks + 5;
    await until(isWatched, "the health is looked at several times");
    assert.equal(engine.driver.snapshot.phase, "ready");
    controller.abort();
    await request;
    await until(async () => (await fakeRecord(port)).aborted === 1, "the request is given up");
  });
});

Deno.test("the log of a server lies in the home", async () => {
  await withDrivenEngine({}, async (engine) => {
    await startReady(engine);
    await engine.driver.stop();
    const text = await Deno.readTextFile(join(engine.home, "logs", "llama-server.log"));
    assert.match(text, /load_model: loading model '\/models\/scripted.gguf'/);
    assert.ok(!text.includes("cmd_child_to_router"));
  });
});
