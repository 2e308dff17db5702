/**
 * What a node says on stdout. The lines are fixed: scripts wait for them by their beginning. With
 * `--json` each is one JSON object a line instead.
 */
import { assertNever } from "~/base/errors.ts";

/** One thing that a node tells its caller. */
export type Announcement =
  | { readonly event: "pid"; readonly pid: number }
  /** The token is a secret: it goes to stdout, nowhere else. */
  | { readonly event: "invite"; readonly token: string }
  | { readonly event: "api"; readonly url: string }
  | { readonly event: "console"; readonly url: string }
  /** `peers`: other members that were there then. */
  | { readonly event: "joined"; readonly "mesh_id": string; readonly peers: number }
  | { readonly event: "ready"; readonly model: string };

/** Formats one announcement as its line, without the line end. */
export function formatAnnouncement(announcement: Announcement, asJson: boolean): string {
  if (asJson) return JSON.stringify(announcement);
  switch (announcement.event) {
    case "pid":
      return `Pid: ${announcement.pid}`;
    case "invite":
      return `Invite token: ${announcement.token}`;
    case "api":
      return `API: ${announcement.url}`;
    case "console":
      return `Console: ${announcement.url}`;
    case "joined":
      return `Joined mesh ${announcement.mesh_id} (${announcement.peers} peers)`;
    case "ready":
      return `Ready: ${announcement.model}`;
    default:
      return assertNever(announcement);
  }
}
