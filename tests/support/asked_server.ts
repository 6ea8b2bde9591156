// A real HTTP server in this process, asked by another one.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Child, spawnSnippet } from "./child.ts";
import { runtime } from "./runtime.ts";

/** The runtime's own server, or Node's as the runtime has it. Node has one only. */
export type ServerKind = "native" | "node";

/** The kinds that differ on this runtime. */
export const SERVER_KINDS: readonly ServerKind[] = runtime === "node" ? ["native"] : ["native", "node"];

const NATIVE = { deno: startDeno, bun: startBun, node: startNode };

/** Asks again and again, one question at a time, until it is killed. */
const ASKER = `
import { Agent, get } from "node:http";
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const ask = () => new Promise((resolve, reject) => {
  get({ host: "127.0.0.1", port: Number(process.argv[2]), agent }, (response) => {
    response.resume();
    response.on("end", resolve);
  }).on("error", reject);
});
for (;;) await ask();
`;

interface NativeServer {
  readonly port: number;
  stop(): Promise<unknown>;
}

/** A server that is asked one question after the other. Disposing it stops both ends. */
export class AskedServer implements AsyncDisposable {
  /** Questions answered so far. */
  answers = 0;
  #server: NativeServer | null = null;
  #asker: Child | null = null;

  /** Starts both; resolves when the first question has been answered. */
  static async start(kind: ServerKind): Promise<AskedServer> {
    const asked = new AskedServer();
    const first = Promise.withResolvers<void>();
    const answer = () => {
      asked.answers++;
      first.resolve();
    };
    asked.#server = await NATIVE[kind === "native" ? runtime : "node"](answer);
    asked.#asker = spawnSnippet(ASKER, { args: [String(asked.#server.port)] });
    await Promise.race([
      first.promise,
      asked.#asker.result.then(({ stderr }) => {
        throw new Error(`Nobody asks: ${stderr}`);
      }),
    ]);
    return asked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#asker?.[Symbol.asyncDispose]();
    await this.#server?.stop();
  }
}

async function startNode(answer: () => void): Promise<NativeServer> {
  const server = createServer((_request, response) => {
    answer();
    response.end("yes");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

type Handler = () => Response;

function startDeno(answer: () => void): NativeServer {
  interface Serve {
    (options: object, handler: Handler): { addr: { port: number }; shutdown(): Promise<void> };
  }
  const { serve } = (globalThis as unknown as { Deno: { serve: Serve } }).Deno;
  const server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
    answer();
    return new Response("yes");
  });
  return {
    port: server.addr.port,
    stop: () => server.shutdown(),
  };
}

function startBun(answer: () => void): NativeServer {
  interface Serve {
    (options: { port: number; hostname: string; fetch: Handler }): { port: number; stop(now: boolean): Promise<void> };
  }
  const { serve } = (globalThis as unknown as { Bun: { serve: Serve } }).Bun;
  const server = serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      answer();
      return new Response("yes");
    },
  });
  return { port: server.port, stop: () => server.stop(true) };
}
