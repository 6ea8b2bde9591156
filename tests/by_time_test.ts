// Records by their time: lsnAt(), and ranges of times of records() and cursor(). A plain search
// through all records is the model.

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type HybridTime, OpType, type WAL, WALClosedError, WALCorruptError, WALFormatError } from "../mod.ts";
import { newestAt } from "../src/read/by_time.ts";
import { SimulatedDisk } from "../testing.ts";
import { sealInFile } from "./support/codec_reference.ts";
import { CAPACITY, items, lsns, openInMemory, openOn, PATH, range } from "./support/logs.ts";
import { RingBuilder, sourceOf } from "./support/rings.ts";
import { test } from "./support/test.ts";

const MS = 1_000_000n;
/** A log whose records may have any times. */
const ANY = { maxClockDriftMs: Infinity, now: () => 1 };

/** Appends records with these nanoseconds, one each. */
function appendAt(wal: WAL, times: readonly (bigint | number)[]): void {
  for (const nanos of times) wal.logInsertSync(1, wal.head, 2, wal.head, [nanos, 0, 0]);
}

/** The LSNs that a cursor shows. */
function scan(wal: WAL, asked: Parameters<WAL["cursor"]>[0]): number[] {
  const found: number[] = [];
  for (const cursor = wal.cursor(asked); cursor.next();) found.push(cursor.lsn);
  return found;
}

test("lsnAt() is the newest record that is not later, and tail - 1 if all are later", () => {
  using wal = openInMemory(ANY);
  appendAt(wal, [10n * MS, 20n * MS, 30n * MS]);
  const found = [0n, 10n * MS - 1n, 10n * MS, 15n * MS, 20n * MS, 30n * MS - 1n, 30n * MS, 2n ** 64n - 1n]
    .map((time) => wal.lsnAt(time));
  assertEquals(found, [0, 0, 1, 1, 2, 2, 3, 3]);
  assertEquals([9, 10, 11, 29, 30, 1e9].map((ms) => wal.lsnAt(new Date(ms))), [0, 1, 1, 2, 3, 3]);
  wal.flush();
  wal.truncate(2);
  assertEquals([0n, 20n * MS, 30n * MS].map((time) => wal.lsnAt(time)), [2, 2, 3]);
  wal.truncate(3);
  assertEquals([0n, 30n * MS, 2n ** 64n - 1n].map((time) => wal.lsnAt(time)), [3, 3, 3]);
});

test("lsnAt() of a log that is empty, or has one record", () => {
  using wal = openInMemory(ANY);
  assertEquals([wal.lsnAt(0n), wal.lsnAt(new Date()), [...wal.records({ since: 0n, until: 5n })]], [0, 0, []]);
  appendAt(wal, [7]);
  assertEquals([6n, 7n, 8n].map((time) => wal.lsnAt(time)), [0, 1, 1]);
  assertEquals([[7n, 7n], [8n, 9n], [0n, 6n], [9n, 3n]].map(([since, until]) => scan(wal, { since, until })), [
    [1],
    [],
    [],
    [],
  ]);
});

test("lsnAt() is the last of the records with one time, whatever their sequence numbers and shards", () => {
  using wal = openInMemory(ANY);
  appendAt(wal, [5, 5, 5]);
  wal.logInsertSync(1, 1, 2, 2, [5, 2 ** 32 - 1, 9]);
  wal.logInsertSync(1, 1, 2, 2, [5, 2 ** 32 - 1, 3]);
  appendAt(wal, [6]);
  assertEquals([4n, 5n, 6n].map((time) => wal.lsnAt(time)), [0, 5, 6]);
  assertEquals(lsns(wal.records({ since: 5n, until: 5n })), range(1, 5));
});

test("lsnAt() never divides a batch that the log's clock timed, and counts checkpoints", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  wal.batchInsertSync(items(1, 100));
  disk.clock.advance(1000);
  const checkpoint = wal.checkpoint(100);
  const [first, last] = [wal.replay()[0]!, wal.replay().at(-1)!];
  assertEquals([checkpoint, last.opType], [101, OpType.Checkpoint]);
  assertEquals([wal.lsnAt(first.time[0] - 1n), wal.lsnAt(first.time[0]), wal.lsnAt(last.time[0])], [0, 100, 101]);
});

test("lsnAt() and ranges of times take dates of another realm, and ask no method of a date", () => {
  class Liar extends Date {
    override getTime(): number {
      throw new Error("asked");
    }
    override valueOf(): number {
      throw new Error("asked");
    }
  }
  using wal = openInMemory(ANY);
  appendAt(wal, [10n * MS, 20n * MS]);
  assertEquals(wal.lsnAt(new Liar(10)), 1);
  assertEquals(lsns(wal.records({ since: new Liar(15) })), [2]);
  const foreign = Object.setPrototypeOf(new Date(10), null) as Date;
  assertEquals(wal.lsnAt(foreign), 1);
});

test("records() and cursor() read each end of a range once", () => {
  using wal = openInMemory(ANY);
  appendAt(wal, [1, 2, 3]);
  for (const read of [lsnsOf, scan]) {
    const asked: string[] = [];
    const range = new Proxy({ from: 1, to: 3, since: 2n, until: 2n }, {
      get(target, name) {
        asked.push(String(name));
        return Reflect.get(target, name);
      },
    });
    assertEquals(read(wal, range), [2]);
    assertEquals(asked.sort(), ["from", "since", "to", "until"]);
  }
});

function lsnsOf(wal: WAL, asked: Parameters<WAL["records"]>[0]): number[] {
  return lsns(wal.records(asked));
}

/** Steps between times, most of them none, and how many records are released in the end. */
const histories = fc.record({
  steps: fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3 })), { maxLength: 60 }),
  batch: fc.integer({ min: 1, max: 30 }),
  before: fc.integer({ min: 0, max: 1000 }),
  released: fc.nat(60),
});
const end = fc.option(fc.integer({ min: 0, max: 110 }).map(BigInt), { nil: undefined });
const lsnEnd = fc.option(fc.nat(100), { nil: undefined });

test("lsnAt(), records() and cursor() find by time what a search through all records finds, over the end of the ring", () => {
  fc.assert(
    fc.property(histories, fc.array(fc.tuple(end, end, lsnEnd, lsnEnd), { minLength: 5, maxLength: 20 }), (
      { steps, batch, before, released },
      asked,
    ) => {
      using wal = openInMemory(ANY);
      // The log begins anywhere in the ring.
      for (let left = before; left > 0; left -= 100) {
        wal.batchInsertSync(items(1, Math.min(left, 100)));
        wal.flush();
        wal.truncate(wal.head - 1);
      }
      let nanos = 2n * MS;
      for (const step of steps) appendAt(wal, [nanos += BigInt(step)]);
      wal.batchInsertSync(items(1, batch));
      wal.flush();
      wal.truncate(Math.min(wal.tail - 1 + released, wal.head - 1));
      const all = wal.replay();
      const { tail, head } = wal;
      for (const [since, until, fromAt, toAt] of asked) {
        const [start, stop] = [since, until].map((time) => time === undefined ? undefined : time + 2n * MS);
        const from = fromAt === undefined ? undefined : tail + fromAt;
        const to = toAt === undefined ? undefined : tail + toAt;
        const isIn = (time: HybridTime) =>
          (start === undefined || time[0] >= start) && (stop === undefined || time[0] <= stop);
        const expected = all.filter(({ lsn, time }) => isIn(time) && lsn >= (from ?? 0) && lsn <= (to ?? head));
        const asked = { since: start, until: stop, from, to };
        assertEquals(lsns(wal.records(asked)), lsns(expected));
        assertEquals(scan(wal, asked), lsns(expected));
        if (start === undefined) continue;
        assertEquals(wal.lsnAt(start), all.findLast(({ time }) => time[0] <= start)?.lsn ?? tail - 1);
      }
    }),
  );
});

test("newestAt() looks at as many records as a bisection needs, and no others", () => {
  const ring = new RingBuilder(64);
  for (let lsn = 41; lsn <= 104; lsn++) ring.record({ lsn, nanos: BigInt(lsn) });
  const slots = ring.build();
  for (let asked = 40n; asked <= 105n; asked++) {
    const read: number[] = [];
    const makeReadable = (first: number, last: number) => {
      assertEquals(first, last);
      read.push(first);
    };
    const source = { ...sourceOf(slots, 41), makeReadable };
    assertEquals(newestAt(source, 41, 104, asked), Math.min(Number(asked), 104));
    assert(read.length <= 7, read.join());
  }
});

test("lsnAt() and ranges of times throw WALCorruptError for a damaged record that decides, and need no other", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk, { ...ANY });
  appendAt(wal, range(1, CAPACITY));
  wal.flush();
  const decisive = 384; // the first that a bisection looks at
  const offset = 16384 + (decisive - 1) * 64;
  disk.damage.flipBit(PATH, offset + 16, 5); // in its time
  for (const read of [() => wal.lsnAt(5n), () => wal.records({ since: 5n }), () => wal.cursor({ until: 5n })]) {
    const error = assertThrows(read, WALCorruptError);
    assertEquals([error.firstLsn, error.lastLsn, error.offset], [decisive, decisive, offset]);
  }
  assertEquals(lsns(wal.records({ until: 5n, to: 300 })), range(1, 5));
  disk.damage.flipBit(PATH, offset + 16, 5);
  disk.damage.flipBit(PATH, offset + 65, 5); // the next one
  assertEquals(wal.lsnAt(5n), 5);
});

test("lsnAt() throws WALFormatError for a record of a later version that decides", () => {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk, { ...ANY, size: 2 ** 20 });
    appendAt(wal, range(1, 10_000));
  }
  const image = disk.image(PATH);
  const at = 16384 + 4999 * 64;
  image[at + 4] = 0x80 | 1;
  sealInFile(image, at);
  disk.outsider.writeFile(PATH, image);
  using wal = openOn(disk, ANY);
  assertEquals(assertThrows(() => wal.lsnAt(7n), WALFormatError, "LSN 5000").offset, at);
});

test("lsnAt() of a log that is closed, or was never open, is a WALClosedError", () => {
  const wal = openInMemory(ANY);
  appendAt(wal, [1, 2]);
  wal.close();
  assertThrows(() => wal.lsnAt(1n), WALClosedError);
  assertThrows(() => wal.records({ since: 1n }), WALClosedError);
  wal.open();
  assertEquals(wal.lsnAt(1n), 0); // memory of its own
  wal.close();
});

test("lsnAt() finds what an append of the same burst has stored, and what is not durable yet", async () => {
  await using wal = openInMemory(ANY);
  const appended = wal.logInsert(1, 2, 3, 4, [5, 0, 0]);
  assertEquals([wal.lsnAt(5n), wal.durable], [1, 0]);
  await appended;
});
