// Fault: only crashes between calls; the subject is what any sequence of calls leaves (H3, H8, H29,
//   H30).
// Promise: the log is an array of records with a tail, a head and a durable mark, over any calls,
//   reopenings and laps (G1, G2, G3, G11).
// Method: random calls on a log of 768 slots and on a plain array. MODEL_SEED takes another seed,
//   MODEL_RUNS does more runs.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import process from "node:process";
import { type ApplicationOpType, OpType, type Store, type WAL, WALFullError, type WALRecord } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { BATCH_OPCODES, batchItem, CAPACITY, openOn } from "./support/logs.ts";
import { seedOf } from "./support/share.ts";
import { test } from "./support/test.ts";

const SEED = Number(process.env["MODEL_SEED"] ?? seedOf(20262));
const RUNS = Number(process.env["MODEL_RUNS"] ?? 100);

/** What a record says, and to which batch it belongs. */
interface Entry {
  readonly fields: readonly [opType: number, keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint];
  readonly batch: number;
}

/** The log as an array: the entry of an LSN is at LSN − 1. */
interface Model {
  readonly entries: Entry[];
  tail: number;
  /** True once a consumer is registered. Then what its store has makes room in a full log. */
  hasConsumer: boolean;
  durable: number;
  batches: number;
}

interface Real {
  readonly disk: SimulatedDisk;
  wal: WAL;
}

type Command = fc.AsyncCommand<Model, Real>;

const MAX = 2n ** 64n - 1n;
const u64 = fc.oneof(fc.constantFrom(0n, 1n, 2n ** 63n, MAX), fc.bigInt(0n, MAX));
const pair = fc.tuple(u64, u64, u64, u64);

function head(model: Model): number {
  return model.entries.length + 1;
}

/** The LSN that ends the batch of a record. */
function endOfBatch({ entries }: Model, lsn: number): number {
  while (lsn < entries.length && entries[lsn]!.batch === entries[lsn - 1]!.batch) lsn++;
  return lsn;
}

function push(model: Model, records: readonly Entry["fields"][]): void {
  const batch = ++model.batches;
  for (const fields of records) model.entries.push({ fields, batch });
}

/**
 * A checkpoint. The model does not care which LSN it names, as long as that LSN is an earlier one.
 */
const CHECKPOINT: Entry["fields"] = [OpType.Checkpoint, 0n, 0n, 0n, 0n];

function fieldsOf({ lsn, opType, keyHigh, keyLow, valueHigh, valueLow }: WALRecord): Entry["fields"] {
  if (opType === OpType.Checkpoint) {
    assert(valueLow < BigInt(lsn));
    return CHECKPOINT;
  }
  return [opType, keyHigh, keyLow, valueHigh, valueLow];
}

/** Compares positions after each command; contents too where the log was opened. */
function check(model: Model, { wal }: Real, contents: boolean): void {
  assertEquals([wal.tail, wal.head, wal.length], [model.tail, head(model), head(model) - model.tail]);
  assert(wal.durable >= model.durable && wal.durable < wal.head);
  assert(wal.tail - 1 <= wal.applied && wal.applied <= wal.durable && wal.length <= wal.capacity);
  model.durable = wal.durable;
  if (contents) {
    assertEquals(
      wal.replay().map(fieldsOf),
      model.entries.slice(model.tail - 1).map(({ fields }) => fields),
    );
  }
}

function command(name: string, run: (model: Model, real: Real) => void | Promise<void>, contents = false): Command {
  return {
    check: () => true,
    async run(model, real) {
      await run(model, real);
      check(model, real, contents);
    },
    toString: () => name,
  };
}

/** Appends, where there is room; where not, the call must fail whole. */
async function append(
  model: Model,
  wal: WAL,
  records: readonly Entry["fields"][],
  call: () => unknown,
): Promise<void> {
  const inTheWay = head(model) + records.length - 1 - CAPACITY;
  const isReleased = inTheWay < model.tail;
  const isApplied = !isReleased && model.hasConsumer && endOfBatch(model, inTheWay) <= wal.applied;
  let error: unknown = null;
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  if (!isReleased && !isApplied) {
    assert(error instanceof WALFullError, String(error));
    return;
  }
  if (error !== null) throw error;
  push(model, records);
  if (isReleased) return;
  assert(wal.tail > inTheWay && wal.tail <= wal.applied + 1, "only what the store has makes room");
  assertEquals(wal.tail, endOfBatch(model, wal.tail - 1) + 1, "whole batches make room");
  model.tail = wal.tail;
}

type Pair = readonly [bigint, bigint, bigint, bigint];

function appendOne(opType: number, values: Pair, sync: boolean): Command {
  const [a, b, c, d] = values;
  const fields = [opType, a, b, opType === OpType.Delete ? 0n : c, opType === OpType.Delete ? 0n : d] as const;
  return command(`append ${opType} ${values}${sync ? " sync" : ""}`, async (model, { wal }) => {
    await append(model, wal, [fields], () => {
      if (opType === OpType.Insert) return sync ? wal.logInsertSync(a, b, c, d) : wal.logInsert(a, b, c, d);
      if (opType === OpType.Delete) return sync ? wal.logDeleteSync(a, b) : wal.logDelete(a, b);
      if (opType === OpType.DeleteValue) {
        return sync ? wal.logDeleteValueSync(a, b, c, d) : wal.logDeleteValue(a, b, c, d);
      }
      if (opType === OpType.Replace) return sync ? wal.logReplaceSync(a, b, c, d) : wal.logReplace(a, b, c, d);
      const code = opType as ApplicationOpType;
      return sync ? wal.logOperationSync(code, a, b, c, d) : wal.logOperation(code, a, b, c, d);
    });
    if (!sync && wal.head === head(model) && model.entries.at(-1)?.fields === fields) {
      assertEquals(wal.durable, wal.head - 1, "what was awaited is durable");
    }
  });
}

function appendBatch(count: number, isInsert: boolean, sync: boolean): Command {
  return command(
    `batch of ${count} ${isInsert ? "inserts" : "deletes"}${sync ? " sync" : ""}`,
    async (model, { wal }) => {
      const keys = Array.from({ length: count }, (_, i) => BigInt(head(model) + i));
      const inserts = keys.map((key) => [key, MAX - key, key, key] as const);
      const deletes = keys.map((key) => [key, MAX - key] as const);
      const records = keys.map((key) =>
        isInsert ? [OpType.Insert, key, MAX - key, key, key] as const : [OpType.Delete, key, MAX - key, 0n, 0n] as const
      );
      await append(model, wal, records, () => {
        if (isInsert) return sync ? wal.batchInsertSync(inserts) : wal.batchInsert(inserts);
        return sync ? wal.batchDeleteSync(deletes) : wal.batchDelete(deletes);
      });
    },
  );
}

/** A batch of all operations in turn, in both forms. */
function appendMixed(count: number, sync: boolean): Command {
  return command(`batch of ${count} of all operations${sync ? " sync" : ""}`, async (model, { wal }) => {
    const records = Array.from({ length: count }, (_, i): Entry["fields"] => {
      const opType = BATCH_OPCODES[(head(model) + i) % BATCH_OPCODES.length]!;
      const key = BigInt(head(model) + i);
      return opType === OpType.Delete ? [opType, key, MAX - key, 0n, 0n] : [opType, key, MAX - key, key, key];
    });
    const items = records.map(([opType, ...halves], i) => batchItem(opType as OpType, halves, i % 2 === 0));
    await append(model, wal, records, () => sync ? wal.batchSync(items) : wal.batch(items));
  });
}

/** The LSN up to which whole batches are released. */
function release(model: Model, through: number): void {
  let last = Math.min(through, model.entries.length);
  while (
    last >= model.tail && last < model.entries.length && model.entries[last]!.batch === model.entries[last - 1]!.batch
  ) {
    last--;
  }
  model.tail = Math.max(model.tail, last + 1);
}

const truncate = (part: number) =>
  command(`truncate ${part}`, (model, { wal }) => {
    const through = Math.floor(wal.durable * part);
    wal.truncate(through);
    release(model, through);
  });

const checkpoint = (part: number) =>
  command(`checkpoint ${part}`, (model, { wal }) => {
    const through = Math.floor((wal.head - 1) * part);
    if (wal.length === CAPACITY) return; // what it frees then is another test's matter
    wal.checkpoint(through);
    push(model, [CHECKPOINT]);
  });

const reopen = (how: "close" | "power" | "kill", options: { verify: boolean }) =>
  command(`reopen after ${how}`, (model, real) => {
    const { disk } = real;
    const durable = real.wal.durable;
    if (how === "close") real.wal.close();
    else disk.crash({ mode: how });
    real.wal = openOn(disk, { ...options, flush: "inline" });
    const { wal } = real;
    assertEquals(wal.recovery.clean, how === "close");
    if (how !== "power") assertEquals(wal.head, head(model));
    // Lost are whole batches that were not durable; a tail that was not written may be back.
    assert(wal.head > durable && wal.head <= head(model), `head ${wal.head} after durable ${durable}`);
    const { entries } = model;
    assert(wal.head === head(model) || wal.head === 1 || entries[wal.head - 1]!.batch !== entries[wal.head - 2]!.batch);
    entries.length = wal.head - 1;
    assert(wal.tail <= model.tail);
    model.tail = wal.tail;
    model.durable = wal.head - 1;
  }, true);

const consume = (batchSize: number) =>
  command(`consume by ${batchSize}`, async (model, real) => {
    const { wal } = real;
    const first = wal.applied + 1;
    const found: WALRecord[] = [];
    const store: Store = { applyBatch: (records) => void found.push(...records) };
    const stop = new AbortController();
    const last = wal.head - 1;
    const consuming = wal.consumeAsync(store, { batchSize, signal: stop.signal });
    await wal.whenApplied(last);
    stop.abort();
    await consuming;
    const expected = model.entries
      .map(({ fields }, i) => [i + 1, ...fields] as const)
      .filter(([lsn, opType]) => lsn >= first && opType !== OpType.Checkpoint);
    assertEquals(found.map((record) => [record.lsn, ...fieldsOf(record)] as const), expected);
    // The consumer itself wrote checkpoints. Some of them are released already, but a crash may
    // bring them back.
    while (head(model) < wal.head) push(model, [CHECKPOINT]);
    model.hasConsumer = true;
    assert(wal.tail <= wal.applied + 1);
    model.tail = wal.tail;
  });

const commands: fc.Arbitrary<Command>[] = [
  fc.tuple(fc.integer({ min: 1, max: 3 }), pair, fc.boolean()).map((values) => appendOne(...values)),
  fc.tuple(fc.integer({ min: 0, max: 400 }), fc.boolean(), fc.boolean()).map((values) => appendBatch(...values)),
  fc.tuple(fc.integer({ min: 0, max: 40 }), fc.boolean(), fc.boolean()).map((values) => appendBatch(...values)),
  fc.tuple(fc.integer({ min: 0, max: 100 }), fc.boolean()).map((values) => appendMixed(...values)),
  fc.constant(command("flush", (_model, { wal }) => {
    wal.flush();
    assertEquals(wal.durable, wal.head - 1);
  })),
  fc.constant(command("flushAsync", async (_model, { wal }) => {
    await wal.flushAsync();
    assertEquals(wal.durable, wal.head - 1);
  })),
  fc.double({ min: 0, max: 1, noNaN: true }).map((part) =>
    command(`whenDurable ${part}`, async (_model, { wal }) => {
      const lsn = Math.floor((wal.head - 1) * part);
      await wal.whenDurable(lsn);
      assert(wal.durable >= lsn);
    })
  ),
  fc.double({ min: 0, max: 1, noNaN: true }).map(truncate),
  fc.constant(truncate(1)),
  fc.double({ min: 0, max: 1, noNaN: true }).map(checkpoint),
  fc.tuple(fc.constantFrom<"close" | "power" | "kill">("close", "power", "kill"), fc.record({ verify: fc.boolean() }))
    .map((values) => reopen(...values)),
  fc.integer({ min: 1, max: 300 }).map(consume),
  fc.constant(command("replay", () => {}, true)),
];

test(`WAL does what an array would (MODEL_SEED=${SEED})`, async () => {
  let laps = 0;
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 120, size: "max" }), async (sequence) => {
      const disk = new SimulatedDisk();
      const real: Real = { disk, wal: openOn(disk, { flush: "inline" }) };
      const model: Model = { entries: [], tail: 1, hasConsumer: false, durable: 0, batches: 0 };
      await fc.asyncModelRun(() => ({ model, real }), sequence);
      laps += real.wal.head / CAPACITY;
      real.wal.close();
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assert(RUNS < 20 || laps > RUNS, `${laps} laps in ${RUNS} runs`);
});
