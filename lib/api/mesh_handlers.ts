/** The part of the management door that is about the mesh: who is in, who may come, who must go. */
import type { Timers } from "~/base/clock.ts";
import { ApiError } from "./errors.ts";
import { asRefusal, type Handler, readBody, write } from "./handler.ts";
import { inviteRequestOf, joinTokenOf, revokeRequestOf } from "./mesh_body.ts";
import { JOIN_TIMEOUT_MS, type ManagedNode } from "./ports.ts";

const INVALID = { status: 400, code: "invalid_request_error" } as const;

/** What the handlers work with. */
interface MeshHandlerOptions {
  readonly node: ManagedNode;
  readonly timers: Timers;
}

/** One handler for each thing that can be asked about the mesh. */
export interface MeshHandlers {
  readonly join: Handler;
  readonly invite: Handler;
  readonly revoke: Handler;
  readonly members: Handler;
}

/** Makes the handlers; writing ones ask for the management token first. */
export function meshHandlers(options: MeshHandlerOptions): MeshHandlers {
  const { node, timers } = options;
  const oneJoin = onePerson();
  return {
    join: write(async (c) => {
      const token = joinTokenOf(await readBody(c, { timers }));
      using _place = oneJoin();
      const { clientGone } = c.env;
      const join = (signal: AbortSignal) => node.join(token, { signal });
      return c.json(
        await asRefusal(() => bounded(join, { timers, clientGone }), {
          ...INVALID,
          param: "token",
        }),
      );
    }),
    invite: write(async (c) => {
      const request = inviteRequestOf(await readBody(c, { timers, isOptional: true }));
      return c.json(await asRefusal(() => node.makeInvite(request), INVALID), 201);
    }),
    revoke: write(async (c) => {
      const request = revokeRequestOf(await readBody(c, { timers }));
      const param = "node" in request ? "node" : "serial";
      return c.json(await asRefusal(() => node.revoke(request), { ...INVALID, param }));
    }),
    members: (c) => c.json({ "mesh_id": node.status().mesh_id, members: node.members() }),
  };
}

/** A place that one at a time may take. */
function onePerson(): () => Disposable {
  let isTaken = false;
  return () => {
    if (isTaken) {
      const message = "Cannot join now: this node is joining a mesh already; try again soon";
      throw new ApiError(409, "conflict", { message });
    }
    isTaken = true;
    return { [Symbol.dispose]: () => void (isTaken = false) };
  };
}

/**
 * Waits for `work` until it is done, the time is up or nobody wants the answer any more. Its signal is aborted in
 * the last two cases; whatever it still does then is not waited for.
 */
async function bounded<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { timers, clientGone }: { readonly timers: Timers; readonly clientGone: AbortSignal },
): Promise<T> {
  const controller = new AbortController();
  const { promise: over, reject } = Promise.withResolvers<never>();
  const giveUp = (error: ApiError): void => {
    reject(error);
    controller.abort(error);
  };
  const leave = (): void => giveUp(clientLeft());
  const cancelTimer = timers.after(JOIN_TIMEOUT_MS, () => giveUp(tooLate()));
  clientGone.addEventListener("abort", leave);
  over.catch(() => {});
  if (clientGone.aborted) leave();
  try {
    return await Promise.race([over, work(controller.signal)]);
  } finally {
    cancelTimer();
    clientGone.removeEventListener("abort", leave);
  }
}

function tooLate(): ApiError {
  return new ApiError(504, "upstream_timeout", {
    message: `Cannot join: nobody let this node in within ${JOIN_TIMEOUT_MS / 1000} s`,
  });
}

/** Nobody reads this; the status is the one that logs of proxies use for it. */
function clientLeft(): ApiError {
  return new ApiError(499, "client_gone", { message: "Gave up joining: the caller is gone" });
}
