/**
 * What the interface promises and this version cannot do yet. Such a flag or command says so and ends
 * with exit status 2: being ignored silently would be a lie.
 */
import { UserError } from "~/base/errors.ts";
import type { ServeFlags } from "./flags.ts";
import type { Invocation } from "./program.ts";

type FlagName = keyof ServeFlags;

const SPLIT = "splitting a model over several computers";
const LISTING = "public meshes";
const DRAFT = "speculative decoding";

const UNBUILT_FLAGS: readonly (readonly [FlagName, spelling: string, feature: string])[] = [
  ["auto", "--auto", LISTING],
  ["publish", "--publish", LISTING],
  ["meshName", "--mesh-name", LISTING],
  ["region", "--region", LISTING],
  ["maxClients", "--max-clients", LISTING],
  ["nostrRelays", "--nostr-relay", LISTING],
  ["split", "--split", SPLIT],
  ["tensorSplit", "--tensor-split", SPLIT],
  ["draft", "--draft", DRAFT],
  ["draftMax", "--draft-max", DRAFT],
];

const UNBUILT_COMMANDS: Readonly<
  Partial<Record<Invocation["action"], readonly [spelling: string, feature: string]>>
> = {
  "discover": ["mesh-llm discover", LISTING],
};

/**
 * Checks what was asked against what exists.
 *
 * @throws {UserError} with exit status 2 that names the flag or command and the missing feature
 */
export function refuseUnbuilt(invocation: Invocation): void {
  const command = UNBUILT_COMMANDS[invocation.action];
  if (command !== undefined) throw unbuilt(...command);
  if (invocation.action === "download" && invocation.draft) throw unbuilt("--draft", DRAFT);
  if (invocation.action !== "serve") return;
  const flags: ServeFlags = invocation;
  const used = UNBUILT_FLAGS.find(([name]) => isGiven(flags[name]));
  if (used !== undefined) throw unbuilt(used[1], used[2]);
}

function isGiven(value: ServeFlags[FlagName]): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return value !== undefined && value !== false;
}

function unbuilt(spelling: string, feature: string): UserError {
  return new UserError(
    `${spelling} is not available: this version does not support ${feature} yet`,
    {
      exitCode: 2,
    },
  );
}
