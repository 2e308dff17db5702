/** Whole nodes through what chance makes of them: joins, deaths, goodbyes, returns, cuts; then all must agree. */
import assert from "node:assert/strict";
import { type RunningNode, RuntimeWorld } from "#support/runtime_mesh.ts";
import { Chance } from "../../../tasks/lib/simulation/chance.ts";

const SEEDS = 4;
const STEPS = 25;
const NODES_MAX = 7;

/** One story. */
class Storm {
  readonly world: RuntimeWorld;
  readonly told: string[] = [];
  readonly #chance: Chance;
  /** The first stays, so that there is always somebody whom all have met. */
  readonly #alive: RunningNode[] = [];
  readonly #away: RunningNode[] = [];
  #names = 0;

  constructor(seed: number) {
    const chance = this.#chance = new Chance(seed);
    const mostMs = seed % 3 === 0 ? 120 : 5;
    this.world = new RuntimeWorld({
      rng: () => chance.next(),
      delayMs: () => 1 + chance.below(mostMs),
    });
    this.told.push(`seed ${seed}`);
  }

  async run(): Promise<void> {
    this.#alive.push(await this.world.resumed("n0"));
    for (let step = 0; step < STEPS; step += 1) {
      await this.#step(this.#chance.next());
      await this.world.run(this.#chance.below(4_000));
    }
    this.world.network.heal();
    await this.world.run(40_000);
    this.#tell("everybody is let through");
    await this.#calm();
    await this.world.end();
  }

  async #step(dice: number): Promise<void> {
    const { network } = this.world;
    if (dice < 0.3) return await this.#join();
    if (dice < 0.45) return this.#lose((node) => node.kill(), "is killed");
    if (dice < 0.55) return this.#lose((node) => void node.runtime.close(), "leaves");
    if (dice < 0.75) return await this.#return();
    if (dice < 0.85) {
      const [one, other] = [this.#pick(this.#alive), this.#pick(this.#alive)];
      if (one === undefined || other === undefined || one === other) return;
      network.cut(one.ip, other.ip);
      return this.#tell(`${one.name} and ${other.name} are cut off from each other`);
    }
    network.heal();
  }

  async #join(): Promise<void> {
    const by = this.#pick(this.#alive.filter(({ runtime }) => runtime.invite !== undefined));
    if (by === undefined || this.#alive.length >= NODES_MAX) return;
    const node = this.world.start(`n${this.#names += 1}`);
    this.#tell(`${node.name} joins by ${by.name}`);
    const joining = node.runtime.join([by.token]).then(
      () => void this.#alive.push(node),
      ({ message }) => this.#tell(`${node.name}: ${message}`),
    );
    if (this.#chance.next() < 0.7) await this.world.done(joining, 40_000);
  }

  #lose(how: (node: RunningNode) => void, what: string): void {
    const node = this.#pick(this.#alive.slice(1));
    if (node === undefined) return;
    this.#alive.splice(this.#alive.indexOf(node), 1);
    this.#away.push(node);
    this.#tell(`${node.name} ${what}`);
    how(node);
  }

  /** Back with the same home, on the same port or another. */
  async #return(): Promise<void> {
    const node = this.#pick(this.#away);
    if (node === undefined) return;
    this.#away.splice(this.#away.indexOf(node), 1);
    const again = node.again(this.#chance.next() < 0.5 ? { port: node.transport.port } : {});
    this.#tell(`${node.name} is back`);
    await this.world.done(again.runtime.resume());
    this.#alive.push(again);
  }

  /** All see each other, each linked with each, and nothing happens any more. */
  async #calm(): Promise<void> {
    // Who was killed before it had kept its mesh has begun another.
    const [first] = this.#alive;
    const all = this.#alive.filter(({ meshId }) => meshId === first?.meshId);
    await this.world.agreed(all, 35_000);
    await this.world.until(
      () => all.every(({ linked }) => linked.length === all.length - 1),
      70_000,
    );
    const before = all.map(({ events }) => events.length);
    await this.world.run(60_000);
    await this.world.agreed(all, 0);
    for (const [n, { name, events, clashes }] of all.entries()) {
      const later = events.slice(before[n]).map(([event]) => event);
      assert.deepEqual(later.filter((event) => event !== "changed"), [], name);
      assert.equal(clashes, 0, name);
    }
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[this.#chance.below(list.length)];
  }

  #tell(what: string): void {
    this.told.push(`${this.world.time.nowMs()} ms: ${what}`);
  }
}

for (let seed = 1; seed <= SEEDS; seed += 1) {
  Deno.test(`storm ${seed}: nodes that come and go as chance will have it agree in the end`, async () => {
    const storm = new Storm(seed);
    try {
      await storm.run();
    } catch (error) {
      throw new Error(storm.told.join("\n"), { cause: error });
    }
  });
}
