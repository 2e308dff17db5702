import type { Rng } from "~/base/rng.ts";

/** Draws the same numbers in each run (Park and Miller, "Random number generators: good ones are hard to find", 1988). */
export function seeded(seed: number): Rng {
  let state = seed;
  return { next: () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647 };
}
