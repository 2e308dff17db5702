import { makeEphemeralLinkCert } from "~/mesh/io/link_cert.ts";
import { openQuicTransport } from "~/mesh/io/quic_transport.ts";
import { TestPeer } from "#support/link_peers.ts";
import { type LinkFixture, testLinkContract } from "./link_contract.ts";
import { realTime } from "#support/real_time.ts";

testLinkContract("A link over QUIC", open);

async function open(): Promise<LinkFixture> {
  const a = new TestPeer("a", {
    transport: openQuicTransport({ cert: await makeEphemeralLinkCert() }),
    time: realTime,
  });
  const b = new TestPeer("b", {
    transport: openQuicTransport({ cert: await makeEphemeralLinkCert() }),
    time: realTime,
  });
  const [near, far] = await Promise.all([
    a.dial(b, { ip: "127.0.0.1", port: b.transport.port }),
    b.accept(),
  ]);
  return {
    a: near,
    b: far,
    async [Symbol.asyncDispose]() {
      near.close("leaving");
      await near.gone;
      await a.transport.close();
      await b.transport.close();
    },
  };
}
