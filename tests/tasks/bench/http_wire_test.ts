import assert from "node:assert/strict";
import fc from "fast-check";
import { ResponseParser, WireError } from "../../../tasks/bench/http_wire.ts";

const ENCODER = new TextEncoder();

interface Parsed {
  readonly status: number;
  readonly body: string;
  readonly isComplete: boolean;
  readonly mustClose: boolean;
}

/** Feeds pieces in turn to one parser. */
function parse(pieces: readonly (string | Uint8Array)[], parser = new ResponseParser()): Parsed {
  parser.begin();
  const decoder = new TextDecoder();
  let body = "";
  let isComplete = false;
  for (const piece of pieces) {
    const bytes = typeof piece === "string" ? ENCODER.encode(piece) : piece;
    isComplete = parser.feed(bytes, (part) => body += decoder.decode(part, { stream: true }));
  }
  return { status: parser.status, body, isComplete, mustClose: parser.mustClose };
}

/** Cuts bytes at any places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const borders = [0, ...places.map((place) => place % bytes.length), bytes.length]
    .sort((a, b) => a - b);
  return borders.slice(1).map((border, index) => bytes.slice(borders[index]!, border));
}

const SIZED = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" +
  "5\r\nhello\r\n1;ext=1\r\n \r\nB\r\nwide world!\r\n0\r\nx-end: yes\r\n\r\n";

Deno.test("ResponseParser takes a body of known length", () => {
  assert.deepEqual(parse([SIZED]), {
    status: 200,
    body: "hello",
    isComplete: true,
    mustClose: false,
  });
});

Deno.test("ResponseParser takes chunks with extensions and a trailer", () => {
  const { body, isComplete } = parse([CHUNKED]);
  assert.equal(body, "hello wide world!");
  assert.ok(isComplete);
});

Deno.test("ResponseParser gives the same answer wherever the bytes were cut", () => {
  const whole = fc.constantFrom(SIZED, CHUNKED, `HTTP/1.1 102 Processing\r\n\r\n${CHUNKED}`);
  fc.assert(
    fc.property(whole, fc.array(fc.nat(), { maxLength: 12 }), (text, places) => {
      assert.deepEqual(parse(cut(ENCODER.encode(text), places)), parse([text]));
    }),
  );
});

Deno.test("ResponseParser takes any chunks, in any cut", () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 });
  fc.assert(
    fc.property(chunks, fc.array(fc.nat(), { maxLength: 12 }), (parts, places) => {
      const wire: number[] = [
        ...ENCODER.encode("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
      ];
      for (const part of parts) {
        wire.push(...ENCODER.encode(`${part.length.toString(16)}\r\n`), ...part, 13, 10);
      }
      wire.push(...ENCODER.encode("0\r\n\r\n"));
      const parser = new ResponseParser();
      parser.begin();
      const body: number[] = [];
      let isComplete = false;
      for (const piece of cut(Uint8Array.from(wire), places)) {
        isComplete = parser.feed(piece, (part) => body.push(...part));
      }
      assert.ok(isComplete);
      assert.deepEqual(body, parts.flatMap((part) => [...part]));
    }),
  );
});

Deno.test("ResponseParser skips informational answers", () => {
  const { status, body } = parse([
    `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${SIZED}`,
  ]);
  assert.equal(status, 200);
  assert.equal(body, "hello");
});

Deno.test("ResponseParser takes one answer after another", () => {
  const parser = new ResponseParser();
  assert.equal(parse([CHUNKED], parser).body, "hello wide world!");
  assert.equal(parse([SIZED], parser).body, "hello");
  const empty = parse(["HTTP/1.1 429 Busy\r\ncontent-length: 0\r\n\r\n"], parser);
  assert.deepEqual([empty.status, empty.body, empty.isComplete], [429, "", true]);
});

Deno.test("ResponseParser needs no body where there can be none", () => {
  for (const status of [204, 304]) {
    assert.ok(parse([`HTTP/1.1 ${status} x\r\nx: y\r\n\r\n`]).isComplete);
  }
});

Deno.test("ResponseParser notices that the server will close", () => {
  assert.ok(parse([SIZED.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")]).mustClose);
});

Deno.test("ResponseParser waits for more", () => {
  for (const part of ["HTTP/1.1 200 OK\r\n", SIZED.slice(0, -1), CHUNKED.slice(0, -2)]) {
    assert.equal(parse([part]).isComplete, false);
  }
});

Deno.test("ResponseParser refuses what cannot be measured", () => {
  const head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  const cases: [string, RegExp][] = [
    ["SSH-2.0-x\r\n\r\n", /does not begin like HTTP/],
    ["HTTP/1.1 200 OK\r\n\r\n", /no announced end/],
    [`${SIZED}!`, /after the end/],
    [`${head}xyz\r\n`, /no number/],
    [`${head}\r\n`, /missing/],
    [`${head}1\r\nab`, /longer than announced/],
    [`${head}fffffffffffffff\r\n`, /too large/],
    [head + "0".repeat(2000), /no end/],
    ["HTTP/1.1 200 OK\r\nx: " + "y".repeat(70_000), /head of the answer has no end/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parse([text]), (error: Error) => {
      return error instanceof WireError && message.test(error.message);
    });
  }
});

Deno.test("ResponseParser never fails in other words than its own, and never gives more than it got", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), fc.boolean(), (pieces, hasHead) => {
      const parser = new ResponseParser();
      parser.begin();
      let given = 0;
      const all = hasHead
        ? [ENCODER.encode("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), ...pieces]
        : pieces;
      try {
        for (const piece of all) parser.feed(piece, (part) => given += part.length);
      } catch (error) {
        assert.ok(error instanceof WireError);
      }
      assert.ok(given <= pieces.reduce((sum, piece) => sum + piece.length, 0));
    }),
  );
});
