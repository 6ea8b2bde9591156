// The file format a second time, byte by byte: the library's own encoder is compared with it.

/** The fields of a record, each with a default, so that a test names what it is about. */
export interface ReferenceRecord {
  readonly lsn: number;
  readonly opType?: number;
  readonly version?: number;
  readonly flags?: number;
  readonly shard?: number;
  readonly nanos?: bigint;
  readonly seq?: number;
  readonly distance?: number;
  readonly keyHigh?: bigint;
  readonly keyLow?: bigint;
  readonly valueHigh?: bigint;
  readonly valueLow?: bigint;
}

/** The fields of a header copy, each with a default: an open, empty log of 768 slots. */
export interface ReferenceHeader {
  readonly magic?: readonly number[];
  readonly version?: number;
  readonly recordBytes?: number;
  readonly capacity?: number;
  readonly logId?: Uint8Array;
  readonly writeCounter?: number;
  readonly tail?: number;
  readonly durable?: number;
  readonly checkpoint?: number;
  readonly timeNanos?: bigint;
  readonly timeSeq?: number;
  readonly state?: number;
  readonly cleanHead?: number;
  readonly created?: bigint;
  readonly openerPid?: number;
  readonly originId?: Uint8Array;
  readonly originLsn?: number;
  readonly publicId?: Uint8Array;
  readonly forkId?: Uint8Array;
  readonly forkLsn?: number;
}

/** The log id of the tests: bytes 0 to 15. */
export const LOG_ID: Uint8Array = Uint8Array.from({ length: 16 }, (_, i) => i);

/** CRC-32C bit by bit: the shift register after the bytes, before the final inversion. */
export function shiftCrc(bytes: Uint8Array, state: number = 0xffffffff): number {
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 1 ? (state >>> 1) ^ 0x82f63b78 : state >>> 1;
  }
  return state >>> 0;
}

/** CRC-32C bit by bit, 0 to 2^32 − 1. */
export function slowCrc(bytes: Uint8Array, state: number = 0xffffffff): number {
  return (shiftCrc(bytes, state) ^ 0xffffffff) >>> 0;
}

/** An unsigned number as bytes, the lowest first. */
function bytesOf(value: number | bigint, count: number): number[] {
  let rest = BigInt(value);
  const bytes: number[] = [];
  for (let i = 0; i < count; i++) {
    bytes.push(Number(rest & 0xffn));
    rest >>= 8n;
  }
  return bytes;
}

/** The 64 bytes of a record. */
export function recordBytes(record: ReferenceRecord, logId: Uint8Array = LOG_ID): Uint8Array {
  const { lsn, opType = 1, version = 1, flags = 0, shard = 0, nanos = BigInt(lsn), seq = 0, distance = 1 } = record;
  const { keyHigh = 0n, keyLow = BigInt(lsn), valueHigh = 0n, valueLow = BigInt(lsn) } = record;
  const body = Uint8Array.from([
    version * 64 + opType,
    flags,
    ...bytesOf(shard, 2),
    ...bytesOf(lsn, 8),
    ...bytesOf(nanos, 8),
    ...bytesOf(seq, 4),
    ...bytesOf(distance, 4),
    ...bytesOf(keyHigh, 8),
    ...bytesOf(keyLow, 8),
    ...bytesOf(valueHigh, 8),
    ...bytesOf(valueLow, 8),
  ]);
  return Uint8Array.from([...bytesOf(slowCrc(body, shiftCrc(logId)), 4), ...body]);
}

/** The 4096 bytes of a header copy. */
export function headerBytes(header: ReferenceHeader = {}): Uint8Array {
  const { cleanHead = 0, state = cleanHead === 0 ? 0 : 1 } = header;
  const block = new Uint8Array(4096);
  block.set([
    ...(header.magic ?? [0x89, 0x43, 0x49, 0x44, 0x57, 0x41, 0x4c, 0x0a]),
    ...bytesOf(header.version ?? 1, 4),
    ...bytesOf(header.recordBytes ?? 64, 4),
    ...bytesOf(header.capacity ?? 768, 8),
    ...(header.logId ?? LOG_ID),
    ...bytesOf(header.writeCounter ?? 1, 8),
    ...bytesOf(header.tail ?? 1, 8),
    ...bytesOf(header.durable ?? 0, 8),
    ...bytesOf(header.checkpoint ?? 0, 8),
    ...bytesOf(header.timeNanos ?? 0n, 8),
    ...bytesOf(header.timeSeq ?? 0, 4),
    ...bytesOf(state, 4),
    ...bytesOf(cleanHead, 8),
    ...bytesOf(header.created ?? 0n, 8),
    ...bytesOf(header.openerPid ?? 0, 4),
    ...bytesOf(0, 4),
    ...(header.originId ?? new Uint8Array(16)),
    ...bytesOf(header.originLsn ?? 0, 8),
    ...(header.publicId ?? new Uint8Array(16)),
    ...(header.forkId ?? new Uint8Array(16)),
    ...bytesOf(header.forkLsn ?? 0, 8),
  ]);
  block.set(bytesOf(slowCrc(block.subarray(0, 4092)), 4), 4092);
  return block;
}

/** A whole file: two header copies and records in their slots. */
export function fileBytes(
  copies: readonly [Uint8Array, Uint8Array],
  records: readonly ReferenceRecord[],
  capacity = 768,
): Uint8Array {
  const file = new Uint8Array(16384 + capacity * 64);
  file.set(copies[0], 0);
  file.set(copies[1], 4096);
  for (const record of records) file.set(recordBytes(record), 16384 + (record.lsn - 1) % capacity * 64);
  return file;
}
