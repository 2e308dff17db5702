/** Follows a node by its event stream, so that tests wait for what happens and not for time to pass. */
import type { StatusSnapshot } from "~/api/ports.ts";
import type { NodeProcess } from "./node_process.ts";
import { SseReader } from "./sse.ts";

/** Nothing that a test waits for takes this long; reaching it fails the test instead of hanging it. */
const DEADLINE_MS = 120_000;

/** What happened to another node, and when the test heard of it (`performance.now()`). */
export interface PeerNews {
  readonly id: string;
  readonly event: string;
  readonly atMs: number;
}

/** One who follows; dispose of it to leave. */
export class NodeEvents implements AsyncDisposable {
  /** Everything told of other nodes so far, oldest first. */
  readonly peers: PeerNews[] = [];
  readonly #reader: SseReader;
  readonly #pump: Promise<void>;
  readonly #waiting = new Set<() => void>();
  #status: StatusSnapshot | undefined;
  #isOver = false;

  readonly #log: () => string;

  private constructor(reader: SseReader, log: () => string) {
    this.#reader = reader;
    this.#log = log;
    this.#pump = this.#read();
  }

  /** Follows a node from its first event on. */
  static async open(node: NodeProcess): Promise<NodeEvents> {
    const response = await fetch(`${await node.consoleBase()}/api/events?after=1`);
    return new NodeEvents(new SseReader(response.body), () => node.stderr);
  }

  /** Waits for a status that is as wanted: the last one told, or one to come. */
  status(isWanted: (status: StatusSnapshot) => boolean, what: string): Promise<StatusSnapshot> {
    return this.#until(() => {
      return this.#status !== undefined && isWanted(this.#status) ? this.#status : undefined;
    }, what);
  }

  /** Waits until a node with this id did that. */
  peer(id: string, event: string): Promise<PeerNews> {
    const find = () => this.peers.find((news) => news.id === id && news.event === event);
    return this.#until(find, `"${event}" of ${id}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#reader.cancel().catch(() => {});
    await this.#pump;
  }

  async #read(): Promise<void> {
    try {
      for (let block = await this.#reader.next(); block !== undefined;) {
        if (block.event !== undefined) this.#take(block.event, JSON.parse(block.data ?? "null"));
        block = await this.#reader.next();
      }
    } catch {
      // A node that was killed breaks off; who waits for more is told below.
    }
    this.#isOver = true;
    this.#wake();
  }

  // deno-lint-ignore no-explicit-any -- what arrived, as the door promises it
  #take(kind: string, data: any): void {
    if (kind === "status") this.#status = data;
    if (kind === "peer") this.peers.push({ ...data, atMs: performance.now() });
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  async #until<T>(find: () => T | undefined, what: string): Promise<T> {
    const deadline = Promise.withResolvers<never>();
    const timer = setTimeout(() => deadline.reject(this.#missed(what)), DEADLINE_MS);
    try {
      for (let found = find();; found = find()) {
        if (found !== undefined) return found;
        if (this.#isOver) throw this.#missed(what);
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#waiting.add(resolve);
        await Promise.race([promise, deadline.promise]);
        this.#waiting.delete(resolve);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #missed(what: string): Error {
    const news = this.peers.map(({ id, event }) => `${id.slice(0, 8)} ${event}`).join(", ");
    const status = JSON.stringify({ ...this.#status, token: undefined });
    const how = this.#isOver ? "the node ended" : "waited too long";
    return new Error(
      `No ${what}: ${how}; told: ${
        news || "nothing"
      }; status ${status}\n--- stderr\n${this.#log()}`,
    );
  }
}
