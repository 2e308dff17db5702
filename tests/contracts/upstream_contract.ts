/**
 * What every {@link Upstream} must do. Run over each implementation, with a scripted engine behind it.
 */
import assert from "node:assert/strict";
import { UpstreamError, type UpstreamRequest } from "~/proxy/ports.ts";
import { type UpstreamFixture, wholeOf } from "#support/engine_script.ts";

/** Registers the suite. */
export function testUpstreamContract(
  name: string,
  open: () => Promise<UpstreamFixture>,
): void {
  for (const [what, run] of Object.entries(CASES)) {
    Deno.test(`${name} ${what}`, async () => {
      await using fixture = await open();
      await run(fixture);
    });
  }
}

const CASES: Readonly<Record<string, (fixture: UpstreamFixture) => Promise<void>>> = {
  "carries method, path, headers and body": async (fixture) => {
    const seen = fixture.script({ whole: bytesOf('{"ok":true}') });
    const response = await fixture.upstream.send(
      post('{"a":1}', { "x-request-id": "r1" }),
      never(),
    );
    const { method, path, headers, body } = await seen;
    assert.deepEqual([method, path], ["POST", "/v1/completions"]);
    assert.equal(headers.get("content-type"), "application/json");
    assert.equal(headers.get("x-request-id"), "r1");
    assert.equal(textOf(body), '{"a":1}');
    assert.equal(response.status, 200);
    assert.equal(textOf(await wholeOf(response.body)), '{"ok":true}');
  },

  "hands over a small answer as bytes": async (fixture) => {
    void fixture.script({ whole: bytesOf("short"), headers: { "content-type": "text/plain" } });
    const response = await fixture.upstream.send(post("{}"), never());
    assert.ok(response.body instanceof Uint8Array);
    assert.equal(textOf(response.body), "short");
    assert.equal(response.headers.get("content-type"), "text/plain");
  },

  "passes statuses and error bodies on": async (fixture) => {
    void fixture.script({ status: 501, whole: bytesOf('{"error":{}}') });
    const response = await fixture.upstream.send(post("{}"), never());
    assert.equal(response.status, 501);
    assert.equal(textOf(await wholeOf(response.body)), '{"error":{}}');
  },

  "keeps back what concerns only the connection, and the engine's own CORS": async (fixture) => {
    void fixture.script({
      whole: bytesOf("{}"),
      headers: {
        "access-control-allow-origin": "*",
        "set-cookie": "a=b",
        "server": "llama.cpp",
        "keep-alive": "timeout=5",
      },
    });
    const { headers } = await fixture.upstream.send(post("{}"), never());
    const kept = ["access-control-allow-origin", "set-cookie", "server", "keep-alive"]
      .filter((header) => headers.has(header));
    assert.deepEqual(kept, []);
  },

  "streams pieces as they come": async (fixture) => {
    const second = Promise.withResolvers<void>();
    void fixture.script({
      async *pieces() {
        yield bytesOf("one ");
        await second.promise;
        yield bytesOf("two");
      },
    });
    const { body } = await fixture.upstream.send(post("{}"), never());
    assert.ok(body instanceof ReadableStream);
    const reader = body.getReader();
    assert.equal(textOf((await reader.read()).value), "one ");
    second.resolve();
    assert.equal(textOf((await reader.read()).value), "two");
    assert.equal((await reader.read()).done, true);
  },

  "delivers a large answer without a byte changed": async (fixture) => {
    const large = Uint8Array.from({ length: 1_000_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
    void fixture.script({ whole: large });
    const { body } = await fixture.upstream.send(post("{}"), never());
    assert.deepEqual(Buffer.compare(await wholeOf(body), large), 0);
  },

  "fails the stream when the engine breaks off": async (fixture) => {
    void fixture.script({
      async *pieces() {
        await Promise.resolve();
        yield bytesOf("one");
      },
      cut: "after the pieces",
    });
    const { body } = await fixture.upstream.send(post("{}"), never());
    assert.ok(body instanceof ReadableStream);
    await assert.rejects(wholeOf(body), UpstreamError);
  },

  "delivers what came before the engine broke off": async (fixture) => {
    void fixture.script({
      async *pieces() {
        await Promise.resolve();
        yield bytesOf("last words");
      },
      cut: "after the pieces",
    });
    const { body } = await fixture.upstream.send(post("{}"), never());
    assert.ok(body instanceof ReadableStream);
    // Long enough for the end to have arrived too, before anything is taken.
    for (let turn = 0; turn < 50; turn += 1) await new Promise((turned) => setTimeout(turned, 0));
    const reader = body.getReader();
    assert.equal(textOf((await reader.read()).value), "last words");
    await assert.rejects(reader.read(), UpstreamError);
  },

  "rejects when the engine cuts the connection before its answer": async (fixture) => {
    void fixture.script({ cut: "before the head" });
    await assert.rejects(fixture.upstream.send(post("{}"), never()), UpstreamError);
  },

  "knows a failure to connect, which another target may make good": async (fixture) => {
    await assert.rejects(
      fixture.nowhere.send(post("{}"), never()),
      (error) => error instanceof UpstreamError && error.isConnectFailure,
    );
  },

  "cancels the engine's work when aborted before the answer": async (fixture) => {
    const seen = fixture.script({ isSilent: true });
    const abort = new AbortController();
    const sent = fixture.upstream.send(post("{}"), abort.signal);
    const { cancelled } = await seen;
    abort.abort(new Error("gone"));
    await assert.rejects(sent, UpstreamError);
    await cancelled;
  },

  "cancels the engine's work when the stream is cancelled": async (fixture) => {
    const seen = fixture.script({ pieces: endless });
    const { body } = await fixture.upstream.send(post("{}"), never());
    const { cancelled } = await seen;
    assert.ok(body instanceof ReadableStream);
    const reader = body.getReader();
    await reader.read();
    await reader.cancel();
    await cancelled;
  },

  "fails the stream and cancels the work when aborted in the middle": async (fixture) => {
    const seen = fixture.script({ pieces: endless });
    const abort = new AbortController();
    const { body } = await fixture.upstream.send(post("{}"), abort.signal);
    const { cancelled } = await seen;
    abort.abort(new Error("gone"));
    assert.ok(body instanceof ReadableStream);
    await assert.rejects(wholeOf(body), UpstreamError);
    await cancelled;
  },

  "does not send at all when aborted already": async (fixture) => {
    const signal = AbortSignal.abort(new Error("gone"));
    await assert.rejects(fixture.upstream.send(post("{}"), signal), UpstreamError);
  },

  "reads a stream only as fast as it is taken": async (fixture) => {
    let written = 0;
    const seen = fixture.script({
      async *pieces() {
        for (;;) {
          await Promise.resolve();
          written += 64 * 1024;
          yield new Uint8Array(64 * 1024);
        }
      },
    });
    const { body } = await fixture.upstream.send(post("{}"), never());
    const { cancelled } = await seen;
    // It stands still at last: between two looks, however many turns apart, nothing more is written.
    let before = -1;
    while (before !== written) {
      before = written;
      for (let turn = 0; turn < 200; turn += 1) await new Promise((turned) => setImmediate(turned));
    }
    assert.ok(written < 32 * 1024 * 1024, `wrote ${written} bytes to a reader that took none`);
    assert.ok(body instanceof ReadableStream);
    await body.cancel();
    await cancelled;
  },
};

function post(body: string, headers: Record<string, string> = {}): UpstreamRequest {
  return {
    method: "POST",
    path: "/v1/completions",
    headers: new Headers({ "content-type": "application/json", ...headers }),
    body: bytesOf(body),
  };
}

async function* endless(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (;;) {
    yield bytesOf("data: x\n\n");
    await new Promise((turned) => setImmediate(turned));
  }
}

function never(): AbortSignal {
  return new AbortController().signal;
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function textOf(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes);
}
