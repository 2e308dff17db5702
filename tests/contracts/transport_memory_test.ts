import { systemTimers } from "~/base/io/system.ts";
import { MemoryNetwork } from "#support/memory_transport.ts";
import { testTransportContract, type TransportFixture } from "./transport_contract.ts";

testTransportContract("MemoryTransport", () => open(() => 0));
let pieces = 0;
testTransportContract(
  "MemoryTransport with delay",
  () => open(() => (pieces += 1) % 7 === 0 ? 1 : 0),
);

function open(delayMs: () => number): Promise<TransportFixture> {
  const network = new MemoryNetwork({ timers: systemTimers, delayMs });
  const a = network.open("192.0.2.1", "leaf of a");
  const b = network.open("192.0.2.2", "leaf of b");
  return Promise.resolve({
    a,
    b,
    addressOfA: a.address,
    addressOfB: b.address,
    nowhere: { ip: "192.0.2.3", port: 9 },
    async [Symbol.asyncDispose]() {
      await a.close();
      await b.close();
      await network.idle();
    },
  });
}
