/**
 * What clients may make members care about. A client has no record and speaks for itself only to the members that it
 * is linked with; whoever has an invite can be one, so each is believed little. Pure.
 */
import { LruMap } from "~/base/lru.ts";
import { TokenBucket } from "~/base/token_bucket.ts";
import type { AskedModel } from "~/mesh/control.ts";
import type { NodeId } from "~/mesh/ids.ts";

/** Models that one client can have asked for at a time. */
export const CLIENT_MODELS_MAX = 8;
/** So long a model counts as asked for by a client: until its last request is as good as forgotten. */
const ASKED_MS = 10 * 60_000;
/** Messages of one client: an honest one sends one a second. */
const MESSAGES = { burst: 8, perSecond: 2 };
/** Requests of one client that count. */
const REQUESTS = { burst: 64, perSecond: 4 };
/** Clients remembered: as many as can be linked. Those who come back get no fresh allowance. */
const CLIENTS_MAX = 256;

interface Budget {
  readonly messages: TokenBucket;
  readonly requests: TokenBucket;
  /** When each model was asked for last. */
  readonly models: Map<string, number>;
}

/** Decides what of the word of clients counts. */
export class ClientDemand {
  readonly #budgets = new LruMap<NodeId, Budget>(CLIENTS_MAX);

  /**
   * What counts of what a client says.
   *
   * @param known which names mean something; called only when the client is listened to at all
   */
  admit(
    client: NodeId,
    asked: readonly AskedModel[],
    { known, nowMs }: { readonly known: () => ReadonlySet<string>; readonly nowMs: number },
  ): readonly AskedModel[] {
    const budget = this.#budgets.get(client) ?? newBudget();
    this.#budgets.set(client, budget);
    if (!budget.messages.take(1, nowMs)) return [];
    const names = known();
    return asked.filter(({ id }) => names.has(id) && mayAsk(budget, id, nowMs))
      .map(({ id, requests }) => ({ id, requests: budget.requests.takeUpTo(requests, nowMs) }))
      .filter(({ requests }) => requests > 0);
  }
}

function newBudget(): Budget {
  return {
    messages: new TokenBucket(MESSAGES),
    requests: new TokenBucket(REQUESTS),
    models: new Map(),
  };
}

function mayAsk({ models }: Budget, id: string, nowMs: number): boolean {
  for (const [model, atMs] of models) if (nowMs - atMs >= ASKED_MS) models.delete(model);
  if (!models.has(id) && models.size >= CLIENT_MODELS_MAX) return false;
  models.set(id, nowMs);
  return true;
}
