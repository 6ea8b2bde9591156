// A reader of log files, written from docs/format.md alone: it shares no code with the library.

/** A record, decoded. */
export interface ReadRecord {
  readonly lsn: number;
  readonly opcode: number;
  readonly timeNanos: bigint;
  readonly timeSeq: number;
  readonly keyHigh: bigint;
  readonly keyLow: bigint;
  readonly valueHigh: bigint;
  readonly valueLow: bigint;
}

/** A run of records that are lost, and the byte where the first of them belongs. */
export interface ReadLoss {
  readonly first: number;
  readonly last: number;
  readonly offset: number;
}

/** Why a file is refused. */
export interface Refusal {
  readonly refused: "not a log" | "another version" | "damaged";
  readonly losses: readonly ReadLoss[];
  /** The byte of the record of another version or of the first loss, otherwise 0. */
  readonly offset: number;
}

/** What a log holds. */
export interface ReadLog {
  readonly refused: null;
  readonly clean: boolean;
  readonly tail: number;
  readonly head: number;
  readonly torn: number;
  readonly phantoms: number;
  readonly checkpoint: number;
  readonly timeNanos: bigint;
  readonly timeSeq: number;
  readonly headerDamaged: boolean;
  readonly consumers: readonly ReadConsumer[];
  readonly records: readonly ReadRecord[];
}

/** A registered consumer. */
export interface ReadConsumer {
  readonly name: string;
  readonly lost: boolean;
  readonly lsn: number;
  readonly maxLagRecords: number;
  readonly keepRecords: number;
}

/** Whose history a log has. */
export interface ReadLineage {
  readonly publicId: string;
  /** The ids of other histories, each with the last LSN that both share. */
  readonly shared: readonly (readonly [id: string, lastLsn: number])[];
}

interface Header {
  readonly capacity: number;
  readonly logId: Uint8Array;
  readonly writeCounter: number;
  readonly tail: number;
  readonly durable: number;
  readonly checkpoint: number;
  readonly timeNanos: bigint;
  readonly timeSeq: number;
  readonly markedClean: boolean;
  readonly cleanHead: number;
  readonly consumers: readonly ReadConsumer[];
}

const MAGIC = [0x89, 0x43, 0x49, 0x44, 0x57, 0x41, 0x4c, 0x0a];
const MOST = 2 ** 53 - 1;

function crc32c(bytes: Uint8Array, state = 0xffffffff): number {
  for (const byte of bytes) {
    state = (state ^ byte) >>> 0;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 1 ? (state >>> 1 ^ 0x82f63b78) >>> 0 : state >>> 1;
  }
  return state >>> 0;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const hex = (bytes: Uint8Array) => [...bytes].map((byte) => (byte + 256).toString(16).slice(1)).join("");
const u64 = (view: DataView, at: number) => Number(view.getBigUint64(at, true));
const refuse = (refused: Refusal["refused"], losses: readonly ReadLoss[] = []): Refusal => ({
  refused,
  losses,
  offset: losses[0]?.offset ?? 0,
});

// Headers.

const hasMagic = (copy: Uint8Array) => MAGIC.every((byte, index) => copy[index] === byte);
const versionOf = (copy: Uint8Array) => viewOf(copy).getUint32(8, true);
const hasCrc = (copy: Uint8Array) => (~crc32c(copy.slice(0, 4092)) >>> 0) === viewOf(copy).getUint32(4092, true);
const isZeros = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);

function readHeader(copy: Uint8Array): Header | null {
  const view = viewOf(copy);
  if (!hasMagic(copy) || versionOf(copy) !== 1 || view.getUint32(12, true) !== 64 || !hasCrc(copy)) return null;
  const isMarked = (view.getUint32(84, true) & 1) === 1;
  const consumers = readConsumers(copy);
  if (consumers === null) return null;
  const header = {
    capacity: u64(view, 16),
    logId: copy.slice(24, 40),
    writeCounter: u64(view, 40),
    tail: u64(view, 48),
    durable: u64(view, 56),
    checkpoint: u64(view, 64),
    timeNanos: view.getBigUint64(72, true),
    timeSeq: view.getUint32(80, true),
    markedClean: isMarked && u64(view, 88) !== 0,
    cleanHead: u64(view, 88),
    consumers,
  };
  const { capacity, writeCounter, tail, durable, checkpoint, markedClean, cleanHead } = header;
  const end = tail + capacity;
  const fits = capacity >= 1 && capacity <= 2 ** 32 - 1 && writeCounter <= MOST && tail >= 1 && end <= MOST &&
    durable <= end - 1 && checkpoint <= end - 1 &&
    (!markedClean || (cleanHead >= tail && cleanHead <= end)) &&
    (isZeros(copy.slice(112, 128)) || u64(view, 128) <= MOST) &&
    (isZeros(copy.slice(136, 152)) || u64(view, 168) <= MOST) &&
    (view.getUint16(188, true) === 0 || view.getUint16(190, true) < view.getUint16(188, true)) &&
    consumers.every(({ lost, lsn }) => lsn <= durable && (lost || lsn >= tail - 1));
  return fits ? header : null;
}

/** The used entries of the table; null if one of them is not as it must be. */
export function readConsumers(copy: Uint8Array): ReadConsumer[] | null {
  const consumers: ReadConsumer[] = [];
  for (let at = 192; at < 1216; at += 64) {
    const entry = copy.slice(at, at + 64);
    const [state = 0, nameBytes = 0] = entry;
    if (state === 0) continue;
    if (state > 2 || nameBytes > 40 || !isZeros(entry.slice(24 + nameBytes))) return null;
    let name: string;
    try {
      name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(entry.slice(24, 24 + nameBytes));
    } catch {
      return null;
    }
    if (consumers.some((other) => other.name === name)) return null;
    const view = viewOf(entry);
    const [maxLagRecords, keepRecords] = [view.getUint32(16, true), view.getUint32(20, true)];
    consumers.push({ name, lost: state === 2, lsn: u64(view, 8), maxLagRecords, keepRecords });
  }
  return consumers;
}

// Records.

function isOfThisVersion(bytes: Uint8Array): boolean {
  const opcode = bytes[4]! & 63;
  const isKnown = (opcode >= 1 && opcode <= 5) || (opcode >= 32 && opcode <= 63);
  return bytes[4]! >> 6 === 1 && isKnown && (bytes[5]! & 0xfe) === 0;
}

function recordOf(bytes: Uint8Array, lsn: number): ReadRecord {
  const view = viewOf(bytes);
  return {
    lsn,
    opcode: bytes[4]! & 63,
    timeNanos: view.getBigUint64(16, true),
    timeSeq: view.getUint32(24, true),
    keyHigh: view.getBigUint64(32, true),
    keyLow: view.getBigUint64(40, true),
    valueHigh: view.getBigUint64(48, true),
    valueLow: view.getBigUint64(56, true),
  };
}

// Slots.

class Ring {
  readonly #file: Uint8Array;
  readonly #seed: number;
  readonly capacity: number;

  constructor(file: Uint8Array, { logId, capacity }: Header) {
    this.#file = file;
    this.#seed = crc32c(logId);
    this.capacity = capacity;
  }

  slotOf(lsn: number): number {
    return (lsn - 1) % this.capacity;
  }

  offsetOf(lsn: number): number {
    return 16384 + 64 * this.slotOf(lsn);
  }

  bytes(slot: number): Uint8Array {
    return this.#file.subarray(16384 + 64 * slot, 16384 + 64 * slot + 64);
  }

  lsnField(slot: number): number {
    return u64(viewOf(this.bytes(slot)), 8);
  }

  isIntact(slot: number): boolean {
    const lsn = this.lsnField(slot);
    if (lsn < 1 || lsn > MOST || this.slotOf(lsn) !== slot) return false;
    const bytes = this.bytes(slot);
    return (~crc32c(bytes.subarray(4), this.#seed) >>> 0) === viewOf(bytes).getUint32(0, true);
  }

  /** Whether the slot of an LSN holds its record, one of another version, or anything else. */
  holds(lsn: number): "record" | "another version" | null {
    const slot = this.slotOf(lsn);
    if (this.lsnField(slot) !== lsn || !this.isIntact(slot)) return null;
    return isOfThisVersion(this.bytes(slot)) ? "record" : "another version";
  }

  endsBatch(lsn: number): boolean {
    return (this.bytes(this.slotOf(lsn))[5]! & 1) === 0;
  }

  record(lsn: number): ReadRecord {
    return recordOf(this.bytes(this.slotOf(lsn)), lsn);
  }

  distance(slot: number): number {
    return viewOf(this.bytes(slot)).getUint32(28, true);
  }

  /** LSNs in ascending order as losses, each as long as it can be. */
  losses(lsns: readonly number[]): ReadLoss[] {
    const losses: { first: number; last: number; offset: number }[] = [];
    for (const lsn of lsns) {
      const before = losses.at(-1);
      if (before !== undefined && before.last === lsn - 1) before.last = lsn;
      else losses.push({ first: lsn, last: lsn, offset: this.offsetOf(lsn) });
    }
    return losses;
  }
}

const range = (first: number, last: number) =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);

// Recovery, by its steps.

/** Reads a file. */
export function readLog(file: Uint8Array): ReadLog | Refusal {
  // 1. Length.
  if (file.length < 16384) return refuse("not a log");
  // 2. Header.
  const copies = [file.subarray(0, 4096), file.subarray(4096, 8192)];
  const [a, b] = copies.map(readHeader) as [Header | null, Header | null];
  const header = a === null ? b : b === null || a.writeCounter >= b.writeCounter ? a : b;
  if (header === null) {
    if (!copies.some(hasMagic)) return refuse("not a log");
    const others = copies.filter((copy) => hasMagic(copy) && versionOf(copy) !== 1);
    return refuse(others.some(hasCrc) || others.length === 2 ? "another version" : "damaged");
  }
  // 3. Size.
  if (file.length < 16384 + 64 * header.capacity) return refuse("damaged");
  const ring = new Ring(file, header);
  const headerDamaged = a === null || b === null;
  // 4. Clean close.
  if (header.markedClean && !isRefuted(ring, header)) return readClean(ring, header, headerDamaged);
  return readOpen(ring, header, headerDamaged);
}

function refuseRecord(ring: Ring, lsn: number): Refusal {
  return { ...refuse("another version"), offset: ring.offsetOf(lsn) };
}

function isRefuted(ring: Ring, { tail, cleanHead }: Header): boolean {
  const free = range(cleanHead, Math.max(cleanHead, tail + ring.capacity - 1));
  return free.some((lsn) => ring.lsnField(ring.slotOf(lsn)) >= cleanHead);
}

function readClean(ring: Ring, header: Header, headerDamaged: boolean): ReadLog | Refusal {
  const { tail, cleanHead: head } = header;
  const bad = range(tail, head - 1).filter((lsn) => ring.holds(lsn) !== "record");
  if (bad.length > 0) {
    if (ring.holds(bad[0]!) === "another version") return refuseRecord(ring, bad[0]!);
    return refuse("damaged", ring.losses(bad));
  }
  if (head > tail && !ring.endsBatch(head - 1)) return refuse("damaged", ring.losses([head]));
  return {
    refused: null,
    clean: true,
    tail,
    head,
    torn: 0,
    phantoms: 0,
    checkpoint: Math.min(header.checkpoint, head - 1),
    timeNanos: header.timeNanos,
    timeSeq: header.timeSeq,
    headerDamaged,
    consumers: header.consumers.map((consumer) => ({ ...consumer, lsn: Math.min(consumer.lsn, head - 1) })),
    records: range(tail, head - 1).map((lsn) => ring.record(lsn)),
  };
}

function readOpen(ring: Ring, header: Header, headerDamaged: boolean): ReadLog | Refusal {
  const losses: ReadLoss[] = [];
  let { tail } = header;
  // 5 and 6.
  let walked = walk(ring, tail);
  let rest = readRest(ring, tail, walked.head);
  // 7. Old header.
  const highest = Math.max(0, ...rest.phantoms);
  if (highest >= tail + ring.capacity) {
    losses.push({ first: tail, last: highest - ring.capacity, offset: ring.offsetOf(tail) });
    tail = highest - ring.capacity + 1;
    walked = walk(ring, tail);
    rest = readRest(ring, tail, walked.head);
  }
  const { head, end } = walked;
  // 8. Another version.
  if (end < tail + ring.capacity && ring.holds(end) === "another version") return refuseRecord(ring, end);
  // 9. Proof.
  let proved = header.durable;
  if (header.markedClean) proved = Math.max(proved, header.cleanHead - 1);
  for (const lsn of rest.phantoms) {
    if (lsn < tail + ring.capacity) proved = Math.max(proved, lsn - ring.distance(ring.slotOf(lsn)));
  }
  if (proved >= head) {
    const more = range(end + 1, proved).filter((lsn) => ring.holds(lsn) !== "record");
    losses.push(...ring.losses([end, ...more]));
  }
  if (losses.length > 0) return refuse("damaged", losses);
  // 10. Result.
  const taken = range(tail, end - 1).map((lsn) => ring.record(lsn));
  const checkpoints = taken.filter(({ opcode }) => opcode === 4).map(({ valueLow }) => Number(valueLow));
  const last = taken.at(-1);
  const isLater = last !== undefined && (last.timeNanos > header.timeNanos ||
    (last.timeNanos === header.timeNanos && last.timeSeq > header.timeSeq));
  const checkpoint = Math.min(Math.max(header.checkpoint, ...checkpoints), head - 1);
  const consumers = header.consumers.map((consumer) => {
    const isRaised = checkpoint > header.checkpoint && !consumer.lost;
    return { ...consumer, lsn: Math.min(isRaised ? Math.max(consumer.lsn, checkpoint) : consumer.lsn, head - 1) };
  });
  return {
    refused: null,
    clean: false,
    tail,
    head,
    torn: rest.torn,
    phantoms: rest.phantoms.length,
    checkpoint,
    timeNanos: isLater ? last.timeNanos : header.timeNanos,
    timeSeq: isLater ? last.timeSeq : header.timeSeq,
    headerDamaged,
    consumers,
    records: taken.slice(0, head - tail),
  };
}

/** Step 5. */
function walk(ring: Ring, tail: number): { head: number; end: number } {
  let head = tail;
  let end = tail;
  while (end < tail + ring.capacity && ring.holds(end) === "record") {
    if (ring.endsBatch(end)) head = end + 1;
    end++;
  }
  return { head, end };
}

/** Step 6. */
function readRest(ring: Ring, tail: number, head: number): { phantoms: number[]; torn: number } {
  const phantoms: number[] = [];
  let torn = 0;
  for (const lsn of range(head, tail + ring.capacity - 1)) {
    const slot = ring.slotOf(lsn);
    if (ring.lsnField(slot) < head) continue;
    if (ring.isIntact(slot)) phantoms.push(ring.lsnField(slot));
    else torn++;
  }
  return { phantoms, torn };
}

// Runs.

/** Why a run is refused. */
export type RunRefusal = "short" | "magic" | "header" | "version" | "log" | "long" | "record" | "gap" | "batch";

const RUN_MAGIC = [0x89, 0x43, 0x49, 0x44, 0x52, 0x55, 0x4e, 0x0a];

/** Reads a run, which must be of the log with this public id. */
export function readRun(bytes: Uint8Array, publicId: string): readonly ReadRecord[] | RunRefusal {
  const header = readRunHeader(bytes);
  if (typeof header === "string") return header;
  const { logId, firstLsn, count } = header;
  if (hex(logId) !== publicId) return "log";
  if (bytes.length < 64 + 64 * count) return "short";
  if (bytes.length > 64 + 64 * count) return "long";
  const seed = crc32c(logId);
  const records: ReadRecord[] = [];
  for (let i = 0; i < count; i++) {
    const record = bytes.subarray(64 + 64 * i, 128 + 64 * i);
    if ((~crc32c(record.subarray(4), seed) >>> 0) !== viewOf(record).getUint32(0, true)) return "record";
    if (viewOf(record).getBigUint64(8, true) !== BigInt(firstLsn + i)) return "gap";
    if (!isOfThisVersion(record)) return "version";
    records.push(recordOf(record, firstLsn + i));
  }
  return (bytes.at(-59)! & 1) === 0 ? records : "batch";
}

function readRunHeader(bytes: Uint8Array): RunRefusal | { logId: Uint8Array; firstLsn: number; count: number } {
  if (bytes.length < 64) return "short";
  const view = viewOf(bytes);
  if (!RUN_MAGIC.every((byte, index) => bytes[index] === byte)) return "magic";
  if ((~crc32c(bytes.subarray(0, 60)) >>> 0) !== view.getUint32(60, true)) return "header";
  if (view.getUint32(8, true) !== 1) return "version";
  const firstLsn = u64(view, 32);
  const count = view.getUint32(40, true);
  const fits = view.getUint32(12, true) === 64 && firstLsn >= 1 && count >= 1 && firstLsn <= MOST - (count - 1);
  return fits ? { logId: bytes.slice(16, 32), firstLsn, count } : "header";
}

// Lineage.

/** Reads whose history a log has, from the copy that counts. */
export function readLineage(file: Uint8Array): ReadLineage {
  const copies = [file.slice(0, 4096), file.slice(4096, 8192)].filter((copy) => readHeader(copy) !== null);
  const copy = copies.reduce((a, b) => readHeader(b)!.writeCounter > readHeader(a)!.writeCounter ? b : a);
  const view = viewOf(copy);
  const idAt = (at: number) => hex(copy.slice(at, at + 16));
  const hasForked = !isZeros(copy.slice(136, 152));
  const isCopy = !isZeros(copy.slice(112, 128));
  return {
    publicId: idAt(hasForked ? 136 : 24),
    shared: [
      ...(isCopy ? [[idAt(112), u64(view, 128)] as const] : []),
      ...(hasForked ? [[idAt(152), u64(view, 168)] as const] : []),
    ],
  };
}
