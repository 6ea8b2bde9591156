// This library with `followers: true`, and no follower.

import type { Peer, PeerOptions } from "./peer.ts";
import { openLog, WALPeer } from "./wal.ts";

export async function open(options: PeerOptions): Promise<Peer> {
  return new WALPeer(await openLog(options.directory, { followers: true }));
}
