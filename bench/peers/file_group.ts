// A hand-written group commit on an append file: while one group is written and synced, the next
// one gathers.
//
// A group is a header of 64 bytes (checksum, count) and its records. Each record has a CRC-32C, as
// in this library. `file-group-frame` has one CRC-32 of zlib for the whole group instead.

import { close, fdatasync, openSync, readFileSync, write } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { checksum } from "./checksum.ts";
import type { Peer, PeerOptions } from "./peer.ts";

const RECORD_BYTES = 64;
const MAX_RECORDS = 1 << 16;
const VALUES = Array.from({ length: 1024 }, (_, i) => 0x9e3779b97f4a7c15n ^ (BigInt(i) << 32n));

/** Records that gather for one write. */
class Group {
  readonly bytes = Buffer.alloc((MAX_RECORDS + 1) * RECORD_BYTES);
  readonly view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  readonly words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length / 4);
  count = 0;
  done: PromiseWithResolvers<void> = Promise.withResolvers();

  add(n: number, checked: boolean): void {
    const at = ++this.count * RECORD_BYTES;
    const value = VALUES[n & 1023]!;
    this.view.setFloat64(at + 8, n, true);
    this.view.setBigUint64(at + 32, value, true);
    this.view.setBigUint64(at + 40, value, true);
    this.view.setBigUint64(at + 48, value, true);
    this.view.setBigUint64(at + 56, value, true);
    if (checked) this.words[at / 4] = checksum(this.words, at / 4 + 1);
  }

  seal(checked: boolean): number {
    const end = (this.count + 1) * RECORD_BYTES;
    this.view.setUint32(0, checked ? 0 : crc32(this.bytes.subarray(4, end)), true);
    this.view.setUint32(4, this.count, true);
    return end;
  }
}

/** The file with its two groups. */
export class FileGroupPeer implements Peer {
  readonly #checked: boolean;
  readonly #path: string;
  readonly #fd: number;
  #gathering = new Group();
  #spare = new Group();
  #busy = false;

  /** @param checked whether each record has its own checksum. */
  constructor(options: PeerOptions, checked: boolean) {
    this.#checked = checked;
    this.#path = join(options.directory, "peer.log");
    this.#fd = openSync(this.#path, "a");
  }

  put(n: number): Promise<void> {
    const group = this.#gathering;
    group.add(n, this.#checked);
    if (!this.#busy) {
      this.#busy = true;
      // In a microtask, so that all writers that one commit wakes join the next group.
      queueMicrotask(this.#commit);
    }
    return group.done.promise;
  }

  putBatch(first: number, count: number): Promise<void> {
    for (let n = first; n < first + count - 1; n++) this.#gathering.add(n, this.#checked);
    return this.put(first + count - 1);
  }

  readonly #commit = (): void => {
    const group = this.#gathering;
    this.#gathering = this.#spare;
    write(this.#fd, group.bytes, 0, group.seal(this.#checked), null, (failed) => {
      if (failed !== null) throw failed;
      fdatasync(this.#fd, (failed) => {
        if (failed) throw failed;
        const { resolve } = group.done;
        group.done = Promise.withResolvers();
        group.count = 0;
        this.#spare = group;
        this.#busy = this.#gathering.count > 0;
        if (this.#busy) this.#commit();
        resolve();
      });
    });
  };

  replay(): readonly unknown[] {
    const bytes = readFileSync(this.#path);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const records: unknown[] = [];
    let inGroup = 0;
    for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
      if (inGroup === 0) {
        inGroup = view.getUint32(at + 4, true);
        continue;
      }
      inGroup--;
      if (words[at / 4] !== checksum(words, at / 4 + 1)) break;
      records.push({
        n: view.getFloat64(at + 8, true),
        keyHigh: view.getBigUint64(at + 32, true),
        keyLow: view.getBigUint64(at + 40, true),
        valueHigh: view.getBigUint64(at + 48, true),
        valueLow: view.getBigUint64(at + 56, true),
      });
    }
    return records;
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => close(this.#fd, (error) => error ? reject(error) : resolve()));
  }
}

export function open(options: PeerOptions): Promise<Peer> {
  return Promise.resolve(new FileGroupPeer(options, true));
}
