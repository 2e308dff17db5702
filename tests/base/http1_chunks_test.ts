import assert from "node:assert/strict";
import fc from "fast-check";
import { asChunk, LAST_CHUNK } from "~/base/http1_answer.ts";
import { joined } from "~/base/bytes.ts";
import { ChunkDecoder } from "~/base/http1_chunks.ts";
import { HttpFormatError } from "~/base/http1_head.ts";

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

interface Decoded {
  readonly body: Uint8Array;
  readonly rest: Uint8Array;
  readonly isComplete: boolean;
}

/** Decodes bytes that come cut at these places. */
function decode(bytes: Uint8Array, cuts: readonly number[] = []): Decoded {
  const decoder = new ChunkDecoder();
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const pieces: Uint8Array[] = [];
  const rests: Uint8Array[] = [];
  for (const [index, end] of [...ends, bytes.length].entries()) {
    rests.push(decoder.push(bytes.subarray(ends[index - 1] ?? 0, end), (piece) => {
      pieces.push(piece.slice());
    }));
  }
  return { body: joined(pieces), rest: joined(rests), isComplete: decoder.isComplete };
}

Deno.test("ChunkDecoder takes off what asChunk() put on, however the bytes are cut", () => {
  const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 });
  const cuts = fc.array(fc.nat({ max: 300 }), { maxLength: 12 });
  fc.assert(fc.property(pieces, cuts, fc.uint8Array({ maxLength: 9 }), (parts, at, after) => {
    const coded = joined([...parts.map((part) => asChunk(part)), LAST_CHUNK, after]);
    assert.deepEqual(decode(coded, at), { body: joined(parts), rest: after, isComplete: true });
  }));
});

Deno.test("ChunkDecoder reads the same however the bytes are cut, right or wrong", () => {
  const words = fc.constantFrom(
    "0",
    "1",
    "5",
    "a",
    "\r\n",
    "\r",
    "\n",
    ";x=y",
    "hello",
    " ",
    "A: b",
  );
  const cuts = fc.array(fc.nat({ max: 60 }), { maxLength: 12 });
  const outcomeOf = (text: string, at: readonly number[]): unknown => {
    try {
      return decode(bytesOf(text), at);
    } catch (error) {
      assert.ok(error instanceof HttpFormatError, String(error));
      return "refused";
    }
  };
  fc.assert(fc.property(fc.array(words, { maxLength: 14 }), cuts, (parts, at) => {
    const text = parts.join("");
    assert.deepEqual(outcomeOf(text, at), outcomeOf(text, []));
  }));
});

Deno.test("ChunkDecoder skips extensions, trailers, zeros and large letters", () => {
  const { body, isComplete } = decode(
    bytesOf('5;a=b\r\nhello\r\n0A ;c="d"\r\n0123456789\r\n000\r\nX-End: 1\r\n\r\n'),
  );
  assert.equal(new TextDecoder().decode(body), "hello0123456789");
  assert.ok(isComplete);
});

const BROKEN = {
  "no size": "\r\n",
  "a sign": "+5\r\nhello\r\n",
  "a prefix": "0x5\r\nhello\r\n",
  "a space before the size": " 5\r\nhello\r\n",
  "a size of 2^60": "1000000000000000\r\n",
  "a bare line feed": "5\nhello\r\n",
  "a bare line feed after the data": "5\r\nhello\n0\r\n\r\n",
  "a chunk that is longer than it says": "1\r\nab\r\n",
  "a chunk that is shorter than it says": "5\r\nab\r\n0\r\n\r\n",
  "a control character in an extension": "5;\0\r\nhello\r\n",
  "a trailer that is none": "0\r\nnonsense\r\n\r\n",
  "a line without end": "0".repeat(5000),
  "trailers without end": `0\r\n${"A: b\r\n".repeat(2000)}`,
};

Deno.test("ChunkDecoder refuses what can be read in two ways, and what has no bound", () => {
  for (const [what, text] of Object.entries(BROKEN)) {
    assert.throws(() => decode(bytesOf(text)), HttpFormatError, what);
    const everywhere = [...text].map((_, index) => index);
    assert.throws(() => decode(bytesOf(text), everywhere), HttpFormatError, `${what}, in bytes`);
  }
});
