import assert from "node:assert/strict";
import { join } from "node:path";
import { engineProcesses } from "~/engine/io/child_process.ts";
import { until } from "#support/fake_engine.ts";
import {
  type ContractProgram,
  testEngineProcesses,
  type WithSubject,
} from "../../contracts/engine_processes.ts";

const SCRIPTS: Record<ContractProgram, string> = {
  talker: "echo one; echo two >&2; sleep 0.05; printf three; exit 3",
  waiter: "echo ready; exec sleep 600",
  stubborn: 'trap "" TERM; echo ready; while :; do sleep 600; done',
  quoter: 'echo ready; while [ ! -e "$0" ]; do sleep 0.01; done; echo "my diary"',
  missing: "",
};

async function withTempDir<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await Deno.makeTempDir();
  try {
    return await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const NO_RECORDS = { noteChild: () => Promise.resolve(() => Promise.resolve()) };

function realSubject(usesSetpriv: boolean): WithSubject {
  return (use) =>
    withTempDir(async (dir) => {
      const flag = join(dir, "may-quote");
      await use({
        processes: engineProcesses({
          runDir: NO_RECORDS,
          logPath: join(dir, "logs", "x.log"),
          usesSetpriv,
        }),
        order: (program) =>
          program === "missing"
            ? { command: join(dir, "missing"), args: [] }
            : { command: "/bin/sh", args: ["-c", SCRIPTS[program], flag] },
        mayQuote: () => Deno.writeTextFile(flag, ""),
      });
    });
}

testEngineProcesses("engineProcesses() without setpriv", realSubject(false));

/** With `setpriv` a missing program is known only from its exit status. */
testEngineProcesses("engineProcesses()", (use) =>
  realSubject(true)((subject) =>
    use({
      ...subject,
      processes: {
        spawn: async (order) => {
          const process = await subject.processes.spawn(order);
          if (order.name !== "missing") return process;
          const { code, lastLines } = await process.exited;
          assert.equal(code, 127, lastLines.join("\n"));
          throw new Error("No such program");
        },
      },
    })
  ));

Deno.test("engineProcesses() gives a program nothing of our environment", async () => {
  Deno.env.set("MESH_TEST_SECRET", "1");
  try {
    const lines: string[] = [];
    const process = await engineProcesses({ runDir: NO_RECORDS }).spawn({
      name: "env",
      command: "/usr/bin/env",
      args: [],
      env: { WANTED: "yes" },
      onLine: (line) => lines.push(line),
    });
    await process.exited;
    assert.deepEqual(lines.filter((line) => !line.startsWith("PATH=")), ["WANTED=yes"]);
  } finally {
    Deno.env.delete("MESH_TEST_SECRET");
  }
});

Deno.test("engineProcesses() notes a process while it runs, and forgets it after", async () => {
  const notes: string[] = [];
  const process = await engineProcesses({
    runDir: {
      noteChild: (pid, name) => {
        notes.push(`+${name} ${pid}`);
        return Promise.resolve(() => Promise.resolve(void notes.push(`-${pid}`)));
      },
    },
  }).spawn({ name: "cat", command: "/bin/cat", args: [], env: {}, onLine: () => {} });
  assert.deepEqual(notes, [`+cat ${process.pid}`]);
  process.kill("SIGTERM");
  await process.exited;
  assert.deepEqual(notes, [`+cat ${process.pid}`, `-${process.pid}`]);
});

Deno.test("engineProcesses() lets no process live that it cannot note", async () => {
  let pid = 0;
  const processes = engineProcesses({
    runDir: {
      noteChild: (child) => {
        pid = child;
        return Promise.reject(new Error("The disk is full"));
      },
    },
  });
  const order = { name: "x", command: "/bin/sleep", args: ["600"], env: {}, onLine: () => {} };
  await assert.rejects(() => processes.spawn(order), /disk is full/);
  assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound);
});

Deno.test("kill() ends what a process started, too", async () => {
  const child = Promise.withResolvers<number>();
  const process = await engineProcesses({ runDir: NO_RECORDS }).spawn({
    name: "sh",
    command: "/bin/sh",
    args: ["-c", "sleep 600 & echo $!; wait"],
    env: {},
    onLine: (line) => child.resolve(Number(line)),
  });
  const grandchild = await child.promise;
  process.kill("SIGKILL");
  await process.exited;
  await until(() => isGone(grandchild), "the grandchild ends");
});

Deno.test("kill() ends a server that follows its input and ignores signals", async () => {
  const ready = Promise.withResolvers<void>();
  const process = await engineProcesses({ runDir: NO_RECORDS }).spawn({
    name: "sh",
    command: "/bin/sh",
    args: ["-c", 'trap "" TERM; echo ready; cat; exit 7'],
    env: {},
    onLine: () => ready.resolve(),
  });
  await ready.promise;
  process.kill("SIGTERM");
  assert.equal((await process.exited).code, 7);
});

Deno.test("the log holds the output, can be read by its owner only, and is bounded", async () => {
  await withTempDir(async (dir) => {
    const logPath = join(dir, "logs", "llama-server.log");
    const process = await engineProcesses({ runDir: NO_RECORDS, logPath }).spawn({
      name: "sh",
      command: "/bin/sh",
      args: ["-c", "for i in 1 2 3; do echo line $i; done"],
      env: {},
      onLine: () => {},
    });
    await process.exited;
    assert.equal(await Deno.readTextFile(logPath), "line 1\nline 2\nline 3\n");
    assert.equal(((await Deno.stat(logPath)).mode ?? 0) & 0o777, 0o600);
  });
});

Deno.test("a process that prints without end costs bounded memory and keeps its last lines", async () => {
  let count = 0;
  const process = await engineProcesses({ runDir: NO_RECORDS }).spawn({
    name: "sh",
    command: "/bin/sh",
    args: ["-c", "seq 1 50000; head -c 300000 /dev/zero | tr '\\0' x; echo; echo end"],
    env: {},
    onLine: () => count += 1,
  });
  const { lastLines } = await process.exited;
  assert.equal(count, 50_002);
  assert.ok(lastLines.length <= 200);
  assert.equal(lastLines.at(-1), "end");
  assert.equal(lastLines.at(-2)?.length, 4096);
});

function isGone(pid: number): boolean {
  try {
    return / [ZX] /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return true;
  }
}
