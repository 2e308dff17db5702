/** How many strangers are listened to at a time. Pure. */
import { isIPv6 } from "node:net";

/** Connections that have not proved anything yet and are listened to. */
export const UNPROVEN_MAX = 16;
/** Of those, from one address: so that one machine alone cannot keep everybody else out. */
const UNPROVEN_PER_ADDRESS = 12;
/** Connections beyond those that are told "busy"; further ones are closed without a word. */
const TURNED_AWAY_MAX = 16;

/** `in`: listen to it; `turn_away`: say that we are busy; `drop`: say nothing. */
export type GateAnswer = "in" | "turn_away" | "drop";

/** Counts the connections at the door; shared by everything that one node accepts. */
export class UnprovenGate {
  readonly #inside = new Map<string, number>();
  #turnedAway = 0;

  /** Called for each new connection; `leave` must follow with the same address and the answer. */
  enter(ip: string): GateAnswer {
    const source = sourceOf(ip);
    const ofSource = this.#inside.get(source) ?? 0;
    const all = [...this.#inside.values()].reduce((sum, count) => sum + count, 0);
    if (all < UNPROVEN_MAX && ofSource < UNPROVEN_PER_ADDRESS) {
      this.#inside.set(source, ofSource + 1);
      return "in";
    }
    if (this.#turnedAway >= TURNED_AWAY_MAX) return "drop";
    this.#turnedAway += 1;
    return "turn_away";
  }

  /** The connection is proved or gone. */
  leave(ip: string, answer: GateAnswer): void {
    if (answer === "turn_away") this.#turnedAway -= 1;
    if (answer !== "in") return;
    const source = sourceOf(ip);
    const left = (this.#inside.get(source) ?? 0) - 1;
    if (left > 0) this.#inside.set(source, left);
    else this.#inside.delete(source);
  }
}

/** An IPv4 address, or the network of 64 bits that an IPv6 one is in: whoever has one of those has all of it. */
function sourceOf(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const [head = "", tail] = ip.toLowerCase().split("::");
  const before = head.split(":").filter((group) => group !== "");
  const after = (tail ?? "").split(":").filter((group) => group !== "");
  const zeros = Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  return [...before, ...zeros, ...after].slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, "")).join(":");
}
