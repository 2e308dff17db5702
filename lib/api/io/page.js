/**
 * The script of the management page. It runs in a browser, inside the page, as a module (so its names
 * are its own); nothing of ours imports it as code. It shows what `/api/events` says: first the whole
 * status, then what happens. Everything that comes from the node becomes text, never markup.
 */
const REQUESTS_MAX = 20;
const REFRESH_MS = 1000;
const REOPEN_MS = 3000;
/** Characters of an id that tables show: what commands print too. */
const ID_CHARS = 12;
/** How many rights there are: who has all needs no list. */
const RIGHTS_ALL = 4;
const STATES = {
  idle: ["Idle", "", "No model is served here."],
  client: ["Client", "good", "This node uses the mesh and serves nothing itself."],
  standby: ["Standby", "", "Waiting until the mesh needs this node."],
  downloading: ["Downloading", "busy", "Fetching what is needed"],
  loading: ["Loading", "busy", "Loading"],
  serving: ["Ready", "good", "Answers requests for"],
  coordinator: ["Ready", "good", "Coordinates a split of"],
  worker: ["Working", "good", "Computes a part of"],
  draining: ["Stopping", "busy", "Running requests may end; no new ones are taken."],
  failed: ["Failed", "bad", "The node cannot serve. This is what it knows about why:"],
};
const byId = (id) => document.getElementById(id);
const put = (id, text) => {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
};

let status = null;
let statusAtMs = 0;
let lastEventId = 0;
let refreshTimer = 0;
let source = null;
const requests = [];

function seconds(total) {
  const s = Math.max(0, Math.floor(total));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}
function millis(ms) {
  if (typeof ms !== "number") return "–";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}
function gigabytes(gb) {
  if (!(gb > 0)) return "–";
  return gb < 1 ? `${Math.max(1, Math.round(gb * 1024))} MiB` : `${gb.toFixed(1)} GiB`;
}

/** Everything from the node reaches the page as text, here and nowhere else. */
function cell(content, kind) {
  const td = document.createElement("td");
  if (kind) td.className = kind;
  if (content instanceof Node) td.append(content);
  else td.textContent = String(content);
  return td;
}
function fill(id, rows) {
  const section = byId(id);
  section.hidden = rows.length === 0;
  const lines = rows.map((cells) => {
    const tr = document.createElement("tr");
    tr.append(...cells);
    return tr;
  });
  section.querySelector("tbody").replaceChildren(...lines);
}

function showState() {
  const { node_status: state, model_name: model, progress, error } = status;
  const [word, tone, sentence] = STATES[state] ?? [state, "", ""];
  put("state", word);
  byId("state").dataset.tone = tone;
  const namesModel = ["loading", "serving", "coordinator", "worker"].includes(state);
  const busy = progress !== null && progress.phase ? `: ${progress.phase}` : "";
  const what = namesModel && model ? ` ${model}` : "";
  put("sentence", `${sentence}${what}${busy}`);
  document.title = `${word} · mesh-llm`;

  byId("progress").hidden = progress === null;
  const bar = byId("bar");
  if (progress !== null && typeof progress.percent === "number") {
    bar.value = progress.percent;
    put("percent", `${Math.floor(progress.percent)} %`);
  } else {
    bar.removeAttribute("value");
    put("percent", "");
  }
  byId("error").hidden = error === null;
  put("error", error ?? "");
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
function showUse() {
  const isLoopback = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const base = `http://${location.hostname}:${status.api_port}/v1`;
  const question = { role: "user", content: "What is the capital of France?" };
  const body = { model: status.model_name ?? undefined, messages: [question] };
  const key = isLoopback ? "" : ` -H 'authorization: Bearer YOUR_API_KEY' \\\n `;
  put("address", base);
  put(
    "curl",
    `curl ${base}/chat/completions \\\n ${key} -H 'content-type: application/json' \\\n` +
      `  -d ${shellQuoted(JSON.stringify(body))}`,
  );
  byId("use").hidden = false;
}

function engineText({ name, version, build }) {
  if (name === null) return "not found yet";
  const parts = [version ?? "", build === null ? "" : `build ${build}`, name];
  return `llama.cpp ${parts.filter((part) => part !== "").join(", ")}`;
}
function showFacts() {
  const { engine } = status;
  const facts = [
    ["Model", status.model_name ?? "none"],
    ...(status.reason ? [["Why", status.reason]] : []),
    ["Model size", gigabytes(status.model_size_gb)],
    ["Running requests", status.inflight_requests],
    ["Waiting requests", status.queued_requests],
    ["Memory offered", gigabytes(status.my_vram_gb)],
    ["Engine", engineText(engine)],
    ["Engine RPC", engine.rpc_version ?? "–"],
    ["Mesh", status.mesh_name ?? status.mesh_id ?? "none, this machine only"],
    ["Peer port", status.peer_port === null ? "–" : `UDP ${status.peer_port}`],
    ["Clients", status.clients],
    ["Node", status.node_id.slice(0, 16) || "–"],
    ["Uptime", seconds(uptimeNow())],
  ];
  byId("facts").replaceChildren(...facts.map(([name, value]) => {
    const pair = document.createElement("div");
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = String(value);
    if (name === "Uptime") dd.id = "uptime";
    pair.append(dt, dd);
    return pair;
  }));
}
function uptimeNow() {
  return status.uptime_secs + (performance.now() - statusAtMs) / 1000;
}

function reachText({ reached, via, address }) {
  if (via !== null) return `${reached} by ${via.slice(0, ID_CHARS)}`;
  return address === null ? reached : `${reached}, ${address}`;
}
function servesText({ serving, loading }) {
  if (serving !== null) return serving;
  return loading === null ? "–" : `loading ${loading}`;
}
function roundTrip(ms) {
  if (typeof ms !== "number") return "–";
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function showTables() {
  fill(
    "devices",
    status.engine.devices.map((device) => {
      const used = device.total_bytes - device.free_bytes;
      const meter = document.createElement("meter");
      meter.max = device.total_bytes;
      meter.value = used;
      meter.setAttribute("aria-label", `${bytes(used)} of ${bytes(device.total_bytes)} in use`);
      const name = device.description ? `${device.name} – ${device.description}` : device.name;
      const free = cell(bytes(device.free_bytes), "number");
      return [cell(name, "name"), cell(meter), free, cell(bytes(device.total_bytes), "number")];
    }),
  );
  const stateNames = { warm: "ready", loading: "loading", cold: "on disk" };
  fill(
    "models",
    status.mesh_models.map((model) => [
      cell(model.name, "name"),
      cell(stateNames[model.status] ?? model.status),
      cell(gigabytes(model.size_gb), "number"),
      cell(model.node_count, "number"),
      cell(model.request_count, "number"),
      cell(
        model.last_active_secs_ago === null ? "–" : `${seconds(model.last_active_secs_ago)} ago`,
        "number",
      ),
    ]),
  );
  fill(
    "peers",
    status.peers.map((peer) => [
      cell(peer.id.slice(0, ID_CHARS), "plain"),
      cell(peer.role),
      cell(peer.rights.length === RIGHTS_ALL ? "everything" : peer.rights.join(", ")),
      cell(peer.state, peer.state === "live" ? "plain" : "bad"),
      cell(reachText(peer), "name"),
      cell(servesText(peer), "name"),
      cell(gigabytes(peer.vram_gb), "number"),
      cell(roundTrip(peer.rtt_ms), "number"),
      cell(peer.version ?? "–", "number"),
    ]),
  );
}

function showRequests() {
  const section = byId("requests");
  byId("no-requests").hidden = requests.length > 0;
  section.querySelector(".wide").hidden = requests.length === 0;
  fill(
    "requests",
    requests.map((request) => [
      cell(new Date(request.at_unix_ms).toLocaleTimeString(), "plain"),
      cell(request.endpoint, "plain"),
      cell(request.model ?? "–", "name"),
      cell(request.status, "number"),
      cell(millis(request.first_byte_ms), "number"),
      cell(millis(request.duration_ms), "number"),
    ]),
  );
  section.hidden = false;
}

function takeStatus(next) {
  status = next;
  statusAtMs = performance.now();
  const mine = status.version ? `version ${status.version}` : "";
  put("version", mine);
  showState();
  showUse();
  showFacts();
  showTables();
  // Some nodes may not invite.
  byId("invite").hidden = status.invite_serial === null;
}
function takeRequest(request) {
  requests.unshift(request);
  requests.length = Math.min(requests.length, REQUESTS_MAX);
  showRequests();
}

/** Counts change with every request; one look a second is enough for eyes. */
function refreshSoon() {
  if (refreshTimer !== 0) return;
  refreshTimer = setTimeout(async () => {
    refreshTimer = 0;
    try {
      const answer = await fetch("/api/status", { signal: AbortSignal.timeout(5000) });
      if (answer.ok) takeStatus(await answer.json());
    } catch {
      // The event source notices by itself when the node is gone.
    }
  }, REFRESH_MS);
}

function showLink(tone, text) {
  byId("link").dataset.tone = tone;
  put("link", text);
  document.body.classList.toggle("stale", tone === "bad");
}
function follow(event, take) {
  source.addEventListener(event, (message) => {
    const id = Number(message.lastEventId);
    // After a break the newest status has the id of what is replayed next.
    if (event !== "status" && id <= lastEventId) return;
    lastEventId = Math.max(lastEventId, id);
    take(JSON.parse(message.data));
  });
}
function open() {
  // From the beginning of what the node remembers, so that the list of requests is not empty.
  source = new EventSource(`/api/events?after=${lastEventId}`);
  source.addEventListener("open", () => showLink("good", "Live"));
  source.addEventListener("error", () => {
    const since = new Date().toLocaleTimeString();
    if (!document.body.classList.contains("stale")) {
      showLink("bad", `Connection lost at ${since}, trying again`);
    }
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(open, REOPEN_MS);
  });
  follow("status", takeStatus);
  follow("request", (request) => {
    takeRequest(request);
    refreshSoon();
  });
  follow("model", refreshSoon);
  follow("peer", refreshSoon);
}

async function copy(button) {
  const text = byId(button.dataset.copies).textContent;
  try {
    await navigator.clipboard.writeText(text);
    put("copied", "Copied");
  } catch {
    // Without a secure context there is no clipboard: select the text, so that a key does it.
    getSelection().selectAllChildren(byId(button.dataset.copies));
    put("copied", "Selected: press Ctrl+C");
  }
  setTimeout(() => put("copied", ""), 2000);
}
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", () => copy(button));
}
setInterval(() => {
  if (status !== null && !document.body.classList.contains("stale")) {
    put("uptime", seconds(uptimeNow()));
  }
}, 1000);
open();
