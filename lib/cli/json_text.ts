/** JSON for scripts, of all commands in one spelling: names in snake_case, as in the status of a node. Pure. */

/** A value as one line; names of members in our own spelling (`sizeBytes`) become theirs (`size_bytes`). */
export function jsonText(value: unknown): string {
  return JSON.stringify(respelt(value));
}

function respelt(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(respelt);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [snakeCase(name), respelt(member)]),
  );
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
