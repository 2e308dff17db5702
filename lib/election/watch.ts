/**
 * What a node notices over time about others, because no record says it: loads that get nowhere, and members that
 * the plan counts on and that do nothing. A member that lies about what it can hold must not keep a model from
 * everybody.
 */
import type { NodeId } from "../mesh/ids.ts";
import type { ElectionMember, MeshPlan, MeshView } from "./ports.ts";

/** A load from disk may take so long, and a download. */
const LOADING_MS_MAX = 600_000;
const FETCHING_MS_MAX = 6 * 3_600_000;
/** So long a member may take to begin with what the plan gives it: waits, draining and the way of records. */
const BEGIN_MS_MAX = 45_000;
/** So long it is then not counted on. */
const SHUN_MS = 900_000;

/** Watches the loads and promises of all members. */
export class MemberWatch {
  /** Loads by node, model and state, with when they are given up. */
  readonly #loads = new Map<string, number>();
  /** Plans that a member did not begin with yet. */
  readonly #promises = new Map<string, number>();
  /** Plans that a member did not begin with in time. */
  readonly #shunned = new Map<string, number>();

  /** Takes in what is seen and planned now; true when what {@link correct} says has changed by it. */
  observe(view: MeshView, plan: MeshPlan, nowMs: number): boolean {
    const loads = view.members.flatMap(({ node, hosted }) =>
      hosted.flatMap(({ id, state }) =>
        state === "loading" || state === "fetching"
          ? [
            [
              keyOf(node, id, state),
              state === "loading" ? LOADING_MS_MAX : FETCHING_MS_MAX,
            ] as const,
          ]
          : []
      )
    );
    follow(this.#loads, new Map(loads), nowMs);
    follow(this.#promises, promisesOf(view, plan), nowMs);
    let isNews = false;
    for (const [key, untilMs] of this.#promises) {
      if (untilMs > nowMs) continue;
      this.#promises.delete(key);
      this.#shunned.set(key, nowMs + SHUN_MS);
      isNews = true;
    }
    for (const [key, untilMs] of this.#shunned) {
      if (untilMs <= nowMs) isNews = this.#shunned.delete(key) || isNews;
    }
    return isNews;
  }

  /** The view without what cannot be counted on. */
  correct(view: MeshView, nowMs: number): MeshView {
    return { members: view.members.map((member) => this.#correctOne(member, nowMs)) };
  }

  #correctOne(member: ElectionMember, nowMs: number): ElectionMember {
    const { node, hosted } = member;
    const stalled = hosted.filter(({ id, state }) => {
      if (state !== "loading" && state !== "fetching") return false;
      return (this.#loads.get(keyOf(node, id, state)) ?? Number.POSITIVE_INFINITY) <= nowMs;
    });
    const shunned = this.#shunned.size === 0 ? [] : this.#shunnedAt(member);
    if (shunned.length === 0 && stalled.length === 0) return member;
    return {
      ...member,
      hosted: hosted.map((model) =>
        stalled.includes(model) ? { ...model, isStalled: true } : model
      ),
      avoids: [...member.avoids, ...shunned.map((id) => ({ id, cause: "failed" as const }))],
    };
  }

  #shunnedAt({ node, onDisk, fetchable }: ElectionMember): readonly string[] {
    const offered = new Set([...onDisk, ...fetchable].map(({ id }) => id));
    return [...offered].filter((id) => this.#shunned.has(keyOf(node, id)));
  }

  /** When something will change by itself; undefined for never. */
  wakeAtMs(nowMs: number): number | undefined {
    const moments = [this.#loads, this.#promises, this.#shunned].flatMap((
      map,
    ) => [...map.values()]);
    const next = moments.filter((moment) => moment > nowMs);
    return next.length === 0 ? undefined : Math.min(...next);
  }
}

/** What members are to begin with, by their own numbers. */
function promisesOf(view: MeshView, plan: MeshPlan): ReadonlyMap<string, number> {
  const nodes = new Map(view.members.map((member) => [member.node, member]));
  const promises = new Map<string, number>();
  for (const { id, hosts } of plan.models) {
    for (const { node, cause } of hosts) {
      // What is asked for at a node is for its owner to watch.
      if (cause.kind !== "first" && cause.kind !== "replica") continue;
      const isBegun = nodes.get(node)?.hosted.some((model) => model.id === id) === true;
      if (!isBegun) promises.set(keyOf(node, id), BEGIN_MS_MAX);
    }
  }
  return promises;
}

/** Keeps what is still there, begins to watch what is new. */
function follow(seen: Map<string, number>, now: ReadonlyMap<string, number>, nowMs: number): void {
  for (const key of seen.keys()) if (!now.has(key)) seen.delete(key);
  for (const [key, limitMs] of now) {
    if (!seen.has(key)) seen.set(key, nowMs + limitMs);
  }
}

function keyOf(node: NodeId, id: string, state = ""): string {
  return `${node}\n${state}\n${id}`;
}
