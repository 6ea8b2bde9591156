// Rings and headers as recovery meets them, put together slot by slot.

import { FileMemory } from "../../ffi/file_memory.ts";
import { type Header, readHeader } from "../../src/format/header.ts";
import { checksumSeed, Slots } from "../../src/format/record.ts";
import type { ReadSource } from "../../src/read/source.ts";
import { headerBytes, LOG_ID, recordBytes, type ReferenceHeader, type ReferenceRecord } from "./reference.ts";

/** A header that recovery gets, as it would be read from a file. */
export function makeHeader(fields: ReferenceHeader = {}): Header {
  const header = readHeader(headerBytes(fields), 0);
  if (typeof header === "string") throw new Error(`A header that cannot be read: ${header}`);
  return header;
}

/** A ring under construction. */
export class RingBuilder {
  readonly #bytes: Uint8Array;
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#bytes = new Uint8Array(16384 + capacity * 64);
  }

  /** Where a record of that LSN belongs. */
  slotOf(lsn: number): number {
    return (lsn - 1) % this.capacity;
  }

  /** Any bytes into the slot of an LSN. */
  put(lsn: number, bytes: Uint8Array): this {
    this.#bytes.set(bytes, 16384 + this.slotOf(lsn) * 64);
    return this;
  }

  /** A record into its slot. */
  record(record: ReferenceRecord): this {
    return this.put(record.lsn, recordBytes(record));
  }

  /** Records into their slots; each with the watermark given, or that of the one before. */
  records(first: number, last: number, watermark?: number): this {
    for (let lsn = first; lsn <= last; lsn++) this.record({ lsn, distance: lsn - (watermark ?? lsn - 1) });
    return this;
  }

  /** The bytes of the slot where an LSN belongs. */
  slot(lsn: number): Uint8Array {
    const at = 16384 + this.slotOf(lsn) * 64;
    return this.#bytes.subarray(at, at + 64);
  }

  /** The ring, over its own memory. */
  build(): Slots {
    return Slots.ofRing(new FileMemory(this.#bytes.slice().buffer as ArrayBuffer), this.capacity, checksumSeed(LOG_ID));
  }
}

/** A record with one byte wrong: its LSN can be read, its checksum does not fit. */
export function torn(record: ReferenceRecord): Uint8Array {
  const bytes = recordBytes(record);
  bytes[40]! ^= 0x10;
  return bytes;
}

/** A ring as what reads the log sees it. */
export function sourceOf(slots: Slots, tail = 1): ReadSource {
  const counted = <Thrown>(error: Thrown): Thrown => error;
  return { path: null, tail, slots: () => slots, makeReadable: () => {}, release: () => {}, counted };
}
