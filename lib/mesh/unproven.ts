/** How many strangers are listened to at a time. Pure. */

/** Connections that have not proved anything yet and are listened to. */
export const UNPROVEN_MAX = 16;
/** Connections beyond those that are told "busy"; further ones are closed without a word. */
const TURNED_AWAY_MAX = 16;

/** `in`: listen to it; `turn_away`: say that we are busy; `drop`: say nothing. */
export type GateAnswer = "in" | "turn_away" | "drop";

/** Counts the connections at the door; shared by everything that one node accepts. */
export class UnprovenGate {
  #inside = 0;
  #turnedAway = 0;

  /** Called for each new connection; `leave` must follow with the same answer. */
  enter(): GateAnswer {
    if (this.#inside < UNPROVEN_MAX) {
      this.#inside += 1;
      return "in";
    }
    if (this.#turnedAway >= TURNED_AWAY_MAX) return "drop";
    this.#turnedAway += 1;
    return "turn_away";
  }

  /** The connection is proved or gone. */
  leave(answer: GateAnswer): void {
    if (answer === "in") this.#inside -= 1;
    if (answer === "turn_away") this.#turnedAway -= 1;
  }
}
