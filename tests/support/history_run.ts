// Runs a history on a simulated disk against its model. It runs the same way each time, because
// time is simulated too.

import { OpType, WAL, WALFullError, WALTooSmallError } from "../../mod.ts";
import type { AskedRecord, RecordContent } from "../../src/testing/asked_records.ts";
import { halvesToBytes } from "../../src/keys.ts";
import type { LogModel } from "../../src/testing/log_model.ts";
import { BrokenPromiseError, Random } from "../../testing.ts";
import type { History, Single, Step } from "./history.ts";
import { all, HistoryMachine } from "./history_machine.ts";
import { Tally } from "./history_tally.ts";
import { BATCH_OPCODES, batchItem } from "./logs.ts";

const COPY = "/sim/copy";
const WATCHDOG_MS = 120_000;
const OP_TYPES = {
  insert: OpType.Insert,
  delete: OpType.Delete,
  deleteValue: OpType.DeleteValue,
  replace: OpType.Replace,
  operation: 44, // has the bit of a checkpoint's opcode
} as const;

/** A failure, with what led to it. */
export class HistoryFailure extends Error {
  override name = "HistoryFailure";
  readonly history: History;
  readonly at: number;
  readonly trace: string;

  constructor(history: History, at: number, trace: string, cause: unknown) {
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(reason, { cause });
    this.history = history;
    this.at = at;
    this.trace = trace;
  }
}

/** @throws {HistoryFailure} if the log breaks a promise, or does what nobody expects. */
export async function runHistory(history: History, tally: Tally = new Tally()): Promise<void> {
  const restoreTime = simulateTime(history.seed);
  const run = new Run(history, tally);
  let watchdog: ReturnType<typeof setTimeout> | undefined;
  const hang = new Promise<never>((_, reject) => {
    watchdog = setTimeout(() => reject(new Error(`the step did not end within ${WATCHDOG_MS} ms`)), WATCHDOG_MS);
  });
  try {
    await Promise.race([run.all(), hang]);
  } catch (error) {
    throw new HistoryFailure(history, run.at, run.machine.disk.describe(40), error);
  } finally {
    clearTimeout(watchdog);
    run.machine.testify();
    run.machine.bury();
    restoreTime();
  }
  tally.histories++;
}

/** The monotonic clock decides when a log checks its file and gives way to others. */
function simulateTime(seed: number): () => void {
  const random = new Random(seed).fork("time");
  let now = 0;
  const value = () => now += random.below(200) === 0 ? 6 : 0.01;
  const own = Object.getOwnPropertyDescriptor(performance, "now");
  Object.defineProperty(performance, "now", { value, configurable: true, writable: true });
  return () => {
    // On Deno it is inherited, on Bun it is its own.
    if (own === undefined) delete (performance as { now?: unknown }).now;
    else Object.defineProperty(performance, "now", own);
  };
}

/** The steps of a history, done to a machine. */
class Run {
  readonly machine: HistoryMachine;
  readonly #steps: readonly Step[];
  readonly #tally: Tally;
  readonly #model: LogModel;
  #wrapped = false;
  /** The step that is being done. */
  at = 0;

  constructor(history: History, tally: Tally) {
    this.machine = new HistoryMachine(history, tally);
    this.#model = this.machine.model;
    this.#steps = history.steps;
    this.#tally = tally;
  }

  async all(): Promise<void> {
    const { machine } = this;
    machine.open();
    for (const [at, step] of this.#steps.entries()) {
      this.at = at;
      this.#tally.steps++;
      await this.#guarded(step);
      if (!machine.disk.halted) await this.#guarded({ do: "look" });
      if (machine.disk.halted) await machine.crashIfDue();
      machine.check();
    }
    await machine.crashIfDue();
    await machine.stopConsumers();
    await machine.settle();
    machine.check();
    machine.wal.close();
    machine.open();
    await machine.catchUp();
  }

  /** A step may fail with what the log is allowed to fail with. */
  async #guarded(step: Step | { readonly do: "look" }): Promise<void> {
    try {
      await this.#do(step);
    } catch (error) {
      if (!this.machine.isExpected(error)) throw error;
    }
  }

  #observe(): void {
    const { wal } = this.machine;
    if (wal.isOpen) {
      this.#model.observe(wal);
      this.machine.lookAtConsumers();
    }
    this.machine.follow();
    if (wal.head - 1 > wal.capacity && !this.#wrapped) {
      this.#wrapped = true;
      this.#tally.met("H3");
    }
  }

  async #do(step: Step | { readonly do: "look" }): Promise<void> {
    const { wal } = this.machine;
    switch (step.do) {
      case "look":
        return this.#observe();
      case "insert":
      case "delete":
      case "deleteValue":
      case "replace":
      case "operation": {
        const calls = Array.from({ length: step.count }, () => this.#append(step.do));
        if (step.wait) await all(calls);
        return;
      }
      case "insertSync":
        for (let i = 0; i < step.count; i++) {
          const asked = this.#ask([OpType.Insert]);
          const item = toItem(asked[0]!);
          if (isInBytes(asked)) wal.logInsertSync(...toBytes(item));
          else wal.logInsertSync(...item);
        }
        return;
      case "batch":
        return await this.#batch(step);
      case "fillTo":
        return this.#fillTo(step.slot);
      case "flush":
        wal.flush();
        return this.#model.noteDurable(wal.head - 1);
      case "flushAsync": {
        const last = wal.head - 1;
        await wal.flushAsync();
        return this.#model.noteDurable(last);
      }
      case "whenDurable": {
        const lsn = wal.durable + Math.ceil((wal.head - 1 - wal.durable) * step.part);
        await wal.whenDurable(lsn);
        return this.#model.noteDurable(lsn);
      }
      case "truncate":
      case "checkpoint":
        return this.#release(step);
      case "settle":
        return await this.machine.settle();
      case "turns":
        for (let i = 0; i < step.count; i++) {
          await (i % 3 === 2 ? new Promise((resolve) => setImmediate(resolve)) : null);
        }
        return;
      case "consume":
        return this.machine.consume(this.machine.consumer(step.consumer), step.fills);
      case "stop":
        return await this.machine.consumer(step.consumer)?.stop();
      case "drop": {
        const consumer = this.machine.consumer(step.consumer);
        await consumer?.stop();
        return consumer?.drop(wal, step.fills);
      }
      case "storeFails": {
        const consumer = this.machine.consumer(step.consumer);
        if (consumer !== undefined) consumer.store.failsIn = step.after;
        return;
      }
      case "storeSyncFails": {
        const consumer = this.machine.consumer(step.consumer);
        if (consumer !== undefined) consumer.store.syncFailsIn = step.after;
        return;
      }
      case "writeBack":
        return this.machine.disk.writeBackSome();
      case "failSync":
        return this.machine.failSync(step);
      case "clock":
        if (step.ms < 0) this.#tally.met("H32");
        return this.machine.disk.clock.advance(step.ms);
      case "read":
        return this.#model.checkPrefix(wal);
      case "backup":
        return this.#backup();
      case "resize":
        return this.#resize(step.size);
      case "reopen":
        return await this.machine.reopen();
      case "rot":
        return await this.machine.rot(step.slot, step.bit);
      case "crash":
        await this.machine.crashIfDue();
        this.machine.planCrash(step);
        if (step.inCalls === 0) await this.machine.crashIfDue();
    }
  }

  // Appending.

  /** Asks for records that no other one repeats, of these operations in turn. */
  #ask(opTypes: readonly OpType[], count = 1): readonly AskedRecord[] {
    const first = this.#model.asked.count + 1;
    return this.#model.asked.ask(Array.from({ length: count }, (_, i): RecordContent => {
      const number = BigInt(first + i);
      const opType = opTypes[i % opTypes.length]!;
      return opType === OpType.Delete
        ? { opType, keyHigh: BigInt(opType), keyLow: number, valueHigh: 0n, valueLow: 0n }
        : { opType, keyHigh: BigInt(opType), keyLow: number, valueHigh: (1n << 63n) | number, valueLow: number };
    }));
  }

  #append(what: Single): Promise<void> {
    const asked = this.#ask([OP_TYPES[what]]);
    const item = toItem(asked[0]!);
    return this.machine.watch(this.#log(what, isInBytes(asked) ? toBytes(item) : item), asked);
  }

  #log(what: Single, given: Item | ReturnType<typeof toBytes>): Promise<void> {
    const { wal } = this.machine;
    const pair = given as Item; // each method takes both forms
    switch (what) {
      case "insert":
        return wal.logInsert(...pair);
      case "delete":
        return wal.logDelete(...pair.slice(0, pair.length / 2) as [bigint, bigint]);
      case "deleteValue":
        return wal.logDeleteValue(...pair);
      case "replace":
        return wal.logReplace(...pair);
      case "operation":
        return wal.logOperation(OP_TYPES.operation, ...pair);
    }
  }

  async #batch({ how, count, wait }: Extract<Step, { do: "batch" }>): Promise<void> {
    const { wal } = this.machine;
    if (how === "mixed" || how === "mixedSync") {
      this.#tally.met("H56");
      const asked = this.#ask(BATCH_OPCODES, count);
      const mixed = asked.map(({ content, number }) => batchItem(content.opType, toItem({ content }), number % 5 < 2));
      if (how === "mixedSync") return void wal.batchSync(mixed);
      const watched = this.machine.watch(wal.batch(mixed), asked);
      return wait ? await watched : undefined;
    }
    const asked = this.#ask([how === "delete" ? OpType.Delete : OpType.Insert], count);
    const items = asked.map(toItem);
    const ids = items.map(toBytes).flatMap(([key, value]) => how === "delete" ? [...key] : [...key, ...value]);
    const packed = isInBytes(asked) ? Uint8Array.from(ids) : null;
    if (how === "sync") {
      wal.batchInsertSync(packed ?? items);
      return;
    }
    const call = how === "insert"
      ? wal.batchInsert(packed ?? items)
      : wal.batchDelete(packed ?? items.map(([keyHigh, keyLow]) => [keyHigh, keyLow] as const));
    const watched = this.machine.watch(call, asked);
    if (wait) await watched;
  }

  /** The caller says what stores have. A consumer's store may not have it. */
  #release(step: Extract<Step, { readonly part: number }>): void {
    const { wal, consumers } = this.machine;
    // While a consumer begins, nobody knows yet what its store has.
    const holding = wal.stats().consumers.filter(({ lost }) => !lost).map(({ name }) => name);
    if (consumers.some(({ plan, isRunning }) => isRunning && !holding.includes(plan.name))) return;
    const part = wal.tail - 1 + Math.floor((wal.durable - wal.tail + 1) * step.part);
    // A consumer skips a whole batch. Of one that was cut, the log has only the rest to judge by.
    const through = consumers.some(({ plan }) => plan.skips) ? this.#wholeBatches(part) : part;
    this.#model.release(Math.max(through, this.#model.released));
    const binding = wal.stats().consumers.filter(({ name, lost, running }) => !lost && (name !== "" || running));
    const isRefused = binding.some(({ position, keepRecords }) =>
      through > position || (step.do === "truncate" && through > position - keepRecords && through >= wal.tail)
    );
    // The log knows first that a consumer has ended.
    const hasEnded = holding.includes("") && !binding.some(({ name }) => name === "");
    const unnamed = consumers.find(({ plan, isRunning }) => plan.name === "" && (hasEnded || !isRunning));
    try {
      if (step.do === "truncate") wal.truncate(through);
      else wal.checkpoint(through);
    } catch (error) {
      if (error instanceof RangeError && isRefused) return;
      if (!(error instanceof WALFullError)) unnamed?.standFor(through);
      throw error;
    }
    unnamed?.standFor(through);
    if (isRefused) throw new BrokenPromiseError("G11", `${step.do}() passes a consumer, to LSN ${through} (H59)`);
  }

  /** The last LSN of the last batch that ends at an LSN or before, or the LSN before the tail. */
  #wholeBatches(lsn: number): number {
    const { wal } = this.machine;
    const [next] = lsn < wal.durable ? this.#model.batchOf(lsn + 1) : [];
    return next === undefined || next.lsn > lsn ? lsn : Math.max(wal.tail, next.lsn) - 1;
  }

  /** Appends up to a slot of the ring, and releases what it can. */
  #fillTo(slot: number): void {
    const { wal } = this.machine;
    const { capacity } = wal;
    let count = (slot - (wal.head - 1) % capacity + capacity) % capacity;
    while (count > 0) {
      const now = Math.min(count, 100);
      count -= now;
      wal.batchInsertSync(this.#ask([OpType.Insert], now).map(toItem));
      wal.flush();
      this.#observe();
      if (this.machine.consumers.length === 0) {
        this.#model.release(wal.durable);
        wal.truncate(wal.durable);
      }
    }
  }

  /** A ring that is too small refuses, and else has everything, durably. */
  #resize(size: number): void {
    const { wal } = this.machine;
    this.#observe();
    const [tail, last, before] = [wal.tail, wal.head - 1, wal.size];
    try {
      wal.resize(size);
    } catch (error) {
      if (!(error instanceof WALTooSmallError)) throw error;
      if (error.neededBytes <= size || wal.size !== before) throw error;
      return;
    }
    if (size === before) return;
    this.#tally.met("H57");
    this.#model.noteDurable(last);
    // Its commit may give up consumers that are too far behind, and so release records.
    const isReleased = wal.tail === tail || (wal.tail > tail && wal.stats().consumers.some(({ lost }) => lost));
    if (wal.size !== size || !isReleased || wal.durable < last) {
      throw new BrokenPromiseError("G1", `the log of ${wal.size} bytes has LSN ${wal.tail} to ${wal.durable}`);
    }
  }

  #backup(): void {
    const { disk, options, wal } = this.machine;
    if (disk.exists(COPY)) disk.outsider.unlink(COPY);
    const { first, last } = wal.backup(COPY);
    const copy = WAL.open(COPY, options);
    this.#tally.met("H34");
    this.#model.checkPrefix(copy);
    if (copy.tail !== first || copy.head !== last + 1) {
      throw new BrokenPromiseError("G2", `the copy is ${copy.tail} to ${copy.head - 1}`);
    }
    copy.close();
  }
}

function toItem({ content }: Pick<AskedRecord, "content">): [bigint, bigint, bigint, bigint] {
  const { keyHigh, keyLow, valueHigh, valueLow } = content;
  return [keyHigh, keyLow, valueHigh, valueLow];
}

type Item = ReturnType<typeof toItem>;

/** Whether records are given in bytes, as each second one is. The disk must not notice. */
function isInBytes(asked: readonly AskedRecord[]): boolean {
  return asked[0]!.number % 2 === 1;
}

function toBytes([keyHigh, keyLow, valueHigh, valueLow]: Item): [key: Uint8Array, value: Uint8Array] {
  return [halvesToBytes(keyHigh, keyLow), halvesToBytes(valueHigh, valueLow)];
}
