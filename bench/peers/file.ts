// A plain append file: one write and one fdatasync for each record.

import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Peer, PeerOptions } from "./peer.ts";

const RECORD_BYTES = 64;

export function open(options: PeerOptions): Promise<Peer> {
  const fd = openSync(join(options.directory, "peer.log"), "a");
  const record = Buffer.alloc(RECORD_BYTES, 0xa5);
  const batch = Buffer.alloc(1000 * RECORD_BYTES, 0xa5);
  return Promise.resolve({
    put: (n) => {
      record.writeDoubleLE(n, 8);
      writeSync(fd, record);
      fdatasyncSync(fd);
    },
    putBatch: (_first, count) => {
      writeSync(fd, batch, 0, count * RECORD_BYTES);
      fdatasyncSync(fd);
    },
    append: (n) => {
      record.writeDoubleLE(n, 8);
      writeSync(fd, record);
    },
    close: () => {
      closeSync(fd);
      return Promise.resolve();
    },
  });
}
