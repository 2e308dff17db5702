import assert from "node:assert/strict";
import { join } from "node:path";
import { withLock } from "~/base/io/lock.ts";
import { identifyProcess, isProcessAlive } from "~/base/io/process_identity.ts";

/** Only there so that a broken lock fails the test instead of hanging it. */
const DEADLINE_MS = 60_000;

async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-lock-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function runCode(code: string): Deno.ChildProcess {
  const config = new URL("../../../deno.json", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--config", config, "--ext=ts", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  void writer.write(new TextEncoder().encode(code)).then(() => writer.close());
  return child;
}

async function endedPid(): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), { args: ["--version"], stdout: "null" }).spawn();
  await child.status;
  return child.pid;
}

Deno.test("withLock() lets one call work at a time, within a process", async () => {
  await inTempDir(async (dir) => {
    let working = 0;
    let most = 0;
    const work = async () => {
      working += 1;
      most = Math.max(most, working);
      await Deno.stat(dir);
      working -= 1;
    };
    const path = join(dir, "lock");
    await Promise.all(Array.from({ length: 8 }, () => withLock(path, {}, work)));
    assert.equal(most, 1);
  });
});

Deno.test("withLock() lets one process work at a time", async () => {
  await inTempDir(async (dir) => {
    const counter = join(dir, "counter");
    await Deno.writeTextFile(counter, "0");
    const lockUrl = new URL("../../../lib/base/io/lock.ts", import.meta.url).href;
    // Reading and writing apart loses counts whenever two are inside at once.
    const code = `
      const { withLock } = await import(${JSON.stringify(lockUrl)});
      for (let round = 0; round < 5; round += 1) {
        await withLock(${JSON.stringify(join(dir, "lock"))}, {}, async () => {
          const count = Number(await Deno.readTextFile(${JSON.stringify(counter)}));
          await new Promise((resolve) => setTimeout(resolve, 5));
          await Deno.writeTextFile(${JSON.stringify(counter)}, String(count + 1));
        });
      }`;
    const results = await Promise.all([1, 2, 3].map(() => runCode(code).output()));
    assert.deepEqual(results.map((result) => result.code), [0, 0, 0]);
    assert.equal(await Deno.readTextFile(counter), "15");
  });
});

Deno.test("withLock() takes over what a dead process left behind", async () => {
  await inTempDir(async (dir) => {
    const path = join(dir, "lock");
    await Deno.writeTextFile(path, JSON.stringify({ pid: await endedPid() }));
    const signal = AbortSignal.timeout(DEADLINE_MS);
    assert.equal(await withLock(path, { signal }, () => Promise.resolve("done")), "done");
  });
});

Deno.test("withLock() takes over from a process whose id another one has now", async () => {
  if (Deno.build.os !== "linux") return;
  await inTempDir(async (dir) => {
    const path = join(dir, "lock");
    const self = await identifyProcess();
    await Deno.writeTextFile(path, JSON.stringify({ ...self, startTicks: 1 }));
    const signal = AbortSignal.timeout(DEADLINE_MS);
    assert.equal(await withLock(path, { signal }, () => Promise.resolve("done")), "done");
  });
});

Deno.test("withLock() takes over from a process of an earlier boot", async () => {
  if (Deno.build.os !== "linux") return;
  await inTempDir(async (dir) => {
    const path = join(dir, "lock");
    await Deno.writeTextFile(path, JSON.stringify({ pid: Deno.pid, bootId: "earlier" }));
    const signal = AbortSignal.timeout(DEADLINE_MS);
    assert.equal(await withLock(path, { signal }, () => Promise.resolve("done")), "done");
  });
});

Deno.test("withLock() takes a lock file that holds no owner as free", async () => {
  await inTempDir(async (dir) => {
    for (const text of ["", '{"pid":12', "null", '{"pid":-1}', "\u0000".repeat(5000)]) {
      const path = join(dir, "lock");
      await Deno.writeTextFile(path, text);
      const signal = AbortSignal.timeout(DEADLINE_MS);
      assert.equal(await withLock(path, { signal }, () => Promise.resolve("done")), "done");
    }
  });
});

Deno.test("withLock() tells once who holds it, and stops waiting when told to", async () => {
  await inTempDir(async (dir) => {
    const path = join(dir, "lock");
    await withLock(path, {}, async () => {
      const stop = new AbortController();
      const owners: number[] = [];
      const onWait = (owner: { pid: number }) => {
        owners.push(owner.pid);
        stop.abort(new Error("enough"));
      };
      const waiting = withLock(path, { signal: stop.signal, onWait }, () => Promise.resolve());
      await assert.rejects(waiting);
      assert.deepEqual(owners, [Deno.pid]);
    });
    assert.equal(await withLock(path, {}, () => Promise.resolve("free")), "free");
  });
});

Deno.test("withLock() is free again after its work failed", async () => {
  await inTempDir(async (dir) => {
    const path = join(dir, "lock");
    await assert.rejects(() => withLock(path, {}, () => Promise.reject(new Error("no"))), /no/);
    assert.equal(await withLock(path, {}, () => Promise.resolve("free")), "free");
    assert.deepEqual(await Array.fromAsync(Deno.readDir(dir)), []);
  });
});

Deno.test("identifyProcess() knows this process and no dead one", async () => {
  const self = await identifyProcess();
  assert.equal(self?.pid, Deno.pid);
  assert.ok(self !== undefined && await isProcessAlive(self));
  assert.equal(await identifyProcess(await endedPid()), undefined);
});

Deno.test("withLock() writes nothing through a link that others put in its place", async () => {
  await inTempDir(async (dir) => {
    await Deno.writeTextFile(join(dir, "precious"), "untouched");
    await Deno.symlink(join(dir, "precious"), join(dir, "lock"));
    await assert.rejects(withLock(join(dir, "lock"), {}, () => Promise.resolve()), /is a link/);
    assert.equal(await Deno.readTextFile(join(dir, "precious")), "untouched");
  });
});
