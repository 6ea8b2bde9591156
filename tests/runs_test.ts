// Runs as bytes: what encodeRun() makes of a log or of what a store was given, and what decodeRun()
// makes of that. tests/faults/runs_test.ts damages runs.

import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { readFileSync } from "node:fs";
import { posix } from "node:path";
import {
  type AppliedRun,
  type BatchStore,
  consume,
  OpType,
  WAL,
  WALClosedError,
  WALCorruptError,
  type WALRecord,
  WALStoreError,
  WALTruncatedError,
} from "../mod.ts";
import { RUN_HEADER_BYTES } from "../src/format/layout.ts";
import { logIdBytes } from "../src/format/lineage.ts";
import { decodeRun, encodeRun, WALRunError } from "../src/runs.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { SimulatedDisk } from "../testing.ts";
import { PROJECT_URL, projectUrl, runSnippet } from "./support/child.ts";
import { readRun } from "./support/format_reader.ts";
import { CAPACITY, fill, items, lsns, openInMemory, openOn, PATH, range } from "./support/logs.ts";
import { recordBytes } from "./support/reference.ts";
import { test } from "./support/test.ts";

/** The records of a range, whole batches or not. */
function read(wal: WAL, from: number, to: number): WALRecord[] {
  return [...wal.records({ from, to })];
}

/** The LSNs after which a batch of the log ends. */
function batchEnds(wal: WAL): number[] {
  const ends: number[] = [];
  for (const cursor = wal.cursor(); cursor.next();) if (!cursor.batchGoesOn) ends.push(cursor.lsn);
  return ends;
}

// A range of a log.

test("WAL.encodeRun() copies records as they lie in the file, after a header", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk, { shard: 7 });
  wal.batchInsertSync(items(1, 3));
  wal.logDeleteSync(5, 6);
  wal.flush();
  const { bytes, ...run } = wal.encodeRun();
  assertEquals(run, { logId: wal.logId, firstLsn: 1, lastLsn: 4 });
  assertEquals([...bytes.subarray(RUN_HEADER_BYTES)], [...disk.image(PATH).subarray(16384, 16384 + 4 * 64)]);
  const view = new DataView(bytes.buffer);
  assertEquals([...bytes.subarray(0, 8)], [0x89, ...new TextEncoder().encode("CIDRUN\n")]);
  assertEquals([view.getUint32(8, true), view.getUint32(12, true)], [1, 64]);
  assertEquals([...bytes.subarray(16, 32)], [...logIdBytes(wal.logId)]);
  assertEquals([view.getBigUint64(32, true), view.getUint32(40, true)], [1n, 4]);
  assertEquals(bytes.subarray(44, 60).every((byte) => byte === 0), true);
});

test("WAL.encodeRun() takes durable records only, and whole batches", () => {
  using wal = openInMemory();
  fill(wal, 2);
  wal.batchInsertSync(items(3, 4));
  wal.flush();
  fill(wal, 1);
  const ends = (asked: object) => {
    const { firstLsn, lastLsn, bytes } = wal.encodeRun(asked);
    assertEquals(lsns(decodeRun(bytes, wal).records), range(firstLsn, lastLsn));
    return [firstLsn, lastLsn];
  };
  assertEquals([{}, { from: 2 }, { to: 1 }, { to: 4 }, { from: 3, to: 6 }, { from: 2, to: 99 }].map(ends), [
    [1, 6],
    [2, 6],
    [1, 1],
    [1, 2],
    [3, 6],
    [2, 6],
  ]);
  for (
    const [asked, says] of [
      [{ from: 4 }, "LSN 4: it lies inside a batch"],
      [{ from: 6, to: 6 }, "LSN 6: it lies inside a batch"],
      [{ from: 3, to: 5 }, "LSN 3: its batch goes on after the end of the range, LSN 5"],
      [{ from: 7 }, "LSN 7: there is no durable record from there to the end of the range, LSN 6"],
      [{ from: 5, to: 2 }, "LSN 5: there is no durable record"],
      [{ from: 900 }, "LSN 900: there is no durable record"],
      [{ since: 0n, until: 0n }, "LSN 1: there is no durable record"],
    ] as const
  ) assertThrows(() => wal.encodeRun(asked), RangeError, says);
});

test("WAL.encodeRun() of a log without records, one that has released them, a closed one, a damaged one", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  assertThrows(() => wal.encodeRun(), RangeError, "there is no durable record");
  fill(wal, 9);
  wal.flush();
  disk.damage.flipBit(PATH, 16384 + 6 * 64 + 50, 2);
  assertEquals(assertThrows(() => wal.encodeRun(), WALCorruptError).firstLsn, 7);
  assertEquals(wal.encodeRun({ to: 6 }).lastLsn, 6);
  wal.truncate(3);
  assertEquals(assertThrows(() => wal.encodeRun({ from: 3 }), WALTruncatedError).tail, 4);
  assertEquals(wal.encodeRun({ to: 6 }).firstLsn, 4);
  wal.close();
  assertThrows(() => wal.encodeRun(), WALClosedError);
});

test("WAL.encodeRun() of a full ring, over its end", () => {
  using wal = openInMemory();
  fill(wal, 600);
  wal.flush();
  wal.truncate(600);
  fill(wal, CAPACITY);
  wal.flush();
  const { bytes, firstLsn, lastLsn } = wal.encodeRun();
  assertEquals([firstLsn, lastLsn], [601, 600 + CAPACITY]);
  assertEquals(decodeRun(bytes, wal).records, wal.replay());
});

/** A log in random batches that begins anywhere in its ring, and how its ranges are asked for. */
const histories = fc.record({
  before: fc.nat(900),
  batches: fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 6 })), { minLength: 1, maxLength: 25 }),
  ranges: fc.array(fc.tuple(fc.nat(100), fc.nat(120)), { minLength: 1, maxLength: 12 }),
});

/** Appends to a log, so that LSNs, shards, opcodes and checkpoints vary. */
function live(wal: WAL, before: number, batches: readonly (readonly [kind: number, count: number])[]): void {
  for (let left = before; left > 0; left -= 100) {
    wal.batchInsertSync(items(1, Math.min(left, 100)));
    wal.flush();
    wal.truncate(wal.head - 1);
  }
  for (const [kind, count] of batches) {
    const { head } = wal;
    if (kind === 0) wal.checkpoint();
    else if (kind === 1) wal.batchDeleteSync(Array.from({ length: count }, (_, i) => [head, i] as const));
    else if (kind === 2) wal.logDeleteValueSync(2n ** 64n - 1n, head, 3, 2n ** 63n);
    else wal.batchInsertSync(items(head, count));
  }
  wal.flush();
}

test("decodeRun() of WAL.encodeRun() is what records() gives, in whole batches, as the reader of docs/format.md finds it", () => {
  fc.assert(
    fc.property(histories, ({ before, batches, ranges }) => {
      using wal = openInMemory({ shard: 5 });
      live(wal, before, batches);
      const ends = batchEnds(wal);
      const { tail, logId } = wal;
      for (const [start, length] of ranges) {
        const [from, to] = [tail + start, tail + start + length];
        const isStart = from === tail || ends.includes(from - 1);
        const last = ends.findLast((lsn) => lsn <= to) ?? 0;
        if (!isStart || last < from) {
          assertThrows(() => wal.encodeRun({ from, to }), RangeError);
          continue;
        }
        const encoded = wal.encodeRun({ from, to });
        const decoded = decodeRun(encoded.bytes, { logId });
        assertEquals(decoded, { logId, firstLsn: from, lastLsn: last, records: read(wal, from, last) });
        const found = readRun(encoded.bytes, logId);
        assert(typeof found !== "string", String(found));
        assertEquals(
          found.map((r) => [r.lsn, r.opcode, r.timeNanos, r.timeSeq, r.keyHigh, r.keyLow, r.valueHigh, r.valueLow]),
          decoded.records.map((r) => [
            r.lsn,
            r.opType,
            r.time[0],
            r.time[1],
            r.keyHigh,
            r.keyLow,
            r.valueHigh,
            r.valueLow,
          ]),
        );
      }
    }),
    { numRuns: 60 },
  );
});

/** A log that has forked: its file was put back, and a store showed it. */
async function forkedLog(disk: SimulatedDisk): Promise<{ wal: WAL; before: string }> {
  const wal = openOn(disk);
  fill(wal, 5);
  wal.close();
  const old = disk.image(PATH);
  const { logId } = wal;
  disk.outsider.writeFile(PATH, old);
  const again = openOn(disk);
  const store = { applyBatch() {}, appliedLsn: () => 9, appliedLog: () => logId };
  await assertRejects(() => again.consumeAsync(store), WALStoreError);
  assertNotEquals(again.logId, logId);
  return { wal: again, before: logId };
}

test("WAL.encodeRun() of a log that has forked is of the log's new id", async () => {
  const disk = new SimulatedDisk();
  const { wal, before } = await forkedLog(disk);
  fill(wal, 3);
  wal.flush();
  const { bytes, logId } = wal.encodeRun();
  assertEquals(logId, wal.logId);
  assertEquals(decodeRun(bytes, { logId }).records, wal.replay());
  assertEquals(lsns(readRun(bytes, logId) as unknown as WALRecord[]), range(1, 8));
  assertEquals(assertThrows(() => decodeRun(bytes, { logId: before }), WALRunError).fault, "log");
  // What is damaged does not become right by its new checksum.
  disk.damage.flipBit(PATH, 16384 + 6 * 64 + 50, 2);
  assertThrows(() => wal.encodeRun(), WALCorruptError);
  wal.close();
});

test("WAL.encodeRun() of a backup is of the backup's id", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 5);
  wal.flush();
  wal.backup("/sim/copy");
  using copy = WAL.open("/sim/copy", { storage: disk.storage, idleHeaderDelayMs: Infinity });
  assertEquals(decodeRun(copy.encodeRun().bytes, copy).records, wal.replay());
  assertThrows(() => decodeRun(copy.encodeRun().bytes, wal), WALRunError, `it is of log ${copy.logId}`);
});

// What a store was given.

test("encodeRun() puts a checkpoint that confirms nothing where an LSN has no record, and makes one batch", () => {
  const wal = openInMemory({ shard: 3 });
  fill(wal, 6);
  const records = wal.replay().filter(({ lsn }) => lsn === 2 || lsn === 5);
  const { logId } = wal;
  const { bytes, ...run } = encodeRun(records, { logId, firstLsn: 1, lastLsn: 6 });
  assertEquals(run, { logId, firstLsn: 1, lastLsn: 6 });
  const decoded = decodeRun(bytes, { logId }).records;
  assertEquals(decoded.filter(({ lsn }) => lsn === 2 || lsn === 5), records);
  const [second, fifth] = records.map(({ time }) => time);
  assertEquals(
    decoded.filter(({ opType }) => opType === OpType.Checkpoint).map((r) => [r.lsn, r.valueLow, r.time.slice(0, 2)]),
    [[1, second], [3, second], [4, second], [6, fifth]].map(([lsn, time]) =>
      [lsn, 0n, (time as WALRecord["time"]).slice(0, 2)] as [number, bigint, (number | bigint)[]]
    ),
  );
  const flags = range(0, 5).map((i) => bytes[RUN_HEADER_BYTES + 64 * i + 5]);
  assertEquals(flags, [1, 1, 1, 1, 1, 0]);
  wal.close();
});

test("encodeRun() writes records as the reference encoder does", () => {
  const logId = "000102030405060708090a0b0c0d0e0f";
  const most = 2n ** 64n - 1n;
  const fields = { lsn: 2 ** 40 + 3, opType: OpType.DeleteValue, version: 1, keyHigh: most, keyLow: 2n } as const;
  const record = { ...fields, time: [most, 2 ** 32 - 1, 65535], valueHigh: 2n ** 63n, valueLow: 0n } as const;
  const { bytes } = encodeRun([record], { logId, firstLsn: record.lsn, lastLsn: record.lsn });
  const { time: [nanos, seq, shard], ...others } = record;
  assertEquals([...bytes.subarray(64)], [...recordBytes({ ...others, nanos, seq, shard })]);
  assertEquals(decodeRun(bytes, { logId }).records[0]!.toObject(), record);
});

test("decodeRun() of encodeRun() gives back the records, from values and from plain objects", () => {
  fc.assert(
    fc.property(histories, ({ before, batches }) => {
      using wal = openInMemory({ shard: 5 });
      live(wal, before, batches);
      const records = wal.replay();
      const run = { logId: wal.logId, firstLsn: wal.tail, lastLsn: wal.head - 1 };
      if (records.length === 0) return;
      for (const given of [records, records.map((record) => record.toObject())]) {
        assertEquals(decodeRun(encodeRun(given, run).bytes, wal), { ...run, records });
      }
    }),
    { numRuns: 40 },
  );
});

test("encodeRun() reads each field of each record once, and writes what was checked", () => {
  const asked: string[] = [];
  const record = new Proxy(
    { lsn: 4, opType: 1, version: 1, time: [1n, 2, 3], keyHigh: 1n, keyLow: 2n, valueHigh: 3n, valueLow: 4n } as const,
    {
      get(target, name) {
        asked.push(String(name));
        return Reflect.get(target, name);
      },
    },
  );
  const logId = "ab".repeat(16);
  const { bytes } = encodeRun([record], { logId, firstLsn: 4, lastLsn: 4 });
  assertEquals(new Set(asked).size, asked.length);
  assertEquals(decodeRun(bytes, { logId }).records[0]!.keyLow, 2n);
});

// Stores on other machines.

/** A store that sends each run as bytes. */
class Sender implements BatchStore {
  readonly sent: Uint8Array[] = [];
  readonly #encode: (records: readonly WALRecord[], run: AppliedRun) => Uint8Array;
  last = 0;

  constructor(encode: (sender: Sender, records: readonly WALRecord[], run: AppliedRun) => Uint8Array) {
    this.#encode = (records, run) => encode(this, records, run);
  }

  applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    this.sent.push(this.#encode(records, run));
    this.last = run.lastLsn;
  }
}

const SENDERS: Readonly<Record<string, (wal: WAL) => Sender>> = {
  "encodeRun()": () =>
    new Sender((sender, records, run) => encodeRun(records, { ...run, firstLsn: sender.last + 1 }).bytes),
  // Checkpoints before a run may be released already, so they are left out.
  "WAL.encodeRun()": (wal) =>
    new Sender((_sender, _records, run) => wal.encodeRun({ from: run.firstLsn, to: run.lastLsn }).bytes),
};

for (const [how, makeSender] of Object.entries(SENDERS)) {
  test(`${how} in a store that ships makes runs of which a follower makes the same store`, async () => {
    await using wal = openInMemory();
    const sender = makeSender(wal);
    const model = new MemoryStore();
    const both: BatchStore = {
      applyBatch(records, run) {
        sender.applyBatch(records, run);
        model.applyBatch(records, run);
      },
    };
    const consumption = consume(wal, both, { batchSize: 7 });
    for (let round = 0; round < 40; round++) {
      await wal.batchInsert(items(round, 1 + round % 11));
      if (round % 3 === 0) await wal.logDelete(round, round);
      if (round % 5 === 0) await wal.whenApplied();
      // Checkpoints of the log, which no store is given, lie between and within runs.
      if (round % 4 === 0) wal.checkpoint();
    }
    await wal.whenApplied();
    await consumption.stop();
    const follower = new MemoryStore();
    let last = 0;
    let checkpoints = 0;
    for (const bytes of sender.sent) {
      const { records, ...run } = decodeRun(bytes, wal);
      assert(how === "encodeRun()" ? run.firstLsn === last + 1 : run.firstLsn > last);
      assertEquals(lsns(records), range(run.firstLsn, run.lastLsn));
      checkpoints += records.filter(({ opType }) => opType === OpType.Checkpoint).length;
      follower.applyBatch(records, run);
      last = run.lastLsn;
    }
    assert(
      sender.sent.length > 10 && (how !== "encodeRun()" || checkpoints > 5),
      `${sender.sent.length} runs, ${checkpoints} checkpoints`,
    );
    assertEquals([...follower.entries()], [...model.entries()]);
    assertEquals([follower.appliedLsn(), follower.appliedLog()], [model.appliedLsn(), wal.logId]);
  });
}

test("encodeRun() covers no record that the log has released: such a store is refused if it has appliedLsn()", async () => {
  const wal = openInMemory();
  fill(wal, 20);
  wal.checkpoint(20);
  wal.truncate(20);
  const sent: number[] = [];
  const sender = {
    applyBatch: (_: readonly WALRecord[], run: AppliedRun) => void sent.push(run.firstLsn),
    appliedLsn: () => 7,
    appliedLog: () => wal.logId,
  };
  await assertRejects(() => wal.consumeAsync(sender), WALStoreError, "released everything before LSN 21");
  assertEquals(sent, []);
  wal.close();
});

// The module.

test("runs.ts decodes without any permission, and touches no log", async () => {
  using wal = openInMemory();
  fill(wal, 3);
  wal.flush();
  const { bytes, logId } = wal.encodeRun();
  const { code, stdout, stderr } = await runSnippet(
    `
    import { decodeRun } from "${projectUrl("src/runs.ts")}";
    const { records } = decodeRun(Uint8Array.from(${JSON.stringify([...bytes])}), { logId: "${logId}" });
    console.log(records.map(({ lsn, keyLow }) => lsn + " " + keyLow).join());
  `,
    { denoFlags: [] },
  );
  assertEquals([code, stdout, stderr], [0, "1 1,2 2,3 3\n", ""]);
});

/** The files that a file imports, and those that these import. */
function allImports(path: string, found: Set<string> = new Set()): Set<string> {
  const source = readFileSync(new URL(path, PROJECT_URL), "utf8");
  const names = [...source.matchAll(/^(?:import|export) [^;]*? from "(\.[^"]+)";/gm)];
  for (const [text, name = ""] of names) {
    const imported = posix.join(posix.dirname(path), name);
    if (/^(?:import|export) type /.test(text) || found.has(imported)) continue;
    found.add(imported);
    allImports(imported, found);
  }
  return found;
}

test("runs.ts imports nothing that calls the operating system", () => {
  const imported = [...allImports("src/runs.ts")];
  assert(imported.includes("src/format/codec.ts"));
  assertEquals(imported.filter((path) => /^ffi\/(libc|system|file|storage)\b|^src\/(engine|wal|log)\b/.test(path)), []);
});
