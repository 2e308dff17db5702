/** The near end of a request, with a far end that does what it likes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { wholeOf } from "#support/engine_script.ts";
import { MemoryPeerStream } from "#support/memory_peer_stream.ts";
import { turns } from "#support/peer_pair.ts";
import type { JsonObject } from "~/base/json.ts";
import { Patience } from "~/proxy/patience.ts";
import { PeerExchange } from "~/proxy/peer_exchange.ts";
import { UpstreamError, type UpstreamResponse } from "~/proxy/ports.ts";

interface Asked {
  readonly near: MemoryPeerStream;
  readonly far: MemoryPeerStream;
  readonly patience: Patience;
  readonly abort: AbortController;
  readonly answer: Promise<UpstreamResponse>;
}

function ask(body = "{}"): Asked {
  const [near, far] = MemoryPeerStream.pair();
  const abort = new AbortController();
  const patience = new Patience(abort.signal);
  const bytes = new TextEncoder().encode(body);
  const answer = new PeerExchange(near, patience).ask({
    path: "/v1/completions",
    headers: new Headers(),
    model: "tiny",
    sizeBytes: bytes.length,
    to: undefined,
    hops: 0,
    isContinuation: false,
  }, bytes);
  // Tests look at it later.
  answer.catch(() => {});
  return { near, far, patience, abort, answer };
}

function answerHead(change: JsonObject = {}): JsonObject {
  return { t: "answer", status: 200, headers: [], ...change };
}

async function failureOf(answer: Promise<UpstreamResponse>): Promise<UpstreamError> {
  const error = await answer.then(({ body }) => wholeOf(body)).then(() => undefined, (e) => e);
  assert.ok(error instanceof UpstreamError, `not an UpstreamError: ${error}`);
  return error;
}

Deno.test("PeerExchange writes head, body and END", async () => {
  const { far } = ask("[1]");
  const head = await far.read();
  assert.equal(head?.kind === "head" && head.head["model"], "tiny");
  const data = await far.read();
  assert.equal(data?.kind === "data" && new TextDecoder().decode(data.bytes), "[1]");
  assert.equal(await far.read(), undefined);
});

const HOSTILE: Readonly<Record<string, (far: MemoryPeerStream) => Promise<void>>> = {
  "data before the head": (far) => far.writeText("data"),
  "END before the head": (far) => far.end(),
  "a break before the head": (far) => Promise.resolve(far.cancel()),
  "status 99": (far) => far.writeHead(answerHead({ status: 99 })),
  "status 100": (far) => far.writeHead(answerHead({ status: 100 })),
  "status 1000": (far) => far.writeHead(answerHead({ status: 1000 })),
  "a head that injects a header": (far) =>
    far.writeHead(answerHead({ headers: [["content-type", "text/plain\r\nset-cookie: a=b"]] })),
  "a huge head": (far) =>
    far.writeHead(answerHead({ headers: [["content-type", "a".repeat(60_000)]] })),
  "a head of another kind": (far) => far.writeHead({ t: "request" }),
  "a break for an answer": (far) => far.writeHead({ t: "broken", message: "no" }),
  "a second head": async (far) => {
    await far.writeHead(answerHead());
    await far.writeHead(answerHead());
  },
  "a break after the head": async (far) => {
    await far.writeHead(answerHead());
    await far.writeText("some");
    far.cancel();
  },
  "a lost link in the middle": async (far) => {
    await far.writeHead(answerHead());
    await far.writeText("some");
    far.cutOff();
  },
  "an empty piece": async (far) => {
    await far.writeHead(answerHead());
    await far.write({ kind: "data", bytes: new Uint8Array(0) });
  },
  "less than announced": async (far) => {
    await far.writeHead(answerHead({ headers: [["content-length", "5"]] }));
    await far.writeText("four");
    await far.end();
  },
  "more than announced": async (far) => {
    await far.writeHead(answerHead({ headers: [["content-length", "5"]] }));
    await far.writeText("sixsix");
    await far.end();
  },
  "more than announced, for long": async (far) => {
    await far.writeHead(answerHead({ headers: [["content-length", "100000"]] }));
    await far.writeText("x".repeat(100_001));
    await far.end();
  },
};
for (const [what, play] of Object.entries(HOSTILE)) {
  Deno.test(`PeerExchange fails and frees the stream on ${what}`, async () => {
    const { far, near, answer } = ask();
    // Whether the near end gave up in the middle of it is not of interest here.
    const playing = play(far).catch(() => {});
    const error = await failureOf(answer);
    await playing;
    assert.equal(error.isConnectFailure, false, "something may have been computed");
    assert.ok(near.isCancelled || near.broken.aborted);
  });
}

Deno.test("PeerExchange takes a whole answer as bytes, and settles", async () => {
  const { far, near, answer, patience } = ask();
  await far.writeHead(answerHead({ headers: [["content-length", "5"]] }));
  await far.writeText("he");
  await far.writeText("llo");
  await far.end();
  const { body } = await answer;
  assert.ok(body instanceof Uint8Array);
  assert.equal(new TextDecoder().decode(body), "hello");
  await turns();
  assert.equal(near.isCancelled, false);
  assert.equal(far.broken.aborted, false);
  assert.equal(patience.why, undefined);
});

Deno.test("PeerExchange knows a refusal: nothing was computed", async () => {
  const { far, answer } = ask();
  const text = JSON.stringify({ error: { message: "not\r\nallowed" } });
  const headers = [["content-length", String(text.length)]];
  await far.writeHead(answerHead({ status: 403, refusal: "forbidden", headers }));
  await far.writeText(text);
  await far.end();
  const error = await failureOf(answer);
  assert.equal(error.isConnectFailure, true);
  assert.equal(error.message, "not  allowed");
});

for (const headers of [[], [["content-length", "100000000"]]]) {
  Deno.test(`PeerExchange reads no long words of a refusal (${headers.length})`, async () => {
    const { far, near, answer } = ask();
    await far.writeHead(answerHead({ status: 503, refusal: "busy", headers }));
    const error = await failureOf(answer);
    assert.equal(error.isConnectFailure, true);
    assert.match(error.message, /busy/);
    assert.equal(near.isCancelled, true);
  });
}

Deno.test("PeerExchange gives up the rest of a request that was answered early", async () => {
  const { far, near, answer } = ask("x".repeat(1_000_000));
  await far.read();
  await far.writeHead(answerHead({ status: 413, headers: [["content-length", "2"]] }));
  await far.writeText("{}");
  await far.end();
  const { status, body } = await answer;
  assert.equal(status, 413);
  assert.equal(new TextDecoder().decode(await wholeOf(body)), "{}");
  assert.equal(near.isCancelled, true);
});

Deno.test("PeerExchange cancels when its caller aborts, before and after the head", async () => {
  const before = ask();
  before.abort.abort(new Error("gone"));
  assert.match((await failureOf(before.answer)).message, /cancelled/);
  assert.equal(before.far.broken.aborted, true);

  const after = ask();
  await after.far.writeHead(answerHead());
  const { body } = await after.answer;
  after.abort.abort(new Error("gone"));
  await assert.rejects(wholeOf(body), /cancelled/);
  assert.equal(after.far.broken.aborted, true);
});

Deno.test("PeerExchange ends with an answer or an UpstreamError, whatever frames come", async () => {
  const frames = fc.array(
    fc.oneof(
      fc.dictionary(fc.constantFrom("t", "status", "headers", "message"), fc.jsonValue())
        .map((head) => ({ kind: "head" as const, head: head as JsonObject })),
      fc.constant({ kind: "head" as const, head: answerHead() }),
      fc.uint8Array({ maxLength: 20 })
        .map((bytes) => ({ kind: "data" as const, bytes: new Uint8Array(bytes) })),
    ),
    { maxLength: 6 },
  );
  await fc.assert(
    fc.asyncProperty(frames, fc.boolean(), async (list, isEnded) => {
      const { far, answer } = ask();
      for (const frame of list) await far.write(frame).catch(() => {});
      if (isEnded) await far.end().catch(() => {});
      else far.cancel();
      await answer.then(({ body }) => wholeOf(body)).catch((error) => {
        assert.ok(error instanceof UpstreamError, String(error));
      });
    }),
    { numRuns: 300 },
  );
});
