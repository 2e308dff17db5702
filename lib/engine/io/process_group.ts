import type { EndSignal } from "../process.ts";

/**
 * Sends a signal to a process that was started as the head of its own group, and to all of that
 * group; nothing happens when it is gone. Windows has no groups: there the process itself is ended.
 */
export function killGroup(pid: number, signal: EndSignal): void {
  try {
    Deno.kill(Deno.build.os === "windows" ? pid : -pid, signal);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    // A group that has ended but was not waited for yet, or a process that is just ending (Windows).
    if (error instanceof Deno.errors.PermissionDenied) return;
    if (error instanceof TypeError) return;
    throw error;
  }
}
