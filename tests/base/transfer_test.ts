import assert from "node:assert/strict";
import fc from "fast-check";
import {
  DownloadError,
  followRedirect,
  isPartUsable,
  isPassingStatus,
  isSha256,
  judgeAnswer,
  parseContentRange,
  parsePartRecord,
  parseRetryAfter,
  type PartRecord,
  shownUrl,
  strongEtag,
} from "~/base/transfer.ts";

const URL_A = "https://models.example/a.gguf";
const DIGEST = "ab".repeat(32);

function answer(status: number, headers: Record<string, string> = {}) {
  return { status, headers: new Headers(headers) };
}

Deno.test("shownUrl() hides queries, fragments and users", () => {
  assert.equal(
    shownUrl("https://me:pw@host.example:8443/a?token=x#y"),
    "https://host.example:8443/a",
  );
  assert.equal(shownUrl("no address"), "an address that is no URL");
});

Deno.test("DownloadError() names the place without its secrets", () => {
  const error = new DownloadError("status", "the server answered 403", {
    url: "https://host.example/file?signature=secret",
    status: 403,
  });
  assert.equal(
    error.message,
    "Cannot download https://host.example/file: the server answered 403",
  );
  assert.equal(error.status, 403);
  assert.ok(!JSON.stringify(error).includes("secret"));
});

Deno.test("parsePartRecord() gives back what was kept", () => {
  const record: PartRecord = { url: URL_A, etag: '"v1"', sha256: DIGEST, totalBytes: 12 };
  assert.deepEqual(parsePartRecord(JSON.stringify(record)), record);
  assert.deepEqual(parsePartRecord(JSON.stringify({ url: URL_A })), { url: URL_A });
});

Deno.test("parsePartRecord() drops fields that make no sense and never throws", () => {
  const text = JSON.stringify({ url: URL_A, etag: 'W/"v"', sha256: "short", totalBytes: -1 });
  assert.deepEqual(parsePartRecord(text), { url: URL_A });
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (any) => {
    const record = parsePartRecord(any);
    assert.ok(record === undefined || typeof record.url === "string");
  }));
});

Deno.test("isPartUsable() trusts a digest wherever the bytes came from", () => {
  const record = { url: "https://mirror.example/b", sha256: DIGEST };
  assert.ok(isPartUsable(record, 5, { url: URL_A, expectedSha256: DIGEST }));
  assert.ok(!isPartUsable(record, 5, { url: URL_A, expectedSha256: "cd".repeat(32) }));
  assert.ok(!isPartUsable(record, 5, { url: record.url }));
});

Deno.test("isPartUsable() wants the same place and tag when there is no digest", () => {
  assert.ok(isPartUsable({ url: URL_A, etag: '"v1"' }, 5, { url: URL_A }));
  assert.ok(!isPartUsable({ url: URL_A }, 5, { url: URL_A }));
  assert.ok(!isPartUsable({ url: URL_A, etag: '"v1"' }, 5, { url: `${URL_A}?other` }));
  assert.ok(!isPartUsable({ url: URL_A, etag: '"v1"' }, 5, { url: URL_A, expectedSha256: DIGEST }));
});

Deno.test("isPartUsable() refuses nothing, no record, and more than the whole", () => {
  const wanted = { url: URL_A, expectedSha256: DIGEST };
  assert.ok(!isPartUsable(undefined, 5, wanted));
  assert.ok(!isPartUsable({ url: URL_A, sha256: DIGEST }, 0, wanted));
  assert.ok(!isPartUsable({ url: URL_A, sha256: DIGEST, totalBytes: 4 }, 5, wanted));
  assert.ok(!isPartUsable({ url: URL_A, sha256: DIGEST }, 5, { ...wanted, expectedBytes: 4 }));
});

Deno.test("judgeAnswer() takes a whole from the start, whatever was asked", () => {
  const whole = answer(200, { "content-length": "10" });
  assert.deepEqual(judgeAnswer(whole, 0), { kind: "take", atByte: 0, totalBytes: 10 });
  assert.deepEqual(judgeAnswer(whole, 5), { kind: "take", atByte: 0, totalBytes: 10 });
});

Deno.test("judgeAnswer() does not believe the length of a compressed body", () => {
  const packed = answer(200, { "content-length": "10", "content-encoding": "gzip" });
  assert.deepEqual(judgeAnswer(packed, 0), { kind: "take", atByte: 0 });
});

Deno.test("judgeAnswer() takes a part only where it belongs", () => {
  const part = answer(206, { "content-range": "bytes 5-9/10" });
  assert.deepEqual(judgeAnswer(part, 5), { kind: "take", atByte: 5, totalBytes: 10 });
  assert.deepEqual(judgeAnswer(part, 4), { kind: "start-over" });
  assert.deepEqual(judgeAnswer(part, 0), { kind: "start-over" });
  assert.deepEqual(judgeAnswer(answer(206), 5), { kind: "start-over" });
  assert.deepEqual(judgeAnswer(answer(416), 5), { kind: "start-over" });
});

Deno.test("judgeAnswer() refuses every other status and passes on the wish to wait", () => {
  assert.deepEqual(judgeAnswer(answer(404), 0), { kind: "refuse", status: 404 });
  assert.deepEqual(judgeAnswer(answer(416), 0), { kind: "refuse", status: 416 });
  const busy = answer(503, { "retry-after": "7" });
  assert.deepEqual(judgeAnswer(busy, 0), { kind: "refuse", status: 503, retryAfterMs: 7000 });
});

Deno.test("isPassingStatus() tells busy from wrong", () => {
  assert.deepEqual([408, 425, 429, 500, 503].map(isPassingStatus), Array(5).fill(true));
  assert.deepEqual([400, 401, 403, 404, 410, 451].map(isPassingStatus), Array(6).fill(false));
});

Deno.test("parseContentRange() reads what servers send", () => {
  assert.deepEqual(parseContentRange("bytes 0-0/1"), { startByte: 0, endByte: 0, totalBytes: 1 });
  assert.deepEqual(parseContentRange(" bytes 5-9/* "), { startByte: 5, endByte: 9 });
  for (
    const bad of ["", "bytes */5", "bytes 5-4/9", "bytes 0-9/9", "bytes -1-2/3", "items 0-1/2"]
  ) {
    assert.equal(parseContentRange(bad), undefined, bad);
  }
});

Deno.test("parseContentRange() gives ranges that lie inside their whole", () => {
  fc.assert(fc.property(fc.nat(), fc.nat(), fc.nat(), (start, end, total) => {
    const range = parseContentRange(`bytes ${start}-${end}/${total}`);
    assert.equal(range !== undefined, start <= end && end < total);
  }));
  fc.assert(fc.property(fc.string(), (any) => void parseContentRange(any)));
});

Deno.test("parseRetryAfter() is bounded and leaves dates alone", () => {
  assert.equal(parseRetryAfter("2"), 2000);
  assert.equal(parseRetryAfter("999999999"), 30_000);
  for (const none of [null, "", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"]) {
    assert.equal(parseRetryAfter(none), undefined);
  }
});

Deno.test("strongEtag() takes no weak tag and nothing that could break a header", () => {
  assert.equal(strongEtag('"abc-1"'), '"abc-1"');
  for (const bad of [null, "", "abc", 'W/"abc"', '"a b"', '"a"b"', `"${"x".repeat(300)}"`, '"ä"']) {
    assert.equal(strongEtag(bad), undefined);
  }
});

Deno.test("followRedirect() keeps secrets with the server that they were meant for", () => {
  const headers = new Headers({ authorization: "Bearer x", cookie: "c", range: "bytes=5-" });
  const from = { url: "https://hub.example/a", headers };
  const same = followRedirect(from, "/b");
  assert.equal(same.url, "https://hub.example/b");
  assert.equal(same.headers.get("authorization"), "Bearer x");
  for (const target of ["https://cdn.example/b", "https://hub.example:444/b"]) {
    const other = followRedirect(from, target);
    assert.equal(other.headers.get("authorization"), null);
    assert.equal(other.headers.get("cookie"), null);
    assert.equal(other.headers.get("range"), "bytes=5-");
  }
  assert.equal(headers.get("authorization"), "Bearer x");
});

Deno.test("followRedirect() goes to https or to the same scheme only", () => {
  const open = { url: "http://127.0.0.1:1234/a", headers: new Headers() };
  assert.equal(followRedirect(open, "http://127.0.0.1:9/b").url, "http://127.0.0.1:9/b");
  assert.equal(followRedirect(open, "https://hub.example/b").url, "https://hub.example/b");
  const encrypted = { url: "https://hub.example/a", headers: new Headers() };
  const isRedirect = (error: unknown) =>
    error instanceof DownloadError && error.failure === "redirect";
  for (const target of ["http://hub.example/b", "file:///etc/passwd", "data:,x", null]) {
    assert.throws(() => followRedirect(encrypted, target), isRedirect);
  }
});

Deno.test("isSha256() wants 64 lower-case digits", () => {
  assert.ok(isSha256(DIGEST));
  assert.ok(!isSha256(DIGEST.toUpperCase()) && !isSha256(DIGEST.slice(1)) && !isSha256(""));
});
