import assert from "node:assert/strict";
import { type RaceLostError, raceWays } from "~/node/mesh/dial_race.ts";
import { VirtualTime } from "#support/virtual_time.ts";

/** Attempts that the test ends as it likes. */
class Attempts {
  readonly time = new VirtualTime();
  readonly started: string[] = [];
  readonly discarded: string[] = [];
  readonly aborted: string[] = [];
  readonly #pending = new Map<string, PromiseWithResolvers<string>>();

  run(ways: readonly string[], signal?: AbortSignal): Promise<string> {
    return raceWays<string, string>({
      ways,
      attempt: (way, ended) => this.#attempt(way, ended),
      discard: (won) => this.discarded.push(won),
      nameOf: (way) => way,
      timers: this.time,
      staggerMs: 100,
      limitMs: 1000,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async win(way: string): Promise<void> {
    this.#pending.get(way)?.resolve(`${way} won`);
    await settled();
  }

  async fail(way: string, why: string): Promise<void> {
    this.#pending.get(way)?.reject(new Error(why));
    await settled();
  }

  #attempt(way: string, signal: AbortSignal): Promise<string> {
    this.started.push(way);
    signal.addEventListener("abort", () => this.aborted.push(way));
    const pending = Promise.withResolvers<string>();
    this.#pending.set(way, pending);
    return pending.promise;
  }
}

/** Lets everything that waits for promises only come to rest. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

Deno.test("the first way that works wins, and the others are given up", async () => {
  const attempts = new Attempts();
  const race = attempts.run(["one", "two", "three"]);
  attempts.time.advance(100);
  assert.deepEqual(attempts.started, ["one", "two"]);
  await attempts.win("two");
  assert.equal(await race, "two won");
  assert.deepEqual(attempts.aborted, ["one", "two"]);
  await attempts.win("one");
  assert.deepEqual(attempts.discarded, ["one won"]);
  assert.equal(attempts.time.pendingCount, 0);
});

Deno.test("a way that fails makes room for the next at once", async () => {
  const attempts = new Attempts();
  const race = attempts.run(["one", "two"]);
  await attempts.fail("one", "refused");
  assert.deepEqual(attempts.started, ["one", "two"]);
  await attempts.win("two");
  assert.equal(await race, "two won");
});

Deno.test("when all fail, the message names each with its cause", async () => {
  const attempts = new Attempts();
  const race = assert.rejects(attempts.run(["one", "two"]), (error: RaceLostError) => {
    assert.equal(error.message, "one: refused; two: wrong leaf");
    assert.equal(error.causes.length, 2);
    return true;
  });
  await attempts.fail("one", "refused");
  await attempts.fail("two", "wrong leaf");
  await race;
});

Deno.test("ways that say nothing end with the limit", async () => {
  const attempts = new Attempts();
  const race = assert.rejects(attempts.run(["one", "two"]), {
    name: "RaceLostError",
    message: "one: no answer in 1000 ms; two: no answer in 1000 ms",
  });
  attempts.time.advance(1000);
  await race;
  assert.deepEqual(attempts.aborted, ["one", "two"]);
});

Deno.test("no way at all is lost at once", async () => {
  await assert.rejects(new Attempts().run([]), { message: "there is no address" });
});

Deno.test("a race can be given up from outside", async () => {
  const attempts = new Attempts();
  const outside = new AbortController();
  const race = assert.rejects(attempts.run(["one"], outside.signal), {
    message: "one: it was given up",
  });
  outside.abort();
  await race;
  assert.deepEqual(attempts.aborted, ["one"]);
});
