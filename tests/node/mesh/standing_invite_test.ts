import assert from "node:assert/strict";
import type { BootstrapPeer, Invite, Role, Signed } from "~/mesh/credentials.ts";
import { StandingInvite } from "~/node/mesh/standing_invite.ts";
import type { Verified } from "~/mesh/trust.ts";
import { type Refusal, refusal } from "~/mesh/refusal.ts";
import { bootstrapPeer } from "#support/paper_mesh.ts";

const WEEK_S = 7 * 86_400;

/** A node whose invites are numbered. */
class Maker {
  peers: BootstrapPeer[] = [bootstrapPeer("own", 2)];
  failure: Error | undefined;
  nowS = 1_000_000;
  /** Tokens that admit nobody any more. */
  readonly revoked: string[] = [];
  readonly made: (readonly BootstrapPeer[])[] = [];
  readonly first: string[] = [];
  readonly invite: StandingInvite = new StandingInvite({
    role: "member",
    authority: { isIssuer: true, checkInvite: (jws) => Promise.resolve(this.#check(jws)) },
    bootstrapPeers: () => this.peers,
    makeInvite: (_rights, _expires, peers = []) => this.#make(peers),
  }, { nowUnixS: () => this.nowS, onFirst: (token) => this.first.push(token) });

  /** The token of now. */
  token(): string | undefined {
    return this.invite.current?.jws;
  }

  #check(jws: string): Verified<Invite> | Refusal {
    if (this.revoked.includes(jws)) return refusal("revoked", "The invite token was revoked");
    return { jws, paper: {} as Invite, grant: undefined };
  }

  #make(peers: readonly BootstrapPeer[]): Promise<Signed<Invite>> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.made.push(peers);
    const paper = { issuedUnixS: this.nowS, expiresUnixS: this.nowS + WEEK_S } as Invite;
    return Promise.resolve({ jws: `invite ${this.made.length}`, paper });
  }
}

Deno.test("standing invite: made once, told once", async () => {
  const maker = new Maker();
  assert.equal(maker.token(), undefined);
  await maker.invite.refresh();
  await maker.invite.refresh();
  assert.deepEqual(maker.first, ["invite 1"]);
  assert.equal(maker.token(), "invite 1");
  assert.equal(maker.made.length, 1);
});

Deno.test("standing invite: regression: the order of addresses and members is no reason for another", async () => {
  const maker = new Maker();
  const others = ["a", "b", "c", "d", "e"].map((name) => bootstrapPeer(name));
  maker.peers.push(...others);
  await maker.invite.refresh();
  const turned = maker.peers.map((peer) => ({
    ...peer,
    addresses: [...peer.addresses].reverse(),
  }));
  maker.peers = turned.toReversed();
  await maker.invite.refresh();
  maker.peers = [...turned, bootstrapPeer("f")];
  await maker.invite.refresh();
  assert.equal(maker.made.length, 1);
  assert.equal(maker.made[0]?.length, 4);
});

Deno.test("standing invite: made anew when who is named moved or went, or when there is room for more", async () => {
  const maker = new Maker();
  await maker.invite.refresh();
  maker.peers = [bootstrapPeer("own", 3)];
  await maker.invite.refresh();
  assert.equal(maker.made.length, 2);
  maker.peers = [bootstrapPeer("own", 3), bootstrapPeer("a")];
  await maker.invite.refresh();
  assert.equal(maker.made.length, 3);
  maker.peers = [bootstrapPeer("own", 3), bootstrapPeer("b")];
  await maker.invite.refresh();
  assert.equal(maker.made.length, 4);
  assert.deepEqual(maker.first, ["invite 1"]);
});

Deno.test("standing invite: regression: one that was revoked is not shown any longer", async () => {
  const maker = new Maker();
  await maker.invite.refresh();
  maker.revoked.push("invite 1");
  await maker.invite.refresh();
  assert.equal(maker.token(), "invite 2");
  await maker.invite.refresh();
  assert.equal(maker.made.length, 2);
});

Deno.test("standing invite: made anew when half of its time is over", async () => {
  const maker = new Maker();
  await maker.invite.refresh();
  maker.nowS += WEEK_S / 2 - 10;
  await maker.invite.refresh();
  assert.equal(maker.made.length, 1);
  maker.nowS += 20;
  await maker.invite.refresh();
  assert.equal(maker.made.length, 2);
});

Deno.test("standing invite: what failed once is tried again", async () => {
  const maker = new Maker();
  maker.failure = new Error("no address");
  await maker.invite.refresh();
  assert.equal(maker.token(), undefined);
  maker.failure = undefined;
  await maker.invite.refresh();
  assert.deepEqual(maker.first, ["invite 1"]);
});

Deno.test("standing invite: none for a client, nor for who may not invite; gone with the right to", async () => {
  for (const who of [{ role: "client", isIssuer: true }, { role: "member", isIssuer: false }]) {
    let made = 0;
    const authority = { isIssuer: who.isIssuer, checkInvite: () => Promise.reject(new Error()) };
    const invite = new StandingInvite({
      role: who.role as Role,
      authority,
      bootstrapPeers: () => [],
      makeInvite: () => {
        made += 1;
        return Promise.resolve({ jws: "", paper: {} as Invite });
      },
    }, { nowUnixS: () => 0, onFirst: () => {} });
    await invite.refresh();
    assert.deepEqual([made, invite.current], [0, undefined]);
    if (who.role === "client") continue;
    authority.isIssuer = true;
    await invite.refresh();
    assert.equal(invite.current?.jws, "");
    authority.isIssuer = false;
    assert.equal(invite.current, undefined);
  }
});
