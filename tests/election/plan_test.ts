import assert from "node:assert/strict";
import {
  hosted,
  hostsOf,
  HOUR_MS,
  member,
  nodeOf,
  offer,
  planOf,
  ram,
  settled,
  shapeOf,
  viewOf,
  wish,
} from "#support/election.ts";
import { planMesh } from "~/election/plan.ts";

const [n1, n2, n3] = [1, 2, 3].map(nodeOf) as [string, string, string];

Deno.test("a model that is asked for goes to a member that has it, else to one that can fetch it", () => {
  const fetcher = member(1, { fetchable: [offer("a")], speed: 2 });
  const asker = member(0, wish("a"));
  assert.deepEqual(hostsOf(viewOf(asker, fetcher, member(2, { onDisk: [offer("a")] })), "a"), [n2]);
  assert.deepEqual(hostsOf(viewOf(asker, fetcher), "a"), [n1]);
  assert.deepEqual(hostsOf(viewOf(asker), "a"), []);
});

Deno.test("serving goes before loading, loading before having it on disk", () => {
  const disk = member(1, { onDisk: [offer("a")], speed: 2 });
  const loads = member(2, { hosted: [hosted("a", { state: "loading" })], speed: 1 });
  const serves = member(3, { hosted: [hosted("a")] });
  const asker = member(0, wish("a"));
  assert.deepEqual(hostsOf(viewOf(asker, disk, loads, serves), "a"), [n3]);
  assert.deepEqual(hostsOf(viewOf(asker, disk, loads), "a"), [n2]);
});

Deno.test("of members that could, the fastest serves, of equals the one with least room to spare", () => {
  const small = member(1, { onDisk: [offer("a")], devices: ram(2) });
  const large = member(2, { onDisk: [offer("a")], devices: ram(16) });
  assert.deepEqual(hostsOf(viewOf(member(0, wish("a")), small, large), "a"), [n1]);
  assert.deepEqual(hostsOf(viewOf(member(0, wish("a")), small, { ...large, speed: 2 }), "a"), [n2]);
});

Deno.test("nothing is planned where it does not fit, on members that leave, avoid it or may not serve", () => {
  const able = member(1, { onDisk: [offer("a", 3)] });
  const no = [
    { ...able, devices: ram(2) },
    { ...able, isLeaving: true },
    { ...able, mayServe: false },
    { ...able, avoids: [{ id: "a", cause: "failed" as const }] },
  ];
  assert.deepEqual(hostsOf(viewOf(member(0, wish("a")), able), "a"), [n1]);
  for (const one of no) assert.deepEqual(hostsOf(viewOf(member(0, wish("a")), one), "a"), []);
});

Deno.test("a want has a host as long as the asker is here, without a single request", () => {
  const view = viewOf(member(0, { wants: ["a"] }), member(1, { onDisk: [offer("a")] }));
  assert.deepEqual(hostsOf(view, "a"), [n1]);
  const leaving = viewOf(
    member(0, { wants: ["a"], isLeaving: true }),
    member(1, { onDisk: [offer("a")] }),
  );
  assert.equal(planOf(leaving, "a"), undefined);
});

Deno.test("what runs stays where it is, though another would be better", () => {
  const slow = member(1, { hosted: [hosted("a")] });
  const fast = member(2, { onDisk: [offer("a")], speed: 2 });
  assert.deepEqual(hostsOf(viewOf(member(0, wish("a")), slow, fast), "a"), [n1]);
});

Deno.test("a model unused for an hour gives way when its memory is wanted, one in use does not", () => {
  const asker = member(0, wish("b"));
  const host = (unusedMs: number) =>
    member(1, { hosted: [hosted("a", { unusedMs })], onDisk: [offer("b")] });
  assert.deepEqual(shapeOf(planMesh(viewOf(asker, host(HOUR_MS)))), { b: [n1] });
  assert.deepEqual(shapeOf(planMesh(viewOf(asker, host(0)))), { a: [n1] });
  // Nobody wants the memory: it stays.
  assert.deepEqual(shapeOf(planMesh(viewOf(host(HOUR_MS)))), { a: [n1] });
});

Deno.test("what was asked for by flag is never displaced, neither here nor by anybody's want", () => {
  const unused = { hosted: [hosted("a", { unusedMs: HOUR_MS })], onDisk: [offer("b")] };
  const asker = member(0, wish("b", 900));
  const own = member(1, { ...unused, asksHere: ["a"] });
  assert.deepEqual(shapeOf(planMesh(viewOf(asker, own))), { a: [n1] });
  const wanted = viewOf(asker, member(1, unused), member(2, { wants: ["a"] }));
  assert.deepEqual(shapeOf(planMesh(wanted)), { a: [n1] });
});

Deno.test("a member keeps itself free for what was asked for there", () => {
  const asks = member(1, { asksHere: ["a"], onDisk: [offer("a", 8), offer("b")] });
  assert.deepEqual(shapeOf(planMesh(viewOf(member(0, wish("b")), asks))), {});
  const fits = member(1, { asksHere: ["a"], onDisk: [offer("a", 3), offer("b")] });
  assert.deepEqual(shapeOf(planMesh(viewOf(member(0, wish("b")), fits))), { a: [n1] });
});

Deno.test("one more host comes when all are full and demand justifies it, one at a time", () => {
  const free = [2, 3, 4].map((n) => member(n, { onDisk: [offer("a")] }));
  const busy = (share: number) => member(1, { hosted: [hosted("a", { busy: share })] });
  const at = (perMinute: number, share: number) =>
    hostsOf(viewOf(member(0, wish("a", perMinute)), busy(share), ...free), "a").length;
  assert.equal(at(200, 1), 2);
  assert.equal(at(200, 0.5), 1);
  // A host that claims to be full draws nobody in without requests, and claimed requests none without full hosts.
  assert.equal(at(1, 1), 1);
  assert.equal(at(1e9, 0), 1);
});

Deno.test("a replica is not fetched, and takes nobody's place who is used", () => {
  const full = member(1, { hosted: [hosted("a", { busy: 1 })] });
  const asker = member(0, wish("a", 200));
  const fetcher = member(2, { fetchable: [offer("a")] });
  const other = member(3, { onDisk: [offer("a")], hosted: [hosted("b")] });
  assert.deepEqual(hostsOf(viewOf(asker, full, fetcher, other), "a"), [n1]);
});

Deno.test("an idle host beyond what is needed is not in the plan, one that works is", () => {
  const hosts = (busy: number) =>
    viewOf(
      member(0, wish("a", 1)),
      member(1, { hosted: [hosted("a", { busy: 0.5 })] }),
      member(2, { hosted: [hosted("a", { busy })] }),
    );
  assert.deepEqual(hostsOf(hosts(0), "a"), [n1]);
  assert.deepEqual(hostsOf(hosts(0.25), "a"), [n1, n2]);
});

Deno.test("no host goes, however idle it says it is, while another is full", () => {
  const view = viewOf(
    member(0, wish("a", 1)),
    member(1, { hosted: [hosted("a", { busy: 1 })] }),
    member(2, { hosted: [hosted("a")] }),
  );
  assert.deepEqual(hostsOf(view, "a"), [n1, n2]);
});

Deno.test("a model without a host goes before another model's spare replica", () => {
  const view = viewOf(
    member(0, { demand: [{ id: "a", perMinute: 60 }, { id: "b", perMinute: 1 }] }),
    member(1, { hosted: [hosted("a", { busy: 0.25 })], onDisk: [offer("b")] }),
    member(2, { hosted: [hosted("a", { busy: 0.25 })] }),
  );
  assert.deepEqual(shapeOf(planMesh(view)), { a: [n2], b: [n1] });
});

Deno.test("a model that fits one member only gets it, and the other goes elsewhere", () => {
  const view = viewOf(
    member(0, { demand: [{ id: "a", perMinute: 9 }, { id: "b", perMinute: 1 }] }),
    member(1, { onDisk: [offer("a", 2), offer("b", 6)], devices: ram(8), speed: 2 }),
    member(2, { onDisk: [offer("a", 2)], devices: ram(4) }),
  );
  assert.deepEqual(shapeOf(planMesh(view)), { a: [n2], b: [n1] });
});

Deno.test("several models share a member that says it can run several, as long as they fit", () => {
  const able = member(1, { onDisk: [offer("a", 2), offer("b", 1), offer("c", 2)], modelsMax: 3 });
  const asker = member(0, {
    demand: ["a", "b", "c"].map((id, index) => ({ id, perMinute: 9 - index })),
  });
  assert.deepEqual(shapeOf(planMesh(viewOf(asker, able))), { a: [n1], b: [n1] });
});

Deno.test("only members with the same file under one name serve it together", () => {
  const view = viewOf(
    member(0, wish("a", 500)),
    member(1, { hosted: [hosted("a", { busy: 1 })] }),
    member(2, { onDisk: [offer("a", 1, "another file")] }),
  );
  assert.deepEqual(hostsOf(view, "a"), [n1]);
  assert.equal(planOf(view, "a")?.fingerprint, "print-a");
  // Alone the other file is as good.
  const alone = viewOf(
    member(0, wish("a")),
    member(2, { onDisk: [offer("a", 1, "another file")] }),
  );
  assert.deepEqual(hostsOf(alone, "a"), [n2]);
  assert.equal(planOf(alone, "a")?.fingerprint, "another file");
});

Deno.test("a load that gets nowhere counts as none", () => {
  const stuck = member(1, { hosted: [hosted("a", { state: "loading", isStalled: true })] });
  const view = viewOf(member(0, wish("a")), stuck, member(2, { onDisk: [offer("a")] }));
  assert.deepEqual(hostsOf(view, "a"), [n2]);
});

Deno.test("ten models find their places among 32 members and stay there", () => {
  const ids = Array.from({ length: 10 }, (_, n) => `model-${n}`);
  const members = Array.from({ length: 32 }, (_, n) =>
    member(n, {
      onDisk: ids.filter((_, index) => (index + n) % 3 === 0).map((id) => offer(id, 1 + n % 4)),
      demand: n === 0 ? ids.map((id, index) => ({ id, perMinute: 1 + index })) : [],
    }));
  const after = settled({ members });
  const shape = shapeOf(planMesh(after));
  assert.deepEqual(Object.keys(shape), ids);
  assert.equal(new Set(Object.values(shape).flat()).size, 10, "one model on each");
  assert.deepEqual(shape, shapeOf(planMesh({ members })));
});
