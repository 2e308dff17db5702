import assert from "node:assert/strict";
import type { Certificate, Signed } from "~/mesh/credentials.ts";
import type { SignedRecord } from "~/mesh/record.ts";
import type { OwnFacts } from "~/node/mesh/own_record.ts";
import { OwnVoice } from "~/node/mesh/own_voice.ts";
import { VirtualTime } from "#support/virtual_time.ts";

function certificateOf(jws: string): Signed<Certificate> {
  return {
    jws,
    paper: {
      meshId: "m",
      issuer: "m",
      subject: "n",
      issuedUnixS: 0,
      expiresUnixS: 9e9,
      serial: "s",
      rights: [],
      inviteSerial: undefined,
    },
  };
}

class Speaker {
  readonly time = new VirtualTime();
  readonly said: SignedRecord[] = [];
  facts: OwnFacts = {
    node: "n",
    session: "s",
    version: "1",
    protocol: 1,
    leafHash: "l",
    addresses: [],
    dialable: "unknown",
    engine: undefined,
    offeredBytes: 0,
    models: [],
    slot: { kind: "empty" },
    election: undefined,
    isLeaving: false,
  };
  certificate: Signed<Certificate> | undefined = certificateOf("c1");
  failure: Error | undefined;
  readonly voice = new OwnVoice({
    facts: () => this.facts,
    certificate: () => this.certificate,
    sign: (record, certificateJws) =>
      this.failure === undefined
        ? Promise.resolve(`${record.incarnation} ${certificateJws}`)
        : Promise.reject(this.failure),
    publish: (record) => this.said.push(record),
    timers: this.time,
    startedUnixMs: 1000,
  });

  get incarnations(): number[] {
    return this.said.map(({ record }) => record.incarnation);
  }
}

Deno.test("own voice: many changes in a moment make one record", async () => {
  const speaker = new Speaker();
  for (const models of [["a"], ["a", "b"], ["a", "b", "c"]]) {
    speaker.facts = { ...speaker.facts, models };
    speaker.voice.changed();
  }
  speaker.time.advance(50);
  await speaker.voice.speak();
  assert.deepEqual(speaker.said.map(({ record }) => record.models), [["a", "b", "c"]]);
});

Deno.test("own voice: says nothing twice, and each word is newer than the one before", async () => {
  const speaker = new Speaker();
  await speaker.voice.speak();
  await speaker.voice.speak();
  speaker.facts = { ...speaker.facts, isLeaving: true };
  await speaker.voice.speak();
  assert.deepEqual(speaker.incarnations, [1001, 1002]);
});

Deno.test("own voice: a new certificate is told", async () => {
  const speaker = new Speaker();
  await speaker.voice.speak();
  speaker.certificate = certificateOf("c2");
  await speaker.voice.speak();
  assert.deepEqual(speaker.said.map(({ jws }) => jws), ["1001 c1", "1002 c2"]);
});

Deno.test("own voice: without a certificate there is nothing to say", async () => {
  const speaker = new Speaker();
  speaker.certificate = undefined;
  await speaker.voice.speak();
  assert.deepEqual(speaker.said, []);
});

Deno.test("own voice: outruns an older life with a clock that ran ahead", async () => {
  const speaker = new Speaker();
  await speaker.voice.speak();
  await speaker.voice.outrun(5000);
  assert.deepEqual(speaker.incarnations, [1001, 5001]);
});

Deno.test("own voice: what could not be signed is said the next time", async () => {
  const speaker = new Speaker();
  speaker.failure = new Error("no key");
  await speaker.voice.speak();
  speaker.failure = undefined;
  await speaker.voice.speak();
  assert.equal(speaker.said.length, 1);
});

Deno.test("own voice: after its end it is silent", async () => {
  const speaker = new Speaker();
  speaker.voice.changed();
  speaker.voice.close();
  speaker.voice.changed();
  assert.equal(speaker.time.pendingCount, 0);
  await speaker.voice.speak();
  assert.deepEqual(speaker.said, []);
});
