// Fault: a follower copies a slot while the writer stores a record into it, so the copy has words
//   of both (H64). Or headers are torn (H65), or the slots are used again (H66).
// Promise: no record is shown that was not appended, and a released one that is overwritten is
//   WALLaggedError, not damage (G19).
// Method: files whose bytes change under the copy. Of one slot, pairs of states that the first
//   and the second part of a copy can see, and places where the parts meet.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import type { ReadableFile, ReadingSystem } from "../../ffi/readable_file.ts";
import { diskStorage } from "../../ffi/storage.ts";
import { WAL, WALLaggedError, type WALRecord } from "../../mod.ts";
import { takeFollowing } from "../../src/arguments/follow.ts";
import { Follower } from "../../src/follow/follower.ts";
import { HEADER_AT, HEADER_BYTES, RECORD_BYTES, RING_AT } from "../../src/format/layout.ts";
import type { FollowOptions } from "../../src/types.ts";
import { items } from "../support/logs.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const WORDS = RECORD_BYTES / 4;

/** A file in memory, whose bytes a test decides for each read. */
function followBytes(sizeBytes: number, read: (offset: number, into: Uint8Array) => void, options: FollowOptions) {
  const file: ReadableFile = {
    path: "/log",
    owner: 0,
    sizeBytes,
    read(offset, into) {
      read(offset, into);
      return into.length;
    },
    size: () => sizeBytes,
    fileSystem: () => null,
    pathState: () => "same",
    close() {},
  };
  const reading: ReadingSystem = { open: () => file, openIfThere: () => null, watch: () => null };
  return new Follower("/log", takeFollowing(options), { reading, storage: diskStorage });
}

/** A file before and after one more record is appended, over an old one in its slot. */
function beforeAndAfter(): { before: Uint8Array; after: Uint8Array; slot: number; old: WALRecord; last: WALRecord } {
  using directory = tempDir();
  using wal = WAL.open(directory.join("log"), { size: 65536, idleHeaderDelayMs: Infinity });
  wal.batchInsertSync(items(1, 350));
  wal.batchInsertSync(items(351, 350));
  wal.flush();
  const old = wal.replay()[5]!;
  wal.truncate(700);
  wal.batchInsertSync(items(701, 73));
  wal.flush();
  const before = new Uint8Array(fs.readFileSync(wal.path!));
  wal.logInsertSync(774, 775, 776, 777);
  wal.flush();
  assertEquals([wal.head - 1, old.lsn], [774, 6]);
  return { before, after: new Uint8Array(fs.readFileSync(wal.path!)), slot: 5, old, last: wal.replay().at(-1)! };
}

/** The slot after the first words, in the writer's order, are stored. */
function states(before: Uint8Array, after: Uint8Array, order: readonly number[]): Uint8Array[] {
  const state = before.slice();
  const found = [state.slice()];
  for (const word of order) {
    state.set(after.subarray(4 * word, 4 * word + 4), 4 * word);
    found.push(state.slice());
  }
  return found;
}

const FIELDS = Array.from({ length: WORDS - 1 }, (_, index) => index + 1);
const ORDERS: readonly (readonly number[])[] = [[...FIELDS, 0], [0, ...FIELDS.toReversed()]];

test("Follower shows no mixture of two records, whatever words of a slot its copy has of each", () => {
  const { before, after, slot, old, last } = beforeAndAfter();
  const at = RING_AT + slot * RECORD_BYTES;
  const [oldText, lastText] = [JSON.stringify(old), JSON.stringify(last)];
  const tally = { old: 0, lagged: 0, none: 0, last: 0 };
  for (const order of ORDERS) {
    const all = states(before.subarray(at, at + RECORD_BYTES), after.subarray(at, at + RECORD_BYTES), order);
    for (const [early, first] of all.entries()) {
      for (const second of all.slice(early)) {
        for (let cut = 0; cut < WORDS; cut += early === 0 ? 2 : 7) {
          const bytes = before.slice();
          bytes.set(first.subarray(0, 4 * cut), at);
          bytes.set(second.subarray(4 * cut), at + 4 * cut);
          const read = (offset: number, into: Uint8Array) => into.set(bytes.subarray(offset, offset + into.length));
          using follower = followBytes(bytes.length, read, { mode: "appended" });
          const newest = [...follower.records({ from: 770 })].at(-1)!;
          if (newest.lsn === 774) assertEquals(JSON.stringify(newest), lastText);
          else assertEquals(newest.lsn, 773);
          tally[newest.lsn === 774 ? "last" : "none"]++;
          try {
            const [record] = follower.records({ from: 6, to: 6 });
            assertEquals(JSON.stringify(record), oldText);
            tally.old++;
          } catch (error) {
            assert(error instanceof WALLaggedError, String(error));
            tally.lagged++;
          }
        }
      }
    }
  }
  for (const [what, count] of Object.entries(tally)) assert(count > 0, `${what} was seen`);
});

test("Follower reads on while the writer stores a header, and while both copies are torn for a moment", () => {
  const { before } = beforeAndAfter();
  for (const copies of [[0], [1], [0, 1]]) {
    let looks = 0;
    const read = (offset: number, into: Uint8Array) => {
      into.set(before.subarray(offset, offset + into.length));
      if (offset !== 0 || into.length < HEADER_BYTES) return;
      // Torn at each other look, so that the next one is whole.
      if (++looks % 2 === 0) return;
      for (const copy of copies) into[HEADER_AT[copy as 0 | 1] + 50]! ^= 0xff;
    };
    using follower = followBytes(before.length, read, { mode: "appended" });
    for (let i = 0; i < 5; i++) assertEquals([...follower.records({ from: 770 })].length, 4, `copies ${copies}`);
  }
});

test("Follower tells overwritten records from damaged ones, at each record", () => {
  const { before, old } = beforeAndAfter();
  // Slots of LSN 1 to 73 hold 769 and on; the rest of the first lap is still there.
  const read = (offset: number, into: Uint8Array) => into.set(before.subarray(offset, offset + into.length));
  using follower = followBytes(before.length, read, { mode: "appended" });
  for (let from = 1; from <= 5; from++) {
    const error = assertThrows(() => [...follower.records({ from, to: 700 })], WALLaggedError);
    assertEquals([error.firstLsn, error.lastLsn], [from, 700]);
  }
  assertEquals([...follower.records({ from: 6, to: 700 })].length, 695);
  assertEquals(old.lsn, 6);
});

test("Follower that is lapped within a run names all records that its caller lacks", async () => {
  const { before } = beforeAndAfter();
  const bytes = before.slice();
  // As if the writer had used this slot again, after the slots before it were copied.
  bytes.fill(0, RING_AT + 299 * RECORD_BYTES, RING_AT + 300 * RECORD_BYTES);
  const read = (offset: number, into: Uint8Array) => into.set(bytes.subarray(offset, offset + into.length));
  using follower = followBytes(bytes.length, read, { mode: "appended", from: 6 });
  const given: number[] = [];
  const iterate = async () => {
    for await (const { lsn } of follower) given.push(lsn);
  };
  const errors = [
    assertThrows(() => given.push(...Array.from(follower.records({ from: 6 }), ({ lsn }) => lsn)), WALLaggedError),
    await assertRejects(iterate, WALLaggedError),
  ];
  for (const { firstLsn, lastLsn } of errors) assertEquals([firstLsn, lastLsn, given], [6, 700, []]);
});
