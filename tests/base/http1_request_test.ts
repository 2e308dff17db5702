import assert from "node:assert/strict";
import fc from "fast-check";
import { HttpFormatError } from "~/base/http1_head.ts";
import { type RequestHead, RequestParser, type RequestSink } from "~/base/http1_request.ts";

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** Remembers requests, each with its body. */
class Seen implements RequestSink {
  readonly heads: RequestHead[] = [];
  readonly bodies: string[] = [];
  ended = 0;
  endsAfter = Infinity;

  onHead(head: RequestHead): boolean {
    this.heads.push(head);
    this.bodies.push("");
    return true;
  }

  onBody(bytes: Uint8Array): void {
    assert.ok(bytes.length > 0, "an empty piece tells nothing");
    this.bodies.push((this.bodies.pop() ?? "") + String.fromCharCode(...bytes));
  }

  onEnd(): boolean {
    this.ended += 1;
    return this.ended < this.endsAfter;
  }
}

interface Parsed {
  readonly seen: Seen;
  readonly parser: RequestParser;
  readonly isRefused: boolean;
  readonly isAllRead: boolean;
}

/** Parses text that comes cut at these places. */
function parse(text: string, cuts: readonly number[] = [], seen = new Seen()): Parsed {
  const bytes = bytesOf(text);
  const parser = new RequestParser(seen, { headBytesMax: 1_000 });
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let isAllRead = true;
  try {
    for (const [index, end] of [...ends, bytes.length].entries()) {
      isAllRead = parser.push(bytes.subarray(ends[index - 1] ?? 0, end)) && isAllRead;
    }
  } catch (error) {
    assert.ok(error instanceof HttpFormatError, String(error));
    return { seen, parser, isRefused: true, isAllRead };
  }
  return { seen, parser, isRefused: false, isAllRead };
}

function headOf(text: string): RequestHead {
  const { seen, isRefused } = parse(text);
  assert.ok(!isRefused && seen.heads[0] !== undefined, text);
  return seen.heads[0];
}

const GET = "GET /a HTTP/1.1\r\n";
const POST = "POST /a HTTP/1.1\r\n";

Deno.test("RequestParser tells the head of a request", () => {
  assert.deepEqual(
    headOf(`POST /a?b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc`),
    {
      method: "POST",
      target: "/a?b",
      headers: [["host", "localhost"], ["content-length", "3"]],
      lengthBytes: 3,
      expectsContinue: false,
      expectsUnknown: false,
      isHttp11: true,
      mayKeepConnection: true,
    },
  );
});

Deno.test("RequestParser tells a request without a length from one with chunks", () => {
  assert.equal(headOf(`${POST}\r\n`).lengthBytes, 0);
  assert.equal(headOf(`${POST}Transfer-Encoding: chunked\r\n\r\n`).lengthBytes, undefined);
});

Deno.test("RequestParser keeps no connection that a client wants closed, nor one of HTTP/1.0", () => {
  assert.ok(!headOf(`${GET}Connection: Close\r\n\r\n`).mayKeepConnection);
  const old = headOf("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  assert.ok(!old.mayKeepConnection && !old.isHttp11);
});

Deno.test("RequestParser tells what a client expects; HTTP/1.0 expects nothing", () => {
  const known = headOf(`${POST}Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n`);
  assert.deepEqual([known.expectsContinue, known.expectsUnknown], [true, false]);
  assert.ok(headOf(`${POST}Expect: 200-maybe\r\n\r\n`).expectsUnknown);
  const old = headOf("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
  assert.deepEqual([old.expectsContinue, old.expectsUnknown], [false, false]);
});

Deno.test("RequestParser takes a whole URL when it names the host of the header", () => {
  const host = "Host: localhost:9337\r\n\r\n";
  assert.equal(headOf(`GET http://LOCALHOST:9337/a?b HTTP/1.1\r\n${host}`).target, "/a?b");
  assert.equal(headOf(`GET http://localhost:9337 HTTP/1.1\r\n${host}`).target, "/");
  assert.equal(headOf(`GET http://localhost:9337?a HTTP/1.1\r\n${host}`).target, "/?a");
  assert.ok(parse(`GET http://evil.example/a HTTP/1.1\r\n${host}`).isRefused);
  assert.ok(parse("GET http://localhost/a HTTP/1.1\r\n\r\n").isRefused);
});

Deno.test("RequestParser forgives one empty line before a request, as old clients send it", () => {
  const { seen, isRefused } = parse(`${GET}\r\n\r\n${GET}\r\n`);
  assert.deepEqual([seen.ended, isRefused], [2, false]);
  assert.ok(parse(`\r\n\r\n${GET}\r\n`).isRefused);
});

const REFUSED = {
  "not HTTP": "\x16\x03\x01\x02\r\n\r\n",
  "no version": "GET /\r\n\r\n",
  "another version": "GET / HTTP/2.0\r\n\r\n",
  "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "a version in small letters": "GET / http/1.1\r\n\r\n",
  "two spaces": "GET  / HTTP/1.1\r\n\r\n",
  "a space in the target": "GET /a b HTTP/1.1\r\n\r\n",
  "a tab for a space": "GET\t/ HTTP/1.1\r\n\r\n",
  "a fragment": "GET /a#b HTTP/1.1\r\n\r\n",
  "letters beyond ASCII in the target": "GET /\xe4 HTTP/1.1\r\n\r\n",
  "a target that is no path": "GET a HTTP/1.1\r\n\r\n",
  "an asterisk": "OPTIONS * HTTP/1.1\r\n\r\n",
  "a tunnel": "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
  "a user in the target": "GET http://a@localhost/ HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
  "a method that is none": "G@T / HTTP/1.1\r\n\r\n",
  "two Hosts": `${GET}Host: a\r\nHost: a\r\n\r\n`,
  "a folded header": `${GET}A: b\r\n c\r\n\r\n`,
  "a space before the colon": `${GET}Content-Length : 5\r\n\r\nhello`,
  "a header without a name": `${GET}: b\r\n\r\n`,
  "a header with a bare line feed": `${GET}A: b\nC: d\r\n\r\n`,
  "a header with a bare carriage return": `${GET}A: b\rC: d\r\n\r\n`,
  "a header with a zero": `${GET}A: b\0\r\n\r\n`,
  "two equal lengths": `${POST}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`,
  "a list of lengths": `${POST}Content-Length: 1, 1\r\n\r\nx`,
  "a length and chunks": `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "a hidden coding": `${POST}Transfer-Encoding: xchunked\r\n\r\n`,
  "chunks in HTTP/1.0": "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "a broken chunk": `${POST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`,
  "a large head": `${GET}A: ${"b".repeat(1000)}\r\n\r\n`,
  "a large head without end": "GET /".padEnd(1001, "a"),
};

for (const [what, text] of Object.entries(REFUSED)) {
  Deno.test(`RequestParser refuses ${what}`, () => {
    assert.ok(parse(text).isRefused);
    assert.ok(parse(text, [...text].map((_, index) => index)).isRefused, "in single bytes");
  });
}

Deno.test("RequestParser says where it is", () => {
  const seen = new Seen();
  const parser = new RequestParser(seen, { headBytesMax: 1_000 });
  assert.deepEqual([parser.isInHead, parser.isInBody], [false, false]);
  parser.push(bytesOf("POST /a HT"));
  assert.deepEqual([parser.isInHead, parser.isInBody], [true, false]);
  parser.push(bytesOf("TP/1.1\r\nContent-Length: 2\r\n\r\nx"));
  assert.deepEqual([parser.isInHead, parser.isInBody], [false, true]);
  parser.push(bytesOf("y"));
  assert.deepEqual([parser.isInHead, parser.isInBody, seen.ended], [false, false, 1]);
});

Deno.test("RequestParser stops where its sink says so, and tells that bytes are left", () => {
  const seen = new Seen();
  seen.endsAfter = 1;
  const { isAllRead } = parse(`${GET}\r\n${GET}\r\n`, [], seen);
  assert.deepEqual([seen.heads.length, isAllRead], [1, false]);
});

const BODY = fc.string({ unit: "binary-ascii", maxLength: 30 });
const REQUEST = fc.tuple(BODY, fc.boolean()).map(([body, isChunked]) => {
  const chunks = body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`;
  const text = isChunked
    ? `${POST}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`
    : `${POST}Content-Length: ${body.length}\r\n\r\n${body}`;
  return { body, text };
});
const CUTS = fc.array(fc.nat({ max: 400 }), { maxLength: 12 });

Deno.test("RequestParser reads requests one after another, however the bytes are cut", () => {
  fc.assert(fc.property(fc.array(REQUEST, { maxLength: 4 }), CUTS, (requests, cuts) => {
    const { seen, isRefused } = parse(requests.map(({ text }) => text).join(""), cuts);
    assert.ok(!isRefused);
    assert.equal(seen.ended, requests.length);
    assert.deepEqual(seen.bodies, requests.map(({ body }) => body));
  }));
});

Deno.test("RequestParser understands any bytes the same however they are cut, or refuses them", () => {
  const words = fc.constantFrom(
    GET,
    POST,
    "\r\n",
    "\r",
    "\n",
    "A: b",
    "Content-Length: ",
    "Transfer-Encoding: chunked",
    "0",
    "3",
    "abc",
    ":",
    "Host: a",
  );
  const noise = fc.oneof(
    fc.string({ unit: "binary-ascii", maxLength: 60 }),
    fc.array(words, { maxLength: 16 }).map((parts) => parts.join("")),
  );
  fc.assert(fc.property(noise, CUTS, (text, cuts) => {
    const whole = parse(text);
    const cut = parse(text, cuts);
    assert.deepEqual(
      [cut.isRefused, cut.seen.heads, cut.seen.bodies, cut.seen.ended],
      [whole.isRefused, whole.seen.heads, whole.seen.bodies, whole.seen.ended],
    );
  }));
});
