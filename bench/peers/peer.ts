// Peer: what a workload asks of a system that makes small records durable, be it this library or an
// alternative.

/**
 * An open log, database or file. A record is 64 bytes, or what the system makes of 32 bytes of key
 * and value.
 */
export interface Peer {
  /** Writes record n. It is durable when the promise resolves, or when a sync call returns. */
  put(n: number): Promise<unknown> | void;
  /** Writes `count` records from `first` on as one unit. They are durable as with `put()`. */
  putBatch?(first: number, count: number): Promise<unknown> | void;
  /**
   * Writes record n without waiting for the medium. It need only survive a crash of the process.
   */
  append?(n: number): void;
  /** Waits for the appends that are pending. */
  settle?(): Promise<void>;
  /**
   * Reads every record into an array of objects, and returns it so that nothing is optimized away.
   */
  replay?(): Promise<readonly unknown[]> | readonly unknown[];
  close(): Promise<void>;
}

/** A ring in memory that a file may mirror. It has room for a lap of appends after a `flush()`. */
export interface RingPeer extends Peer {
  /** How many records one `append()` writes, from record n on. */
  readonly recordsPerAppend: number;
  append(n: number): void;
  /** Syncs all appends, and releases their places. */
  flush(): void;
}

/** How a peer is opened. */
export interface PeerOptions {
  /** An empty directory, or the one that an earlier process filled. */
  readonly directory: string;
  /** Whether a write is durable when it returns. If not, `append()` is measured. */
  readonly durable: boolean;
}

/** A module of this directory. */
export interface PeerModule {
  open(options: PeerOptions): Promise<Peer>;
}

/** A module of a peer that is a ring. */
export interface RingPeerModule {
  open(options: PeerOptions): Promise<RingPeer>;
  /** Opens a ring in plain memory, where appends cost the same but for the mapping. */
  openInMemory(): Promise<RingPeer>;
}

/** Bytes of a value in a key-value peer. */
export const VALUE_BYTES = 48;
/** Bytes of a key: 128 bits, as in this library. */
export const KEY_BYTES = 16;

/** One key buffer, rewritten for each record. Keys ascend, which is the best case of a tree. */
export class AscendingKey {
  readonly bytes: Buffer = Buffer.alloc(KEY_BYTES);

  /** The bytes for record n, valid until the next call. */
  set(n: number): Buffer {
    this.bytes.writeUInt32BE(Math.floor(n / 2 ** 32), 8);
    this.bytes.writeUInt32BE(n >>> 0, 12);
    return this.bytes;
  }
}
