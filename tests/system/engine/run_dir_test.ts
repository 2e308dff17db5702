import assert from "node:assert/strict";
import { join } from "node:path";
import { cleanOrphans, findRunningNode, HomeInUseError, openRunDir } from "~/engine/io/run_dir.ts";
import { markProcess } from "~/engine/io/process_mark.ts";
import type { ProcessMark } from "~/engine/run_record.ts";

async function withHome(use: (home: string) => Promise<void>): Promise<void> {
  const home = await Deno.makeTempDir();
  try {
    await use(home);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/** A process of ours in a group of its own, ended at the end of the test if nobody else does. */
class Sleeper implements AsyncDisposable {
  readonly #child = new Deno.Command("/bin/sleep", { args: ["600"], detached: true }).spawn();

  get pid(): number {
    return this.#child.pid;
  }

  /** How it ended; waits for that. */
  get status(): Promise<Deno.CommandStatus> {
    return this.#child.status;
  }

  isAlive(): boolean {
    try {
      return !/ [ZX] /.test(Deno.readTextFileSync(`/proc/${this.pid}/stat`));
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // Somebody else ended it.
    }
    await this.#child.status;
  }
}

/** Marks of a process that has ended. */
async function deadMark(): Promise<ProcessMark> {
  await using sleeper = new Sleeper();
  return await markProcess(sleeper.pid) ?? assert.fail("no process");
}

/** A folder as a mesh-llm that was killed leaves it. */
async function leaveFolder(
  home: string,
  owner: ProcessMark,
  children: readonly ProcessMark[],
): Promise<string> {
  const dir = join(home, "run", String(owner.pid));
  await Deno.mkdir(dir, { recursive: true });
  await Deno.writeTextFile(join(dir, "owner.json"), JSON.stringify({ process: owner }));
  for (const [index, process] of children.entries()) {
    const text = JSON.stringify({ process, name: "llama-server" });
    await Deno.writeTextFile(join(dir, `${process.pid + index}.json`), text);
  }
  return dir;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

Deno.test("openRunDir() makes a folder that only its owner can read, close() removes it", async () => {
  await withHome(async (home) => {
    const runDir = await openRunDir(home);
    assert.equal(runDir.path, join(home, "run", String(Deno.pid)));
    const { mode } = await Deno.stat(join(runDir.path, "owner.json"));
    assert.equal((mode ?? 0) & 0o777, 0o600);
    await runDir.close();
    assert.equal(await exists(runDir.path), false);
  });
});

Deno.test("cleanOrphans() ends what a dead mesh-llm left behind, and removes its folder", async () => {
  await withHome(async (home) => {
    await using orphan = new Sleeper();
    const mark = await markProcess(orphan.pid) ?? assert.fail("no process");
    const dir = await leaveFolder(home, await deadMark(), [mark]);
    const ended = await cleanOrphans(home);
    assert.deepEqual(ended.map(({ process }) => process.pid), [orphan.pid]);
    assert.equal((await orphan.status).signal, "SIGKILL");
    assert.equal(await exists(dir), false);
  });
});

Deno.test("cleanOrphans() never touches a process that is not ours, whatever a record says", async () => {
  await withHome(async (home) => {
    await using other = new Sleeper();
    const mark = await markProcess(other.pid) ?? assert.fail("no process");
    const forged: ProcessMark[] = [
      { pid: other.pid },
      { ...mark, started: "1" },
      { ...mark, bootId: "another boot" },
      { pid: other.pid, bootId: mark.bootId ?? "" },
      { pid: other.pid, started: mark.started ?? "" },
    ];
    const dir = await leaveFolder(home, await deadMark(), forged);
    assert.deepEqual(await cleanOrphans(home), []);
    assert.ok(other.isAlive());
    assert.equal(await exists(dir), false);
  });
});

Deno.test("cleanOrphans() leaves the children of a living owner alone", async () => {
  await withHome(async (home) => {
    await using owner = new Sleeper();
    await using child = new Sleeper();
    const [ownerMark, childMark] = await Promise.all(
      [owner, child].map(({ pid }) => markProcess(pid)),
    );
    assert.ok(ownerMark !== undefined && childMark !== undefined);
    const dir = await leaveFolder(home, ownerMark, [childMark]);
    assert.deepEqual(await cleanOrphans(home), []);
    assert.ok(child.isAlive() && await exists(dir));
  });
});

Deno.test("cleanOrphans() leaves a folder alone whose owner lives and whose record says nothing", async () => {
  await withHome(async (home) => {
    await using owner = new Sleeper();
    await using child = new Sleeper();
    const childMark = await markProcess(child.pid) ?? assert.fail("no process");
    const dir = await leaveFolder(home, { pid: owner.pid }, [childMark]);
    await Deno.writeTextFile(join(dir, "owner.json"), '{"format":"of a later version"}');
    assert.deepEqual(await cleanOrphans(home), []);
    assert.ok(child.isAlive() && await exists(dir));
  });
});

Deno.test("cleanOrphans() survives folders full of nonsense", async () => {
  await withHome(async (home) => {
    const dir = join(home, "run", "999999999");
    await Deno.mkdir(join(dir, "5.json"), { recursive: true });
    await Deno.mkdir(join(home, "run", "not-a-number"));
    await Deno.writeTextFile(join(home, "run", "12"), "a file");
    await Deno.writeTextFile(join(dir, "owner.json"), "{");
    await Deno.writeTextFile(join(dir, "1.json"), '{"process":{"pid":-1},"name":"x"}');
    await Deno.writeTextFile(join(dir, "2.json"), "x".repeat(100_000));
    assert.deepEqual(await cleanOrphans(home), []);
    assert.equal(await exists(dir), false);
    assert.equal(await exists(join(home, "run", "not-a-number")), true);
  });
});

Deno.test("noteChild() keeps a record while the process runs", async () => {
  await withHome(async (home) => {
    const runDir = await openRunDir(home);
    await using child = new Sleeper();
    const forget = await runDir.noteChild(child.pid, "llama-server");
    const path = join(runDir.path, `${child.pid}.json`);
    const record = JSON.parse(await Deno.readTextFile(path));
    assert.deepEqual(record, { process: await markProcess(child.pid), name: "llama-server" });
    await forget();
    assert.equal(await exists(path), false);
  });
});

Deno.test("openRunDir() refuses a home on which another node runs", async () => {
  await withHome(async (home) => {
    await using other = new Sleeper();
    await leaveFolder(home, await markProcess(other.pid) ?? assert.fail("no process"), []);
    await assert.rejects(
      () => openRunDir(home),
      (error) => error instanceof HomeInUseError && error.pid === other.pid,
    );
    assert.equal(await exists(join(home, "run", String(Deno.pid))), false);
  });
});

Deno.test("openRunDir() lets a throw-away node on a home that is in use", async () => {
  await withHome(async (home) => {
    await using other = new Sleeper();
    await leaveFolder(home, await markProcess(other.pid) ?? assert.fail("no process"), []);
    const runDir = await openRunDir(home, { isEphemeral: true });
    assert.equal((await findRunningNode(home))?.pid, other.pid);
    await runDir.close();
  });
});

Deno.test("openRunDir() takes the home of a node that was killed", async () => {
  await withHome(async (home) => {
    await leaveFolder(home, await deadMark(), []);
    const runDir = await openRunDir(home);
    assert.deepEqual(await names(join(home, "run")), [String(Deno.pid)]);
    await runDir.close();
  });
});

Deno.test("findRunningNode() tells how the node of a home is reached", async () => {
  await withHome(async (home) => {
    assert.equal(await findRunningNode(home), undefined);
    await using node = new Sleeper();
    const process = await markProcess(node.pid) ?? assert.fail("no process");
    const dir = await leaveFolder(home, process, []);
    const owner = { process, isEphemeral: false, apiPort: 9337, consolePort: 3131 };
    await Deno.writeTextFile(join(dir, "owner.json"), JSON.stringify(owner));
    const found = await findRunningNode(home);
    assert.deepEqual(found, { pid: node.pid, isCertain: true, apiPort: 9337, consolePort: 3131 });
  });
});

Deno.test("findRunningNode() is not certain of a process of which only the id was noted", async () => {
  await withHome(async (home) => {
    await using other = new Sleeper();
    await leaveFolder(home, { pid: other.pid }, []);
    assert.deepEqual(await findRunningNode(home), { pid: other.pid, isCertain: false });
  });
});

Deno.test("noteDoors() adds the doors to the owner's record", async () => {
  await withHome(async (home) => {
    const runDir = await openRunDir(home);
    await runDir.noteDoors({ apiPort: 9337 });
    await runDir.noteDoors({ consolePort: 3131 });
    const owner = JSON.parse(await Deno.readTextFile(join(runDir.path, "owner.json")));
    assert.deepEqual([owner.apiPort, owner.consolePort], [9337, 3131]);
    assert.equal(owner.process.pid, Deno.pid);
    await runDir.close();
  });
});

Deno.test("of two nodes that start at once on one home, one is refused", async () => {
  await withHome(async (home) => {
    const script = `
      import { openRunDir } from "~/engine/io/run_dir.ts";
      try { await openRunDir(${JSON.stringify(home)}); console.log("open"); }
      catch (error) { console.log(error.name); }
      await Deno.stdin.readable.pipeTo(new WritableStream());`;
    const config = join(import.meta.dirname ?? ".", "..", "..", "..", "deno.json");
    const nodes = [0, 1].map(() =>
      new Deno.Command(Deno.execPath(), {
        args: ["eval", `--config=${config}`, script],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn()
    );
    const words = await Promise.all(nodes.map((node) => firstWord(node)));
    assert.deepEqual(words.sort(), ["HomeInUseError", "open"]);
    for (const node of nodes) {
      await node.stdin.close();
      await node.status;
    }
  });
});

async function firstWord(node: Deno.ChildProcess): Promise<string> {
  let text = "";
  const reader = node.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!text.includes("\n")) {
    const part = await reader.read();
    if (part.done) break;
    text += part.value;
  }
  await reader.cancel();
  return text.trim();
}

async function names(dir: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(dir)) if (!name.startsWith(".")) found.push(name);
  return found.sort();
}
