import assert from "node:assert/strict";
import { UserError } from "~/base/errors.ts";
import { RefusedError } from "~/mesh/handshake.ts";
import { RaceLostError } from "~/node/mesh/dial_race.ts";
import { joinFailure } from "~/node/mesh/join_failure.ts";

/** What a race over peers ends with, each of which was tried at one address. */
function lost(...causes: unknown[]): RaceLostError {
  return new RaceLostError(
    "p: a: why",
    causes.map((cause) => new RaceLostError("a: why", [cause])),
  );
}

function sentence(error: unknown, peers = 2): string {
  const failure = joinFailure(error, peers);
  assert.ok(failure instanceof UserError);
  return failure.message;
}

const byPeer = { byPeer: true };

Deno.test("join failure: nobody was reached", () => {
  assert.equal(
    sentence(lost("timeout", new RefusedError("timeout", "It took too long"))),
    "Cannot join: cannot reach any of the 2 peers of the token (p: a: why)",
  );
  assert.equal(
    sentence(lost(new Error("refused")), 1),
    "Cannot join: cannot reach the one peer of the token (p: a: why)",
  );
  assert.equal(sentence(lost(), 0), "Cannot join: the token names only this node itself");
});

Deno.test("join failure: what says most about the token is told, whoever said it first", () => {
  const busy = new RefusedError("busy", "Try again", byPeer);
  const mesh = new RefusedError("mesh", "This node is in another mesh", byPeer);
  const other = new RefusedError("invite", "This node may not admit others", byPeer);
  const revoked = new RefusedError("revoked", "The invite token was revoked", byPeer);
  assert.equal(sentence(lost(busy, mesh)), "Cannot join: Try again");
  assert.equal(sentence(lost(busy, other)), "Cannot join: This node may not admit others");
  assert.equal(sentence(lost(busy, other, revoked)), "Cannot join: The invite token was revoked");
});

Deno.test("join failure: what we refused ourselves counts, lost connections do not", () => {
  const wrong = new RefusedError("proof", "Found node x; wanted y");
  const gone = new RefusedError("lost", "The peer closed the connection");
  assert.equal(sentence(lost(gone, wrong)), "Cannot join: Found node x; wanted y");
});

Deno.test("join failure: what is no lost race is passed on as it is", () => {
  const defect = new Error("a defect");
  assert.equal(joinFailure(defect, 1), defect);
});
