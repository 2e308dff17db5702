import assert from "node:assert/strict";
import { join } from "node:path";
import { LogFile } from "~/engine/io/log_file.ts";

async function withTempDir(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("LogFile goes on where an earlier one ended", async () => {
  await withTempDir(async (dir) => {
    const path = join(dir, "logs", "x.log");
    for (const line of ["one", "two"]) {
      const log = new LogFile(path);
      log.write(line);
      await log.close();
    }
    assert.equal(await Deno.readTextFile(path), "one\ntwo\n");
  });
});

Deno.test("LogFile keeps two files at most, each within its size", async () => {
  await withTempDir(async (dir) => {
    const path = join(dir, "x.log");
    const log = new LogFile(path, { fileBytesMax: 100 });
    for (let number = 100; number < 200; number += 1) log.write(`line ${number}`);
    await log.close();
    const [latest, before] = await Promise.all(
      [path, `${path}.1`].map((p) => Deno.readTextFile(p)),
    );
    assert.ok(latest !== undefined && latest.endsWith("line 199\n") && latest.length <= 100);
    assert.equal(before?.length, 99);
    const files: string[] = [];
    for await (const { name } of Deno.readDir(dir)) files.push(name);
    assert.deepEqual(files.sort(), ["x.log", "x.log.1"]);
  });
});

Deno.test("LogFile drops lines that the disk cannot take in time, and says how many", async () => {
  await withTempDir(async (dir) => {
    const path = join(dir, "x.log");
    const log = new LogFile(path);
    for (let number = 0; number < 2500; number += 1) log.write(`line ${number}`);
    await log.close();
    log.write("end");
    await log.close();
    const lines = (await Deno.readTextFile(path)).split("\n");
    assert.equal(lines[1999], "line 1999");
    assert.deepEqual(lines.slice(2000), ["(500 lines were dropped)", "end", ""]);
  });
});

Deno.test("LogFile that cannot be written costs nothing but its lines", async () => {
  await withTempDir(async (dir) => {
    await Deno.writeTextFile(join(dir, "file"), "");
    const log = new LogFile(join(dir, "file", "x.log"));
    log.write("lost");
    await log.close();
    assert.equal(await Deno.readTextFile(join(dir, "file")), "");
  });
});
