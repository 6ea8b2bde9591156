// W11: a file index as a service over HTTP. Its clients are in another process, on the same cores.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { Measurements } from "../measure.ts";
import { FILE_INDEXES, type FileIndex } from "./file_indexes.ts";
import { askFrom } from "./asking.ts";
import type { CellRequest } from "./workload.ts";

/** What Deno and Bun have for a server, as far as it is needed here. */
interface Runtimes {
  readonly Deno?: {
    serve(
      options: { port: number; hostname: string; onListen: () => void },
      handler: (request: Request) => Response | Promise<Response>,
    ): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
  };
  readonly Bun?: {
    serve(options: { port: number; hostname: string; fetch: (request: Request) => Response | Promise<Response> }): {
      readonly port: number;
      stop(closesConnections: boolean): Promise<void>;
    };
  };
}

/** The parameter is the number of clients. The system is a name in `FILE_INDEXES`. */
export async function service(request: CellRequest): Promise<Measurements> {
  const index = FILE_INDEXES[request.system]!(request.directory);
  const server = await serve(index);
  const { parameter: clients, warmSeconds, seconds } = request;
  const measured = await askFrom("./service_clients.ts", [server.port, clients, 1e3 * warmSeconds, 1e3 * seconds]);
  const { putsPerSync } = index;
  await server.stop();
  await index.close();
  return Number.isNaN(putsPerSync) ? measured : { ...measured, putsPerSync };
}

/** `PUT /<id>` with a place as its body, and `GET /<id>`. */
function answer(index: FileIndex, request: Request): Response | Promise<Response> {
  const id = request.url.slice(-32);
  if (request.method === "PUT") return put(index, id, request);
  const place = index.get(id);
  return place === undefined ? new Response(null, { status: 404 }) : new Response(place);
}

async function put(index: FileIndex, id: string, request: Request): Promise<Response> {
  await index.put(id, await request.text());
  return new Response(null, { status: 204 });
}

/** `answer()` for a server of node:http. */
async function answerOnNode(index: FileIndex, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const id = request.url!.slice(-32);
  if (request.method === "PUT") {
    await index.put(id, await text(request));
    response.writeHead(204).end();
    return;
  }
  const place = index.get(id);
  response.writeHead(place === undefined ? 404 : 200).end(place);
}

interface Server {
  readonly port: number;
  stop(): Promise<void>;
}

/** The server that a user of the runtime would take: `Deno.serve()`, `Bun.serve()` or node:http. */
async function serve(index: FileIndex): Promise<Server> {
  const { Deno, Bun } = globalThis as unknown as Runtimes;
  const hostname = "127.0.0.1";
  const handler = (request: Request) => answer(index, request);
  if (Deno !== undefined) {
    const server = Deno.serve({ port: 0, hostname, onListen: () => {} }, handler);
    return { port: server.addr.port, stop: () => server.shutdown() };
  }
  if (Bun !== undefined) {
    const server = Bun.serve({ port: 0, hostname, fetch: handler });
    return { port: server.port, stop: () => server.stop(true) };
  }
  const server = createServer((request, response) => answerOnNode(index, request, response));
  await new Promise<void>((resolve) => server.listen(0, hostname, resolve));
  const stop = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { port: (server.address() as AddressInfo).port, stop };
}
