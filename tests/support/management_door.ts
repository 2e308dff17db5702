/** The real management door on a real port over a node in memory; it can be restarted there. */
import { createManagementApp, type ManagementAppOptions } from "~/api/app.ts";
import { PAGE } from "~/api/io/page.ts";
import type { StatusSnapshot } from "~/api/ports.ts";
import { type HttpServer, serveHttp } from "~/base/io/http_server.ts";
import { systemTimers } from "~/base/io/system.ts";
import { MemoryNode, snapshotOf, TEST_TOKEN } from "./managed_node.ts";

/** Runs until disposed. */
export class ManagementDoor implements AsyncDisposable {
  #server: HttpServer | undefined;
  #closing = new AbortController();
  node = new MemoryNode();
  port = 0;

  /** Starts a door over a node with this status. */
  static async open(
    changes: Partial<StatusSnapshot> = {},
    options: Partial<ManagementAppOptions> = {},
  ): Promise<ManagementDoor> {
    const door = new ManagementDoor();
    door.node.snapshot = snapshotOf(changes);
    await door.start(options);
    return door;
  }

  get url(): string {
    return `http://localhost:${this.port}`;
  }

  /** Requests whose answers are not complete. */
  get exchangeCount(): number {
    return this.#server?.exchangeCount ?? 0;
  }

  async start(options: Partial<ManagementAppOptions> = {}): Promise<void> {
    this.#closing = new AbortController();
    const app = createManagementApp({
      node: this.node,
      page: PAGE,
      managementToken: TEST_TOKEN,
      policy: { hosts: "loopback" },
      timers: systemTimers,
      closing: this.#closing.signal,
      ...options,
    });
    this.#server = await serveHttp({
      listen: "loopback",
      port: this.port,
      purpose: "console",
      portFlag: "--console",
      fetch: (request, env) => app.fetch(request, env),
    });
    this.port = this.#server.port;
  }

  async stop(): Promise<void> {
    this.#closing.abort();
    await this.#server?.close({ graceMs: 1000 });
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
