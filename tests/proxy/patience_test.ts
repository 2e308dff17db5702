import assert from "node:assert/strict";
import { type OnSilence, Patience, type Silence } from "~/proxy/patience.ts";
import { UpstreamError } from "~/proxy/ports.ts";

function suspicion(): {
  readonly subscribe: OnSilence;
  readonly raise: (silence?: Silence) => void;
  readonly count: () => number;
} {
  const listeners = new Set<(silence: Silence) => void>();
  return {
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    raise: (silence = "suspect") => listeners.forEach((listener) => listener(silence)),
    count: () => listeners.size,
  };
}

Deno.test("Patience ends with the caller's abort, and says so once", () => {
  const abort = new AbortController();
  const patience = new Patience(abort.signal);
  const told: UpstreamError[] = [];
  patience.onOver((why) => told.push(why));
  abort.abort(new Error("gone"));
  assert.equal(told.length, 1);
  assert.match(patience.why?.message ?? "", /cancelled/);
  patience.onOver((why) => told.push(why));
  assert.equal(told.length, 2);
});

Deno.test("Patience ends when the link is suspect, but not after the answer began", async () => {
  const one = suspicion();
  const early = new Patience(new AbortController().signal);
  early.endOn(one.subscribe);
  const over = early.whenOver();
  one.raise();
  await assert.rejects(over, (error) => error instanceof UpstreamError && !error.isConnectFailure);

  const other = suspicion();
  const late = new Patience(new AbortController().signal);
  late.endOn(other.subscribe);
  late.onAnswer();
  assert.equal(other.count(), 0);
  other.raise();
  assert.equal(late.why, undefined);
});

Deno.test("Patience keeps no listener on a link that was suspect at once", () => {
  let ended = 0;
  const patience = new Patience(new AbortController().signal);
  patience.endOn((listener) => {
    listener("suspect");
    return () => ended += 1;
  });
  assert.notEqual(patience.why, undefined);
  assert.equal(ended, 1);
});

Deno.test("Patience hears nothing after release()", () => {
  const abort = new AbortController();
  const one = suspicion();
  const patience = new Patience(abort.signal);
  patience.endOn(one.subscribe);
  patience.release();
  abort.abort();
  one.raise();
  assert.equal(patience.why, undefined);
});

Deno.test("Patience asks whether a suspect link is to be given up in the middle of an answer", () => {
  const one = suspicion();
  const patience = new Patience(new AbortController().signal);
  patience.endOn(one.subscribe, () => false);
  one.raise();
  assert.equal(patience.why, undefined, "nobody else could answer");
  let isWorthless = false;
  patience.onAnswer({ givesUp: () => isWorthless });
  one.raise();
  assert.equal(patience.why, undefined, "nobody else could go on");
  isWorthless = true;
  one.raise();
  assert.match(String(patience.why), /Nothing is heard/);
});

Deno.test("Patience tells of a quiet link in the middle of an answer, and does not end for it", () => {
  const one = suspicion();
  const patience = new Patience(new AbortController().signal);
  let told = 0;
  patience.endOn(one.subscribe);
  one.raise("quiet");
  patience.onAnswer({ givesUp: () => true, onQuiet: () => told += 1 });
  assert.deepEqual([told, patience.why], [0, undefined], "there is no answer to go on with yet");
  one.raise("quiet");
  assert.deepEqual([told, patience.why], [1, undefined]);
  one.raise("suspect");
  one.raise("quiet");
  assert.equal(told, 1, "it is over");
});

Deno.test("Patience ends on a silent link, whatever it is worth", () => {
  const one = suspicion();
  const patience = new Patience(new AbortController().signal);
  patience.endOn(one.subscribe, () => false);
  patience.onAnswer({ givesUp: () => false });
  one.raise();
  assert.equal(patience.why, undefined);
  one.raise("silent");
  assert.match(String(patience.why), /Nothing is heard/);
});
