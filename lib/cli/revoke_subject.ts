/** What `revoke NODE|SERIAL` is about: a person types the beginning of an id, the node wants all of it. */
import { UserError } from "~/base/errors.ts";
import { isKeyId, isSerial } from "~/mesh/ids.ts";

/** Fewer characters name too many nodes. */
const PREFIX_CHARS_MIN = 6;
/** How many candidates are named when there are several. */
const NAMED_MAX = 5;
const ID_BEGINNING = new RegExp(`^[A-Za-z0-9_-]{${PREFIX_CHARS_MIN},}$`);

/** A whole node id or a serial. */
export type RevokeSubject = { readonly node: string } | { readonly serial: string };

/**
 * Reads what was typed.
 *
 * @param memberIds asked only for the beginning of an id: ids of those who are here
 * @throws {UserError} with exit status 2 for what is no name; 1 when nobody here, or several, begin like that
 */
export async function revokeSubject(
  text: string,
  memberIds: () => Promise<readonly string[]>,
): Promise<RevokeSubject> {
  if (isSerial(text)) return { serial: text };
  if (isKeyId(text)) return { node: text };
  if (!ID_BEGINNING.test(text)) {
    throw new UserError(
      `Cannot revoke ${
        JSON.stringify(text)
      }: it must be a serial, a node id, or at least the first ` +
        `${PREFIX_CHARS_MIN} characters of one`,
      { exitCode: 2 },
    );
  }
  const matches = (await memberIds()).filter((id) => id.startsWith(text));
  const [only] = matches;
  if (only !== undefined && matches.length === 1) return { node: only };
  throw new UserError(
    only === undefined
      ? `Cannot revoke "${text}": no node that is here begins like that; of one that is away give the ` +
        "whole id"
      : `Cannot revoke "${text}": ${matches.length} nodes begin like that, among them ` +
        matches.slice(0, NAMED_MAX).join(", "),
  );
}
