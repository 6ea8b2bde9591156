// A reader of log files written from docs/format.md alone: it shares no code with the library, and takes no short cuts.

/** A record, decoded. */
export interface ReadRecord {
  readonly lsn: number;
  readonly opcode: number;
  readonly goesOn: boolean;
  readonly timeNanos: bigint;
  readonly keyLow: bigint;
  readonly valueLow: bigint;
}

/** What the file holds, or why it is refused. */
export type ReadResult = readonly ReadRecord[] | "not a log" | "damaged" | "later version";

function crc32c(bytes: Uint8Array, state = 0xffffffff): number {
  for (const byte of bytes) {
    state = (state ^ byte) >>> 0;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 1 ? (state >>> 1 ^ 0x82f63b78) >>> 0 : state >>> 1;
  }
  return state >>> 0;
}

interface Head {
  readonly capacity: number;
  readonly logId: Uint8Array;
  readonly writeCounter: number;
  readonly tail: number;
  readonly durable: number;
  readonly checkpoint: number;
  readonly closed: boolean;
  readonly cleanHead: number;
}

const u64 = (view: DataView, at: number) => Number(view.getBigUint64(at, true));

/** Reads a file. */
export function readLog(file: Uint8Array): ReadResult {
  const copies = [0, 4096].map((at) => file.slice(at, at + 4096));
  const heads = copies.map(readHead).filter((head) => head !== null);
  if (heads.length === 0) return copies.some(hasMagic) ? "damaged" : "not a log";
  const head = heads.reduce((a, b) => b.writeCounter > a.writeCounter ? b : a);
  if (file.length < 16384 + 64 * head.capacity) return "damaged";

  const at = (lsn: number) => 16384 + 64 * ((lsn - 1) % head.capacity);
  const record = (lsn: number) => readRecord(file.slice(at(lsn), at(lsn) + 64), head.logId, lsn);

  const claimedAt = (lsn: number) => u64(new DataView(file.buffer, at(lsn), 64), 8);
  const free = Array.from(
    { length: Math.max(1, head.tail + head.capacity - head.cleanHead) },
    (_, i) => head.cleanHead + i,
  );
  if (head.closed && free.every((lsn) => claimedAt(lsn) < head.cleanHead)) {
    return readThrough(record, head.tail, head.cleanHead);
  }
  const { tail } = head;
  const { records, later } = walk(record, tail, head.capacity);
  let proved = Math.max(head.durable, head.cleanHead - 1);
  const last = records.findLastIndex(({ goesOn }) => !goesOn);
  const whole = records.slice(0, last + 1);
  const next = tail + whole.length;
  for (let lsn = next; lsn < tail + head.capacity; lsn++) {
    const place = file.slice(at(lsn), at(lsn) + 64);
    const view = new DataView(place.buffer);
    const claimed = u64(view, 8);
    if (claimed < next || !Number.isSafeInteger(claimed) || at(claimed) !== at(lsn)) continue;
    if (!verifies(place, head.logId)) continue;
    if (claimed >= tail + head.capacity) return "damaged";
    proved = Math.max(proved, claimed - view.getUint32(28, true));
  }
  if (later) return "later version";
  return proved >= next && proved >= tail ? "damaged" : whole;
}

function hasMagic(copy: Uint8Array): boolean {
  return [0x89, 0x43, 0x49, 0x44, 0x57, 0x41, 0x4c, 0x0a].every((byte, index) => copy[index] === byte);
}

function readHead(copy: Uint8Array): Head | null {
  const view = new DataView(copy.buffer);
  if (!hasMagic(copy) || view.getUint32(8, true) !== 1 || view.getUint32(12, true) !== 64) return null;
  if ((~crc32c(copy.slice(0, 4092)) >>> 0) !== view.getUint32(4092, true)) return null;
  const head = {
    capacity: u64(view, 16),
    logId: copy.slice(24, 40),
    writeCounter: u64(view, 40),
    tail: u64(view, 48),
    durable: u64(view, 56),
    checkpoint: u64(view, 64),
    closed: (view.getUint32(84, true) & 1) === 1,
    cleanHead: (view.getUint32(84, true) & 1) === 1 ? u64(view, 88) : 0,
  };
  const end = head.tail + head.capacity;
  const fits = head.capacity >= 1 && head.tail >= 1 && head.durable < end && head.checkpoint < end &&
    (!head.closed || (head.cleanHead >= head.tail && head.cleanHead <= end));
  return fits ? head : null;
}

function verifies(place: Uint8Array, logId: Uint8Array): boolean {
  const expected = new DataView(place.buffer).getUint32(0, true);
  return (~crc32c(place.slice(4), crc32c(logId)) >>> 0) === expected;
}

function readRecord(place: Uint8Array, logId: Uint8Array, lsn: number): ReadRecord | "later version" | null {
  const view = new DataView(place.buffer);
  if (u64(view, 8) !== lsn || !verifies(place, logId)) return null;
  const version = place[4]! >> 6;
  const opcode = place[4]! & 63;
  if (version !== 1 || opcode < 1 || opcode > 4 || (place[5]! & ~1) !== 0) return "later version";
  return {
    lsn,
    opcode,
    goesOn: (place[5]! & 1) === 1,
    timeNanos: view.getBigUint64(16, true),
    keyLow: view.getBigUint64(40, true),
    valueLow: view.getBigUint64(56, true),
  };
}

type RecordAt = (lsn: number) => ReadRecord | "later version" | null;

function readThrough(record: RecordAt, tail: number, head: number): ReadResult {
  const records: ReadRecord[] = [];
  for (let lsn = tail; lsn < head; lsn++) {
    const found = record(lsn);
    if (found === "later version") return found;
    if (found === null) return "damaged";
    records.push(found);
  }
  return records.length > 0 && records[records.length - 1]!.goesOn ? "damaged" : records;
}

function walk(record: RecordAt, tail: number, capacity: number) {
  const records: ReadRecord[] = [];
  for (let lsn = tail; lsn < tail + capacity; lsn++) {
    const found = record(lsn);
    if (found === null || found === "later version") return { records, later: found !== null };
    records.push(found);
  }
  return { records, later: false };
}
