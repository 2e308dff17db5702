import assert from "node:assert/strict";
import { join } from "node:path";
import { readAptSources, resolveMirrorList } from "~/engine/io/apt_sources.ts";

async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-apt-" });
  try {
    await Deno.mkdir(join(dir, "sources.list.d"));
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function stanza(uri: string): string {
  return `Types: deb\nURIs: ${uri}\nSuites: sid\nComponents: main\n`;
}

async function urisIn(dir: string): Promise<string[]> {
  return (await readAptSources(dir)).flatMap(({ uris }) => uris);
}

Deno.test("readAptSources() reads both formats, in apt's order, and no other files", async () => {
  await inTempDir(async (dir) => {
    const write = (name: string, text: string) => Deno.writeTextFile(join(dir, name), text);
    await write("sources.list", "deb http://first.example/ sid main\n");
    await write("sources.list.d/b.sources", stanza("http://third.example/"));
    await write("sources.list.d/a.list", "deb http://second.example/ sid main\n");
    await write("sources.list.d/a.list.save", "deb http://old.example/ sid main\n");
    await write("sources.list.d/note.txt", "deb http://note.example/ sid main\n");
    assert.deepEqual(await urisIn(dir), [
      "http://first.example/",
      "http://second.example/",
      "http://third.example/",
    ]);
  });
});

Deno.test("readAptSources() finds nothing on a machine without apt", async () => {
  await inTempDir(async (dir) => {
    assert.deepEqual(await readAptSources(join(dir, "absent")), []);
    assert.deepEqual(await readAptSources(dir), []);
  });
});

Deno.test("readAptSources() passes over what is too large or no file", async () => {
  await inTempDir(async (dir) => {
    await Deno.writeTextFile(join(dir, "sources.list"), "deb http://a.example/ sid main\n");
    const large = `${"# filler\n".repeat(40_000)}${stanza("http://large.example/")}`;
    await Deno.writeTextFile(join(dir, "sources.list.d", "large.sources"), large);
    await Deno.mkdir(join(dir, "sources.list.d", "folder.list"));
    assert.deepEqual(await urisIn(dir), ["http://a.example/"]);
  });
});

Deno.test("resolveMirrorList() takes the first web address of a list of mirrors", async () => {
  await inTempDir(async (dir) => {
    const list = join(dir, "mirrors");
    await Deno.writeTextFile(
      list,
      "# nearest first\nhttps://a.example/debian\thttp://b.example/\n",
    );
    const facts = { isTrusted: false, signedBy: "/etc/key.gpg" };
    for (const uri of [`mirror+file:${list}`, `mirror+file://${list}`]) {
      assert.deepEqual(await resolveMirrorList({ uri, ...facts }), {
        uri: "https://a.example/debian",
        ...facts,
      });
    }
  });
});

Deno.test("resolveMirrorList() leaves other mirrors, and lists that are not there, as they are", async () => {
  await inTempDir(async (dir) => {
    for (const uri of ["http://a.example/debian", `mirror+file:${join(dir, "absent")}`]) {
      const mirror = { uri, isTrusted: false };
      assert.deepEqual(await resolveMirrorList(mirror), mirror);
    }
  });
});
