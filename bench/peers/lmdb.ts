// lmdb-js: put() gathers the puts of a turn into one transaction, on a thread of its own.

import { open as openDatabase } from "lmdb";
import { join } from "node:path";
import { AscendingKey, type Peer, type PeerOptions, VALUE_BYTES } from "./peer.ts";

export function open(options: PeerOptions): Promise<Peer> {
  const database = openDatabase<Buffer, Buffer>({
    path: join(options.directory, "peer.lmdb"),
    encoding: "binary",
    keyEncoding: "binary",
    mapSize: 4 * 2 ** 30,
    noSync: !options.durable,
    // A put must not resolve before its sync. By default it resolves when the transaction is
    // visible.
    overlappingSync: false,
  });
  const key = new AscendingKey();
  const value = Buffer.alloc(VALUE_BYTES, 0xa5);
  let last: Promise<unknown> = Promise.resolve();
  return Promise.resolve({
    put: (n) => database.put(key.set(n), value),
    putBatch: (first, count) =>
      database.transactionSync(() => {
        for (let n = first; n < first + count; n++) database.putSync(key.set(n), value);
      }),
    append: (n) => {
      last = database.put(key.set(n), value);
    },
    settle: async () => {
      await last;
    },
    replay: () => [...database.getRange()],
    close: () => database.close(),
  });
}
