import assert from "node:assert/strict";
import fc from "fast-check";
import { joined } from "~/base/bytes.ts";
import { HttpFormatError } from "~/base/http1_head.ts";
import { ResponseParser } from "~/proxy/http1_response.ts";

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

interface Parsed {
  readonly parser: ResponseParser;
  readonly body: string;
}

/** Parses `text` cut at the given places, as a network may deliver it. */
function parse(text: string, cuts: readonly number[] = []): Parsed {
  const bytes = ENCODER.encode(text);
  const parser = new ResponseParser();
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const pieces = [...at, bytes.length].map((end, index) => bytes.subarray(at[index - 1] ?? 0, end));
  const body = joined(pieces.map((piece) => parser.push(piece)));
  return { parser, body: DECODER.decode(body) };
}

function chunked(pieces: readonly string[]): string {
  const coded = pieces.filter((piece) => piece !== "").map((piece) =>
    `${ENCODER.encode(piece).length.toString(16)}\r\n${piece}\r\n`
  );
  return `${coded.join("")}0\r\n\r\n`;
}

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;

Deno.test("ResponseParser reads an answer of known length", () => {
  const { parser, body } = parse(`${OK}Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello`);
  assert.deepEqual(parser.head, {
    status: 200,
    headers: [["content-type", "text/plain"], ["content-length", "5"]],
    lengthBytes: 5,
  });
  assert.equal(body, "hello");
  assert.ok(parser.isComplete && parser.mayKeepConnection);
});

Deno.test("ResponseParser reads a chunked answer, with extensions and trailers", () => {
  const { parser, body } = parse(
    `${CHUNKED}5;a=b\r\nhello\r\n06 \r\n world\r\n0\r\nX-End: 1\r\n\r\n`,
  );
  assert.equal(body, "hello world");
  assert.ok(parser.mayKeepConnection);
});

Deno.test("ResponseParser reads to the end of the connection where no length is told", () => {
  const { parser, body } = parse(`${OK}\r\nall of it`);
  assert.equal(body, "all of it");
  assert.ok(!parser.isComplete);
  parser.end();
  assert.ok(parser.isComplete && !parser.mayKeepConnection);
});

Deno.test("ResponseParser knows answers without a body", () => {
  for (const status of ["204 No Content", "304 Not Modified"]) {
    const { parser } = parse(`HTTP/1.1 ${status}\r\nContent-Length: 9\r\n\r\n`);
    assert.ok(parser.isComplete, status);
  }
  const head = new ResponseParser({ hasBody: false });
  head.push(ENCODER.encode(`${OK}Content-Length: 9\r\n\r\n`));
  assert.ok(head.isComplete);
  assert.ok(parse(`${OK}Content-Length: 0\r\n\r\n`).parser.isComplete);
});

Deno.test("ResponseParser skips informational answers, but not without end", () => {
  const interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\n";
  assert.equal(parse(`${interim}${OK}Content-Length: 1\r\n\r\nx`).body, "x");
  assert.throws(() => parse("HTTP/1.1 100 Continue\r\n\r\n".repeat(17)), HttpFormatError);
  assert.throws(() => parse("HTTP/1.1 101 Switching Protocols\r\n\r\n"), HttpFormatError);
});

Deno.test("ResponseParser gives up the connection where the engine does", () => {
  const closing = `${OK}Connection: Close\r\nContent-Length: 1\r\n\r\nx`;
  assert.ok(!parse(closing).parser.mayKeepConnection);
  const old = "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx";
  assert.ok(parse(old).parser.isComplete && !parse(old).parser.mayKeepConnection);
});

Deno.test("ResponseParser.end() tells an answer that was cut", () => {
  const cut = [
    "",
    OK,
    `${OK}Content-Length: 5\r\n\r\nhell`,
    `${CHUNKED}5\r\nhello\r\n`,
    `${CHUNKED}5\r\nhello\r\n0\r\n`,
  ];
  for (const text of cut) {
    assert.throws(() => parse(text).parser.end(), HttpFormatError, JSON.stringify(text));
  }
});

const REFUSED = {
  "not HTTP": "SSH-2.0-OpenSSH\r\n\r\n",
  "another version": "HTTP/2 200 OK\r\n\r\n",
  "a status of two digits": "HTTP/1.1 20 OK\r\n\r\n",
  "a header without a colon": `${OK}nonsense\r\n\r\n`,
  "a space before the colon": `${OK}A : b\r\n\r\n`,
  "a folded header": `${OK}A: b\r\n c\r\n\r\n`,
  "two lengths": `${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`,
  "a negative length": `${OK}Content-Length: -1\r\n\r\n`,
  "a length beyond all files": `${OK}Content-Length: 99999999999999999999\r\n\r\n`,
  "length and chunks": `${OK}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
  "an unknown coding": `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n`,
  "a chunk without a size": `${CHUNKED}\r\n`,
  "a chunk of 2^60 bytes": `${CHUNKED}1000000000000000\r\n`,
  "a chunk that is longer than it says": `${CHUNKED}1\r\nab\r\n`,
  "a chunk line with a bare line feed": `${CHUNKED}1\na`,
  "a chunk line without end": CHUNKED + "0".repeat(5000),
  "trailers without end": `${CHUNKED}0\r\n` + "A: b\r\n".repeat(2000),
  "a second answer": `${OK}Content-Length: 1\r\n\r\nx${OK}`,
  "too many headers": OK + "A: b\r\n".repeat(200) + "\r\n",
  "a head without end": OK + "A: b\r\n".repeat(10_000),
};

Deno.test("ResponseParser refuses what can be read in two ways, and what has no bound", () => {
  for (const [what, text] of Object.entries(REFUSED)) {
    assert.throws(() => parse(text), HttpFormatError, what);
  }
});

Deno.test("ResponseParser reads the same however the bytes are cut", () => {
  const pieces = fc.array(fc.string({ unit: "grapheme", maxLength: 40 }), { maxLength: 8 });
  const cuts = fc.array(fc.nat({ max: 2_000 }), { maxLength: 12 });
  fc.assert(fc.property(pieces, fc.boolean(), cuts, (parts, isChunked, at) => {
    const whole = parts.join("");
    const text = isChunked
      ? CHUNKED + chunked(parts)
      : `${OK}Content-Length: ${ENCODER.encode(whole).length}\r\n\r\n${whole}`;
    const { parser, body } = parse(text, at);
    assert.equal(body, whole);
    assert.ok(parser.mayKeepConnection);
  }));
});

Deno.test("ResponseParser answers any bytes with an answer or a HttpFormatError", () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => String.fromCharCode(...bytes)),
    fc.array(
      fc.constantFrom(OK, "\r\n", "A: b", ":", "5", "chunked", "Content-Length: ", "\n", "x"),
    )
      .map((words) => words.join("")),
  );
  fc.assert(fc.property(noise, fc.array(fc.nat({ max: 300 })), (text, cuts) => {
    try {
      parse(OK + text, cuts).parser.end();
    } catch (error) {
      assert.ok(error instanceof HttpFormatError, String(error));
    }
  }));
});

Deno.test("ResponseParser hands out bytes of its own: the next read may use the same buffer", () => {
  const parser = new ResponseParser();
  const buffer = ENCODER.encode(`${OK}Content-Length: 4\r\n\r\nab`);
  const first = parser.push(buffer);
  buffer.fill(0);
  assert.equal(DECODER.decode(first), "ab");
  assert.equal(DECODER.decode(parser.push(ENCODER.encode("cd"))), "cd");
});
