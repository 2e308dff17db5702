import assert from "node:assert/strict";
import { UserError } from "~/base/errors.ts";
import {
  EngineNotFoundError,
  type EngineSource,
  type EngineSources,
  findEngineIn,
  type SourceAnswer,
} from "~/engine/find.ts";
import type { EngineInstall } from "~/engine/install.ts";

function install(source: string): EngineInstall {
  const server = { command: "/x/llama-server", leadingArgs: [], env: {} };
  return { origin: "release", source, dir: "/x", server };
}

type Behaviour = "has" | "absent" | "fails" | (() => SourceAnswer);

/** Places that note who asked them. */
class Stage {
  readonly asked: string[] = [];
  readonly failures: string[] = [];
  locked = 0;
  allowDownload = true;
  controller = new AbortController();
  onLock: () => void = () => {};

  place(name: string, behaviour: Behaviour): EngineSource {
    const look = (): Promise<SourceAnswer> => {
      this.asked.push(name);
      if (typeof behaviour === "function") return Promise.resolve(behaviour());
      if (behaviour === "has") return Promise.resolve({ kind: "found", install: install(name) });
      if (behaviour === "absent") {
        return Promise.resolve({ kind: "absent", reason: `${name} has none` });
      }
      return Promise.reject(new UserError(`${name} is\nbroken`));
    };
    return { name, look };
  }

  find(sources: EngineSources): Promise<EngineInstall> {
    return findEngineIn(sources, {
      allowDownload: this.allowDownload,
      onSourceFailure: (source, reason) => void this.failures.push(`${source}: ${reason}`),
      signal: this.controller.signal,
      exclusively: async (work) => {
        this.locked += 1;
        this.onLock();
        return await work();
      },
    });
  }
}

Deno.test("findEngineIn() asks in order and stops at the first that has one", async () => {
  const stage = new Stage();
  const found = await stage.find({
    local: [stage.place("embedded", "absent"), stage.place("installed", "has")],
    remote: [stage.place("release", "has")],
    fallback: [stage.place("PATH", "has")],
  });
  assert.equal(found.source, "installed");
  assert.deepEqual(stage.asked, ["embedded", "installed"]);
  assert.equal(stage.locked, 0);
});

Deno.test("findEngineIn() prefers the release over Debian, and tells of each failure in one line", async () => {
  const stage = new Stage();
  const found = await stage.find({
    local: [stage.place("installed", "absent")],
    remote: [stage.place("release", "fails"), stage.place("debian", "has")],
    fallback: [],
  });
  assert.equal(found.source, "debian");
  assert.deepEqual(stage.failures, ["release: release is broken"]);
});

Deno.test("findEngineIn() obeys the named folder and asks nobody else", async () => {
  const stage = new Stage();
  const others = {
    local: [stage.place("installed", "has")],
    remote: [stage.place("release", "has")],
    fallback: [],
  };
  const found = await stage.find({ binDir: stage.place("folder", "has"), ...others });
  assert.equal(found.source, "folder");
  await assert.rejects(
    stage.find({ binDir: stage.place("folder", "fails"), ...others }),
    /folder is\nbroken/,
  );
  await assert.rejects(
    stage.find({ binDir: stage.place("folder", "absent"), ...others }),
    /folder has none/,
  );
  assert.deepEqual(stage.asked, ["folder", "folder", "folder"]);
});

Deno.test("findEngineIn() looks again after waiting: another start may have installed one", async () => {
  const stage = new Stage();
  let isInstalled = false;
  stage.onLock = () => isInstalled = true;
  const look = (): SourceAnswer =>
    isInstalled
      ? { kind: "found", install: install("installed") }
      : { kind: "absent", reason: "none yet" };
  const found = await stage.find({
    local: [stage.place("installed", look)],
    remote: [stage.place("release", "has")],
    fallback: [],
  });
  assert.equal(found.source, "installed");
  assert.deepEqual(stage.asked, ["installed", "installed"]);
});

Deno.test("findEngineIn() tells of a broken local place once, although it looks twice", async () => {
  const stage = new Stage();
  await stage.find({
    local: [stage.place("embedded", "fails")],
    remote: [stage.place("release", "has")],
    fallback: [],
  });
  assert.deepEqual(stage.failures, ["embedded: embedded is broken"]);
});

Deno.test("findEngineIn() fetches nothing when that is switched off", async () => {
  const stage = new Stage();
  stage.allowDownload = false;
  const found = await stage.find({
    local: [],
    remote: [stage.place("release", "has")],
    fallback: [stage.place("PATH", "has")],
  });
  assert.equal(found.source, "PATH");
  assert.deepEqual([stage.asked, stage.locked], [["PATH"], 0]);
});

Deno.test("findEngineIn() lists every place with its reason when none has one", async () => {
  const stage = new Stage();
  const searching = stage.find({
    local: [stage.place("embedded", "absent")],
    remote: [stage.place("release", "fails"), stage.place("debian", "absent")],
    fallback: [stage.place("PATH", "absent")],
  });
  await assert.rejects(searching, (error) => {
    assert.ok(error instanceof EngineNotFoundError && error instanceof UserError);
    assert.deepEqual(error.tried, [
      { source: "embedded", reason: "embedded has none" },
      { source: "release", reason: "release is broken" },
      { source: "debian", reason: "debian has none" },
      { source: "PATH", reason: "PATH has none" },
    ]);
    assert.match(error.message, /release: release is broken/);
    assert.match(error.message, /--bin-dir/);
    return true;
  });
  assert.deepEqual(stage.failures, ["release: release is broken"]);
});

Deno.test("findEngineIn() says what fetches when that is why it has none", async () => {
  const stage = new Stage();
  stage.allowDownload = false;
  const searching = stage.find({
    local: [],
    remote: [stage.place("release", "has")],
    fallback: [],
  });
  await assert.rejects(
    searching,
    /release: not asked; a start and mesh-llm engine install fetch from there/,
  );
});

Deno.test("findEngineIn() stops when told to, and blames no place for it", async () => {
  const stage = new Stage();
  const abort = (): SourceAnswer => {
    stage.controller.abort(new Error("stopped by the user"));
    throw new UserError("interrupted");
  };
  const searching = stage.find({
    local: [stage.place("installed", abort)],
    remote: [stage.place("release", "has")],
    fallback: [],
  });
  await assert.rejects(searching, /stopped by the user/);
  assert.deepEqual([stage.asked, stage.failures], [["installed"], []]);
});
