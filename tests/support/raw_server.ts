import { type HttpServer, serveHttp, type ServeOptions } from "~/base/io/http_server.ts";

/** An HTTP server on free loopback ports, for `fetch`. */
export function serveTest(
  fetch: ServeOptions["fetch"],
  options: Partial<ServeOptions> = {},
): Promise<HttpServer> {
  return serveHttp({
    listen: "loopback",
    port: 0,
    purpose: "test",
    portFlag: "--port",
    fetch,
    ...options,
  });
}

/** A request without a body, as it goes over the wire. */
export function rawGet(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`;
}
