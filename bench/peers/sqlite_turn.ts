// node:sqlite with one transaction for all puts of a turn of the event loop: group commit as one
// would write it on SQLite.

import type { Peer, PeerOptions } from "./peer.ts";
import { SQLitePeer } from "./sqlite.ts";

class SQLiteTurnPeer implements Peer {
  readonly #sqlite: SQLitePeer;
  #first = 0;
  #count = 0;
  #group: PromiseWithResolvers<void> | undefined;

  constructor(options: PeerOptions) {
    this.#sqlite = new SQLitePeer(options);
  }

  put(n: number): Promise<void> {
    if (this.#group === undefined) {
      this.#group = Promise.withResolvers();
      this.#first = n;
      this.#count = 0;
      setImmediate(this.#commit);
    }
    // Records are numbered in their order, so a group is a range.
    this.#count++;
    return this.#group.promise;
  }

  readonly #commit = (): void => {
    const group = this.#group;
    this.#group = undefined;
    this.#sqlite.putBatch(this.#first, this.#count);
    group?.resolve();
  };

  close(): Promise<void> {
    return this.#sqlite.close();
  }
}

export function open(options: PeerOptions): Promise<Peer> {
  return Promise.resolve(new SQLiteTurnPeer(options));
}
