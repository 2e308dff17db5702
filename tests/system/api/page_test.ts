// deno-lint-ignore-file camelcase -- the status has the field names that scripts rely on
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { withPage } from "#support/browser.ts";
import type { StatusPeer } from "~/api/ports.ts";
import {
  MemoryNode,
  MESH_ID,
  PEER_ID,
  peerOf,
  RELAY_ID,
  snapshotOf,
  TEST_SERIAL,
} from "#support/managed_node.ts";
import { ManagementDoor } from "#support/management_door.ts";

/** Waits until an element shows this text: all of it, or what the pattern finds. */
async function waitText(page: Page, id: string, text: string | RegExp): Promise<void> {
  const isWhole = typeof text === "string";
  const hasText = isWhole ? new RegExp(`^\\s*${RegExp.escape(text)}\\s*$`) : text;
  await page.locator(`#${id}`).filter({ hasText }).waitFor();
}

Deno.test("the page shows state, address, example, engine, devices and models", async () => {
  await using door = await ManagementDoor.open();
  await withPage(async ({ page, errors }) => {
    await page.goto(door.url);
    await waitText(page, "state", "Ready");
    await waitText(page, "link", "Live");
    assert.equal(await page.title(), "Ready · mesh-llm");
    const text = await page.innerText("body");
    for (
      const shown of [
        "Answers requests for SmolLM2-135M-Instruct",
        "version 0.1.0",
        "http://localhost:9337/v1",
        "curl http://localhost:9337/v1/chat/completions",
        "llama.cpp 0.7.0, build 11669, Debian packages",
        "CPU – AMD EPYC 7763",
        "11.0 GiB",
        "1 h 2 min",
        "None yet",
      ]
    ) assert.ok(text.includes(shown), shown);
    assert.equal(await page.isVisible("#progress"), false);
    assert.equal(await page.isVisible("#error"), false);
    assert.equal(await page.isVisible("#peers"), false);
    assert.deepEqual(errors, []);
  });
});

Deno.test("the page follows a model from download to ready, live", async () => {
  await using door = await ManagementDoor.open({
    node_status: "downloading",
    llama_ready: false,
    progress: { phase: "downloading engine", percent: null },
  });
  await withPage(async ({ page, errors }) => {
    await page.goto(door.url);
    await waitText(page, "state", "Downloading");
    await waitText(page, "sentence", /downloading engine/);
    assert.equal(await page.getAttribute("#bar", "value"), null, "the percentage is not known");
    door.node.change({ progress: { phase: "downloading model", percent: 42.7 } });
    await waitText(page, "percent", "42 %");
    assert.equal(await page.getAttribute("#bar", "value"), "42.7");
    door.node.change({ node_status: "loading", progress: { phase: "loading", percent: 90 } });
    await waitText(page, "state", "Loading");
    door.node.change({ node_status: "serving", llama_ready: true, progress: null });
    await waitText(page, "state", "Ready");
    assert.equal(await page.isVisible("#progress"), false);
    assert.deepEqual(errors, []);
  });
});

Deno.test("the page lists requests, those before it came included, and counts anew", async () => {
  await using door = await ManagementDoor.open();
  const request = (endpoint: string, status: number): void =>
    door.node.publish({
      kind: "request",
      data: {
        at_unix_ms: 1.7e12,
        endpoint,
        model: "m",
        status,
        first_byte_ms: 9,
        duration_ms: 1200,
      },
    });
  request("/v1/embeddings", 404);
  await withPage(async ({ page, errors }) => {
    await page.goto(door.url);
    await waitText(page, "requests", /embeddings[\s\S]*404[\s\S]*9 ms[\s\S]*1\.2 s/);
    door.node.snapshot = { ...door.node.snapshot, inflight_requests: 5 };
    request("/v1/rerank", 200);
    await waitText(page, "requests", /rerank[\s\S]*embeddings/);
    await waitText(page, "facts", /Running requests\s*5/);
    for (let n = 0; n < 40; n++) request("/v1/completions", 200);
    request("/v1/last", 200);
    await waitText(page, "requests", /v1\/last/);
    assert.equal(await page.locator("#requests tbody tr").count(), 20);
    assert.deepEqual(errors, []);
  });
});

Deno.test("the page says how to invite, where the node may", async () => {
  await using door = await ManagementDoor.open();
  await withPage(async ({ page, errors }) => {
    await page.goto(door.url);
    await waitText(page, "state", "Ready");
    assert.equal(await page.isVisible("#invite"), false, "it may not");
    door.node.change({ invite_serial: TEST_SERIAL });
    await waitText(page, "invite", /mesh-llm invite on this computer[\s\S]*--join @FILE/);
    assert.equal(await page.isVisible("#invite"), true);
    assert.deepEqual(errors, []);
  });
});

Deno.test("the page shows the engine's last words when the node failed", async () => {
  const error = "llama-server ended with status 1:\nerror loading model: tensor out of bounds";
  await using door = await ManagementDoor.open({
    node_status: "failed",
    llama_ready: false,
    error,
  });
  await withPage(async ({ page }) => {
    await page.goto(door.url);
    await waitText(page, "state", "Failed");
    await waitText(page, "error", error);
  });
});

/** The cells of each row of the table of peers. */
function peerRows(page: Page): Promise<string[][]> {
  return page.locator("#peers tbody tr").evaluateAll((rows) =>
    rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent ?? ""))
  );
}

Deno.test("the page shows who is in the mesh, how each is reached and what it serves, live", async () => {
  const peer = peerOf();
  const forwarded = peerOf({
    id: RELAY_ID,
    rights: ["request"],
    role: "client",
    state: "suspect",
    reached: "forwarded",
    via: PEER_ID,
    address: null,
    serving: null,
    loading: "Big-Model",
    rtt_ms: null,
    version: null,
    vram_gb: 0,
  });
  await using door = await ManagementDoor.open({ mesh_id: MESH_ID, peer_port: 4433, clients: 3 });
  await withPage(async ({ page, errors }) => {
    await page.goto(door.url);
    await waitText(page, "facts", /Mesh\s*mesh000/);
    await waitText(page, "facts", /Peer port\s*UDP 4433\s*Clients\s*3/);
    assert.equal(await page.isVisible("#peers"), false, "nobody else is here yet");
    door.node.snapshot = { ...door.node.snapshot, peers: [peer, forwarded] };
    door.node.publish({ kind: "peer", data: { id: PEER_ID } });
    await waitText(page, "peers", /Big-Model/);
    const rights = "everything";
    const [id, relay] = [PEER_ID.slice(0, 12), RELAY_ID.slice(0, 12)];
    assert.deepEqual(await peerRows(page), [
      [
        id,
        "member",
        rights,
        "live",
        "direct, 192.0.2.7:4433",
        "Qwen3-4B",
        "24.0 GiB",
        "1.3 ms",
        "0.1.0",
      ],
      [
        relay,
        "client",
        "request",
        "suspect",
        `forwarded by ${id}`,
        "loading Big-Model",
        "–",
        "–",
        "–",
      ],
    ]);
    door.node.change({ peers: [peerOf({ reached: "punched", rtt_ms: 41.6 })] });
    await waitText(page, "peers", /punched/);
    assert.deepEqual((await peerRows(page)).map((row) => [row[4], row[7]]), [
      ["punched, 192.0.2.7:4433", "42 ms"],
    ]);
    door.node.change({ peers: [] });
    await page.locator("#peers").waitFor({ state: "hidden" });
    assert.deepEqual(errors, []);
  });
});

Deno.test("the page says when the node is gone, and lives on when it is back", async () => {
  await using door = await ManagementDoor.open();
  door.node.publish({ kind: "request", data: { endpoint: "/v1/old", status: 200, model: "m" } });
  await withPage(async ({ page, errors }) => {
    await page.goto(door.url);
    await waitText(page, "requests", /\/v1\/old/);
    await door.stop();
    await waitText(page, "link", /^Connection lost/);
    door.node = new MemoryNode({ firstId: 1000 });
    door.node.snapshot = snapshotOf({ model_name: "Another-Model", version: "0.2.0" });
    await door.start();
    await waitText(page, "link", "Live");
    await waitText(page, "sentence", "Answers requests for Another-Model");
    await waitText(page, "version", "version 0.2.0");
    door.node.publish({
      kind: "request",
      data: { endpoint: "/v1/new", status: 200, model: "m" },
    });
    await waitText(page, "requests", /\/v1\/new[\s\S]*\/v1\/old/);
    assert.deepEqual(errors, []);
  });
});

Deno.test("the page comes back even after an answer that makes browsers give up", async () => {
  await using door = await ManagementDoor.open();
  await withPage(async ({ page }) => {
    await page.goto(door.url);
    await waitText(page, "link", "Live");
    await door.stop();
    await door.start({ followersMax: 0 });
    await waitText(page, "link", /^Connection lost/);
    await page.waitForResponse((answer) => answer.status() === 503);
    await door.stop();
    await door.start();
    await waitText(page, "link", "Live");
  });
});

const HOSTILE = [
  '<img src=x onerror="globalThis.injected=1">',
  "</script><script>globalThis.injected=1</script>",
  "'; exit 7; echo '",
  "\u202e${globalThis.injected=1}",
];

/** A peer that says the same wherever it can say something. */
function hostilePeer(name: string, serving: string | null): StatusPeer {
  const words = {
    id: name,
    role: name,
    rights: [name],
    state: name,
    models: [name],
    version: name,
  };
  const reach = { reached: name, via: name, address: name, dialable: name };
  // No such words come from a node of ours; the page must not rely on it.
  return { ...peerOf(), ...words, ...reach, serving, loading: name } as unknown as StatusPeer;
}

Deno.test("nothing that a model's name holds becomes markup, script or shell", async () => {
  const name = HOSTILE.join(" ");
  const { engine } = snapshotOf();
  const device = { name, description: name, total_bytes: 1, free_bytes: 0 };
  await using door = await ManagementDoor.open({
    model_name: name,
    node_id: name,
    version: name,
    error: name,
    mesh_name: name,
    progress: { phase: name, percent: 1 },
    engine: { ...engine, name, devices: [device] },
    mesh_id: name,
    peers: [hostilePeer(name, null), hostilePeer(name, name)],
  });
  door.node.publish({ kind: "request", data: { endpoint: name, model: name, status: name } });
  await withPage(async ({ page, errors }) => {
    await page.goto(door.url);
    await waitText(page, "state", "Ready");
    await waitText(page, "requests", /onerror/);
    assert.equal(await page.locator("img, body script:not([type=module])").count(), 0);
    assert.equal(await page.evaluate(() => "injected" in globalThis), false);
    const curl = await page.locator("#curl").textContent() ?? "";
    await assertShellWords(curl, name);
    assert.deepEqual(errors, []);
  });
});

/** What a shell would hand to curl: the name stays inside one argument. */
async function assertShellWords(command: string, model: string): Promise<void> {
  const script = command.replace(/^curl /, "printf '%s\\0' ");
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  const words = new TextDecoder().decode(stdout).split("\0");
  assert.equal(words.length, 6);
  assert.equal(JSON.parse(words[4] ?? "").model, model);
}

Deno.test("the page never gets the invite token, and what it copies is what it shows", async () => {
  await using door = await ManagementDoor.open();
  await withPage(async ({ page }) => {
    const answers: Promise<string>[] = [];
    page.on("response", (answer) => {
      if (answer.url().endsWith("/api/status")) answers.push(answer.text());
    });
    await page.goto(door.url);
    await waitText(page, "state", "Ready");
    door.node.publish({ kind: "model", data: {} });
    const status = await page.waitForResponse((answer) => answer.url().endsWith("/api/status"));
    assert.equal((await status.json()).token, null);
    const events = await page.evaluate(async () => {
      const source = new EventSource("/api/events");
      const message = await new Promise<MessageEvent>((resolve) =>
        source.addEventListener("status", (event) => resolve(event as MessageEvent))
      );
      source.close();
      return message.data;
    });
    assert.equal(JSON.parse(events).token, null);
    assert.ok(!(await page.content()).includes("secret-invite-token"));
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.click("text=Copy address");
    await waitText(page, "copied", "Copied");
    assert.equal(
      await page.evaluate("navigator.clipboard.readText()"),
      "http://localhost:9337/v1",
    );
  });
});

Deno.test("the page fits a phone, dark and light", async () => {
  await using door = await ManagementDoor.open();
  for (const colorScheme of ["light", "dark"] as const) {
    await withPage(async ({ page }) => {
      await page.goto(door.url);
      await waitText(page, "state", "Ready");
      const scrollWidth = Number(await page.evaluate("document.documentElement.scrollWidth"));
      const ground = await page.evaluate("getComputedStyle(document.body).backgroundColor");
      assert.ok(scrollWidth <= 360, `nothing is wider than the screen: ${scrollWidth}`);
      assert.equal(ground, colorScheme === "dark" ? "rgb(18, 22, 27)" : "rgb(246, 247, 249)");
    }, { viewport: { width: 360, height: 740 }, colorScheme });
  }
});

Deno.test("beyond loopback a browser gets in with the API key as password", async () => {
  const apiKeys = ["sk-test-key"];
  await using door = await ManagementDoor.open({}, { policy: { hosts: "any" }, apiKeys });
  const httpCredentials = { username: "me", password: "sk-test-key" };
  await withPage(async ({ page, errors }) => {
    await page.goto(door.url);
    await waitText(page, "link", "Live");
    await waitText(page, "state", "Ready");
    assert.deepEqual(errors, []);
  }, { httpCredentials });
  await withPage(async ({ page }) => {
    await assert.rejects(page.goto(door.url), /ERR_INVALID_AUTH_CREDENTIALS/);
  });
});
