/** Members and views for tests of the election. */
import fc from "fast-check";
import type { GgufFacts } from "~/engine/gguf/facts.ts";
import type { Right } from "~/mesh/credentials.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { NodeRecord } from "~/mesh/record.ts";
import { planMesh } from "~/election/plan.ts";
import type {
  ElectionMember,
  HostedModel,
  MeshPlan,
  MeshView,
  ModelPlan,
  OfferedModel,
} from "~/election/ports.ts";
import { recordOf } from "./membership.ts";

export const HOUR_MS = 3_600_000;
const GIB = 1024 ** 3;

/** Node number `n`. */
export function nodeOf(n: number): string {
  return `node-${String(n).padStart(2, "0")}`;
}

/** A model that needs so much main memory. */
export function offer(
  id: string,
  gib = 1,
  fingerprint: string | undefined = `print-${id}`,
): OfferedModel {
  const bytes = gib * GIB;
  return { id, fingerprint, sizeBytes: bytes, needs: [{ device: "ram", bytes }] };
}

export function hosted(id: string, changes: Partial<HostedModel> = {}): HostedModel {
  return {
    ...offer(id),
    state: "serving",
    sinceUnixS: 1_000,
    slots: 4,
    busy: 0,
    serviceMs: 1_000,
    unusedMs: 0,
    ...changes,
  };
}

/** A member with 4 GiB of main memory and nothing on disk. */
export function member(n: number, changes: Partial<ElectionMember> = {}): ElectionMember {
  return {
    node: nodeOf(n),
    mayServe: true,
    isLeaving: false,
    devices: [{ name: "ram", capacityBytes: 4 * GIB }],
    speed: 0,
    modelsMax: 1,
    onDisk: [],
    fetchable: [],
    hosted: [],
    asksHere: [],
    wants: [],
    demand: [],
    avoids: [],
    ...changes,
  };
}

export function ram(gib: number): ElectionMember["devices"] {
  return [{ name: "ram", capacityBytes: gib * GIB }];
}

export function wish(id: string, perMinute = 1): Pick<ElectionMember, "demand"> {
  return { demand: [{ id, perMinute }] };
}

export function viewOf(...members: readonly ElectionMember[]): MeshView {
  return { members };
}

export function planOf(view: MeshView, id: string): ModelPlan | undefined {
  return planMesh(view).models.find((model) => model.id === id);
}

/** Nodes that are to serve a model. */
export function hostsOf(view: MeshView, id: string): readonly string[] {
  return planOf(view, id)?.hosts.map(({ node }) => node) ?? [];
}

/** Who serves what, without the reasons; models without a host are left out. */
export function shapeOf(plan: MeshPlan): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    plan.models.filter(({ hosts }) => hosts.length > 0)
      .map(({ id, hosts }) => [id, hosts.map(({ node }) => node)]),
  );
}

/** What `node` is to serve. */
export function plannedFor(plan: MeshPlan, node: string): readonly string[] {
  return plan.models.filter(({ hosts }) => hosts.some((host) => host.node === node))
    .map(({ id }) => id);
}

/** The view after `node` did what the plan says, its new models being in `state`. */
export function obeyed(
  view: MeshView,
  plan: MeshPlan,
  { node, state }: { readonly node: string; readonly state: HostedModel["state"] },
): MeshView {
  return {
    members: view.members.map((one) => {
      if (one.node !== node) return one;
      const wanted = plannedFor(plan, node);
      const kept = one.hosted.filter(({ id, state }) =>
        wanted.includes(id) && state !== "draining"
      );
      const begun = wanted.filter((id) => kept.every((model) => model.id !== id)).map((id) => {
        const found = [...one.onDisk, ...one.hosted, ...one.fetchable].find((had) => had.id === id);
        return hosted(id, {
          ...found,
          state,
          sinceUnixS: 9_000,
          serviceMs: undefined,
          busy: 0,
          unusedMs: 0,
        });
      });
      return { ...one, hosted: [...kept, ...begun] };
    }),
  };
}

/** The view after everybody did what the plans say until nothing changes; at most `rounds` times. */
export function settled(view: MeshView, rounds = 8): MeshView {
  let now = view;
  for (let round = 0; round < rounds; round += 1) {
    const plan = planMesh(now);
    const before = JSON.stringify(now);
    for (const { node } of view.members) now = obeyed(now, plan, { node, state: "serving" });
    if (JSON.stringify(now) === before) return now;
  }
  return now;
}

const IDS = ["a", "b", "c", "d", "e", "f"];
const NEEDS: Readonly<Record<string, number>> = { a: 1, b: 1, c: 2, d: 3, e: 5, f: 8 };

function offersArb(maxLength: number): fc.Arbitrary<readonly OfferedModel[]> {
  return fc.uniqueArray(
    fc.record({ id: fc.constantFrom(...IDS), isOther: fc.nat(9).map((n) => n === 0) })
      .map(({ id, isOther }) => offer(id, NEEDS[id], isOther ? "other" : undefined)),
    { maxLength, selector: ({ id }) => id },
  );
}

const hostedArb: fc.Arbitrary<HostedModel> = fc.record({
  id: fc.constantFrom(...IDS),
  state: fc.constantFrom("serving", "serving", "serving", "loading", "fetching", "draining"),
  sinceUnixS: fc.integer({ min: 0, max: 5 }),
  slots: fc.constantFrom(0, 1, 4),
  busy: fc.constantFrom(0, 0.5, 0.75, 1),
  serviceMs: fc.constantFrom(undefined, 1_000, 8_000, 64_000),
  unusedMs: fc.constantFrom(0, 0, HOUR_MS),
}).map((changes) => ({
  ...hosted(changes.id),
  ...offer(changes.id, NEEDS[changes.id]),
  ...changes,
}));

/** Any member that could be: with devices of all sizes, mistakes and lies included. */
export function memberArb(n: number): fc.Arbitrary<ElectionMember> {
  const names = (maxLength: number) =>
    fc.uniqueArray(fc.constantFrom(...IDS, "unknown"), { maxLength });
  return fc.record({
    mayServe: fc.nat(9).map((chance) => chance > 0),
    isLeaving: fc.nat(19).map((chance) => chance === 0),
    devices: fc.constantFrom(0, 1, 2, 4, 8, 16).map(ram),
    speed: fc.constantFrom(0 as const, 1 as const, 2 as const),
    modelsMax: fc.constantFrom(1, 1, 1, 2),
    onDisk: offersArb(4),
    fetchable: offersArb(2),
    hosted: fc.uniqueArray(hostedArb, { maxLength: 1, selector: ({ id }) => id }),
    asksHere: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, names(1)),
    wants: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, names(2)),
    demand: fc.uniqueArray(
      fc.record({
        id: fc.constantFrom(...IDS, "unknown"),
        perMinute: fc.constantFrom(0.25, 1, 30, 1e9),
      }),
      { maxLength: 3, selector: ({ id }) => id },
    ),
    avoids: fc.uniqueArray(
      fc.record({
        id: fc.constantFrom(...IDS),
        cause: fc.constantFrom("failed" as const, "dropped" as const),
      }),
      { maxLength: 1, selector: ({ id }) => id },
    ),
  }).map((changes) => {
    // A node has one file of a name.
    const hosted = changes.hosted.map((model) => ({
      ...model,
      ...[...changes.onDisk, ...changes.fetchable].find(({ id }) => id === model.id),
    }));
    return member(n, { ...changes, hosted });
  });
}

/** Any view of up to `most` members. */
export function viewArb(most = 7): fc.Arbitrary<MeshView> {
  return fc.integer({ min: 1, max: most }).chain((count) =>
    fc.tuple(...Array.from({ length: count }, (_, n) => memberArb(n)))
  ).map((members) => ({ members }));
}

/** A member who is here, with a record of its own. */
export function memberViewOf(
  node: string,
  changes: Partial<NodeRecord> = {},
  rights: readonly Right[] = ["serve"],
): MemberView {
  const { certificate, record, jws } = recordOf(1);
  const paper = { ...certificate.paper, rights };
  return {
    node,
    record: { jws, record: { ...record, ...changes }, certificate: { ...certificate, paper } },
    health: "live",
    isDirect: true,
    isPunched: false,
    via: [],
  };
}

/** What the header of a small model says. */
export function tinyFacts(): GgufFacts {
  const mib = 1024 ** 2;
  return {
    architecture: "llama",
    purpose: "text",
    layerCount: 2,
    embeddingLength: 64,
    feedForwardLength: 128,
    contextLength: 2_048,
    vocabularySize: 512,
    headCounts: [4, 4],
    kvHeadCounts: [2, 2],
    keyLength: 16,
    valueLength: 16,
    recurrentElements: 0,
    expertCount: 0,
    expertUsedCount: 0,
    expertSharedCount: 0,
    expertFeedForwardLength: 0,
    quantisation: "F16",
    dominantTensorType: "F16",
    parameterCount: 500_000,
    weightsBytes: 4 * mib,
    layerBytes: [mib, mib],
    embeddingBytes: mib,
    outputBytes: mib,
    otherBytes: 0,
    hasChatTemplate: true,
  };
}
