// The model that every crash test trusts: it finds each log that breaks a promise.

import { assertEquals, assertThrows } from "@std/assert";
import { OpType, type WAL, type WALRecord } from "../mod.ts";
import { recordOf } from "../src/read/stored_record.ts";
import type { RecordContent } from "../src/testing/asked_records.ts";
import { BrokenPromiseError, type PromiseNumber } from "../src/testing/broken_promise.ts";
import { LogModel } from "../src/testing/log_model.ts";
import { test } from "./support/test.ts";

/** The content of the record that stands for a number. */
function content(number: number): RecordContent {
  return { opType: OpType.Insert, keyHigh: 1n, keyLow: BigInt(number), valueHigh: 2n, valueLow: BigInt(number) };
}

const CHECKPOINT: RecordContent = { opType: OpType.Checkpoint, keyHigh: 0n, keyLow: 0n, valueHigh: 0n, valueLow: 1n };

function record(lsn: number, what: RecordContent, time = lsn): WALRecord {
  return recordOf({ lsn, version: 1, time: [BigInt(time), 0, 0], ...what });
}

/** A log that holds these records; `tail` is the LSN of the first. */
function logOf(contents: readonly (RecordContent | WALRecord)[], tail = 1): WAL {
  const records = contents.map((what, i) => "lsn" in what ? what as WALRecord : record(tail + i, what));
  return {
    isOpen: true,
    tail,
    head: tail + records.length,
    length: records.length,
    durable: 0,
    replay: () => records,
    records: ({ from }: { from: number }) => records.filter(({ lsn }) => lsn >= from),
  } as unknown as WAL;
}

/** The contents of the records that stand for some numbers. */
function contents(...numbers: number[]): RecordContent[] {
  return numbers.map(content);
}

/** A model of a log to which each of these calls appended its numbers. */
function asked(...calls: number[][]): LogModel {
  const model = new LogModel();
  for (const numbers of calls) model.asked.ask(contents(...numbers));
  return model;
}

function assertBroken(promise: PromiseNumber, model: LogModel, log: WAL): void {
  const error = assertThrows(() => model.checkRecovered(log), BrokenPromiseError);
  assertEquals(error.promise, promise, error.message);
}

test("LogModel.checkRecovered() takes a gapless prefix in whole batches, also after calls that failed", () => {
  const log = logOf(contents(1, 3, 4));
  const model = asked([1], [2], [3, 4], [5]);
  model.checkRecovered(log);
  assertEquals([model.last, model.data().map(({ keyLow }) => keyLow)], [3, [1n, 3n, 4n]]);
  // Again, as after another crash.
  model.checkRecovered(log);
});

test("LogModel.checkRecovered() finds that a durable or acknowledged record is missing (G1)", () => {
  const durable = asked([1], [2]);
  durable.noteDurable(2);
  assertBroken("G1", durable, logOf(contents(1)));

  const model = new LogModel();
  model.asked.ask(contents(1));
  model.asked.acknowledge(model.asked.ask(contents(2)));
  assertBroken("G1", model, logOf(contents(1)));
});

test("LogModel.checkRecovered() finds a record that was never appended, was moved or was changed (G2)", () => {
  assertBroken("G2", asked([1]), logOf(contents(1, 9)));
  assertBroken("G2", asked([1], [2]), logOf(contents(2, 1)));
  assertBroken("G2", asked([1]), logOf(contents(1, 1)));
  assertBroken("G2", asked([1], [2]), logOf([record(1, content(1)), record(3, content(2))]));

  const appended = new LogModel();
  appended.append(contents(1));
  appended.append(contents(2));
  assertBroken("G2", appended, logOf(contents(2)));

  const seen = asked([1], [2]);
  seen.see(record(1, content(1)));
  assertBroken("G2", seen, logOf(contents(2)));
  const timed = asked([1]);
  timed.see(record(1, content(1), 7));
  assertBroken("G2", timed, logOf(contents(1)));
});

test("LogModel.checkRecovered() finds a batch without its end, middle or beginning (G3)", () => {
  const batch = () => asked([1], [2, 3, 4], [5]);
  assertBroken("G3", batch(), logOf(contents(1, 2, 3)));
  assertBroken("G3", batch(), logOf(contents(1, 2, 4)));
  assertBroken("G3", batch(), logOf(contents(1, 3, 4)));
  assertBroken("G3", batch(), logOf([content(2), CHECKPOINT, content(3), content(4)]));
});

test("LogModel.checkRecovered() finds a record that was discarded by an earlier recovery, or released (G4)", () => {
  const model = asked([1], [2]);
  model.checkRecovered(logOf(contents(1)));
  model.asked.ask(contents(3));
  assertBroken("G4", model, logOf(contents(1, 2)));

  const released = asked([1], [2]);
  released.release(1);
  released.observe(logOf(contents(1, 2)));
  released.checkRecovered(logOf(contents(2), 2));
  assertBroken("G4", released, logOf(contents(1, 2)));
});

test("LogModel.checkRecovered() finds a time that does not go up, unless a caller gave it (G10)", () => {
  assertBroken("G10", asked([1], [2]), logOf([record(1, content(1), 9), record(2, content(2), 8)]));
  assertBroken("G10", asked([1], [2]), logOf([record(1, content(1), 9), record(2, content(2), 9)]));
  const log = logOf([record(1, content(1), 9), record(2, content(2), 9)]);
  const model = new LogModel();
  model.adopt(log);
  model.checkRecovered(log);
});

test("LogModel.checkRecovered() finds that a record is missing that the store had, or that was released too early (G11)", () => {
  const offered = asked([1], [2]);
  offered.noteOffered(2);
  assertBroken("G11", offered, logOf(contents(1)));

  const early = asked([1], [2], [3]);
  early.observe(logOf(contents(1, 2, 3)));
  early.release(1);
  assertBroken("G11", early, logOf(contents(3), 3));

  // A checkpoint of the log's own is released with the records before it, a caller's is not.
  const own = asked([1], [2]);
  own.observe(logOf([content(1), CHECKPOINT, content(2)]));
  own.release(1);
  own.checkRecovered(logOf(contents(2), 3));
  const callers = new LogModel();
  for (const what of [content(1), CHECKPOINT, content(2)]) callers.append([what]);
  callers.release(1);
  assertBroken("G11", callers, logOf(contents(2), 3));
});

test("LogModel.adopt() takes the new records from an LSN on as one batch", () => {
  const model = new LogModel();
  model.adopt(logOf([content(1), content(1), CHECKPOINT, content(2), content(3)]), 4);
  assertEquals([1, 2, 3, 4, 5].map((lsn) => model.partsBatch(lsn)), [false, false, false, true, false]);
  assertEquals([model.isCheckpoint(3), model.lastData(3)], [true, 2]);
  assertBroken("G3", model, logOf([content(1), content(1), CHECKPOINT, content(2)]));
  assertBroken("G2", model.clone(), logOf([content(1), content(9), CHECKPOINT, content(2), content(3)]));
});
