/** Commands about the mesh of the running node: `members`, `join`, `invite`, `revoke`. */
import { readInviteSeconds } from "~/api/mesh_body.ts";
import { UserError } from "~/base/errors.ts";
import type { CommandContext } from "../context.ts";
import { readJoinTokens } from "../join_tokens.ts";
import { jsonText } from "../json_text.ts";
import { formatMembers, inviteNote, revokeNotes } from "../mesh_output.ts";
import { revokeSubject } from "../revoke_subject.ts";
import { clientOfRunning } from "./running.ts";

/** Prints who is in the mesh. */
export async function members(context: CommandContext): Promise<number> {
  const answer = await (await clientOfRunning(context)).members();
  context.print(
    context.isJson ? jsonText(answer) : formatMembers(answer, Math.floor(Date.now() / 1000)),
  );
  return 0;
}

/** Lets the running node join the mesh of a token. */
export async function join(context: CommandContext, given: string | undefined): Promise<number> {
  const flags = given === undefined ? [] : [given];
  // What is typed is meant, whatever the environment holds.
  const env = given === undefined ? context.env : () => undefined;
  const [token, another] = await readJoinTokens(flags, env);
  if (token === undefined || another !== undefined) {
    throw new UserError(
      "Cannot join: give one invite token, @file with one, or one in MESH_LLM_JOIN",
      { exitCode: 2 },
    );
  }
  const joined = await (await clientOfRunning(context)).join(token);
  context.print(
    context.isJson ? jsonText(joined) : `Joined mesh ${joined.mesh_id} (${joined.peers} peers)`,
  );
  return 0;
}

/** Flags of `invite`. */
interface InviteFlags {
  readonly role?: "member" | "client" | undefined;
  readonly expires?: string | undefined;
}

/**
 * Makes an invite; its token alone goes to stdout.
 *
 * @throws {UserError} with exit status 2 for a time that no invite can have
 */
export async function invite(context: CommandContext, flags: InviteFlags): Promise<number> {
  const { role, expires } = flags;
  const seconds = expires === undefined ? 0 : readInviteSeconds(expires);
  if (typeof seconds === "string") {
    throw new UserError(`Cannot make this invite: --expires is ${seconds}`, { exitCode: 2 });
  }
  const made = await (await clientOfRunning(context)).makeInvite({ role, expires });
  context.print(context.isJson ? jsonText(made) : made.token);
  if (!context.isJson) context.tell(inviteNote(made));
  return 0;
}

/** Flags of `revoke`. */
interface RevokeFlags {
  readonly subject: string;
  readonly keep: boolean;
}

/** Takes a node, an invite or a certificate out of the mesh. */
export async function revoke(context: CommandContext, flags: RevokeFlags): Promise<number> {
  // What is no name at all is told before a node is looked for.
  const subject = await revokeSubject(flags.subject, async () => {
    const answer = await (await clientOfRunning(context)).members();
    return answer.members.map(({ id }) => id);
  });
  const revoked = await (await clientOfRunning(context)).revoke(subject, { keep: flags.keep });
  const { closed_links: closedLinks } = revoked;
  if (context.isJson) {
    context.print(jsonText(revoked));
    return 0;
  }
  const links = closedLinks === 1 ? "1 link" : `${closedLinks} links`;
  context.print(`Revoked ${revoked.revoked}, ${links} of this node closed`);
  for (const note of revokeNotes(revoked, "node" in subject)) context.tell(note);
  return 0;
}
