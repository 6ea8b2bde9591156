// Fault: on its way to another machine a run is cut, lengthened, changed, joined with another one
//   or mixed up with it, or it is another log's (H55).
// Promise: it is refused with a typed error that says what is wrong and where, or it is decoded to
//   the very records that were encoded: in order, in whole batches, none of another log (G2, G3).
// Method: every flipped bit, every length and each kind of damage for small runs. Very many
//   random splices of runs of one log, of its copy and of another one. The reader that was written
//   from docs/format.md says the same of each.

import { assert, assertEquals, assertThrows } from "@std/assert";
import process from "node:process";
import { RUN_HEADER_BYTES } from "../../src/format/layout.ts";
import { logIdBytes } from "../../src/format/lineage.ts";
import { decodeRun, WALRunError, type WALRunFault } from "../../src/runs.ts";
import type { WAL } from "../../mod.ts";
import { Random } from "../../testing.ts";
import { type ReadRecord, readRun } from "../support/format_reader.ts";
import { fill, items, lsns, openInMemory, range } from "../support/logs.ts";
import { recordBytes, type ReferenceRecord, slowCrc } from "../support/reference.ts";
import { test } from "../support/test.ts";

const LOG_ID = "000102030405060708090a0b0c0d0e0f";
const OTHER_ID = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

/** A log of batches of one to four records. */
function batchedLog(records: number): WAL {
  const wal = openInMemory({ shard: 9 });
  for (let count = 1; wal.head <= records; count = count % 4 + 1) {
    wal.batchInsertSync(items(wal.head, Math.min(count, records + 1 - wal.head)));
  }
  wal.flush();
  return wal;
}

/** Decodes; null if it is refused. Any other error is a failure. */
function tryDecode(bytes: Uint8Array, logId: string): ReturnType<typeof decodeRun> | WALRunError {
  try {
    return decodeRun(bytes, { logId });
  } catch (error) {
    if (!(error instanceof WALRunError)) throw error;
    return error;
  }
}

/** The run must be refused, by both readers and for one reason. */
function assertRefused(bytes: Uint8Array, logId: string, what: string): WALRunError {
  const found = tryDecode(bytes, logId);
  assert(found instanceof WALRunError, `${what} is decoded`);
  assertEquals(
    [found.fault, found.code, found.name],
    [readRun(bytes, logId) as WALRunFault, "RUN", "WALRunError"],
    what,
  );
  return found;
}

test("decodeRun() refuses a run with any flipped bit, and says where", () => {
  for (const count of [1, 2, 3, 7]) {
    using wal = batchedLog(count);
    const { bytes, logId } = wal.encodeRun();
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const damaged = bytes.slice();
        damaged[at]! ^= 1 << bit;
        const error = assertRefused(damaged, logId, `bit ${bit} of byte ${at} of ${count} records`);
        const record = Math.floor((at - RUN_HEADER_BYTES) / 64);
        const expected = at < 8
          ? ["magic", at, 0, null]
          : at < RUN_HEADER_BYTES
          ? ["header", 60, 0, null]
          : ["record", RUN_HEADER_BYTES + 64 * record, 1 + record, logId];
        assertEquals([error.fault, error.offset, error.lsn, error.logId], expected);
      }
    }
  }
});

test("decodeRun() refuses a run of any other length", () => {
  using wal = batchedLog(4);
  const { bytes, logId } = wal.encodeRun();
  for (let length = 0; length < bytes.length; length++) {
    const { fault, offset } = assertRefused(bytes.slice(0, length), logId, `${length} bytes`);
    assertEquals([fault, offset], ["short", length]);
  }
  for (const more of [1, 2, 63, 64, 65, 128, 1000]) {
    for (const byte of [0, 0xff]) {
      const long = new Uint8Array(bytes.length + more).fill(byte);
      long.set(bytes);
      const { fault, offset } = assertRefused(long, logId, `${more} bytes more`);
      assertEquals([fault, offset], ["long", bytes.length]);
    }
  }
  const twice = new Uint8Array(2 * bytes.length);
  twice.set(bytes);
  twice.set(bytes, bytes.length);
  assertEquals(assertRefused(twice, logId, "two runs").fault, "long");
});

/** A run put together by hand. */
function makeRun(
  records: readonly ReferenceRecord[],
  header: Partial<Record<string, number | bigint>> = {},
  id = LOG_ID,
) {
  const bytes = new Uint8Array(64 + 64 * records.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x89, 0x43, 0x49, 0x44, 0x52, 0x55, 0x4e, 0x0a]);
  view.setUint32(8, Number(header["version"] ?? 1), true);
  view.setUint32(12, Number(header["recordBytes"] ?? 64), true);
  bytes.set(logIdBytes(id), 16);
  view.setBigUint64(32, BigInt(header["firstLsn"] ?? records[0]?.lsn ?? 1), true);
  view.setUint32(40, Number(header["count"] ?? records.length), true);
  if (header["reserved"] !== undefined) bytes.fill(Number(header["reserved"]), 44, 60);
  view.setUint32(60, slowCrc(bytes.subarray(0, 60)), true);
  records.forEach((record, i) => bytes.set(recordBytes(record, logIdBytes(id)), 64 + 64 * i));
  return bytes;
}

const GOOD = [5, 6, 7, 8].map((lsn) => ({ lsn, flags: lsn === 6 ? 1 : 0 }));
const changed = (lsn: number, fields: Partial<ReferenceRecord>) =>
  GOOD.map((record) => record.lsn === lsn ? { ...record, ...fields } : record);

const FAULTS: readonly [
  what: string,
  bytes: Uint8Array,
  fault: WALRunFault,
  lsn: number,
  offset: number,
  says: string,
][] = [
  ["of a later version", makeRun(GOOD, { version: 2 }), "version", 0, 8, "a later version wrote it"],
  ["with longer records", makeRun(GOOD, { recordBytes: 128 }), "header", 0, 12, "its header is damaged"],
  ["that begins with LSN 0", makeRun(GOOD, { firstLsn: 0 }), "header", 0, 32, "its header is damaged"],
  ["of no records", makeRun([]), "header", 0, 40, "its header is damaged"],
  ["past the last LSN", makeRun(GOOD, { firstLsn: 2 ** 53 - 4 + 1 }), "header", 0, 32, "its header is damaged"],
  ["past 2^64", makeRun(GOOD, { firstLsn: 2n ** 64n - 1n }), "header", 0, 32, "its header is damaged"],
  ["that lacks a record", makeRun(GOOD, { count: 5 }), "short", 0, 320, "320 bytes, and 5 records need 384"],
  ["of 2^32 - 1 records", makeRun(GOOD, { count: 2 ** 32 - 1 }), "short", 0, 320, "need 274877906944"],
  ["with a record too many", makeRun(GOOD, { count: 3 }), "long", 0, 256, "320 bytes, and 3 records need 256"],
  ["of another log", makeRun(GOOD, {}, OTHER_ID), "log", 0, 16, `it is of log ${OTHER_ID}, not of log ${LOG_ID}`],
  ["with a gap", makeRun(changed(7, { lsn: 9 })), "gap", 7, 192, "LSN 7 is missing: at byte 192 there is LSN 9"],
  ["with a record twice", makeRun(changed(7, { lsn: 6 })), "gap", 7, 192, "LSN 7 is missing"],
  ["that begins later", makeRun(GOOD, { firstLsn: 6 }), "gap", 6, 64, "LSN 6 is missing: at byte 64 there is LSN 5"],
  ["with an opcode of 0", makeRun(changed(8, { opType: 0 })), "version", 8, 256, "a later version wrote LSN 8"],
  ["with an opcode of 31", makeRun(changed(6, { opType: 31 })), "version", 6, 128, "a later version wrote LSN 6"],
  ["with a record of version 2", makeRun(changed(5, { version: 2 })), "version", 5, 64, "a later version wrote LSN 5"],
  ["with an unknown flag", makeRun(changed(5, { flags: 2 })), "version", 5, 64, "a later version wrote LSN 5"],
  [
    "whose last batch goes on",
    makeRun(changed(8, { flags: 1 })),
    "batch",
    8,
    256,
    "begins at byte 256 is not complete",
  ],
  [
    "of one batch that goes on",
    makeRun(GOOD.map((record) => ({ ...record, flags: 1 }))),
    "batch",
    5,
    64,
    "begins at byte 64 is not complete",
  ],
];

for (const [what, bytes, fault, lsn, offset, says] of FAULTS) {
  test(`decodeRun() refuses a run ${what}: ${fault}`, () => {
    const error = assertRefused(bytes, LOG_ID, what);
    assertEquals([error.fault, error.lsn, error.offset], [fault, lsn, offset]);
    assert(error.message.startsWith("Cannot decode the run: ") && error.message.includes(says), error.message);
  });
}

test("decodeRun() refuses a record of another log in a run that is right else, and takes reserved bytes for nothing", () => {
  assertEquals(lsns(decodeRun(makeRun(GOOD), { logId: LOG_ID }).records), [5, 6, 7, 8]);
  assertEquals(lsns(decodeRun(makeRun(GOOD, { reserved: 7 }), { logId: LOG_ID }).records), [5, 6, 7, 8]);
  const mixed = makeRun(GOOD);
  mixed.set(recordBytes(GOOD[2]!, logIdBytes(OTHER_ID)), 64 + 2 * 64);
  assertEquals(assertRefused(mixed, LOG_ID, "a foreign record").fault, "record");
  const zeros = makeRun(GOOD);
  zeros.fill(0, 64);
  assertEquals(assertRefused(zeros, LOG_ID, "zeros").fault, "record");
});

test("decodeRun() finds the first of several faults, record by record, also after the first 1024", () => {
  const records = range(1, 2500).map((lsn) => ({ lsn }));
  for (const [first, second] of [[1, 2], [1024, 1025], [1025, 2], [2049, 2500], [2500, 2500]] as const) {
    const bytes = makeRun(records);
    for (const lsn of new Set([first, second])) bytes[64 * lsn + 40]! ^= 4;
    const { lsn, fault, offset } = tryDecode(bytes, LOG_ID) as WALRunError;
    assertEquals([lsn, fault, offset], [Math.min(first, second), "record", 64 * Math.min(first, second)]);
  }
});

test("decodeRun() takes bytes that lie anywhere, and keeps nothing of them", () => {
  using wal = batchedLog(5);
  const { bytes, logId } = wal.encodeRun();
  const records = wal.replay();
  for (let at = 0; at < 9; at++) {
    const wider = new Uint8Array(bytes.length + 20).fill(7);
    wider.set(bytes, at);
    const found = decodeRun(wider.subarray(at, at + bytes.length), { logId });
    wider.fill(0);
    assertEquals(found.records, records);
  }
});

/** How many splices are tried; `SPLICES` in the environment asks for more. */
const SPLICES = Number(process.env["SPLICES"] ?? 200_000);

test("decodeRun() decodes no splice of runs, unless it is a run that was encoded", () => {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0; // stacks would take most of the time
  try {
    using wal = batchedLog(24);
    using other = batchedLog(24);
    const ends = [0, 1, 3, 6, 10, 11, 13, 16, 20, 21, 23, 24];
    const runs: Uint8Array[] = [];
    for (const log of [wal, other]) {
      for (let i = 0; i < 6; i++) {
        for (const j of [i + 1, i + 3]) runs.push(log.encodeRun({ from: ends[i]! + 1, to: ends[j]! }).bytes);
      }
    }
    const encoded = new Set(runs.map((run) => run.join()));
    const { logId } = wal;
    const random = new Random(55);
    const tally: Record<string, number> = {};
    for (let n = 0; n < SPLICES; n++) {
      const bytes = splice(random, runs);
      const found = tryDecode(bytes, logId);
      const outcome = found instanceof WALRunError ? found.fault : "decoded";
      tally[outcome] = (tally[outcome] ?? 0) + 1;
      if (found instanceof WALRunError) continue;
      if (!encoded.has(bytes.join())) throw new Error(`Splice ${n} is decoded: ${bytes.join()}`);
    }
    for (const outcome of ["decoded", "short", "long", "magic", "header", "log", "record", "gap"]) {
      assert((tally[outcome] ?? 0) > 50, `${outcome}: ${JSON.stringify(tally)}`);
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
});

/** Puts together what two runs, or noise, have at random places; most often in whole records. */
function splice(random: Random, runs: readonly Uint8Array[]): Uint8Array {
  const one = random.pick(runs);
  const other = random.pick(runs);
  const unit = random.pick([64, 64, 64, 4, 1]);
  const at = random.below(one.length / unit + 1) * unit;
  const from = random.below(other.length / unit + 1) * unit;
  const length = Math.min(random.below(4 * 64 / unit) * unit, other.length - from);
  switch (random.below(5)) {
    case 0: { // a part is overwritten with a part of the other, in the same place or in another one
      const bytes = one.slice();
      const target = random.chance(0.5) ? from : at;
      bytes.set(
        other.subarray(from, from + Math.min(length, Math.max(0, bytes.length - target))),
        Math.min(target, bytes.length),
      );
      return bytes;
    }
    case 1: // a part of the other is put in
      return joined(one.subarray(0, at), other.subarray(from, from + length), one.subarray(at));
    case 2: // a part is left out
      return joined(one.subarray(0, at), one.subarray(Math.min(one.length, at + length)));
    case 3: // the head of one, the tail of the other
      return joined(one.subarray(0, at), other.subarray(random.chance(0.5) ? Math.min(at, other.length) : from));
    default: { // noise
      const bytes = one.slice();
      for (let i = random.below(4); i >= 0; i--) bytes[random.below(bytes.length)] = random.below(256);
      return bytes;
    }
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

test("readRun() of docs/format.md and decodeRun() say the same of random splices", () => {
  using wal = batchedLog(24);
  fill(wal, 2);
  wal.flush();
  const runs = [
    wal.encodeRun({ to: 3 }).bytes,
    wal.encodeRun({ from: 4, to: 10 }).bytes,
    wal.encodeRun({ from: 7 }).bytes,
  ];
  const { logId } = wal;
  const random = new Random(58);
  for (let n = 0; n < 4000; n++) {
    const bytes = splice(random, runs);
    const found = tryDecode(bytes, logId);
    const read = readRun(bytes, logId);
    if (found instanceof WALRunError) assertEquals(read, found.fault, bytes.join());
    else assertEquals(lsns(found.records), (read as ReadRecord[]).map(({ lsn }) => lsn));
  }
});

test("decodeRun() refuses noise of any length", () => {
  const random = new Random(59);
  for (let n = 0; n < 20_000; n++) {
    const bytes = random.fill(new Uint8Array(random.below(300)));
    if (random.chance(0.5)) bytes.set(makeRun(GOOD).subarray(0, Math.min(64, bytes.length)));
    assertThrows(() => decodeRun(bytes, { logId: LOG_ID }), WALRunError);
  }
});
