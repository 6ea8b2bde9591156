// A key-value server: which content a name stands for now. A name is a UUID, a content is 32 hex
// digits, as the first half of a SHA-256. An answer to a PUT or DELETE means: it is durable, and
// every later GET sees it.
//   deno run --allow-ffi --allow-net=127.0.0.1 --allow-read=. --allow-write=. \
//     examples/key_value/server.ts 8080
//   bun examples/key_value/server.ts 8080
//   node examples/key_value/server.ts 8080

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { consume, WAL, WALError, WALFullError } from "@cidstore/wal";
import { bytesToHalves, bytesToHex, halvesToBytes, hexToBytes, uuidToBytes } from "@cidstore/wal/keys";
import { SQLiteStore } from "@cidstore/wal/stores/sqlite";

/** How long requests that run are waited for at the end, in milliseconds. */
const GRACE_MS = 1000;
/** 32 hex digits, and no more than a line's end after them. */
const MOST_BODY_BYTES = 64;

const store = new SQLiteStore("names.db");
const wal = WAL.open("names.wal", { size: 2 ** 20, fullTimeoutMs: 1000 });
// A database that is locked or out of space may recover, so the consumer tries again. The log takes
// changes meanwhile, until its ring is full.
const consumer = consume(wal, store, {
  onError(error) {
    console.error("the store failed:", error);
    return "retry";
  },
});
consumer.done.catch(fail);

const server = createServer((request, response) => {
  answer(request).then(
    ({ status, body = "", headers = {} }) => send(response, status, body, headers),
    (error) => sendError(response, error),
  );
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`ready on ${(server.address() as AddressInfo).port}`);
});

/** What a client gets. */
interface Answer {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function answer(request: IncomingMessage): Promise<Answer> {
  const key = uuidToBytes(request.url!.slice(1)); // throws a TypeError or a RangeError
  switch (request.method) {
    case "GET": {
      const value = store.values(...bytesToHalves(key))[0];
      return value === undefined ? { status: 404 } : { status: 200, body: bytesToHex(halvesToBytes(...value)) };
    }
    case "PUT":
      await wal.logReplace(key, hexToBytes(await read(request)));
      break;
    case "DELETE":
      await wal.logDelete(key);
      break;
    default:
      return { status: 405, headers: { allow: "GET, PUT, DELETE" } };
  }
  await wal.whenApplied(); // so that the client reads what it has written
  return { status: 204 };
}

async function read(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) {
    body += chunk;
    if (body.length > MOST_BODY_BYTES) throw new RangeError(`a body has at most ${MOST_BODY_BYTES} bytes`);
  }
  return body.trim();
}

function send(response: ServerResponse, status: number, body: string, headers: Answer["headers"] = {}): void {
  response.writeHead(status, { "content-type": "text/plain", ...headers }).end(body);
}

/** Which status tells a client what it can do. */
function sendError(response: ServerResponse, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  // Nothing was written: the names and contents are checked before the log is called.
  if (error instanceof TypeError || error instanceof RangeError) return send(response, 400, message);
  // The ring is full because the store is behind. The client may try again.
  if (error instanceof WALFullError) return send(response, 503, message, { "retry-after": "1" });
  send(response, 500, "it is unknown whether the change was made");
  // A sync failed, or the file is gone: only reopening helps, and a new process does that.
  if (error instanceof WALError) fail(error);
}

function fail(error: unknown): void {
  console.error(error);
  process.exitCode = 1;
  stop();
}

let isStopping = false;

/** Answers what was asked, then closes. A second signal ends the process at once. */
async function stop(): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  for (const signal of SIGNALS) process.removeListener(signal, stop);
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  const late = setTimeout(() => server.closeAllConnections(), GRACE_MS); // those that clients keep open
  await closed;
  clearTimeout(late);
  await consumer.stop().catch(() => {}); // fail() has told of it
  await wal[Symbol.asyncDispose]();
  store.close();
}

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
for (const signal of SIGNALS) process.on(signal, stop);
