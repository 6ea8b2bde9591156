// This library with its defaults: it flushes on another thread where that is faster.

import type { Peer, PeerOptions } from "./peer.ts";
import { openLog, WALPeer } from "./wal.ts";

export async function open(options: PeerOptions): Promise<Peer> {
  return new WALPeer(await openLog(options.directory, { flush: "adaptive" }));
}
