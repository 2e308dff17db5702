import type { BodySink, DoorEnv, IncomingBody } from "~/base/http_door.ts";
import type { TestDoor } from "./test_door.ts";

/** A connection to a {@link TestDoor} whose client may be slow, break off or leave. */
export class SimulatedExchange implements DoorEnv, IncomingBody {
  readonly #gone = new AbortController();
  readonly #started = Promise.withResolvers<BodySink>();
  readonly declaredBytes: number | undefined;
  #sink: BodySink | undefined;

  constructor(options: { readonly declaredBytes?: number } = {}) {
    this.declaredBytes = options.declaredBytes;
  }

  get clientGone(): AbortSignal {
    return this.#gone.signal;
  }

  get body(): IncomingBody {
    return this;
  }

  read(sink: BodySink): () => void {
    this.#sink = sink;
    this.#started.resolve(sink);
    return () => {
      this.#sink = undefined;
    };
  }

  /** Posts a whole JSON body. */
  post(door: TestDoor, path: string, body: unknown): Promise<Response> {
    const asked = this.ask(door, path);
    void this.#started.promise.then(() => {
      this.deliver(JSON.stringify(body));
      this.#sink?.end();
    });
    return asked;
  }

  /** Sends the head of a POST; the body is delivered by hand. */
  async ask(door: TestDoor, path: string): Promise<Response> {
    const request = new Request(`http://localhost:9337${path}`, {
      method: "POST",
      headers: { host: "localhost:9337" },
    });
    return await door.app.fetch(request, this);
  }

  /** Sends a piece of the body. */
  deliver(text: string): void {
    this.#sink?.chunk(new TextEncoder().encode(text));
  }

  /** Ends the connection in the middle of the body. */
  breakOff(): void {
    this.#sink?.fail(new Error("The client ended its body too early"));
  }

  /** The client is gone. */
  leave(): void {
    this.#gone.abort();
  }

  /** Resolves when the door waits for something from outside. */
  async settled(): Promise<void> {
    await this.#started.promise;
    await new Promise((turned) => setTimeout(turned, 0));
  }
}
