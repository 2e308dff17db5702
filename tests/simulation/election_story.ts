/** What every simulated mesh of hosts must come to; the seeds are spread over test files, so that they run side by side. */
import assert from "node:assert/strict";
import { playElection } from "../../tasks/lib/simulation/election/scenarios.ts";
import { faultsOf } from "../../tasks/lib/simulation/table.ts";

/** 32 nodes and 10 models. */
export function testElection(
  name: string,
  { from, to, bytesMax }: {
    readonly from: number;
    readonly to: number;
    /** Records, for each node and minute. */
    readonly bytesMax: number;
  },
): void {
  for (let seed = from; seed <= to; seed += 1) {
    Deno.test(`a simulated mesh of 32 serves what is asked for, and no more: ${name}, seed ${seed}`, () => {
      const outcome = playElection(name, { seed, nodes: 32 });
      const repeat = `repeat with: deno task simulate --scenario ${name} --seeds 1 --from ${seed}`;
      assert.deepEqual(faultsOf(outcome), [], repeat);
      assert.ok(outcome.steps.length > 2, "nothing was asked for");
      assert.ok(
        outcome.bytesPerNodeMinute <= bytesMax,
        `${outcome.bytesPerNodeMinute} bytes for each node and minute; ${repeat}`,
      );
    });
  }
}
