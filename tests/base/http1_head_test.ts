import assert from "node:assert/strict";
import fc from "fast-check";
import {
  hasConnectionOption,
  HeadCollector,
  HttpFormatError,
  readFraming,
  readHeader,
  readHeaders,
  textOf,
  valuesOf,
} from "~/base/http1_head.ts";

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

Deno.test("HeadCollector finds the end of a head, however the bytes are cut", () => {
  const line = fc.stringMatching(/^[a-z: \xe4]{1,20}$/);
  const lines = fc.array(line, { minLength: 1, maxLength: 8 });
  const cuts = fc.array(fc.nat({ max: 250 }), { maxLength: 10 });
  fc.assert(fc.property(lines, fc.string({ unit: "binary-ascii" }), cuts, (head, body, at) => {
    const bytes = bytesOf(`${head.join("\r\n")}\r\n\r\n${body}`);
    const ends = [...new Set(at.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
    const collector = new HeadCollector(1_000);
    let text: string | undefined;
    let rest = "";
    for (const [index, end] of [...ends, bytes.length].entries()) {
      const piece = bytes.subarray(ends[index - 1] ?? 0, end);
      if (text !== undefined) rest += textOf(piece);
      else {
        const cut = collector.push(piece);
        text = cut?.text;
        if (cut !== undefined) rest = textOf(cut.rest);
      }
    }
    assert.deepEqual([text, rest], [head.join("\r\n"), body]);
    assert.ok(!collector.hasBegun);
  }));
});

Deno.test("HeadCollector refuses a head that is too large, in one piece and in many", () => {
  const fits = bytesOf(`${"a".repeat(16)}\r\n\r\n`);
  assert.equal(new HeadCollector(20).push(fits)?.text.length, 16);
  const large = bytesOf(`${"a".repeat(17)}\r\n\r\n`);
  assert.throws(() => new HeadCollector(20).push(large), HttpFormatError);
  assert.throws(() => new HeadCollector(20).push(large.subarray(0, 21)), HttpFormatError);
  const dripping = new HeadCollector(20);
  assert.throws(() => {
    for (const byte of large) dripping.push(Uint8Array.of(byte));
  }, HttpFormatError);
});

Deno.test("HeadCollector holds no more of a flood than a head may have", () => {
  const collector = new HeadCollector(1_000);
  collector.push(bytesOf("a"));
  assert.throws(() => collector.push(new Uint8Array(10_000_000)), HttpFormatError);
});

Deno.test("readHeader() trims the value and lowers the name", () => {
  assert.deepEqual(readHeader("X-A:\t b  c \t"), ["x-a", "b  c"]);
  assert.deepEqual(readHeader("x-empty:"), ["x-empty", ""]);
  assert.deepEqual(readHeader("x-colon: a:b"), ["x-colon", "a:b"]);
  assert.deepEqual(readHeader("x-old: caf\xe9"), ["x-old", "caf\xe9"]);
});

const NO_HEADERS = [
  "nonsense",
  ": a",
  "a b: c",
  "a : b",
  " folded: b",
  "\tfolded",
  "",
  "ä: b",
  "a: b\0",
  "a: b\rc",
  "a: b\nc",
  "a: \x7f",
];

Deno.test("readHeader() refuses what is no header", () => {
  for (const line of NO_HEADERS) {
    assert.throws(() => readHeader(line), HttpFormatError, JSON.stringify(line));
  }
});

Deno.test("readHeader() gives back what Headers takes, or refuses", () => {
  const line = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
  });
  fc.assert(fc.property(line, (text) => {
    try {
      const [name, value] = readHeader(`x${text}`);
      assert.equal(new Headers([[name, value]]).get(name), value);
    } catch (error) {
      assert.ok(error instanceof HttpFormatError, String(error));
    }
  }));
});

Deno.test("readHeaders() takes 128 headers and no more", () => {
  const lines = ["GET / HTTP/1.1", ...Array.from({ length: 128 }, () => "a: b")];
  assert.equal(readHeaders(lines).length, 128);
  assert.throws(() => readHeaders([...lines, "a: b"]), HttpFormatError);
});

Deno.test("readFraming() knows a length, chunks, and neither", () => {
  assert.deepEqual(readFraming([]), { lengthBytes: undefined, isChunked: false });
  assert.deepEqual(readFraming([["content-length", "07"]]), { lengthBytes: 7, isChunked: false });
  assert.deepEqual(readFraming([["transfer-encoding", "Chunked"]]), {
    lengthBytes: undefined,
    isChunked: true,
  });
});

const TWO_WAYS: readonly (readonly [string, string])[][] = [
  [["content-length", "5"], ["content-length", "5"]],
  [["content-length", "5"], ["content-length", "6"]],
  [["content-length", "5, 5"]],
  [["content-length", "+5"]],
  [["content-length", "-1"]],
  [["content-length", "0x5"]],
  [["content-length", ""]],
  [["content-length", "9999999999999999"]],
  [["content-length", "5"], ["transfer-encoding", "chunked"]],
  [["transfer-encoding", "chunked"], ["transfer-encoding", "chunked"]],
  [["transfer-encoding", "chunked, chunked"]],
  [["transfer-encoding", "gzip, chunked"]],
  [["transfer-encoding", "identity"]],
  [["transfer-encoding", "chunked;a=b"]],
  [["transfer-encoding", ""]],
];

Deno.test("readFraming() refuses every length that can be read in two ways", () => {
  for (const headers of TWO_WAYS) {
    assert.throws(() => readFraming(headers), HttpFormatError, JSON.stringify(headers));
  }
});

Deno.test("valuesOf() and hasConnectionOption() look at all headers of a name", () => {
  const headers = [["connection", "keep-alive"], ["a", "1"], ["connection", "x, Close "]] as const;
  assert.deepEqual(valuesOf(headers, "connection"), ["keep-alive", "x, Close "]);
  assert.ok(hasConnectionOption(headers, "close"));
  assert.ok(!hasConnectionOption(headers, "lose"));
  assert.ok(!hasConnectionOption([["connection", "closed"]], "close"));
});

Deno.test("textOf() has one character for each byte, also for what no text has", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
    assert.equal(textOf(bytes), String.fromCharCode(...bytes));
  }));
});

Deno.test("readHeader() takes a value in UTF-8, byte by byte", () => {
  const line = textOf(new TextEncoder().encode("x-price: 5 €"));
  assert.deepEqual(readHeader(line), ["x-price", "5 \xe2\x82\xac"]);
});
