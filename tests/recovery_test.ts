// Fault: whatever a crash, rot or another program leaves in the slots (H1 to H8, H11, H29, H33).
// Promise: a gapless prefix of what was appended, in whole batches, with nothing stale or invented.
//   Acknowledged records that cannot be read are reported, others are not (G2, G3, G4, G5).
// Method: the table in docs/format.md, walked over each state of a slot, each header watermark and
//   each later record.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { recover, type Verdict } from "../src/recovery/recovery.ts";
import { SlotState } from "../src/format/record.ts";
import { LOG_ID, recordBytes } from "./support/reference.ts";
import { makeHeader, RingBuilder, torn } from "./support/rings.ts";
import { test } from "./support/test.ts";

// The ring of the table has 8 slots, in their second lap. Its tail is 9, whole records go up to 11,
// and the slot in question is that of LSN 12.
const CAPACITY = 8;
const TAIL = 9;
const LSN = 12;

function secondLap(): RingBuilder {
  return new RingBuilder(CAPACITY).records(1, 8).records(TAIL, LSN - 1);
}

/** What the slot of LSN 12 shows; `debris`: it bears an LSN from past the end. */
const SHOWN: Readonly<Record<string, { bytes: Uint8Array; torn?: number; phantom?: number }>> = {
  "zeros": { bytes: new Uint8Array(64) },
  "the record of the lap before": { bytes: recordBytes({ lsn: 4 }) },
  "a torn record of the lap before": { bytes: torn({ lsn: 4 }) },
  "a torn record": { bytes: torn({ lsn: LSN }), torn: 1 },
  "a record of another log": { bytes: recordBytes({ lsn: LSN }, LOG_ID.with(0, 99)), torn: 1 },
  "the record of another slot": { bytes: recordBytes({ lsn: 14 }), torn: 1 },
  "an older record of another slot": { bytes: recordBytes({ lsn: 5 }) },
  "ones": { bytes: new Uint8Array(64).fill(0xff), torn: 1 },
  "a torn record with an LSN from far ahead": { bytes: torn({ lsn: LSN + 80 }), torn: 1 },
};

/** What the slot of LSN 13 shows: a watermark, if the record there is intact. */
const LATER: Readonly<Record<string, { bytes: Uint8Array; watermark: number; torn?: number }>> = {
  "nothing": { bytes: new Uint8Array(64), watermark: 0 },
  "an old record": { bytes: recordBytes({ lsn: 5 }), watermark: 0 },
  "a torn record that remembers 12": { bytes: torn({ lsn: 13, distance: 1 }), watermark: 0, torn: 1 },
  "a record that remembers 11": { bytes: recordBytes({ lsn: 13, distance: 2 }), watermark: 11 },
  "a record that remembers 12": { bytes: recordBytes({ lsn: 13, distance: 1 }), watermark: 12 },
  "a record of a later version that remembers 12": {
    bytes: recordBytes({ lsn: 13, distance: 1, version: 2 }),
    watermark: 12,
  },
};

for (const [shown, slot] of Object.entries(SHOWN)) {
  for (const [behind, later] of Object.entries(LATER)) {
    for (const durable of [LSN - 1, LSN, LSN + 1]) {
      const proved = Math.max(durable, later.watermark);
      const isDamage = proved >= LSN;
      const what = isDamage ? "reports LSN 12 as damaged" : "ends the log at LSN 12";
      test(`recover() ${what}: the slot shows ${shown}, then ${behind}, the header remembers ${durable}`, () => {
        const ring = secondLap().put(LSN, slot.bytes).put(LSN + 1, later.bytes);
        const verdict = recover(ring.build(), makeHeader({ capacity: CAPACITY, tail: TAIL, durable }), true);
        const isIntactBehind = later.watermark > 0;
        const damaged = isDamage ? [{ first: LSN, last: LSN }] : [];
        // LSN 13 counts as a record only if this version can read it.
        const hasRecordBehind = isIntactBehind && !behind.includes("later version");
        if (proved >= LSN + 1 && !hasRecordBehind) damaged[0]!.last = LSN + 1;
        assertEquals(verdict.damaged, damaged);
        assertEquals([verdict.tail, verdict.head, verdict.proved], [TAIL, LSN, proved]);
        assertEquals([verdict.unsupported, verdict.clean], [0, false]);
        assertEquals(verdict.torn, (slot.torn ?? 0) + (later.torn ?? 0));
        assertEquals(verdict.phantoms, isIntactBehind ? 1 : 0);
        const debris = [...(slot.torn ? [3] : []), ...(later.torn || isIntactBehind ? [4] : [])];
        assertEquals(verdict.debris, debris);
      });
    }
  }
}

for (const durable of [LSN - 1, LSN, LSN + 1]) {
  test(`recover() stops at a record of a later version, the header remembers ${durable}`, () => {
    for (const fields of [{ version: 2 }, { opType: 6 }, { opType: 31 }, { flags: 2 }]) {
      const ring = secondLap().record({ lsn: LSN, ...fields });
      const verdict = recover(ring.build(), makeHeader({ capacity: CAPACITY, tail: TAIL, durable }), true);
      assertEquals([verdict.unsupported, verdict.head], [LSN, LSN]);
    }
  });
}

test("recover() keeps each next record and goes on, to the end of the ring and once round", () => {
  for (let head = TAIL; head <= TAIL + CAPACITY; head++) {
    const ring = new RingBuilder(CAPACITY).records(1, head - 1);
    const verdict = recover(ring.build(), makeHeader({ capacity: CAPACITY, tail: TAIL, durable: TAIL - 1 }), true);
    assertEquals([verdict.tail, verdict.head, verdict.damaged, verdict.debris], [TAIL, head, [], []], `head ${head}`);
  }
});

test("recover() tells a full ring from an empty one", () => {
  const full = new RingBuilder(CAPACITY).records(1, CAPACITY).build();
  assertEquals(recover(full, makeHeader({ capacity: CAPACITY, tail: 1 }), true).head, CAPACITY + 1);
  const empty = new RingBuilder(CAPACITY).records(1, CAPACITY).build();
  const header = makeHeader({ capacity: CAPACITY, tail: CAPACITY + 1, durable: CAPACITY });
  assertEquals(recover(empty, header, true).head, CAPACITY + 1);
  assertEquals(recover(empty, header, true).tail, CAPACITY + 1);
});

test("recover() lists intact records after a hole as phantoms, wherever in the ring they lie", () => {
  for (let at = LSN + 1; at < TAIL + CAPACITY; at++) {
    const ring = secondLap().record({ lsn: at, distance: at - (LSN - 1) });
    const verdict = recover(ring.build(), makeHeader({ capacity: CAPACITY, tail: TAIL, durable: LSN - 1 }), true);
    assertEquals([verdict.head, verdict.phantoms, verdict.debris], [LSN, 1, [ring.slotOf(at)]], `phantom ${at}`);
  }
});

test("recover() reports damaged records at or below the watermark as ranges, without intact records between", () => {
  const ring = new RingBuilder(16).records(1, 12);
  for (const lsn of [3, 4, 7, 11]) ring.put(lsn, torn({ lsn }));
  const verdict = recover(ring.build(), makeHeader({ capacity: 16, durable: 11 }), true);
  assertEquals(verdict.damaged, [{ first: 3, last: 4 }, { first: 7, last: 7 }, { first: 11, last: 11 }]);
});

test("recover() reports what an old header counts and newer records have overwritten", () => {
  // Records up to 20 were written into 8 slots, so what is left starts at 13 or later.
  const ring = new RingBuilder(CAPACITY).records(1, 20);
  for (const tail of [1, 5, 12]) {
    const verdict = recover(ring.build(), makeHeader({ capacity: CAPACITY, tail, durable: tail }), true);
    const { damaged } = verdict;
    assertEquals([verdict.tail, verdict.head, damaged, verdict.debris], [13, 21, [{ first: tail, last: 12 }], []]);
  }
  const { tail, damaged } = recover(ring.build(), makeHeader({ capacity: CAPACITY, tail: 13, durable: 13 }), true);
  assertEquals([tail, damaged], [13, []]);
});

test("recover() reports what is overwritten, and then finds a hole before the newest record", () => {
  const ring = new RingBuilder(CAPACITY).records(1, 17).record({ lsn: 19, distance: 3 });
  const verdict = recover(ring.build(), makeHeader({ capacity: CAPACITY, tail: 2, durable: 5 }), true);
  assertEquals([verdict.tail, verdict.head, verdict.phantoms, verdict.damaged], [12, 18, 1, [{ first: 2, last: 11 }]]);
});

test("recover() drops an unfinished batch, cut after each of its records, and erases its records", () => {
  for (let present = 0; present <= 5; present++) {
    const ring = new RingBuilder(16).records(1, 3);
    for (let i = 0; i < present; i++) ring.record({ lsn: 4 + i, flags: i === 4 ? 0 : 1, distance: 1 + i });
    const verdict = recover(ring.build(), makeHeader({ capacity: 16, durable: 3 }), true);
    const isWhole = present === 5;
    assertEquals([verdict.head, verdict.damaged], [isWhole ? 9 : 4, []]);
    assertEquals(verdict.debris, isWhole ? [] : Array.from({ length: present }, (_, i) => 3 + i));
    assertEquals(verdict.phantoms, isWhole ? 0 : present);
  }
});

test("recover() drops an unfinished batch that lacks a record before the last one", () => {
  for (let missing = 4; missing <= 8; missing++) {
    const ring = new RingBuilder(16).records(1, 3);
    for (let lsn = 4; lsn <= 8; lsn++) ring.record({ lsn, flags: lsn === 8 ? 0 : 1, distance: lsn - 3 });
    ring.put(missing, new Uint8Array(64));
    const verdict = recover(ring.build(), makeHeader({ capacity: 16, durable: 3 }), true);
    assertEquals([verdict.head, verdict.phantoms, verdict.torn], [4, 4, 0], `LSN ${missing} is missing`);
    assertEquals(
      verdict.debris.toSorted((a, b) => a - b),
      [4, 5, 6, 7, 8].filter((n) => n !== missing).map((n) => n - 1),
    );
  }
});

test("recover() reports a batch that breaks off below a watermark as damage", () => {
  for (let missing = 4; missing <= 8; missing++) {
    const ring = new RingBuilder(16).records(1, 3);
    for (let lsn = 4; lsn <= 8; lsn++) ring.record({ lsn, flags: lsn === 8 ? 0 : 1, distance: lsn - 3 });
    ring.put(missing, new Uint8Array(64)).record({ lsn: 9, distance: 1 });
    const verdict = recover(ring.build(), makeHeader({ capacity: 16, durable: 3 }), true);
    assertEquals(verdict.damaged, [{ first: missing, last: missing }]);
  }
});

// Clean logs.

function cleanLog(): RingBuilder {
  return new RingBuilder(CAPACITY).records(1, 11);
}

const CLEAN = { capacity: CAPACITY, tail: 6, durable: 11, cleanHead: 12, checkpoint: 4, timeNanos: 99n, timeSeq: 5 };

test("recover() takes the header's word for a cleanly closed log", () => {
  for (const verify of [true, false, "ends"] as const) {
    const verdict = recover(cleanLog().build(), makeHeader(CLEAN), verify);
    const expected: Verdict = {
      clean: true,
      tail: 6,
      head: 12,
      proved: 11,
      damaged: [],
      unsupported: 0,
      torn: 0,
      phantoms: 0,
      debris: [],
      checkpoint: 4,
      timeNanos: 99n,
      timeSeq: 5,
      consumers: [],
    };
    assertEquals(verdict, expected);
  }
});

test("recover() finds damage in each record of a cleanly closed log, if asked to verify", () => {
  for (let lsn = 6; lsn <= 11; lsn++) {
    const slots = cleanLog().put(lsn, torn({ lsn })).build();
    assertEquals(recover(slots, makeHeader(CLEAN), true).damaged, [{ first: lsn, last: lsn }]);
    assertEquals(recover(slots, makeHeader(CLEAN), false).damaged, []);
  }
});

test("recover() finds damage at either end of a long log that was closed cleanly, and reads no more if asked for its ends", () => {
  const capacity = 10_000;
  const count = 9000;
  const header = makeHeader({ capacity, tail: 1, durable: count, cleanHead: count + 1, checkpoint: 4 });
  const builder = new RingBuilder(capacity).records(1, count);
  assertEquals(recover(builder.build(), header, "ends").damaged, []);
  for (const lsn of [1, 2, 4096, 4097, 4904, 4905, 8999, 9000]) {
    const slots = builder.build();
    slots.view.setUint8(slots.base + (lsn - 1) * 64 + 40, 0xff);
    const isAtEnd = lsn <= 4096 || lsn > count - 4096;
    const damaged = [{ first: lsn, last: lsn }];
    assertEquals(recover(slots, header, "ends").damaged, isAtEnd ? damaged : [], `LSN ${lsn}`);
    assertEquals([recover(slots, header, true).damaged, recover(slots, header, false).damaged], [damaged, []]);
  }
});

test("recover() reports the first fault of a long closed log: damage, a later version, a batch without its end", () => {
  const capacity = 10_000;
  const count = 9000;
  const header = makeHeader({ capacity, tail: 1, durable: count, cleanHead: count + 1 });
  const at = (lsns: readonly number[], later: readonly number[], endsBatch = true) => {
    const ring = new RingBuilder(capacity).records(1, count);
    if (!endsBatch) ring.record({ lsn: count, flags: 1 });
    for (const lsn of lsns) ring.put(lsn, torn({ lsn }));
    for (const lsn of later) ring.record({ lsn, version: 2 });
    const { damaged, unsupported } = recover(ring.build(), header, "ends");
    return [damaged.map(({ first }) => first), unsupported];
  };
  assertEquals(at([5], [8990]), [[5, 8990], 0]);
  assertEquals(at([8990], [5]), [[], 5]);
  assertEquals(at([5, 8990], [7]), [[5, 7, 8990], 0]);
  assertEquals(at([], [8990, 8995]), [[], 8990]);
  assertEquals(at([], [], false), [[count + 1], 0]);
  assertEquals(at([5], [], false), [[5], 0]);
  assertEquals(at([], [5], false), [[], 5]);
});

test("recover() verifies every record of a cleanly closed log that is no longer than its two ends", () => {
  const capacity = 8192;
  const header = makeHeader({ capacity, tail: 1, durable: 8192, cleanHead: 8193 });
  const slots = new RingBuilder(capacity).records(1, 8192).build();
  assertEquals(recover(slots, header, "ends").damaged, []);
  for (const lsn of [1, 4096, 4097, 8192]) {
    const at = slots.base + (lsn - 1) * 64 + 40;
    slots.view.setUint8(at, slots.view.getUint8(at) ^ 1);
    assertEquals(recover(slots, header, "ends").damaged, [{ first: lsn, last: lsn }]);
    slots.view.setUint8(at, slots.view.getUint8(at) ^ 1);
  }
});

test("recover() finds a batch without its end in a cleanly closed log", () => {
  const slots = cleanLog().record({ lsn: 11, flags: 1 }).build();
  for (const verify of [true, "ends"] as const) {
    assertEquals(recover(slots, makeHeader(CLEAN), verify).damaged.length, 1);
  }
});

test("recover() does not believe a clean mark that a record past it contradicts", () => {
  const verdict = recover(cleanLog().record({ lsn: 12 }).build(), makeHeader(CLEAN), true);
  assertEquals([verdict.clean, verdict.head, verdict.proved], [false, 13, 11]);
});

test("recover() still uses a contradicted clean mark as a watermark", () => {
  const ring = cleanLog().record({ lsn: 12, distance: 12 }).put(11, torn({ lsn: 11 }));
  const verdict = recover(ring.build(), makeHeader({ ...CLEAN, durable: 6 }), true);
  assertEquals([verdict.damaged, verdict.proved], [[{ first: 11, last: 11 }], 11]);
});

test("recover() does not count the stale record in the slot of the clean head as a record past it", () => {
  const full = makeHeader({ ...CLEAN, tail: 4 });
  assertEquals(recover(cleanLog().build(), full, true).clean, true);
});

// What an opening resumes.

test("recover() resumes the higher checkpoint of header and records, and ignores an impossible one", () => {
  const checkpoint = (lsn: number, through: number) => ({ lsn, opType: 4, valueLow: BigInt(through) });
  const at = (header: number, ...through: number[]) => {
    const ring = new RingBuilder(16).records(1, 8);
    through.forEach((value, i) => ring.record(checkpoint(9 + i, value)));
    return recover(ring.build(), makeHeader({ capacity: 16, tail: 3, durable: 8, checkpoint: header }), true)
      .checkpoint;
  };
  assertEquals([at(5), at(5, 7), at(5, 3), at(0, 7, 6)], [5, 7, 5, 7]);
  assert(at(0, 2 ** 60) <= 9);
});

test("recover() resumes the clock from the later time of header and last record", () => {
  const at = (nanos: bigint, seq: number, header: [bigint, number]) => {
    const ring = new RingBuilder(16).records(1, 2).record({ lsn: 3, nanos, seq });
    const [timeNanos, timeSeq] = header;
    const verdict = recover(ring.build(), makeHeader({ capacity: 16, durable: 2, timeNanos, timeSeq }), true);
    return [verdict.timeNanos, verdict.timeSeq];
  };
  assertEquals(at(50n, 1, [40n, 9]), [50n, 1]);
  assertEquals(at(50n, 1, [50n, 9]), [50n, 9]);
  assertEquals(at(50n, 9, [50n, 1]), [50n, 9]);
  assertEquals(at(2n ** 64n - 1n, 9, [2n ** 63n, 1]), [2n ** 64n - 1n, 9]);
});

test("recover() changes nothing, and says the same twice", () => {
  const ring = secondLap().put(LSN, torn({ lsn: LSN })).record({ lsn: 14 });
  const slots = ring.build();
  const before = new Uint8Array(slots.view.buffer).slice();
  const header = makeHeader({ capacity: CAPACITY, tail: TAIL, durable: LSN - 1 });
  assertEquals(recover(slots, header, true), recover(slots, header, true));
  assertEquals([...new Uint8Array(slots.view.buffer)], [...before]);
});

// Any history.

/** What a crash leaves of a record that was not acknowledged. */
const fate = fc.constantFrom("whole", "whole", "whole", "torn", "lost");

const history = fc.record({
  capacity: fc.integer({ min: 4, max: 24 }),
  laps: fc.nat(3),
  kept: fc.nat(24),
  unacknowledged: fc.array(fc.record({ fate, batchEnds: fc.boolean() }), { maxLength: 24 }),
  headerLag: fc.nat(5),
});

test("recover() returns after any crash all that was acknowledged, a whole-batch prefix of the rest, and no damage", () => {
  fc.assert(fc.property(history, ({ capacity, laps, kept, unacknowledged, headerLag }) => {
    const durable = laps * capacity + 7;
    const tail = durable - Math.min(kept, capacity - 1) + 1 > 0
      ? durable - Math.min(kept, capacity - 1, durable) + 1
      : 1;
    const room = capacity - (durable - tail + 1);
    const fates = unacknowledged.slice(0, room);
    const ring = new RingBuilder(capacity).records(1, durable);
    let head = durable + 1;
    let isGapless = true;
    fates.forEach(({ fate, batchEnds }, i) => {
      const lsn = durable + 1 + i;
      const ends = batchEnds || i === fates.length - 1;
      const record = { lsn, flags: ends ? 0 : 1, distance: lsn - durable };
      if (fate === "whole") ring.record(record);
      else if (fate === "torn") ring.put(lsn, torn(record));
      isGapless &&= fate === "whole";
      if (isGapless && ends) head = lsn + 1;
    });
    const header = makeHeader({ capacity, tail, durable: Math.max(tail - 1, durable - headerLag) });
    const slots = ring.build();
    const verdict = recover(slots, header, true);
    assertEquals([verdict.tail, verdict.head, verdict.damaged], [tail, head, []]);
    // After the debris is erased, no slot past the end verifies, and recovery finds nothing more.
    for (const slot of verdict.debris) slots.erase(slot);
    for (let lsn = head; lsn < tail + capacity; lsn++) {
      assertEquals(slots.verify((lsn - 1) % capacity, lsn), SlotState.Other);
    }
    const again = recover(slots, header, true);
    assertEquals([again.head, again.torn, again.phantoms, again.debris], [head, 0, 0, []]);
  }));
});

test("recover() reports damage to any record that a later one remembers as durable, and to no other", () => {
  fc.assert(
    fc.property(fc.nat(40), fc.uniqueArray(fc.nat(11), { minLength: 1, maxLength: 6 }), (first, broken) => {
      const tail = first + 1;
      const ring = new RingBuilder(16).records(1, tail + 11);
      for (const index of broken) ring.put(tail + index, torn({ lsn: tail + index }));
      const verdict = recover(ring.build(), makeHeader({ capacity: 16, tail, durable: tail - 1 }), true);
      const lsns = new Set(broken.map((index) => tail + index));
      // Each record remembers the one before it.
      let proved = 0;
      for (let lsn = tail; lsn < tail + 12; lsn++) if (!lsns.has(lsn)) proved = lsn - 1;
      const expected = [...lsns].filter((lsn) => lsn <= proved).sort((a, b) => a - b);
      const found = verdict.damaged.flatMap(({ first, last }) =>
        Array.from({ length: last - first + 1 }, (_, i) => first + i)
      );
      assertEquals(found, expected);
    }),
  );
});
