// Fault: crashes that keep any part of what was not synced, damage to what they leave, and forged
//   fields under right checksums (H1, H2, H6, H40, H62).
// Promise: docs/format.md says all that recovery decides, so a reader made from it alone agrees
//   with the library (G2, G3, G5).
// Method: random logs on a simulated disk are crashed or closed, then altered in one way or in
//   several. Library and reader read the same bytes, and the reader also reads what the library
//   left. tests/cases/format_cases.json has the cases of before.

import { readFileSync } from "node:fs";
import { assert, assertEquals } from "@std/assert";
import { WAL, WALCorruptError, WALFormatError } from "../mod.ts";
import { Random, SimulatedDisk } from "../testing.ts";
import { BytesStorage } from "./support/bytes_storage.ts";
import { readConsumers, type ReadLog, readLog, type Refusal } from "./support/format_reader.ts";
import { type PackedLog, packLog, unpackLog } from "./support/packed_log.ts";
import {
  fileBytes,
  headerBytes,
  LOG_ID,
  recordBytes,
  type ReferenceHeader,
  type ReferenceRecord,
  shiftCrc,
  slowCrc,
} from "./support/reference.ts";
import { test } from "./support/test.ts";

const PATH = "/sim/log";
const LOGS_PER_KIND = 40;
const RING_AT = 16384;
const HEADER_BYTES = 4096;

type Bytes = Uint8Array<ArrayBuffer>;
type Result = ReadLog | Refusal;

// Logs.

/** A log as it lies on the disk, and as it lay there before. */
interface Sample {
  readonly bytes: Bytes;
  readonly before: readonly Bytes[];
  readonly capacity: number;
}

/** A log after some laps of appends, batches, truncations and reopenings; crashed, or closed. */
async function makeSample(random: Random): Promise<Sample> {
  const capacity = random.chance(0.2) ? 768 : random.between(8, 150);
  const disk = new SimulatedDisk({ seed: random.below(2 ** 31), tearChance: 0.2, pieceBytes: random.pick([64, 512]) });
  const empty = headerBytes({ capacity, cleanHead: 1 });
  const file = fileBytes([empty, empty], [], capacity);
  const size = Math.ceil(file.length / 4096) * 4096;
  disk.outsider.writeFile(PATH, new Uint8Array([...file, ...new Uint8Array(size - file.length)]));
  const options = { storage: disk.storage, now: disk.clock.now, idleHeaderDelayMs: Infinity };
  const before: Bytes[] = [];
  let wal = WAL.open(PATH, options);
  for (let step = random.between(3, 50); step > 0; step--) {
    const kind = random.below(11);
    if (random.chance(0.2)) before.push(disk.image(PATH, "cache").slice());
    const room = () => wal.capacity - wal.length;
    if (room() < wal.capacity / 3) {
      wal.flush();
      wal.truncate(random.chance(0.5) ? wal.durable : random.between(wal.tail - 1, wal.durable));
    }
    const count = Math.min(random.below(50), room());
    if (kind < 4) { for (let i = count; i > 0; i--) wal.logInsertSync(step, i, kind, i); }
    else if (kind < 7) wal.batchInsertSync(Array.from({ length: count }, (_, i) => [step, i, kind, i] as const));
    else if (kind === 7) wal.flush();
    else if (kind === 8 && room() > 0) await wal.logDelete(step, step);
    else if (kind === 9 && room() > 0) wal.checkpoint(random.between(0, wal.durable));
    else if (kind > 9) {
      wal.close();
      wal = WAL.open(PATH, options);
    }
    disk.clock.advance(random.below(3));
  }
  if (random.chance(0.4)) wal.close();
  disk.crash({ mode: "power", keep: "random" });
  try {
    wal.close();
  } catch { /* its machine has crashed */ }
  return { bytes: disk.image(PATH).slice(), before, capacity };
}

// Ways to alter a log.

const u64At = (bytes: Bytes, at: number) => new DataView(bytes.buffer).getBigUint64(at, true);

/** A number near those that mean something in this log, or at a limit. */
function edge(bytes: Bytes, random: Random, capacity: number): bigint {
  const field = u64At(bytes, random.pick([0, HEADER_BYTES]) + random.pick([48, 56, 64, 88]));
  const lsn = u64At(bytes, RING_AT + 64 * random.below(capacity) + 8);
  const near = random.pick([field, field + BigInt(capacity), lsn, lsn + BigInt(capacity), lsn + 2n * BigInt(capacity)]);
  const value = random.chance(0.7)
    ? near + BigInt(random.between(-2, 2))
    : random.pick([0n, 1n, 2n, BigInt(capacity), 1n << 32n, (1n << 53n) - 1n, 1n << 53n, (1n << 64n) - 1n]);
  return BigInt.asUintN(64, value);
}

function sealHeader(bytes: Bytes, copy: number): void {
  const at = copy * HEADER_BYTES;
  new DataView(bytes.buffer).setUint32(at + 4092, slowCrc(bytes.subarray(at, at + 4092)), true);
}

function sealRecord(bytes: Bytes, slot: number): void {
  const at = RING_AT + slot * 64;
  new DataView(bytes.buffer).setUint32(at, slowCrc(bytes.subarray(at + 4, at + 64), shiftCrc(LOG_ID)), true);
}

function forgeHeaderCopy(bytes: Bytes, copy: number, random: Random, capacity: number): void {
  const view = new DataView(bytes.buffer, copy * HEADER_BYTES, HEADER_BYTES);
  for (let more = random.between(1, 3); more > 0; more--) {
    const value = edge(bytes, random, capacity);
    const kind = random.below(10);
    if (kind < 5) view.setBigUint64(random.pick([48, 56, 64, 88]), value, true);
    else if (kind === 5) view.setUint32(84, random.below(16), true);
    else if (kind === 6) view.setBigUint64(random.pick([16, 72, 112, 128, 136, 168, 176, 184]), value, true);
    else if (kind === 7 && random.chance(0.6)) forgeConsumer(view, value, random);
    else if (kind === 7) view.setUint32(random.pick([8, 12, 80, 104, 108, 4000]), random.below(3), true);
    else if (kind === 8) {
      view.setBigUint64(40, u64At(bytes, (1 - copy) * HEADER_BYTES + 40) + BigInt(random.below(3)), true);
    } else {
      view.setUint32(84, 1, true);
      view.setBigUint64(88, value, true);
    }
  }
  sealHeader(bytes, copy);
}

/** Writes a consumer entry, mostly one that is as it must be. */
function forgeConsumer(view: DataView, lsn: bigint, random: Random): void {
  const entry = new DataView(view.buffer, view.byteOffset + 192 + 64 * random.below(16), 64);
  const name = new TextEncoder().encode(
    random.pick(["", "a", "a", "žluť", "name of forty bytes, no more and no less"]),
  );
  new Uint8Array(entry.buffer, entry.byteOffset, 64).fill(0).set(name, 24);
  entry.setUint8(0, random.pick([1, 1, 2, 3, 0]));
  entry.setUint8(1, name.length);
  entry.setBigUint64(8, lsn, true);
  entry.setUint32(16, random.below(3), true);
  if (random.chance(0.2)) entry.setUint8(random.pick([1, 2, 20, 24, 25, 63]), random.pick([1, 40, 41, 0xc3, 0xff]));
}

function forgeRecordAt(bytes: Bytes, slot: number, random: Random, capacity: number): void {
  const view = new DataView(bytes.buffer, RING_AT + slot * 64, 64);
  const value = edge(bytes, random, capacity);
  const kind = random.below(8);
  if (kind === 0) view.setBigUint64(8, value, true);
  else if (kind === 1) view.setBigUint64(8, BigInt(slot + 1) + BigInt(capacity) * BigInt(random.below(12)), true);
  else if (kind === 2) view.setUint32(28, Number(BigInt.asUintN(random.pick([3, 32]), value)), true);
  else if (kind === 3) view.setUint8(5, random.chance(0.7) ? 1 : random.below(256));
  else if (kind === 4) view.setUint8(4, random.chance(0.5) ? 0x44 : random.below(256));
  else if (kind === 5) view.setUint8(4, random.pick([0x40, 0x45, 0x7f, 0x81, 0xc1, 0x01]));
  else if (kind === 6) view.setBigUint64(random.pick([16, 56]), value, true);
  else view.setUint32(24, random.pick([0, 2 ** 32 - 1]), true);
  if (random.chance(0.9)) sealRecord(bytes, slot);
}

/** A slot, often one near the ends of the log. */
function slotNear(bytes: Bytes, random: Random, capacity: number): number {
  if (random.chance(0.3)) return random.below(capacity);
  const lsn = u64At(bytes, random.pick([0, HEADER_BYTES]) + random.pick([48, 56, 88])) + BigInt(random.between(-2, 3));
  return Number(BigInt.asUintN(53, lsn) % BigInt(capacity));
}

type Alter = (sample: Sample, random: Random) => Bytes;
const times = (count: number, body: () => void) => {
  for (; count > 0; count--) body();
};
const inPlace = (body: (bytes: Bytes, random: Random, sample: Sample) => void): Alter => (sample, random) => {
  const bytes = sample.bytes.slice();
  body(bytes, random, sample);
  return bytes;
};

const KINDS: Readonly<Record<string, Alter>> = {
  "crashed or closed": ({ bytes }) => bytes,
  "damaged": inPlace((bytes, random, { capacity }) =>
    times(random.between(1, 3), () => {
      const at = random.chance(0.25)
        ? random.below(8192)
        : RING_AT + 64 * slotNear(bytes, random, capacity) + random.below(64);
      bytes[at]! ^= 1 << random.below(8);
    })
  ),
  "stale": inPlace((bytes, random, { before, capacity }) => {
    const piece = random.pick([64, 512, 4096]);
    const end = RING_AT + 64 * capacity;
    if (before.length > 0) {
      times(random.between(1, 12), () => {
        const at = piece * random.below(Math.floor(end / piece));
        bytes.set(random.pick(before).subarray(at, at + piece), at);
      });
    }
  }),
  "old-headered": inPlace((bytes, random, { before }) => {
    const copies = [bytes, ...before].flatMap((file) => [file.slice(0, 4096), file.slice(4096, 8192)]);
    const old = random.below(copies.length);
    for (const at of [0, HEADER_BYTES]) bytes.set(copies[random.chance(0.5) ? old : random.below(copies.length)]!, at);
    if (random.chance(0.3)) bytes[random.pick([0, HEADER_BYTES]) + random.below(200)]! ^= 1;
  }),
  "misplaced": inPlace((bytes, random, { capacity }) =>
    times(random.between(1, 4), () => {
      const piece = random.pick([64, 64, 512]);
      const place = () => RING_AT + Math.floor(64 * slotNear(bytes, random, capacity) / piece) * piece;
      const [from, to] = [place(), place()];
      const kept = bytes.slice(to, to + piece);
      bytes.copyWithin(to, from, from + piece);
      if (random.chance(0.3)) bytes.set(kept, from);
    })
  ),
  "wiped": inPlace((bytes, random, { capacity }) =>
    times(random.between(1, 4), () => {
      const at = RING_AT + 64 * slotNear(bytes, random, capacity);
      bytes.fill(random.pick([0, 0, 0xff]), at, at + random.pick([8, 64, 512]));
    })
  ),
  "forged (headers)": inPlace((bytes, random, { capacity }) => {
    const copy = random.below(2);
    forgeHeaderCopy(bytes, copy, random, capacity);
    if (random.chance(0.3)) forgeHeaderCopy(bytes, 1 - copy, random, capacity);
    else if (random.chance(0.4)) bytes[(1 - copy) * HEADER_BYTES + random.below(200)]! ^= 1 << random.below(8);
  }),
  "forged (records)": inPlace((bytes, random, { capacity }) =>
    times(random.between(1, 4), () => forgeRecordAt(bytes, slotNear(bytes, random, capacity), random, capacity))
  ),
  "re-versioned": inPlace((bytes, random) => {
    for (const copy of random.pick([[0], [1], [0, 1]])) {
      new DataView(bytes.buffer, copy * HEADER_BYTES).setUint32(8, random.pick([0, 2, 3, 2 ** 32 - 1]), true);
      if (random.chance(0.5)) sealHeader(bytes, copy);
    }
    if (random.chance(0.5)) bytes[random.pick([0, HEADER_BYTES]) + random.pick([0, 7, 8, 12, 20, 48, 200, 4093])]! ^= 1;
  }),
  "cut": ({ bytes, capacity }, random) => {
    const end = RING_AT + 64 * capacity;
    const length = random.pick([0, 1, 8, 4095, 8191, RING_AT - 1, RING_AT, end - 1, end, random.below(end)]);
    return bytes.slice(0, length);
  },
  "badly hurt": (sample, random) => {
    let bytes = sample.bytes;
    times(random.between(2, 4), () => {
      const kind = random.pick(Object.keys(KINDS).filter((name) => !["badly hurt", "cut"].includes(name)));
      bytes = KINDS[kind]!({ ...sample, bytes }, random);
    });
    return bytes;
  },
};

// What both make of it.

/** The bytes through the library, which works on them. */
function readByLibrary(bytes: Bytes): Result {
  let wal: WAL;
  try {
    wal = WAL.open(PATH, { storage: new BytesStorage(bytes), create: false, now: () => 0 });
  } catch (error) {
    if (error instanceof WALCorruptError) {
      const losses = error.losses.map(({ firstLsn, lastLsn, offset }) => ({ first: firstLsn, last: lastLsn, offset }));
      return { refused: "damaged", losses, offset: error.offset };
    }
    if (!(error instanceof WALFormatError)) throw error;
    const refused = /\bversion\b/.test(error.message) ? "another version" : "not a log";
    return { refused, losses: [], offset: error.offset };
  }
  const { clean, firstLsn, lastLsn, tornRecords, phantomsErased, headerDamaged } = wal.recovery;
  const stored = newestPositions(bytes);
  assertEquals([stored.tail, stored.durable], [firstLsn, lastLsn]);
  const held = stored.consumers.filter(({ lost }) => !lost).map(({ lsn }) => lsn);
  const applied = held.length === 0 ? Math.max(stored.checkpoint, firstLsn - 1) : Math.min(...held);
  assertEquals([wal.applied, wal.head], [applied, lastLsn + 1]);
  return {
    refused: null,
    clean,
    tail: firstLsn,
    head: lastLsn + 1,
    torn: tornRecords,
    phantoms: phantomsErased,
    checkpoint: stored.checkpoint,
    timeNanos: stored.timeNanos,
    timeSeq: stored.timeSeq,
    headerDamaged,
    consumers: stored.consumers,
    records: wal.replay().map((record) => ({
      lsn: record.lsn,
      opcode: record.opType as number,
      timeNanos: record.time[0],
      timeSeq: record.time[1],
      keyHigh: record.keyHigh,
      keyLow: record.keyLow,
      valueHigh: record.valueHigh,
      valueLow: record.valueLow,
    })),
  };
}

/** What the library has written into the header. */
function newestPositions(bytes: Bytes) {
  const view = new DataView(bytes.buffer);
  const at = view.getBigUint64(40, true) > view.getBigUint64(HEADER_BYTES + 40, true) ? 0 : HEADER_BYTES;
  const number = (offset: number) => Number(view.getBigUint64(at + offset, true));
  return {
    tail: number(48),
    durable: number(56),
    checkpoint: number(64),
    timeNanos: view.getBigUint64(at + 72, true),
    timeSeq: view.getUint32(at + 80, true),
    consumers: readConsumers(bytes.subarray(at, at + HEADER_BYTES)) ?? [],
  };
}

/**
 * Throws unless library and reader agree, also on what the library leaves.
 *
 * @returns what both say.
 */
function compare(bytes: Bytes, where: string): Result {
  const read = readLog(bytes);
  const worked = bytes.slice();
  const opened = readByLibrary(worked);
  assertEquals(opened, read, where);
  if (opened.refused !== null) {
    assert(bytes.every((byte, index) => byte === worked[index]), `${where}: the refused file was changed`);
    return opened;
  }
  const again = readLog(worked);
  assert(again.refused === null, `${where}, opened`);
  // Forged records may tell another time than the last record of before, or than a closed log's
  // header.
  const { timeNanos, timeSeq } = again;
  const checkpoint = opened.clean ? again.checkpoint : opened.checkpoint;
  const same = { ...opened, clean: false, torn: 0, phantoms: 0, headerDamaged: false, checkpoint, timeNanos, timeSeq };
  assertEquals(again, same, `${where}, opened`);
  return opened;
}

/** What is expected of a case: `records` is their number. */
type Answer = Readonly<Record<string, unknown>>;

function answerOf(result: Result): Answer {
  if (result.refused !== null) return { ...result };
  const { consumers, ...others } = result;
  const some = consumers.length === 0 ? {} : { consumers };
  return { ...others, ...some, timeNanos: String(result.timeNanos), records: result.records.length };
}

// Random logs.

for (const [kind, alter] of Object.entries(KINDS)) {
  test(`docs/format.md makes a reader that agrees with recovery on ${kind} logs`, async () => {
    const verdicts = new Set<string>();
    for (let seed = 1; seed <= LOGS_PER_KIND; seed++) {
      const random = new Random(seed).fork(kind);
      const sample = await makeSample(random);
      const result = compare(alter(sample, random), `${kind}, seed ${seed}`);
      verdicts.add(result.refused ?? (result.clean ? "clean" : "open"));
    }
    assert(verdicts.size > 1, [...verdicts].join());
    assertEquals(verdicts.has("damaged"), kind !== "crashed or closed");
  });
}

// The cases in which a reader from before had to guess.

interface Case {
  readonly name: string;
  readonly log: PackedLog;
  readonly expected: Answer;
}

const CASES: readonly Case[] = JSON.parse(
  readFileSync(new URL("./cases/format_cases.json", import.meta.url), "utf8"),
);

for (const { name, log, expected } of CASES) {
  test(`docs/format.md has the answer that library and reader give: ${name}`, () => {
    assertEquals(answerOf(compare(unpackLog(log), name)), expected);
  });
}

test("packLog() keeps everything that recovery looks at", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed);
    const { bytes, capacity } = await makeSample(random);
    times(random.below(4), () => forgeRecordAt(bytes, random.below(capacity), random, capacity));
    assertEquals(answerOf(readLog(unpackLog(packLog(bytes)))), answerOf(readLog(bytes)), `seed ${seed}`);
  }
});

// Cases made by hand: a ring of 8 slots.

const CAPACITY = 8;
const records = (first: number, last: number, more: Omit<ReferenceRecord, "lsn"> = {}): ReferenceRecord[] =>
  Array.from({ length: last - first + 1 }, (_, i) => ({ lsn: first + i, ...more }));

interface Made {
  readonly copies: readonly [ReferenceHeader | Uint8Array, ReferenceHeader | Uint8Array];
  readonly records: readonly ReferenceRecord[];
  /** Bytes at offsets, over what is there. */
  readonly patches?: readonly [offset: number, bytes: readonly number[]][];
  /** What both say, of what is named. */
  readonly expected: Answer;
}

const damagedCopy = headerBytes({ capacity: CAPACITY }).with(3000, 1);
const versionTwo = headerBytes({ capacity: CAPACITY, version: 2 });
const versionThree = headerBytes({ capacity: CAPACITY, version: 3 });
const noLosses = { losses: [], offset: 0 };
const slotAt = (lsn: number) => RING_AT + 64 * ((lsn - 1) % CAPACITY);
const loss = (first: number, last: number) => ({ first, last, offset: slotAt(first) });
const damaged = (...losses: ReturnType<typeof loss>[]) => ({ refused: "damaged", losses, offset: losses[0]!.offset });
/** The set of a log that is no shard, spare bytes, padding, and unnamed bits of `state`. */
const strange = (header: ReferenceHeader): Uint8Array => {
  const copy = headerBytes({ capacity: CAPACITY, ...header });
  copy.fill(0xff, 176, 188).fill(0xff, 190, 192).fill(0xff, 1216, 4092).fill(0xff, 108, 112);
  copy.fill(0xff, 193, 256); // a free entry
  copy[84]! |= 0xf0;
  copy[87] = 0xff;
  new DataView(copy.buffer).setUint32(4092, slowCrc(copy.subarray(0, 4092)), true);
  return copy;
};

const entry = (name: string, lsn: number, state = 1): number[] => {
  const bytes = new TextEncoder().encode(name);
  return [state, bytes.length, 0, 0, 0, 0, 0, 0, lsn, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, ...bytes];
};
/** A header copy with bytes at 192. */
const withTable = (header: ReferenceHeader, ...table: number[][]): Uint8Array => {
  const copy = headerBytes({ capacity: CAPACITY, ...header });
  table.forEach((bytes, index) => copy.set(bytes, 192 + 64 * index));
  new DataView(copy.buffer).setUint32(4092, slowCrc(copy.subarray(0, 4092)), true);
  return copy;
};
const consumer = (name: string, lsn: number, lost = false) => ({ name, lost, lsn, maxLagRecords: 9, keepRecords: 4 });
const bad = (...table: number[][]): Made => ({
  copies: [withTable({ tail: 2, durable: 4 }, ...table), damagedCopy],
  records: records(1, 5),
  expected: { refused: "damaged", ...noLosses },
});

/** The header of a shard. */
const inSet = (shards: number, shard: number): Uint8Array => {
  const copy = headerBytes({ capacity: CAPACITY, tail: 2 });
  const view = new DataView(copy.buffer);
  copy.fill(7, 176, 188);
  view.setUint16(188, shards, true);
  view.setUint16(190, shard, true);
  view.setUint32(4092, slowCrc(copy.subarray(0, 4092)), true);
  return copy;
};

const MADE: Readonly<Record<string, Made>> = {
  "of two copies with one write counter, copy A is the header": {
    copies: [{ writeCounter: 7, tail: 2 }, { writeCounter: 7, tail: 3 }],
    records: records(1, 5),
    expected: { tail: 2, head: 6, headerDamaged: false },
  },
  "of two copies, the one with the higher write counter is the header": {
    copies: [{ writeCounter: 7, tail: 2 }, { writeCounter: 8, tail: 3 }],
    records: records(1, 5),
    expected: { tail: 3, head: 6, headerDamaged: false },
  },
  "a shard that its set has not makes a header damaged": {
    copies: [inSet(3, 3), damagedCopy],
    records: records(1, 5),
    expected: { refused: "damaged", ...noLosses },
  },
  "the last shard of a set is a log like any other": {
    copies: [inSet(3, 2), damagedCopy],
    records: records(1, 5),
    expected: { tail: 2, head: 6, clean: false },
  },
  "spare bytes, padding and unknown bits of the state are ignored": {
    copies: [strange({ tail: 2 }), { writeCounter: 0 }],
    records: records(1, 5),
    expected: { tail: 2, head: 6, clean: false, headerDamaged: false },
  },
  "consumers are registered in any entries, the unnamed one among them": {
    copies: [withTable({ tail: 2, durable: 4 }, entry("b", 1), [0], entry("", 4), entry("ž", 0, 2)), damagedCopy],
    records: records(1, 5),
    expected: { tail: 2, head: 6, consumers: [consumer("b", 1), consumer("", 4), consumer("ž", 0, true)] },
  },
  "a checkpoint that is newer than the header raises each consumer that holds records": {
    copies: [withTable({ durable: 4, checkpoint: 2 }, entry("b", 1), entry("", 4), entry("c", 0, 2)), damagedCopy],
    records: [...records(1, 4), { lsn: 5, opType: 4, valueLow: 3n }],
    expected: { head: 6, consumers: [consumer("b", 3), consumer("", 4), consumer("c", 0, true)] },
  },
  "a checkpoint that the header knows raises no consumer": {
    copies: [withTable({ durable: 4, checkpoint: 3 }, entry("b", 1)), damagedCopy],
    records: [...records(1, 4), { lsn: 5, opType: 4, valueLow: 3n }],
    expected: { head: 6, consumers: [consumer("b", 1)] },
  },
  "a consumer of a state that is not known makes a copy invalid": bad(entry("b", 4, 3)),
  "a consumer whose name is not UTF-8 makes a copy invalid": bad([...entry("b", 4).slice(0, 24), 0xc3]),
  "a consumer whose name is longer than it says makes a copy invalid": bad([...entry("b", 4), 1]),
  "a consumer whose name is too long makes a copy invalid": bad(entry("b", 4).with(1, 41)),
  "two consumers of one name make a copy invalid": bad(entry("b", 4), entry("a", 4), entry("b", 4, 2)),
  "a consumer that is ahead of what is durable makes a copy invalid": bad(entry("b", 5)),
  "a consumer that holds released records makes a copy invalid": bad(entry("b", 0)),
  "unknown bits of the state beside the clean one are ignored": {
    copies: [strange({ tail: 2, cleanHead: 6, state: 3 }), { writeCounter: 0 }],
    records: records(1, 5),
    expected: { tail: 2, head: 6, clean: true },
  },
  "a header with the clean bit and a clean head of 0 is that of an open log": {
    copies: [{ tail: 2, cleanHead: 0, state: 1 }, damagedCopy],
    records: records(1, 5),
    expected: { tail: 2, head: 6, clean: false, headerDamaged: true },
  },
  "a clean head says nothing without the clean bit, whatever it is": {
    copies: [{ cleanHead: 2 ** 53 - 1, state: 2 }, damagedCopy],
    records: records(1, 5),
    expected: { tail: 1, head: 6, clean: false },
  },
  "a whole copy of another version beside a damaged one is another version": {
    copies: [damagedCopy, versionTwo],
    records: records(1, 5),
    expected: { refused: "another version", ...noLosses },
  },
  "a whole copy of another version beside one without magic is another version": {
    copies: [versionTwo, new Uint8Array(4096)],
    records: records(1, 5),
    expected: { refused: "another version", ...noLosses },
  },
  "two copies of other versions are another version, whatever their checksums": {
    copies: [versionTwo.with(3000, 1), versionThree.with(3000, 1)],
    records: records(1, 5),
    expected: { refused: "another version", ...noLosses },
  },
  "a damaged copy of another version beside a damaged one is damage": {
    copies: [damagedCopy, versionTwo.with(3000, 1)],
    records: records(1, 5),
    expected: { refused: "damaged", ...noLosses },
  },
  "a damaged copy beside one without magic is damage": {
    copies: [new Uint8Array(4096), damagedCopy],
    records: records(1, 5),
    expected: { refused: "damaged", ...noLosses },
  },
  "a valid copy beside one of another version is the header": {
    copies: [versionTwo, { tail: 2 }],
    records: records(1, 5),
    expected: { tail: 2, head: 6, headerDamaged: true },
  },
  "two copies without magic are no log": {
    copies: [new Uint8Array(4096), new Uint8Array(4096).fill(0xff)],
    records: records(1, 5),
    expected: { refused: "not a log", ...noLosses },
  },
  "a loss over the end of the ring is one loss, at the place of its first record": {
    copies: [{ tail: 5, durable: 12 }, damagedCopy],
    records: [...records(5, 6), ...records(12, 12)],
    expected: damaged(loss(7, 11)),
  },
  "a loss over the end of the ring of a closed log is one loss": {
    copies: [{ tail: 5, durable: 12, cleanHead: 13 }, damagedCopy],
    records: [...records(5, 6), ...records(12, 12)],
    expected: damaged(loss(7, 11)),
  },
  "what is overwritten is a loss of its own, also where the next one follows": {
    copies: [{ tail: 1, durable: 2 }, damagedCopy],
    records: [...records(4, 8), { lsn: 10 }],
    expected: damaged(loss(1, 2), loss(3, 3), loss(9, 9)),
  },
  "a batch without its end, proved, is a loss of the record that is missing": {
    copies: [{ durable: 4 }, damagedCopy],
    records: [...records(1, 2), ...records(3, 5, { flags: 1 })],
    expected: damaged(loss(6, 6)),
  },
  "a batch without its end at the end of a full log is a loss of the record after the ring": {
    copies: [{ durable: 8, cleanHead: 9 }, damagedCopy],
    records: [...records(1, 7), { lsn: 8, flags: 1 }],
    expected: damaged(loss(9, 9)),
  },
  "a batch without its end, not proved, is dropped; its time and its checkpoints are kept": {
    copies: [{ durable: 2, checkpoint: 1, timeNanos: 4n }, damagedCopy],
    records: [...records(1, 2), { lsn: 3, opType: 4, flags: 1, valueLow: 9n, distance: 1 }, {
      lsn: 4,
      flags: 1,
      distance: 2,
      nanos: 50n,
      seq: 6,
    }],
    expected: { tail: 1, head: 3, phantoms: 2, torn: 0, checkpoint: 2, timeNanos: "50", timeSeq: 6 },
  },
  "a record of another version at the end is refused before damage is": {
    copies: [{ durable: 6 }, damagedCopy],
    records: [...records(1, 2), { lsn: 3, opType: 9 }, ...records(5, 6)],
    expected: { refused: "another version", losses: [], offset: slotAt(3) },
  },
  "records with each opcode are known, but for those between the log's own and the application's": {
    copies: [{ durable: 0 }, damagedCopy],
    records: [1, 2, 3, 5, 32, 63, 6].map((opType, i) => ({ lsn: i + 1, opType })),
    expected: { refused: "another version", losses: [], offset: slotAt(7) },
  },
  "replaces and records of the application are no checkpoints, whatever their values": {
    copies: [{ durable: 0 }, damagedCopy],
    records: [5, 36, 44, 60, 4].map((opType, i) => ({ lsn: i + 1, opType, valueLow: opType === 4 ? 1n : 3n })),
    expected: { tail: 1, head: 6, checkpoint: 1 },
  },
  "a flag of another version makes a record of another version": {
    copies: [{ durable: 6 }, damagedCopy],
    records: [...records(1, 2), { lsn: 3, flags: 128 }],
    expected: { refused: "another version", losses: [], offset: slotAt(3) },
  },
  "a record of another version after the end is a phantom, and what it remembers counts": {
    copies: [{ durable: 2 }, damagedCopy],
    records: [...records(1, 2), { lsn: 5, version: 3, distance: 1 }],
    expected: damaged(loss(3, 4)),
  },
  "a record of another version after the end that remembers nothing more is a phantom": {
    copies: [{ durable: 2 }, damagedCopy],
    records: [...records(1, 2), { lsn: 5, version: 0, opType: 0, flags: 255, distance: 3 }],
    expected: { tail: 1, head: 3, phantoms: 1, torn: 0 },
  },
  "a record of another version from a later lap tells of an old header": {
    copies: [{ durable: 2 }, damagedCopy],
    records: [...records(2, 8), { lsn: 9, opType: 31, distance: 9 }],
    // The walk from LSN 2 ends at the record of another version.
    expected: { refused: "another version", losses: [], offset: slotAt(9) },
  },
  "in a closed log the first record that is missing decides: another version": {
    copies: [{ durable: 6, cleanHead: 7 }, damagedCopy],
    records: [...records(1, 2), { lsn: 3, version: 2 }, ...records(5, 6)],
    expected: { refused: "another version", losses: [], offset: slotAt(3) },
  },
  "in a closed log the first record that is missing decides: damage, with all losses": {
    copies: [{ durable: 6, cleanHead: 7 }, damagedCopy],
    records: [{ lsn: 1 }, { lsn: 3, version: 2 }, { lsn: 4, opType: 6 }, { lsn: 6, flags: 1 }],
    expected: damaged(loss(2, 5)),
  },
  "a misplaced record and one with an impossible LSN are torn": {
    copies: [{ durable: 2 }, damagedCopy],
    records: records(1, 2),
    patches: [
      [slotAt(4), [...recordBytes({ lsn: 5 })]],
      [slotAt(6), [...recordBytes({ lsn: 2 ** 60 + 6 })]],
      [slotAt(7) + 8, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
      [slotAt(8), [...recordBytes({ lsn: 2 })]],
    ],
    expected: { tail: 1, head: 3, torn: 3, phantoms: 0 },
  },
  "a checkpoint of a closed log is the header's, and at most the last record": {
    copies: [{ tail: 2, durable: 5, checkpoint: 9, cleanHead: 6 }, damagedCopy],
    records: records(1, 5),
    expected: { clean: true, checkpoint: 5 },
  },
  "checkpoint and time of a closed log are the header's, whatever its records say": {
    copies: [{ tail: 2, durable: 5, checkpoint: 3, cleanHead: 6, timeNanos: 2n }, damagedCopy],
    records: [...records(1, 4), { lsn: 5, opType: 4, valueLow: 4n, nanos: 77n }],
    expected: { clean: true, checkpoint: 3, timeNanos: "2", timeSeq: 0 },
  },
};

for (const [name, { copies, records, patches = [], expected }] of Object.entries(MADE)) {
  test(`docs/format.md makes library and reader agree: ${name}`, () => {
    const [a, b] = copies.map((copy) =>
      copy instanceof Uint8Array ? copy : headerBytes({ capacity: CAPACITY, ...copy })
    );
    const file = fileBytes([a!, b!], records, CAPACITY) as Bytes;
    for (const [offset, bytes] of patches) file.set(bytes, offset);
    const answer = answerOf(compare(file, name));
    assertEquals(Object.fromEntries(Object.keys(expected).map((key) => [key, answer[key]])), { ...expected });
  });
}
