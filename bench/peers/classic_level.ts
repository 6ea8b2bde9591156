// classic-level (LevelDB). Each put syncs its log; concurrent writers share a sync in LevelDB's
// write queue.

import { ClassicLevel } from "classic-level";
import { join } from "node:path";
import { AscendingKey, type Peer, type PeerOptions, VALUE_BYTES } from "./peer.ts";

export async function open(options: PeerOptions): Promise<Peer> {
  const database = new ClassicLevel<Uint8Array, Uint8Array>(join(options.directory, "peer.level"), {
    keyEncoding: "view",
    valueEncoding: "view",
  });
  await database.open();
  const key = new AscendingKey();
  const value = new Uint8Array(VALUE_BYTES).fill(0xa5);
  const sync = options.durable;
  let last: Promise<unknown> = Promise.resolve();
  return {
    put: (n) => database.put(key.set(n), value, { sync }),
    putBatch: (first, count) => {
      const batch = database.batch();
      for (let n = first; n < first + count; n++) batch.put(key.set(n), value);
      return batch.write({ sync });
    },
    append: (n) => {
      last = database.put(key.set(n), value, { sync });
    },
    settle: async () => {
      await last;
    },
    replay: () => database.iterator().all(),
    close: () => database.close(),
  };
}
