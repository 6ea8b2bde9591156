// A server as Deno imports from: the project's modules on the loopback interface, and nothing else.

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PROJECT_URL } from "./child.ts";

/** A running server; disposing it stops it. */
export interface ModuleServer extends AsyncDisposable {
  /** Its address and port, without the scheme. */
  readonly origin: string;
  /** The paths that it was asked for. */
  readonly requested: ReadonlySet<string>;
}

/** Starts a server on a free port. */
export async function serveModules(): Promise<ModuleServer> {
  const requested = new Set<string>();
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname.slice(1);
    requested.add(path);
    const file = new URL(path, PROJECT_URL);
    if (/^(mod|testing|(ffi|src)\/[\w/]+)\.ts$/.test(path) && existsSync(file)) {
      response.writeHead(200, { "content-type": "application/typescript" }).end(readFileSync(file, "utf8"));
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requested,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
