/** The management door without a socket. */
import assert from "node:assert/strict";
import { createManagementApp, type ManagementAppOptions } from "~/api/app.ts";
import { assemblePage } from "~/api/page.ts";
import { memoryDoor, MemoryNode, TEST_TOKEN } from "./managed_node.ts";
import { VirtualTime } from "./virtual_time.ts";

/** A page that shows nothing. */
export const BARE_PAGE = assemblePage({
  markup: '<style></style>the page<script type="module"></script>',
  style: "p{}",
  script: "1;",
});
/** Headers of who may write. */
export const MANAGER = { authorization: `Bearer ${TEST_TOKEN}` };
/** Headers of a JSON body. */
export const JSON_TYPE = { "content-type": "application/json" };

/** A request, with defaults. */
export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly clientGone?: AbortSignal;
}

/** The app over a node in memory, asked without any socket, on virtual time. */
export class MemoryDoor {
  readonly node = new MemoryNode();
  readonly time = new VirtualTime();
  readonly app;

  constructor(options: Partial<ManagementAppOptions> = {}) {
    const { node, time: timers } = this;
    const policy = { hosts: "loopback" } as const;
    const basics = { node, timers, policy, page: BARE_PAGE, managementToken: TEST_TOKEN };
    this.app = createManagementApp({ ...basics, ...options });
  }

  /** Sends JSON as who may write. */
  async write(path: string, body: unknown, ask: Ask = {}): Promise<Response> {
    const headers = { ...MANAGER, ...JSON_TYPE, ...ask.headers };
    return await this.ask(path, { method: "POST", body: JSON.stringify(body), ...ask, headers });
  }

  async ask(path: string, ask: Ask = {}): Promise<Response> {
    const { method = "GET", headers = {}, body, clientGone } = ask;
    const all = new Headers({ host: "localhost:3131", ...headers });
    const request = new Request(`http://localhost:3131${path}`, { method, headers: all });
    const door = memoryDoor({
      parts: body === undefined ? [] : [body],
      ...(clientGone === undefined ? {} : { clientGone }),
    });
    return await this.app.fetch(request, door);
  }
}

/** Status and code of a refusal, once its shape is right. */
export async function refusalOf(answer: Response): Promise<string> {
  const { error } = await answer.json();
  assert.deepEqual(Object.keys(error).sort(), ["code", "message", "param", "type"]);
  const types: Record<number, string> = { 401: "authentication_error", 403: "permission_error" };
  const usual = answer.status >= 500 ? "server_error" : "invalid_request_error";
  assert.equal(error.type, types[answer.status] ?? usual);
  assert.ok(error.message.length > 10 && !error.message.endsWith("."));
  return `${answer.status} ${error.code}`;
}
