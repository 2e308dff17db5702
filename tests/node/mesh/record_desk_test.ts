import assert from "node:assert/strict";
import type { JsonObject } from "~/base/json.ts";
import type { RecordVerdict } from "~/mesh/membership_ports.ts";
import type { NodeRecord, SignedRecord } from "~/mesh/record.ts";
import { refusal } from "~/mesh/refusal.ts";
import { RecordDesk } from "~/node/mesh/record_desk.ts";
import { FakeLink } from "#support/fake_link.ts";

const ALICE = "C".repeat(42) + "A";
const BOB = "B".repeat(42) + "A";

/** Records are written "node incarnation" here; "forged" in it breaks the signature. */
class Desk {
  readonly delivered: (readonly [string | undefined, string[]])[] = [];
  readonly verified: string[] = [];
  verdict: RecordVerdict = "news";
  hasCertificate = true;
  role: "member" | "client" = "member";
  failure: Error | undefined;
  #idle = Promise.withResolvers<void>();
  readonly desk = new RecordDesk({
    peek: (jws) => {
      const [node = "", incarnation = ""] = jws.split(" ");
      return jws === "rubbish" ? undefined : { node, incarnation: Number(incarnation) };
    },
    verify: (jws) => {
      this.verified.push(jws);
      return Promise.resolve(jws.includes("forged") ? undefined : { jws });
    },
    read: ({ jws }: JsonObject) => {
      const [node = "", incarnation = ""] = String(jws).split(" ");
      const record = { node, incarnation: Number(incarnation) } as NodeRecord;
      return { record, certificateJws: `certificate of ${node}` };
    },
    checkCertificate: (_jws, node) =>
      Promise.resolve(
        this.hasCertificate
          ? new FakeLink(node, { role: this.role }).peer.certificate
          : refusal("revoked", "It was revoked"),
      ),
    isFarAhead: (incarnation) => incarnation >= 1_000_000,
    judge: () => {
      if (this.failure !== undefined) throw this.failure;
      return this.verdict;
    },
    deliver: (from, records: readonly SignedRecord[]) => {
      this.delivered.push([from, records.map(({ jws }) => jws)]);
      this.#idle.resolve();
      this.#idle = Promise.withResolvers<void>();
    },
  });

  /** Waits for the next delivery. */
  delivery(): Promise<void> {
    return this.#idle.promise;
  }
}

/** Lets everything that waits for promises only come to rest. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}

Deno.test("record desk: delivers what holds, and says who sent it", async () => {
  const desk = new Desk();
  const delivery = desk.delivery();
  desk.desk.take("peer", [`${ALICE} 1`, "rubbish", `${BOB} 2`, `${ALICE} 3 forged`]);
  await delivery;
  assert.deepEqual(desk.delivered, [["peer", [`${ALICE} 1`, `${BOB} 2`]]]);
});

Deno.test("record desk: what is of a time that has not come is not looked at", async () => {
  const desk = new Desk();
  desk.desk.take("peer", [`${ALICE} 1000000`]);
  await settled();
  assert.deepEqual([desk.verified, desk.delivered], [[], []]);
});

Deno.test("record desk: what is known, or comes from one who sends too much, costs no signature", async () => {
  for (const verdict of ["known", "refused"] as const) {
    const desk = new Desk();
    desk.verdict = verdict;
    desk.desk.take("peer", [`${ALICE} 1`]);
    await settled();
    assert.deepEqual([desk.verified, desk.delivered], [[], []]);
  }
});

Deno.test("record desk: a record without a certificate that holds is dropped", async () => {
  const desk = new Desk();
  desk.hasCertificate = false;
  desk.desk.take("peer", [`${ALICE} 1`]);
  await settled();
  assert.deepEqual(desk.delivered, []);
});

Deno.test("record desk: one peer's flood does not keep others waiting, and has a bound", async () => {
  const desk = new Desk();
  desk.desk.take("flood", Array.from({ length: 5000 }, (_, n) => `${ALICE} ${n}`));
  desk.desk.take("quiet", [`${BOB} 1`]);
  while (desk.delivered.length < 3) await desk.delivery();
  assert.deepEqual(desk.delivered.map(([from]) => from), ["flood", "flood", "quiet"]);
  while (desk.delivered.length < 33) await desk.delivery();
  await settled();
  assert.equal(desk.delivered.flatMap(([, records]) => records).length, 1024 + 1);
});

Deno.test("record desk: what a peer sent is forgotten with it", async () => {
  const desk = new Desk();
  desk.desk.take("peer", Array.from({ length: 100 }, (_, n) => `${ALICE} ${n}`));
  desk.desk.forget("peer");
  await settled();
  assert.equal(desk.delivered.flatMap(([, records]) => records).length, 32);
});

Deno.test("record desk: who may only ask has no record", async () => {
  const desk = new Desk();
  desk.role = "client";
  desk.desk.take("peer", [`${ALICE} 1`]);
  await settled();
  assert.deepEqual(desk.delivered, []);
});

Deno.test("record desk: regression: what could not be checked once does not stop it for ever", async () => {
  const desk = new Desk();
  desk.failure = new Error("a defect");
  desk.desk.take("peer", [`${ALICE} 1`]);
  await settled();
  desk.failure = undefined;
  desk.desk.take("peer", [`${ALICE} 2`]);
  await settled();
  assert.deepEqual(desk.delivered, [["peer", [`${ALICE} 2`]]]);
});

Deno.test("record desk: tells when all that a peer sent was looked at", async () => {
  const desk = new Desk();
  const order: string[] = [];
  await desk.desk.finished("peer");
  desk.desk.take("peer", Array.from({ length: 40 }, (_, n) => `${ALICE} ${n}`));
  const finished = desk.desk.finished("peer").then(() => order.push("finished"));
  void desk.delivery().then(() => order.push("delivered"));
  await finished;
  assert.deepEqual(order, ["delivered", "finished"]);
  assert.equal(desk.delivered.flatMap(([, records]) => records).length, 40);
});

Deno.test("record desk: to forget a peer ends the wait for it", async () => {
  const desk = new Desk();
  desk.desk.take("peer", [`${ALICE} 1`]);
  desk.desk.take("other", [`${BOB} 1`]);
  const finished = desk.desk.finished("other");
  desk.desk.forget("other");
  await finished;
  await settled();
  assert.deepEqual(desk.delivered.map(([from]) => from), ["peer"]);
});
