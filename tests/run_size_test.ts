// The length of runs: short enough for the event loop, long enough for a store whose transactions
// have a cost of their own.

import { assert, assertEquals } from "@std/assert";
import { TURN_BUDGET_MS } from "../ffi/turn.ts";
import { RunSize } from "../src/consume/run_size.ts";
import { test } from "./support/test.ts";

const MOST = 1024;

/** Applies runs to a store, and times them by a function. @returns the length of each. */
function runs(size: RunSize, count: number, takesMs: (records: number, run: number) => number): number[] {
  return Array.from({ length: count }, (_, run) => {
    const { records } = size;
    size.note(records, takesMs(records, run));
    return records;
  });
}

test("RunSize grows from a few records to the most that were asked for, while the store is fast", () => {
  const lengths = runs(new RunSize(MOST), 12, (records) => 0.0001 * records);
  assertEquals(lengths.slice(0, 8), [16, 32, 64, 128, 256, 512, 1024, 1024]);
  assertEquals(runs(new RunSize(5), 3, () => 0), [5, 5, 5]);
});

test("RunSize makes runs short for a slow store, so that they hold the event loop for little more than a turn", () => {
  for (const eachMs of [0.002, 0.02, 0.2, 1]) {
    const lengths = runs(new RunSize(MOST), 200, (records) => eachMs * records);
    const most = Math.max(...lengths.slice(8));
    assert(most * eachMs <= 2 * TURN_BUDGET_MS, `${eachMs} ms a record: runs of ${most}`);
    assert(most * eachMs >= TURN_BUDGET_MS / 2 || most === MOST, `${eachMs} ms a record: runs of ${most}`);
  }
  assertEquals(runs(new RunSize(MOST), 200, (records) => 50 * records).at(-1), 1);
});

test("RunSize does not shrink if the transaction takes most of a run's time", () => {
  for (const transactionMs of [1, 5, 50]) {
    const takesMs = (records: number) => transactionMs + 0.002 * records;
    const lengths = runs(new RunSize(MOST), 400, takesMs);
    const last = lengths.slice(-100);
    const records = last.reduce((sum, length) => sum + length, 0);
    const ms = last.reduce((sum, length) => sum + takesMs(length), 0);
    const best = takesMs(MOST) / MOST;
    assert(ms / records <= 1.5 * best, `${transactionMs} ms: ${ms / records} ms a record, ${best} in the longest runs`);
  }
});

test("RunSize follows a store that gets slower or faster, and one long run changes little", () => {
  const size = new RunSize(MOST);
  runs(size, 50, (records) => 0.0002 * records);
  assertEquals(size.records, MOST);
  const slow = runs(size, 20, (records) => 0.2 * records);
  assert(slow.at(-1)! <= 12, `${slow}`);
  size.note(size.records, 40); // a collection of garbage, say
  assert(Math.max(...runs(size, 20, (records) => 0.2 * records)) <= 24);
  runs(size, 50, (records) => 0.0002 * records);
  assertEquals(size.records, MOST);
});

test("RunSize keeps the next runs long after one that took long by chance", () => {
  const size = new RunSize(MOST);
  runs(size, 5, (records) => 0.0001 * records);
  size.note(size.records, 1);
  assertEquals(runs(size, 1, (records) => 0.0001 * records), [MOST]);
  const slow = runs(size, 10, (records) => 0.15 * records);
  assert(slow.slice(2).every((records) => records <= 32), `${slow}`);
});

test("RunSize does not grow by a whole batch that is longer than the run", () => {
  const size = new RunSize(MOST);
  for (let run = 0; run < 20; run++) size.note(1000, 5);
  const { records } = size;
  assert(records <= 16, `${records}`);
  for (let run = 0; run < 20; run++) size.note(size.records, 0.001);
  assertEquals(size.records, MOST);
});
