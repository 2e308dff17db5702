/**
 * Works on `items` in their order, on up to `count` of them at a time: whoever is done takes the next one.
 *
 * @throws {unknown} what `work` has thrown first; the other lanes go on to the end of what they work on
 */
export async function inLanes<T>(
  items: Iterable<T>,
  count: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = [...items];
  const lane = async (): Promise<void> => {
    try {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
    } catch (error) {
      left.length = 0;
      throw error;
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: count }, lane));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
