/** A claim about our own code turned out false: a defect in mesh-llm, never the user's fault. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/**
 * Something a person can act on: the message is one clear sentence that says what was found and what
 * was wanted. Commands print it without a stack trace.
 */
export class UserError extends Error {
  override readonly name: string = "UserError";
  /** Exit status of a command that ends with this error: 1 failed, 2 wrong usage. */
  readonly exitCode: 1 | 2;

  constructor(message: string, options: ErrorOptions & { readonly exitCode?: 1 | 2 } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? 1;
  }
}

/**
 * Checks what must be true of our own code.
 *
 * @throws {InvariantError} when `condition` is false
 */
export function assert(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new InvariantError(`Broken invariant: ${claim}`);
}

/** Ends a `switch` over a closed union: a new member without a case stops compiling. */
export function assertNever(value: never): never {
  throw new InvariantError(`Broken invariant: no case is written for ${JSON.stringify(value)}`);
}

/** The sentence inside whatever was thrown. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === "" ? thrown.name : thrown.message;
  return String(thrown);
}
