/** A "no" that a peer or a person gets, with one sentence that says why. */

/** Words for programs; peers send them too. */
export type RefusalCode =
  | "version"
  | "mesh"
  | "proof"
  | "certificate"
  | "revoked"
  | "expired"
  | "invite"
  | "full"
  | "self"
  | "busy";

/** Why something was refused. */
export interface Refusal {
  readonly code: RefusalCode;
  /** One sentence for people, without a period at its end. */
  readonly message: string;
}

/** Makes a refusal. */
export function refusal(code: RefusalCode, message: string): Refusal {
  return { code, message };
}

/** Tells a refusal from whatever would have been the answer. */
export function isRefusal(answer: object): answer is Refusal {
  return "code" in answer && "message" in answer;
}
