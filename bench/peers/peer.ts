// What a workload asks of a system that makes small records durable: this library, or what one would use in its place.

/** One open log, database or file. Every record is 64 bytes or what the system makes of 32 bytes of key and value. */
export interface Peer {
  /** Writes record n; durable when the promise resolves, or on return. */
  put(n: number): Promise<unknown> | void;
  /** Writes `count` records from `first` on as one unit; durable as with `put()`. */
  putBatch?(first: number, count: number): Promise<unknown> | void;
  /** Writes record n without waiting for the medium: it has to survive a crash of the process at most. */
  append?(n: number): void;
  /** Waits for what `append()` left in flight. */
  settle?(): Promise<void>;
  /** Reads every record into an array of objects; returns it so that nothing is optimized away. */
  replay?(): Promise<readonly unknown[]> | readonly unknown[];
  close(): Promise<void>;
}

/** How a peer is opened. */
export interface PeerOptions {
  /** An empty directory of its own, or the one that an earlier process filled. */
  readonly directory: string;
  /** Whether a write is durable when it returns; without, `append()` is what will be measured. */
  readonly durable: boolean;
}

/** A module of this directory. */
export interface PeerModule {
  open(options: PeerOptions): Promise<Peer>;
}

/** Bytes that a key-value peer stores besides the key. */
export const VALUE_BYTES = 48;
/** Bytes of a key: 128 bits, as in this library. */
export const KEY_BYTES = 16;

/** One key buffer, rewritten for each record: ascending keys, the best case of a tree. */
export class AscendingKey {
  readonly bytes: Buffer = Buffer.alloc(KEY_BYTES);

  /** The bytes for record n, valid until the next call. */
  set(n: number): Buffer {
    this.bytes.writeUInt32BE(Math.floor(n / 2 ** 32), 8);
    this.bytes.writeUInt32BE(n >>> 0, 12);
    return this.bytes;
  }
}
