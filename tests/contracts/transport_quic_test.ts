import { makeEphemeralLinkCert } from "~/mesh/io/link_cert.ts";
import { openQuicTransport } from "~/mesh/io/quic_transport.ts";
import { testTransportContract, type TransportFixture } from "./transport_contract.ts";

testTransportContract("QuicTransport", open);

async function open(): Promise<TransportFixture> {
  const a = openQuicTransport({ cert: await makeEphemeralLinkCert() });
  const b = openQuicTransport({ cert: await makeEphemeralLinkCert() });
  return {
    a,
    b,
    addressOfA: { ip: "127.0.0.1", port: a.port },
    addressOfB: { ip: "127.0.0.1", port: b.port },
    nowhere: { ip: "127.0.0.1", port: 9 },
    async [Symbol.asyncDispose]() {
      await a.close();
      await b.close();
    },
  };
}
