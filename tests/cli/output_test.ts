import assert from "node:assert/strict";
import { getLogger, reset } from "@logtape/logtape";
import { formatAnnouncement } from "~/cli/announce.ts";
import { configureLogging } from "~/cli/logging.ts";
import { createProgressReporter, formatProgress } from "~/cli/progress_line.ts";
import { MESH_ID } from "#support/managed_node.ts";

Deno.test("formatAnnouncement() writes the lines that scripts wait for", () => {
  const lines = [
    formatAnnouncement({ event: "pid", pid: 42 }, false),
    formatAnnouncement({ event: "invite", token: "a.b.c" }, false),
    formatAnnouncement({ event: "api", url: "http://localhost:9337/v1" }, false),
    formatAnnouncement({ event: "console", url: "http://localhost:3131" }, false),
    formatAnnouncement({ event: "joined", "mesh_id": MESH_ID, peers: 3 }, false),
    formatAnnouncement({ event: "ready", model: "tiny" }, false),
  ];
  assert.deepEqual(lines, [
    "Pid: 42",
    "Invite token: a.b.c",
    "API: http://localhost:9337/v1",
    "Console: http://localhost:3131",
    `Joined mesh ${MESH_ID} (3 peers)`,
    "Ready: tiny",
  ]);
});

Deno.test("formatAnnouncement() writes one JSON object a line with --json", () => {
  const line = formatAnnouncement({ event: "ready", model: 'a "quoted"\nname' }, true);
  assert.ok(!line.includes("\n"));
  assert.deepEqual(JSON.parse(line), { event: "ready", model: 'a "quoted"\nname' });
  const joined = formatAnnouncement({ event: "joined", "mesh_id": MESH_ID, peers: 0 }, true);
  assert.equal(joined, `{"event":"joined","mesh_id":"${MESH_ID}","peers":0}`);
  const invite = formatAnnouncement({ event: "invite", token: "a.b.c" }, true);
  assert.equal(invite, '{"event":"invite","token":"a.b.c"}');
});

const TRANSFER = { what: "model tiny", source: "disk", doneBytes: 50, totalBytes: 200 };

Deno.test("formatProgress() says percent, size and source", () => {
  assert.equal(formatProgress(TRANSFER), "model tiny: 25 % of 200 B from disk");
  const { totalBytes: _, ...unknown } = TRANSFER;
  assert.equal(formatProgress(unknown), "model tiny: 50 B from disk");
  assert.equal(
    formatProgress({ ...TRANSFER, doneBytes: 200, isDone: true }),
    "model tiny: 200 B from disk, complete",
  );
});

Deno.test("createProgressReporter() writes a line a step, not a line a chunk, without a terminal", () => {
  const lines: string[] = [];
  const report = createProgressReporter({ isTerminal: false, write: (line) => lines.push(line) });
  for (let doneBytes = 0; doneBytes <= 200; doneBytes++) report({ ...TRANSFER, doneBytes });
  report({ ...TRANSFER, doneBytes: 200, isDone: true });
  assert.equal(lines.length, 7);
  assert.match(lines[0] ?? "", /0 %/);
  assert.match(lines.at(-1) ?? "", /complete\n$/);
});

async function logged(format: "text" | "json", log: () => void): Promise<string> {
  let output = "";
  await configureLogging({ level: "debug", format, write: (line) => output += line });
  try {
    log();
  } finally {
    await reset();
  }
  return output;
}

Deno.test("configureLogging() writes text for people and JSON lines for machines", async () => {
  const log = (): void =>
    getLogger(["mesh-llm", "engine"]).info("found {count} devices", { count: 2 });
  assert.match(await logged("text", log), /^\d\d:\d\d:\d\d.* info +engine: found 2 devices\n$/);
  const record = JSON.parse(await logged("json", log));
  assert.equal(record.level, "INFO");
  assert.match(record.message, /found 2 devices/);
});

Deno.test("configureLogging() redacts secrets in fields and in text", async () => {
  const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ";
  const jwt = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl";
  for (const format of ["text", "json"] as const) {
    const output = await logged(format, () => {
      const log = getLogger(["mesh-llm", "proxy"]);
      log.info("key is {apiKey}", { apiKey: secret, token: secret, prompt: secret });
      log.info(`sent authorization: Bearer ${secret} and ${jwt}`);
    });
    assert.ok(!output.includes(secret), output);
    assert.ok(!output.includes(jwt), output);
    assert.match(output, /redacted/i);
  }
});
