// The systems by name. Each is loaded only where it is used, so that an addon that a runtime cannot
// load harms no other system.

import type { PeerModule, RingPeerModule } from "./peer.ts";

/** Peers that are rings. */
const rings = {
  "wal": () => import("./wal.ts"),
  "wal-bytes": () => import("./wal_bytes.ts"),
  "wal-packed": () => import("./wal_packed.ts"),
  "prototype": () => import("./prototype.ts"),
} satisfies Record<string, () => Promise<RingPeerModule>>;

const loaders = {
  ...rings,
  "wal-adaptive": () => import("./wal_adaptive.ts"),
  "wal-followers": () => import("./wal_followers.ts"),
  "wal-mixed": () => import("./wal_mixed.ts"),
  "wal-offload": () => import("./wal_offload.ts"),
  "sqlite-full": () => import("./sqlite.ts"),
  "sqlite-full-turn": () => import("./sqlite_turn.ts"),
  "lmdb": () => import("./lmdb.ts"),
  "classic-level": () => import("./classic_level.ts"),
  "file": () => import("./file.ts"),
  "file-group": () => import("./file_group.ts"),
  "file-group-frame": () => import("./file_group_frame.ts"),
} satisfies Record<string, () => Promise<PeerModule>>;

/** The name of a system that is measured as a `Peer`. */
export type PeerName = keyof typeof loaders;
/** The name of a system that is measured as a `RingPeer`. */
export type RingPeerName = keyof typeof rings;

/** Every peer, as `--verify-durability` checks them. */
export const PEER_NAMES = Object.keys(loaders) as readonly PeerName[];

/** What readers of the table should know of each peer. */
export const PEER_NOTES: Record<PeerName, string> = {
  "wal": "this library, flush inline",
  "wal-bytes": "as wal, with keys and values as bytes instead of bigints",
  "wal-packed": "as wal-bytes, with batches of packed pairs (W4: of 64)",
  "wal-followers": "as wal, with followers: true, and a follower in another process reads every record",
  "wal-mixed": "as wal, with batches that delete and insert in turn",
  "wal-adaptive": "this library by default: offloads where that is faster",
  "wal-offload": "this library, flush off the JavaScript thread",
  "prototype": "no recovery, no checks: a mapped ring of 150 lines, without locks and limits",
  "sqlite-full": "node:sqlite, WAL journal grown beforehand, synchronous=FULL (W4: NORMAL)",
  "sqlite-full-turn": "the same, all puts of one event-loop turn in one transaction",
  "lmdb": "lmdb-js, put() resolves after the sync (W4: noSync)",
  "classic-level": "LevelDB, sync: true (W4: false)",
  "file": "writeSync + fdatasyncSync to a growing file (W4: writeSync)",
  "file-group": "hand-written group commit: fs.write + fs.fdatasync of what gathered meanwhile, growing file",
  "file-group-frame": "the same with one checksum for a group instead of one for each record",
};

/** Loads a peer. */
export function loadPeer(name: PeerName): Promise<PeerModule> {
  return loaders[name]();
}

/** Loads a peer that is a ring. */
export function loadRingPeer(name: RingPeerName): Promise<RingPeerModule> {
  return rings[name]();
}
