import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ANSWER_BYTES_MEMBER,
  chatRequest,
  downloadRequest,
  EventCounter,
  getRequest,
  LARGE_BODY_BYTES,
  PACE_MS,
  PAUSE_MEMBER,
  postRequest,
  SENT_MEMBER,
  sentTimes,
  type Shape,
  STREAM_CHUNKS,
  uploadRequest,
} from "../../../tasks/bench/requests.ts";

const DECODER = new TextDecoder();
const TARGET = { port: 9337, model: "tiny" };

function read(request: Uint8Array): { head: string; body: string } {
  const [head = "", body = ""] = DECODER.decode(request).split("\r\n\r\n");
  return { head, body };
}

Deno.test("postRequest() announces the bytes of its body, not its characters", () => {
  const { head, body } = read(postRequest(TARGET, { text: "Grüße, 世界" }));
  assert.ok(head.startsWith("POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:9337\r\n"));
  assert.ok(head.includes(`content-length: ${new TextEncoder().encode(body).length}`));
});

Deno.test("requests carry a key only where there is one", () => {
  assert.ok(!read(getRequest(TARGET, "/v1/models")).head.includes("authorization"));
  assert.ok(
    read(getRequest({ ...TARGET, key: "k1" }, "/v1/models")).head.includes(
      "\r\nauthorization: Bearer k1",
    ),
  );
});

Deno.test("getRequest() ends with an empty line", () => {
  const text = DECODER.decode(getRequest(TARGET, "/api/status"));
  assert.ok(text.startsWith("GET /api/status HTTP/1.1\r\n"));
  assert.ok(text.endsWith("\r\n\r\n"));
});

Deno.test("chatRequest() asks for what its shape says", () => {
  const body = (shape: Shape) => JSON.parse(read(chatRequest(TARGET, shape)).body);
  assert.equal(body("small").model, "tiny");
  assert.equal(body("small").stream, undefined);
  assert.equal(body("stream").stream, true);
  assert.equal(body("stream").max_tokens, STREAM_CHUNKS);
  assert.equal(body("stream")[PAUSE_MEMBER], undefined);
  assert.equal(body("paced")[PAUSE_MEMBER], PACE_MS);
});

Deno.test("large questions are about as long as asked, and large answers are asked for by a member", () => {
  const up = read(uploadRequest(TARGET, LARGE_BODY_BYTES));
  assert.ok(up.body.length > LARGE_BODY_BYTES && up.body.length < LARGE_BODY_BYTES + 200);
  assert.equal(JSON.parse(up.body).messages[0].content.length, LARGE_BODY_BYTES);
  const down = read(downloadRequest(TARGET, 12_345));
  assert.equal(JSON.parse(down.body)[ANSWER_BYTES_MEMBER], 12_345);
});

Deno.test("EventCounter counts ends of events, wherever the stream is cut", () => {
  const text = "data: a\n\ndata: b\ndata: c\n\n: note\n\ndata: [DONE]\n\n";
  fc.assert(
    fc.property(fc.array(fc.nat(text.length)), (places) => {
      const borders = [0, ...places, text.length].sort((a, b) => a - b);
      const counter = new EventCounter();
      for (const [index, border] of borders.slice(1).entries()) {
        counter.add(new TextEncoder().encode(text.slice(borders[index], border)));
      }
      assert.equal(counter.count, 4);
    }),
  );
});

Deno.test("EventCounter counts no event that has not ended, and forgets on reset()", () => {
  const counter = new EventCounter();
  counter.add(new TextEncoder().encode("data: a\n\ndata: b\n"));
  assert.equal(counter.count, 1);
  counter.reset();
  counter.add(new TextEncoder().encode("\ndata: c\n\n"));
  assert.equal(counter.count, 1);
});

Deno.test("sentTimes() reads microseconds as milliseconds", () => {
  const event = (us: number) => `data: {"${SENT_MEMBER}":${us},"x":1}\n\n`;
  assert.deepEqual(sentTimes(event(1_500_000) + event(2_000_500)), [1500, 2000.5]);
  assert.deepEqual(sentTimes("data: [DONE]\n\n"), []);
});
