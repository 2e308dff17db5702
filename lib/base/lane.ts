/**
 * Runs async steps one after another; each sees the state that the previous one left.
 *
 * JavaScript has one thread, but every `await` is a place where others run: state with an owner is
 * changed only inside its owner's lane.
 */
export class Lane {
  #tail: Promise<unknown> = Promise.resolve();

  /** Queues `step`; resolves or rejects as it does. A failed step does not block the lane. */
  run<T>(step: () => Promise<T> | T): Promise<T> {
    const result = this.#tail.then(step);
    this.#tail = result.catch(() => {});
    return result;
  }
}
