/** What every simulated story must come to; the seeds are spread over test files, so that they run side by side. */
import assert from "node:assert/strict";
import { play } from "../../tasks/lib/simulation/scenarios.ts";
import { faultsOf } from "../../tasks/lib/simulation/table.ts";
import { World } from "../../tasks/lib/simulation/world.ts";

/** 32 members, a third of them behind NATs, and clients. */
export function testScenario(
  name: string,
  { from, to, messagesMax, bytesMax }: {
    readonly from: number;
    readonly to: number;
    /** For each node and minute. */
    readonly messagesMax: number;
    readonly bytesMax: number;
  },
): void {
  for (let seed = from; seed <= to; seed += 1) {
    Deno.test(`a simulated mesh of 32 agrees within 5 s: ${name}, seed ${seed}`, () => {
      const world = new World({ seed, members: 32, clients: 4, cone: 0.25, symmetric: 0.1 });
      const outcome = play(world, name);
      const repeat =
        `repeat with: deno task simulate --scenario ${name} --seeds 1 --from ${seed} --clients 4`;
      assert.deepEqual(faultsOf(outcome), [], repeat);
      assert.ok(outcome.steps.length > 1, "nothing was played");
      const { messagesPerNodeMinute: messages, bytesPerNodeMinute: bytes } = outcome;
      assert.ok(
        messages <= messagesMax,
        `${messages} messages for each node and minute; ${repeat}`,
      );
      assert.ok(bytes <= bytesMax, `${bytes} bytes for each node and minute; ${repeat}`);
    });
  }
}
