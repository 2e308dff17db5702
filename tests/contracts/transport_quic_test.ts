import { openQuicTransport } from "~/mesh/io/quic_transport.ts";
import { makeLeafCert } from "#support/leaf_cert.ts";
import { testTransportContract, type TransportFixture } from "./transport_contract.ts";

testTransportContract("QuicTransport", open);

async function open(): Promise<TransportFixture> {
  const a = openQuicTransport({ cert: await makeLeafCert() });
  const b = openQuicTransport({ cert: await makeLeafCert() });
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
