// Fault: both header copies are old, or one is old and the other damaged, by a restored block or a
//   lost write, after the ring went on (H40).
// Promise: open() hands out all that was acknowledged or refuses, also where the old header says
//   "closed cleanly" (G1, G5).
// Method: small rings go through appends, batches, truncations, closings and crashes, and power is
//   lost at each system call. Each header copy that was ever on the medium is put back. Single
//   cases follow, and the slots in which recovery looks for debris.

import { FileMemory } from "../../ffi/file_memory.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { WAL, WALCorruptError } from "../../mod.ts";
import { type Header, readHeaders } from "../../src/format/header.ts";
import { emptyImage } from "../../src/recovery/image.ts";
import { HEADER_AT, HEADER_BYTES, RING_AT } from "../../src/format/layout.ts";
import { checksumSeed, Slots, SlotState } from "../../src/format/record.ts";
import { recover, type Verdict } from "../../src/recovery/recovery.ts";
import { Random } from "../../testing.ts";
import { BytesStorage } from "../support/bytes_storage.ts";
import { LOG_ID, recordBytes, type ReferenceRecord } from "../support/reference.ts";
import { makeHeader, RingBuilder, torn } from "../support/rings.ts";
import { append, appendBatch, CAPACITY, LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

// Every old header copy, over every state of a small ring.

const HISTORIES = 24;
const OPERATIONS = 22;
const FILE_BYTES = 20480;

/** What the log promised, and what it wrote and lost. */
interface Known {
  tail: number;
  durable: number;
  /** One past the highest LSN that was ever appended. */
  end: number;
  /** LSNs of records that a crash took before they were acknowledged. */
  readonly lost: Set<number>;
}

/** A log of a few slots on a simulated disk. */
class SmallLog {
  readonly simulation: Simulation;
  readonly capacity: number;
  readonly known: Known = { tail: 1, durable: 0, end: 1, lost: new Set() };

  constructor(seed: number, capacity: number) {
    this.capacity = capacity;
    this.simulation = new Simulation({ seed, pieceBytes: 64, tearChance: 0.1, traceLimit: 40 }, { create: false });
    const image = new Uint8Array(FILE_BYTES);
    image.set(emptyImage(capacity, LOG_ID, 0n));
    this.simulation.disk.outsider.writeFile(LOG, image);
  }

  /** Opens the log; what was appended and is not there any more was lost. */
  open(): void {
    const wal = this.simulation.open();
    for (let lsn = wal.head; lsn < this.known.end; lsn++) this.known.lost.add(lsn);
    for (let lsn = this.known.durable + 1; lsn < wal.head; lsn++) this.known.lost.delete(lsn);
    this.known.end = wal.head;
    this.note();
  }

  /** Does something at random. */
  step(random: Random): void {
    const wal = this.simulation.wal!;
    const kind = random.below(12);
    const room = this.capacity - (wal.head - wal.tail);
    const count = Math.min(room, random.between(1, this.capacity));
    if (kind < 3) append(wal, count);
    else if (kind < 5) appendBatch(wal, count);
    else if (kind < 7) wal.flush();
    else if (kind < 10) wal.truncate(random.chance(0.6) ? wal.durable : random.between(wal.tail - 1, wal.durable));
    else if (kind < 11) {
      wal.close();
      this.note();
      this.open();
    } else {
      this.note();
      this.simulation.crash({ keep: "random" });
      this.open();
    }
    this.note();
  }

  /** Takes down what the log says now. */
  note(): void {
    const { wal } = this.simulation;
    if (wal === null) return;
    this.known.tail = Math.max(this.known.tail, wal.tail);
    this.known.durable = Math.max(this.known.durable, wal.durable);
    this.known.end = Math.max(this.known.end, wal.head);
  }
}

/**
 * Runs a history up to a system call, and loses power there.
 *
 * @returns null if the history ended before.
 */
function crashedAt(seed: number, call: number): SmallLog | null {
  const random = new Random(seed);
  const log = new SmallLog(seed, random.between(3, 9));
  const { disk } = log.simulation;
  disk.crashAt(disk.steps + call, "after");
  try {
    log.open();
    for (let i = 0; i < OPERATIONS; i++) log.step(random);
    return null;
  } catch (error) {
    if (!disk.halted) throw error;
  }
  log.note();
  return log;
}

/** The valid copies in a file. */
function headersOf(file: Uint8Array): Header[] {
  return readHeaders(file.slice()).copies.filter((copy) => typeof copy !== "string");
}

/**
 * What is missing of the acknowledged records that were kept, if a log is opened with this header.
 */
function missing(slots: Slots, { tail, head }: Verdict, known: Known): number[] {
  const lsns: number[] = [];
  for (let lsn = known.tail; lsn <= known.durable; lsn++) {
    const isThere = lsn >= tail && lsn < head && slots.verify((lsn - 1) % slots.count, lsn) === SlotState.Record;
    if (!isThere) lsns.push(lsn);
  }
  return lsns;
}

test("recover() loses nothing in silence with any header copy of before, unless lost records took the slot where it stops", () => {
  const counts = { opened: 0, refused: 0, refutedClean: 0, believed: 0 };
  for (let seed = 1; seed <= HISTORIES; seed++) {
    const seen = new Map<number, Header>();
    for (let call = 1;; call++) {
      const log = crashedAt(seed, call);
      if (log === null) break;
      const { disk } = log.simulation;
      const crashed = disk.snapshot();
      for (const header of headersOf(disk.image(LOG, "cache"))) seen.set(header.writeCounter, header);
      for (const recovered of [false, true]) {
        disk.restore(crashed);
        disk.restart({ keep: call % 3 === 0 ? "none" : "random" });
        if (recovered) {
          log.open();
          log.simulation.crash({ keep: "none" });
        }
        const file = disk.image(LOG).slice();
        const slots = Slots.ofRing(new FileMemory(file.buffer), log.capacity, checksumSeed(LOG_ID));
        for (const header of seen.values()) check(slots, header, log.known, `seed ${seed}, call ${call}`, counts);
      }
    }
  }
  const { opened, refused, refutedClean, believed } = counts;
  assert(Math.min(opened, refused, refutedClean, believed) > 1000, `each kind was met: ${JSON.stringify(counts)}`);
});

function check(slots: Slots, header: Header, known: Known, where: string, counts: Record<string, number>): void {
  const verdict = recover(slots, header, "ends");
  const { damaged, unsupported, clean, head } = verdict;
  assertEquals(unsupported, 0, where);
  if (header.cleanHead !== 0) counts[clean ? "believed" : "refutedClean"]!++;
  // That a log was closed cleanly saves reading, and changes no answer.
  if (clean) {
    const read = recover(slots, { ...header, cleanHead: 0, durable: header.cleanHead - 1 }, true);
    assertEquals(read.damaged.length > 0, damaged.length > 0, where);
    if (damaged.length === 0) assertEquals([read.tail, read.head], [verdict.tail, head], where);
  }
  if (damaged.length > 0) {
    counts["refused"]!++;
    return;
  }
  counts["opened"]!++;
  assert(head <= known.end, `${where}: ends at ${head - 1}, appended up to ${known.end - 1}`);
  const lsns = missing(slots, verdict, known);
  if (lsns.length === 0) return;
  const isTaken = [...known.lost].some((lsn) => lsn > head && (lsn - head) % slots.count === 0);
  assert(isTaken, `${where}: misses ${lsns}, with ${JSON.stringify({ ...header, created: 0, timeNanos: 0 })}`);
}

// Single cases.

/** The header blocks of a log now. */
function copiesOf(simulation: Simulation): Uint8Array {
  return simulation.disk.image(LOG, "cache").slice(0, 2 * HEADER_BYTES);
}

/** Puts header blocks of before in the place of those of now; the log is closed. */
function pasteBack(simulation: Simulation, blocks: Uint8Array): void {
  const file = simulation.disk.image(LOG, "cache");
  file.set(blocks);
  simulation.disk.outsider.writeFile(LOG, file);
}

/** Goes on through a ring: full, all of it released, again and again. */
function goOn(wal: WAL, count: number): void {
  while (count > 0) {
    const run = Math.min(count, CAPACITY - wal.length);
    append(wal, run);
    wal.flush();
    wal.truncate(wal.durable - 5);
    count -= run;
  }
}

for (const past of [CAPACITY, CAPACITY + 1, CAPACITY + 32, 2 * CAPACITY, 3 * CAPACITY + 7]) {
  for (const damage of ["both copies are old", "one copy is old, the other is damaged"]) {
    test(`WAL.open() refuses a log whose header says that it was closed ${past} records ago: ${damage}`, () => {
      const simulation = new Simulation();
      simulation.open().close();
      const old = copiesOf(simulation);
      if (damage !== "both copies are old") {
        const { newestCopy } = readHeaders(old.slice());
        old[HEADER_AT[1 - newestCopy]! + 200]! ^= 1;
      }
      const wal = simulation.open();
      goOn(wal, past);
      const { head } = wal;
      wal.close();
      pasteBack(simulation, old);
      // Exactly one lap on, every record is there: nothing is lost, though the tail is the old one.
      if (past === CAPACITY) {
        assertEquals([simulation.open().tail, simulation.wal!.head], [1, head]);
        return;
      }
      const { losses } = assertThrows(() => simulation.open(), WALCorruptError, "LSN 1 ");
      assertEquals(losses, [{ firstLsn: 1, lastLsn: past - CAPACITY, offset: RING_AT }]);
      const salvaged = simulation.open({ recovery: "salvage" });
      assertEquals([salvaged.tail, salvaged.head], [past - CAPACITY + 1, head]);
      // Only the oldest record that is left may be given up: it may be the rest of a batch.
      const [overwritten, ...others] = salvaged.recovery.losses;
      assertEquals(overwritten, losses[0]);
      assert(others.every(({ lastLsn }) => lastLsn === past - CAPACITY + 1), JSON.stringify(others));
    });
  }
}

test("WAL.open() finds again what was appended after the clean close that an old header tells of", () => {
  for (const count of [1, 2, 63, 64, 500, CAPACITY]) {
    const simulation = new Simulation();
    simulation.open().close();
    const old = copiesOf(simulation);
    const wal = simulation.open();
    if (count % 2 === 0) appendBatch(wal, count);
    else append(wal, count);
    wal.close();
    pasteBack(simulation, old);
    const reopened = simulation.open();
    assertEquals([reopened.recovery.clean, reopened.tail, reopened.head], [false, 1, count + 1]);
  }
});

const TAIL = 12;
const CLEAN = { capacity: 8, tail: TAIL, durable: TAIL - 1, cleanHead: TAIL };

/** What the slot of the clean head shows, a lap or more on. */
const LATER: Readonly<Record<string, (lsn: number) => Uint8Array>> = {
  "a record": (lsn) => recordBytes({ lsn }),
  "a record of a batch": (lsn) => recordBytes({ lsn, flags: 1 }),
  "a checkpoint": (lsn) => recordBytes({ lsn, opType: 4 }),
  "an opcode of a later version": (lsn) => recordBytes({ lsn, opType: 63 }),
  "a record of a later version": (lsn) => recordBytes({ lsn, version: 2 }),
  "a flag of a later version": (lsn) => recordBytes({ lsn, flags: 128 }),
  "a torn record": (lsn) => torn({ lsn }),
};

for (const [what, bytesOf] of Object.entries(LATER)) {
  test(`recover() does not believe a clean mark that is refuted in any free slot, in any lap, by ${what}`, () => {
    for (let lsn = TAIL; lsn < TAIL + 40; lsn++) {
      const slots = new RingBuilder(8).records(1, TAIL - 1).put(lsn, bytesOf(lsn)).build();
      for (const verify of [true, "ends"] as const) {
        assertEquals(recover(slots, makeHeader(CLEAN), verify).clean, false, `LSN ${lsn}, ${verify}`);
      }
      const isAtHead = (lsn - TAIL) % 8 === 0;
      assertEquals(recover(slots, makeHeader(CLEAN), false).clean, !isAtHead, `LSN ${lsn}, verify: false`);
      // Two laps on and more, the tail that the header names is overwritten.
      const { damaged, unsupported } = recover(slots, makeHeader(CLEAN), true);
      if (lsn >= TAIL + 8 && what !== "a torn record") {
        assertEquals([damaged[0], unsupported], [{ first: TAIL, last: lsn - 8 }, 0], `LSN ${lsn}`);
      }
    }
  });
}

test("recover() refutes a clean mark of a full log by a newer record in its oldest one's slot", () => {
  const header = makeHeader({ capacity: 8, tail: 5, durable: 12, cleanHead: 13 });
  const full = new RingBuilder(8).records(5, 12);
  for (const verify of [true, "ends", false] as const) {
    assertEquals(recover(full.build(), header, verify).clean, true);
    assertEquals(recover(new RingBuilder(8).records(6, 13).build(), header, verify).clean, false);
  }
});

test("recover() keeps a clean mark whatever lies in the free slots of a log that was closed", () => {
  const older: ReferenceRecord[] = [{ lsn: TAIL - 8 }, { lsn: TAIL - 8, flags: 1 }, { lsn: TAIL - 1 }];
  const bytes = [
    new Uint8Array(64),
    torn({ lsn: TAIL - 8 }),
    torn({ lsn: TAIL - 1 }),
    ...older.map((r) => recordBytes(r)),
  ];
  for (let at = TAIL; at < TAIL + 8; at++) {
    for (const [index, shown] of bytes.entries()) {
      const slots = new RingBuilder(8).records(1, TAIL - 1).put(at, shown).build();
      assertEquals(recover(slots, makeHeader(CLEAN), true).clean, true, `slot of ${at}, ${index}`);
    }
  }
});

test("recover() looks at 4096 free slots of a large ring for what refutes a clean mark, at all of them if asked to verify", () => {
  const capacity = 10_000;
  const header = makeHeader({ capacity, tail: 1, durable: 1000, cleanHead: 1001 });
  for (const [at, ends] of [[1001, false], [1002, false], [5096, false], [5097, true], [10_000, true]] as const) {
    const slots = new RingBuilder(capacity).records(1, 1000).record({ lsn: at + capacity }).build();
    assertEquals(recover(slots, header, "ends").clean, ends, `slot of ${at}`);
    assertEquals(recover(slots, header, true).clean, false, `slot of ${at}`);
    assertEquals(recover(slots, header, false).clean, at !== 1001, `slot of ${at}`);
  }
});

test("WAL.open() of a closed log pages in the slots that it looks at, and no others", () => {
  for (const [verify, expected] of [["ends", 4096], [true, undefined], [false, 1]] as const) {
    const storage = new BytesStorage();
    const size = 1 << 20;
    const made = WAL.open("/log", { storage, size });
    append(made, 100);
    made.flush();
    made.truncate(10);
    const { capacity } = made;
    made.close();
    const paged: [offset: number, length: number][] = [];
    const watching = {
      write: () => {},
      open: (...request: Parameters<BytesStorage["open"]>) => {
        const region = storage.open(...request);
        return {
          ...region,
          pageIn: (offset: number, length: number, before: "load" | "store") =>
            void (before === "load" && paged.push([offset, length])),
        };
      },
    };
    WAL.open("/log", { storage: watching, verify }).close();
    const free = expected ?? capacity - 90;
    const last = Math.min(free, capacity - 100);
    const ranges = [[0, RING_AT], [RING_AT + 100 * 64, last * 64]];
    if (free > last) ranges.push([RING_AT, (free - last) * 64]);
    if (verify !== false) ranges.push([RING_AT + 10 * 64, 90 * 64]);
    assertEquals(paged, ranges, `verify: ${verify}`);
  }
});

test("recover() cannot tell an old header from a crash where lost records took the slot at which it stops", () => {
  // Records 1 to 5 were acknowledged as one group, and 1 to 3 released. Records 9 to 11 took their
  // slots, were lost and erased.
  const overwritten = new RingBuilder(8);
  for (let lsn = 4; lsn <= 5; lsn++) overwritten.record({ lsn, distance: lsn });
  assertEquals(recover(overwritten.build(), makeHeader({ capacity: 8, tail: 4, durable: 5 }), true).head, 6);
  // With the old header, these are the bytes of a group whose first three records did not reach the
  // medium.
  const crashed = recover(overwritten.build(), makeHeader({ capacity: 8, tail: 1, durable: 0 }), true);
  assertEquals([crashed.head, crashed.damaged, crashed.phantoms], [1, [], 2]);
  const closed = recover(overwritten.build(), makeHeader({ capacity: 8, tail: 1, durable: 0, cleanHead: 1 }), true);
  assertEquals({ ...closed }, { ...crashed });
});

// Debris.

test("recover() erases whatever bears an LSN from past the last whole batch, also one that a batch without its end counts", () => {
  for (const misplaced of [4, 5, 6, 7, 90, 2 ** 60]) {
    const ring = new RingBuilder(16).records(1, 3);
    for (const lsn of [4, 5, 6]) ring.record({ lsn, flags: 1, distance: lsn - 3 });
    // In the slot of LSN 12, as after a write that went to the wrong place.
    ring.put(12, recordBytes({ lsn: misplaced, distance: 1, nanos: 0n, keyLow: 0n, valueLow: 0n }));
    const verdict = recover(ring.build(), makeHeader({ capacity: 16, durable: 3 }), true);
    assertEquals([verdict.head, verdict.phantoms, verdict.torn, verdict.damaged], [4, 3, 1, []], `LSN ${misplaced}`);
    assertEquals(verdict.debris, [3, 4, 5, 11]);
  }
});

test("WAL.open() leaves no slot with an LSN of its head or more, whatever was misplaced", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const simulation = new Simulation({ seed, pieceBytes: 64 });
    const wal = simulation.open();
    append(wal, 20);
    wal.flush();
    appendBatch(wal, 30);
    simulation.crash({ keep: (piece) => piece.kind === "bytes" && piece.offset < RING_AT + 40 * 64 });
    const random = new Random(seed);
    // From the batch that was cut, to somewhere after it.
    const from = RING_AT / 512 + 3 + random.below(2);
    simulation.disk.damage.copySector(LOG, from, RING_AT / 512 + 8 + random.below(80));
    const reopened = simulation.open();
    assertEquals(reopened.head, 21);
    const slots = Slots.ofRing(new FileMemory(simulation.disk.image(LOG, "cache").buffer), CAPACITY, 0);
    for (let slot = 0; slot < CAPACITY; slot++) assert(slots.lsnAt(slot) <= 20, `seed ${seed}, slot ${slot}`);
    simulation.bury();
  }
});
