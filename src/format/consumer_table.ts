// The table of consumers in a header copy: who holds records, and from which LSN on.

import { assert } from "../assert.ts";
import type { LSN } from "../types.ts";
import {
  CONSUMER_BYTES,
  CONSUMER_KEEP_RECORDS_AT,
  CONSUMER_LSN_AT,
  CONSUMER_MAX_LAG_RECORDS_AT,
  CONSUMER_NAME_AT,
  CONSUMER_NAME_BYTES_AT,
  CONSUMER_STATE_AT,
  HEADER_CONSUMERS_AT,
  MOST_CONSUMERS,
  MOST_NAME_BYTES,
} from "./layout.ts";
import { getSafeU64, setU64 } from "./u64.ts";

/** `state` of an entry that is in use. 0 is a free entry. */
const HOLDS = 1;
const LOST = 2;

/** A registered consumer. */
export interface ConsumerEntry {
  /** `""` for the unnamed consumer. */
  readonly name: string;
  /** True if the log has given the consumer up. Then it holds no record. */
  readonly isLost: boolean;
  /** Its store has everything up to this LSN durably. */
  readonly lsn: LSN;
  /** 0 for no limit. */
  readonly maxLagRecords: number;
  readonly keepRecords: number;
}

const encoder = new TextEncoder();
/** Of a BOM, because it is a part of the name like any other character. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes of a name; null if it is too long, or has half of a surrogate pair. */
export function nameBytes(name: string): Uint8Array | null {
  if (!name.isWellFormed()) return null;
  const bytes = encoder.encode(name);
  return bytes.length <= MOST_NAME_BYTES ? bytes : null;
}

/** Writes the table into a header copy that has zeros there. */
export function writeConsumers(block: Uint8Array, view: DataView, entries: readonly ConsumerEntry[]): void {
  assert(entries.length <= MOST_CONSUMERS, "the table has an entry for each consumer");
  entries.forEach(({ name, isLost, lsn, maxLagRecords, keepRecords }, index) => {
    const at = HEADER_CONSUMERS_AT + index * CONSUMER_BYTES;
    const bytes = nameBytes(name);
    assert(bytes !== null, "a consumer with a name that fits is registered");
    view.setUint8(at + CONSUMER_STATE_AT, isLost ? LOST : HOLDS);
    view.setUint8(at + CONSUMER_NAME_BYTES_AT, bytes.length);
    setU64(view, at + CONSUMER_LSN_AT, lsn);
    view.setUint32(at + CONSUMER_MAX_LAG_RECORDS_AT, maxLagRecords, true);
    view.setUint32(at + CONSUMER_KEEP_RECORDS_AT, keepRecords, true);
    block.set(bytes, at + CONSUMER_NAME_AT);
  });
}

/** Reads the table; null if no writer makes such a table. */
export function readConsumers(view: DataView): ConsumerEntry[] | null {
  const entries: ConsumerEntry[] = [];
  for (let index = 0; index < MOST_CONSUMERS; index++) {
    const at = HEADER_CONSUMERS_AT + index * CONSUMER_BYTES;
    const state = view.getUint8(at + CONSUMER_STATE_AT);
    if (state === 0) continue;
    const name = readName(view, at);
    if (state > LOST || name === null || entries.some((entry) => entry.name === name)) return null;
    entries.push({
      name,
      isLost: state === LOST,
      lsn: getSafeU64(view, at + CONSUMER_LSN_AT),
      maxLagRecords: view.getUint32(at + CONSUMER_MAX_LAG_RECORDS_AT, true),
      keepRecords: view.getUint32(at + CONSUMER_KEEP_RECORDS_AT, true),
    });
  }
  return entries;
}

function readName(view: DataView, at: number): string | null {
  const length = view.getUint8(at + CONSUMER_NAME_BYTES_AT);
  if (length > MOST_NAME_BYTES) return null;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at + CONSUMER_NAME_AT, MOST_NAME_BYTES);
  if (bytes.subarray(length).some((byte) => byte !== 0)) return null;
  try {
    return decoder.decode(bytes.subarray(0, length));
  } catch {
    return null;
  }
}

/** True if the entries fit the positions of their header. */
export function fitPositions(entries: readonly ConsumerEntry[], tail: LSN, durable: LSN): boolean {
  return entries.every(({ isLost, lsn }) => lsn <= durable && (isLost || lsn >= tail - 1));
}
