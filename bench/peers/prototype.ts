// A log of 64-byte records in a mapped ring, with no recovery and no checks: what is left when a
// program gives up all promises but durability. Its ring overwrites whatever is oldest.

import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { MAP_SHARED, platform, PROT_READ, PROT_WRITE } from "../../ffi/libc/platform.ts";
import { openLibc } from "../../ffi/system/current.ts";
import { LOG_BYTES } from "../sizes.ts";
import { checksum } from "./checksum.ts";
import type { PeerOptions, RingPeer } from "./peer.ts";
import { makeValues } from "./values.ts";

const POOL_MASK = 4095;
const VALUES = makeValues(POOL_MASK + 1);

/** Words before the first record, which this ring leaves free. */
const HEAD_WORDS = 1024;
const PAGE_BYTES = 4096;
const INSERT = 0x41;

type Quadruple = readonly [keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint];

/** Its fields are not `#hidden`, because those cost a record 10 % in Bun. */
class PrototypePeer implements RingPeer {
  readonly recordsPerAppend = 1;
  private readonly view: DataView;
  private readonly words: Int32Array;
  /** Syncs a range of bytes that starts at a page. */
  private readonly syncRange: (at: number, lengthBytes: number) => void;
  private readonly batches = new Map<number, readonly Quadruple[]>();
  private sequence = 0;
  /** The index of the first word of the next record, and of the first that is not synced. */
  private next = HEAD_WORDS;
  private unsynced = HEAD_WORDS;
  private group: Promise<void> | null = null;
  private resolve!: () => void;

  constructor(buffer: ArrayBuffer, syncRange: (at: number, lengthBytes: number) => void) {
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer);
    this.syncRange = syncRange;
  }

  put(n: number): Promise<void> {
    this.append(n);
    return this.commitSoon();
  }

  putBatch(_first: number, count: number): Promise<void> {
    for (const item of this.items(count)) this.write(item[0], item[1], item[2], item[3]);
    return this.commitSoon();
  }

  append(n: number): void {
    const i = n & POOL_MASK;
    this.write(VALUES[i]!, VALUES[i ^ 1]!, VALUES[i ^ 2]!, VALUES[i ^ 3]!);
  }

  private write(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    const words = this.words;
    let at = this.next;
    if (at === words.length) {
      this.flush();
      at = this.unsynced = HEAD_WORDS;
    }
    const view = this.view;
    const byte = at << 2;
    const sequence = ++this.sequence;
    words[at] = INSERT;
    words[at + 1] = sequence;
    view.setBigUint64(byte + 8, keyHigh, true);
    view.setBigUint64(byte + 16, keyLow, true);
    view.setBigUint64(byte + 24, valueHigh, true);
    view.setBigUint64(byte + 32, valueLow, true);
    words[at + 10] = sequence;
    words[at + 11] = 0;
    words[at + 12] = sequence;
    words[at + 13] = 0;
    words[at + 14] = 0;
    words[at + 15] = checksum(words, at);
    this.next = at + 16;
  }

  /** All appends until the next microtask are one group, and share a promise. */
  private commitSoon(): Promise<void> {
    if (this.group === null) {
      this.group = new Promise((resolve) => this.resolve = resolve);
      queueMicrotask(this.commit);
    }
    return this.group;
  }

  private readonly commit = (): void => {
    const resolve = this.resolve;
    this.flush();
    this.group = null;
    resolve();
  };

  flush(): void {
    const from = this.unsynced * 4;
    const to = this.next * 4;
    if (from === to) return;
    this.unsynced = this.next;
    const page = from - from % PAGE_BYTES;
    this.syncRange(page, to - page);
  }

  private items(count: number): readonly Quadruple[] {
    let items = this.batches.get(count);
    if (items === undefined) {
      items = Array.from({ length: count }, (_, i) => [VALUES[i]!, VALUES[i ^ 1]!, VALUES[i ^ 2]!, VALUES[i ^ 3]!]);
      this.batches.set(count, items);
    }
    return items;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A file full of zeros, written in pages, so that the page cache holds it in pages too. */
function makeFile(path: string): number {
  const fd = openSync(path, "w+");
  const page = new Uint8Array(PAGE_BYTES);
  for (let at = 0; at < LOG_BYTES; at += PAGE_BYTES) writeSync(fd, page, 0, PAGE_BYTES, at);
  fsyncSync(fd);
  return fd;
}

export function open(options: PeerOptions): Promise<RingPeer> {
  const on = platform();
  const libc = openLibc(on);
  const fd = makeFile(join(options.directory, "peer.ring"));
  const address = libc.mmap(0, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address === -1) throw new Error(`mmap failed with error number ${libc.errno()}`);
  closeSync(fd);
  return Promise.resolve(
    new PrototypePeer(libc.view(address, LOG_BYTES), (at, lengthBytes) => {
      if (libc.msync(address + at, lengthBytes, on.MS_SYNC) !== 0) {
        throw new Error(`msync failed with error number ${libc.errno()}`);
      }
    }),
  );
}

/** The ring in plain memory. */
export function openInMemory(): Promise<RingPeer> {
  return Promise.resolve(new PrototypePeer(new ArrayBuffer(LOG_BYTES), () => {}));
}
