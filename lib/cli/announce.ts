/**
 * What a node says on stdout. The lines are fixed: scripts wait for them by their beginning. With
 * `--json` each is one JSON object a line instead.
 */
import { assertNever } from "~/base/errors.ts";

/** One thing that a node tells its caller. */
export type Announcement =
  | { readonly event: "pid"; readonly pid: number }
  | { readonly event: "api"; readonly url: string }
  | { readonly event: "console"; readonly url: string }
  | { readonly event: "ready"; readonly model: string };

/** Formats one announcement as its line, without the line end. */
export function formatAnnouncement(announcement: Announcement, asJson: boolean): string {
  if (asJson) return JSON.stringify(announcement);
  switch (announcement.event) {
    case "pid":
      return `Pid: ${announcement.pid}`;
    case "api":
      return `API: ${announcement.url}`;
    case "console":
      return `Console: ${announcement.url}`;
    case "ready":
      return `Ready: ${announcement.model}`;
    default:
      return assertNever(announcement);
  }
}
