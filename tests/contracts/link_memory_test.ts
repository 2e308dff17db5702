import { TestPeer } from "#support/link_peers.ts";
import { MemoryNetwork } from "#support/memory_transport.ts";
import { type LinkFixture, testLinkContract } from "./link_contract.ts";
import { realTime } from "#support/real_time.ts";

testLinkContract("A link in memory", () => open(() => 0));
let pieces = 0;
testLinkContract("A link in memory with delay", () => open(() => (pieces += 1) % 7 === 0 ? 1 : 0));

async function open(delayMs: () => number): Promise<LinkFixture> {
  const network = new MemoryNetwork({ timers: realTime, delayMs });
  const atB = network.open("192.0.2.2", "leaf of b");
  const a = new TestPeer("a", {
    transport: network.open("192.0.2.1", "leaf of a"),
    time: realTime,
  });
  const b = new TestPeer("b", { transport: atB, time: realTime });
  const [near, far] = await Promise.all([a.dial(b, atB.address), b.accept()]);
  return {
    a: near,
    b: far,
    async [Symbol.asyncDispose]() {
      near.close("leaving");
      await Promise.all([near.gone, far.gone]);
      await network.idle();
    },
  };
}
