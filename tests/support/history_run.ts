// Runs a history on a simulated disk against its model. The same history runs the same way each time: time is simulated too.

import { OpType, WAL, WALCorruptError, WALError, WALFullError, type WALOptions, WALSyncError } from "../../mod.ts";
import type { AskedRecord, RecordContent } from "../../src/testing/asked_records.ts";
import { LogModel } from "../../src/testing/log_model.ts";
import { BrokenPromiseError, Random, SimulatedDisk } from "../../testing.ts";
import type { Crash, History, Step } from "./history.ts";
import { HistoryStore, StoreFailure } from "./history_store.ts";

const LOG = "/sim/log";
const COPY = "/sim/copy";
const RING_AT = 16384;
const WATCHDOG_MS = 120_000;

/** What histories went through, by hazard. */
export class Tally {
  /** Is told every system call and every verdict of recovery, in order. */
  readonly witness: ((line: string) => void) | null;
  histories = 0;
  steps = 0;
  crashes = 0;
  opens = 0;
  readonly hazards: Map<string, number> = new Map<string, number>();

  constructor(witness: Tally["witness"] = null) {
    this.witness = witness;
  }

  met(hazard: string, times = 1): void {
    this.hazards.set(hazard, (this.hazards.get(hazard) ?? 0) + times);
  }

  /** Counts what another one counted. */
  add(other: Tally): void {
    this.histories += other.histories;
    this.steps += other.steps;
    this.crashes += other.crashes;
    this.opens += other.opens;
    for (const [hazard, times] of other.hazards) this.met(hazard, times);
  }
}

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
    throw new HistoryFailure(history, run.at, run.disk.describe(40), error);
  } finally {
    clearTimeout(watchdog);
    run.testify();
    run.bury();
    restoreTime();
  }
  tally.histories++;
}

/** The monotonic clock decides about looks at the file and turns of the event loop: it must not depend on the machine. */
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

/** One run. */
class Run {
  readonly disk: SimulatedDisk;
  readonly #history: History;
  readonly #tally: Tally;
  readonly #random: Random;
  readonly #options: WALOptions;
  readonly #model = new LogModel();
  readonly #store: HistoryStore | null;
  #wal: WAL | null = null;
  /** Calls that have not settled, and a running consumer's promise among them. */
  #pending: Promise<void>[] = [];
  #failure: unknown = null;
  #consumer: AbortController | null = null;
  #crash: Crash | null = null;
  /** A sync was told to fail since the log was opened. */
  #mayFail = false;
  #wrapped = false;
  /** The last crash was a kill: what is recovered may be in the page cache only. */
  #killed = false;
  #hadPhantoms = false;
  at = 0;

  constructor(history: History, tally: Tally) {
    this.#history = history;
    this.#tally = tally;
    this.disk = new SimulatedDisk(tally.witness === null ? history.disk : { ...history.disk, traceLimit: Infinity });
    this.#random = new Random(history.seed).fork("run");
    this.#store = history.store === null
      ? null
      : new HistoryStore(history.store, this.#model, this.#random.fork("store"));
    this.#options = {
      size: 65536,
      idleHeaderDelayMs: Infinity,
      flush: history.flush,
      verify: history.seed % 4 !== 0,
      storage: this.disk.storage,
      now: this.disk.clock.now,
    };
  }

  async all(): Promise<void> {
    this.#open();
    for (const [at, step] of this.#history.steps.entries()) {
      this.at = at;
      this.#tally.steps++;
      await this.#guarded(step);
      if (!this.disk.halted) await this.#guarded({ do: "look" });
      if (this.disk.halted) await this.#restart();
      if (this.#failure !== null) throw this.#failure;
    }
    await this.#crashNow();
    await this.#stopConsumer();
    await this.#settle();
    if (this.#failure !== null) throw this.#failure;
    this.#wal?.close();
    this.#wal = null;
    this.#open();
  }

  /** Tells the witness what the disk was asked for. */
  testify(): void {
    const { witness } = this.#tally;
    if (witness === null) return;
    for (const { step, call, subject, outcome } of this.disk.trace) witness(`${step} ${call} ${subject}: ${outcome}`);
  }

  bury(): void {
    try {
      this.#wal?.close();
    } catch { /* it may be dead */ }
    this.#wal = null;
  }

  /** A step may fail with what the log is allowed to fail with. */
  async #guarded(step: Step | { readonly do: "look" }): Promise<void> {
    try {
      await this.#do(step);
    } catch (error) {
      if (!this.#isExpected(error)) throw error;
    }
  }

  #isExpected(error: unknown): boolean {
    if (this.disk.halted) return !(error instanceof BrokenPromiseError);
    if (error instanceof WALFullError) {
      this.#tally.met("H31");
      return true;
    }
    if (error instanceof WALSyncError && this.#mayFail) {
      this.#tally.met("H10");
      return true;
    }
    return false;
  }

  #observe(): void {
    const wal = this.#wal!;
    if (wal.isOpen) this.#model.observe(wal);
    if (wal.head - 1 > wal.capacity && !this.#wrapped) {
      this.#wrapped = true;
      this.#tally.met("H3");
    }
  }

  async #do(step: Step | { readonly do: "look" }): Promise<void> {
    const wal = this.#wal!;
    switch (step.do) {
      case "look":
        return this.#observe();
      case "insert":
      case "delete":
      case "deleteValue": {
        const calls = Array.from({ length: step.count }, () => this.#append(step.do));
        if (step.wait) await all(calls);
        return;
      }
      case "insertSync":
        for (let i = 0; i < step.count; i++) {
          wal.logInsertSync(...toItem(this.#ask(OpType.Insert)[0]!));
        }
        return;
      case "batch":
        return await this.#batch(step.how, step.count, step.wait);
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
      case "truncate":
      case "checkpoint": {
        const through = wal.tail - 1 + Math.floor((wal.durable - wal.tail + 1) * step.part);
        if (this.#consumer !== null) return;
        this.#model.release(Math.max(through, this.#model.released));
        if (step.do === "truncate") wal.truncate(through);
        else wal.checkpoint(through);
        return;
      }
      case "settle":
        return await this.#settle();
      case "turns":
        for (let i = 0; i < step.count; i++) {
          await (i % 3 === 2 ? new Promise((resolve) => setImmediate(resolve)) : null);
        }
        return;
      case "consume":
        return this.#consume();
      case "stop":
        return await this.#stopConsumer();
      case "storeFails":
        if (this.#store !== null) this.#store.failsIn = step.after;
        return;
      case "writeBack":
        return this.disk.writeBackSome();
      case "failSync":
        return this.#failSync(step);
      case "clock":
        if (step.ms < 0) this.#tally.met("H32");
        return this.disk.clock.advance(step.ms);
      case "read":
        return this.#model.checkPrefix(wal);
      case "backup":
        return this.#backup();
      case "reopen":
        return await this.#reopen();
      case "rot":
        return await this.#rot(step.slot, step.bit);
      case "crash":
        await this.#crashNow();
        this.#crash = step;
        if (step.inCalls === 0) return await this.#crashNow();
        this.disk.crashAt(this.disk.steps + step.inCalls, step.when);
    }
  }

  // Appending.

  /** Asks for records that no other one repeats. */
  #ask(opType: OpType, count = 1): readonly AskedRecord[] {
    const first = this.#model.asked.count + 1;
    return this.#model.asked.ask(Array.from({ length: count }, (_, i): RecordContent => {
      const number = BigInt(first + i);
      return opType === OpType.Delete
        ? { opType, keyHigh: BigInt(opType), keyLow: number, valueHigh: 0n, valueLow: 0n }
        : { opType, keyHigh: BigInt(opType), keyLow: number, valueHigh: (1n << 63n) | number, valueLow: number };
    }));
  }

  /** Watches a call: what it acknowledges, how it may fail. */
  #watch(call: Promise<void>, asked: readonly AskedRecord[]): Promise<void> {
    const poisoned = !this.disk.halted && this.#wal!.isOpen && this.#wal!.stats().poisoned;
    const watched = call.then(() => {
      if (poisoned) {
        throw new BrokenPromiseError("G6", `record ${asked.at(-1)!.number} was acknowledged after a failed sync`);
      }
      this.#model.asked.acknowledge(asked);
    });
    this.#pending.push(watched.catch((error) => {
      if (!this.#isExpected(error) && !(error instanceof WALError && error.code === "CLOSED")) this.#failure ??= error;
    }));
    watched.catch(() => {});
    return watched;
  }

  #append(what: "insert" | "delete" | "deleteValue"): Promise<void> {
    const wal = this.#wal!;
    const opType = what === "insert" ? OpType.Insert : what === "delete" ? OpType.Delete : OpType.DeleteValue;
    const asked = this.#ask(opType);
    const [keyHigh, keyLow, valueHigh, valueLow] = toItem(asked[0]!);
    const call = what === "insert"
      ? wal.logInsert(keyHigh, keyLow, valueHigh, valueLow)
      : what === "delete"
      ? wal.logDelete(keyHigh, keyLow)
      : wal.logDeleteValue(keyHigh, keyLow, valueHigh, valueLow);
    return this.#watch(call, asked);
  }

  async #batch(how: "insert" | "delete" | "sync", count: number, wait: boolean): Promise<void> {
    const wal = this.#wal!;
    const asked = this.#ask(how === "delete" ? OpType.Delete : OpType.Insert, count);
    const items = asked.map(toItem);
    if (how === "sync") {
      wal.batchInsertSync(items);
      return;
    }
    const call = how === "insert"
      ? wal.batchInsert(items)
      : wal.batchDelete(items.map(([keyHigh, keyLow]) => [keyHigh, keyLow] as const));
    const watched = this.#watch(call, asked);
    if (wait) await watched;
  }

  /** Appends up to a slot of the ring, and lets go of what it can. */
  #fillTo(slot: number): void {
    const wal = this.#wal!;
    const { capacity } = wal;
    let count = (slot - (wal.head - 1) % capacity + capacity) % capacity;
    while (count > 0) {
      const now = Math.min(count, 100);
      count -= now;
      wal.batchInsertSync(this.#ask(OpType.Insert, now).map(toItem));
      wal.flush();
      this.#observe();
      if (this.#store === null) {
        this.#model.release(wal.durable);
        wal.truncate(wal.durable);
      }
    }
  }

  async #settle(): Promise<void> {
    while (this.#pending.length > 0) await all(this.#pending.splice(0));
  }

  // Consuming.

  #consume(): void {
    const store = this.#store;
    if (store === null || this.#consumer !== null) return;
    const stop = new AbortController();
    const options = {
      signal: stop.signal,
      pollIntervalMs: this.#pollIntervalMs(),
      batchSize: this.#random.pick([1, 7, 1024]),
    };
    this.#consumer = stop;
    this.#tally.met("H26");
    const running = this.#wal!.consumeAsync(store.store, options).catch((error) => {
      if (error instanceof StoreFailure) this.#tally.met("H27");
      else if (!this.#isExpected(error)) this.#failure ??= error;
    }).finally(() => {
      if (this.#consumer === stop) this.#consumer = null;
    });
    this.#consuming = running;
  }

  /** A timer races with the steps; a witness is to see the same each time. */
  #pollIntervalMs(): number {
    const picked = this.#random.pick([0, Infinity]);
    return this.#tally.witness === null ? picked : Infinity;
  }

  #consuming: Promise<void> = Promise.resolve();

  async #stopConsumer(): Promise<void> {
    this.#consumer?.abort();
    await this.#consuming;
    this.#consumer = null;
  }

  // Failing and crashing.

  #failSync({ nth, errno, when }: Extract<Step, { do: "failSync" }>): void {
    this.#mayFail = true;
    const call = this.#history.flush === "inline" ? "syncMapped" : "syncMappedAsync ends";
    this.disk.fail({ call, nth, errno, when });
    if (this.#history.flush === "offload") this.disk.fail({ call: "syncMapped", nth: nth + 1, errno, when });
  }

  /** Closes and opens, without a crash. */
  async #reopen(): Promise<void> {
    await this.#stopConsumer();
    if (this.disk.halted) return;
    const wal = this.#wal!;
    const closed = () => this.#model.noteDurable(wal.head - 1);
    try {
      wal.close();
      closed();
    } catch (error) {
      if (!this.#isExpected(error)) throw error;
    }
    await this.#settle();
    if (this.disk.halted) return;
    this.#open();
  }

  async #crashNow(): Promise<void> {
    if (this.#crash === null) return;
    if (!this.disk.halted) this.disk.crash(this.#crash);
    else this.disk.restart(this.#crash);
    await this.#afterCrash();
  }

  /** The machine halted at a call. */
  async #restart(): Promise<void> {
    this.disk.restart(this.#crash ?? { mode: "power" });
    await this.#afterCrash();
  }

  async #afterCrash(): Promise<void> {
    const crash = this.#crash;
    this.#crash = null;
    this.#tally.crashes++;
    this.#tally.met(crash?.mode === "kill" ? "H11" : "H1");
    if (crash?.mode !== "kill" && this.#killed) this.#tally.met("H11");
    if (this.#hadPhantoms) this.#tally.met("H5");
    this.#hadPhantoms = false;
    this.#killed = crash?.mode === "kill";
    if (this.#history.disk.tearChance! > 0) this.#tally.met("H2");
    await this.#end();
    if (crash?.mode !== "kill") this.#store?.losePower();
    this.#open();
    if (crash?.again !== true || this.disk.halted) return;
    const found = this.#wal!.head;
    this.disk.crash({ mode: "power", keep: "none" });
    this.#tally.crashes++;
    await this.#end();
    this.#store?.losePower();
    this.#open();
    if (this.#wal!.head !== found) {
      throw new BrokenPromiseError(
        "G6",
        `recovery found up to LSN ${found - 1}, and after another crash up to ${this.#wal!.head - 1}`,
      );
    }
  }

  /** Waits until everything of a dead process has settled. */
  async #end(): Promise<void> {
    const head = this.#wal?.head ?? 0;
    this.#consumer?.abort();
    this.bury();
    const failure = this.#failure;
    await this.#settle();
    await this.#consuming.catch(() => {});
    this.#consumer = null;
    // What a dead process says no longer counts, unless it is a broken promise.
    if (!(this.#failure instanceof BrokenPromiseError)) this.#failure = failure;
    return void head;
  }

  /** Opens and compares. A failing sync, or a crash to come, may hit this too. */
  #open(): void {
    for (let attempt = 0;; attempt++) {
      if (this.disk.halted) {
        this.disk.restart(this.#crash ?? { mode: "power" });
        if (this.#crash?.mode !== "kill") this.#store?.losePower();
        this.#crash = null;
        this.#tally.crashes++;
        this.#tally.met("H5");
      }
      const wal = new WAL(LOG, this.#options);
      try {
        this.#tally.opens++;
        wal.open();
      } catch (error) {
        if (this.disk.halted && attempt < 4) continue;
        // A sync that fails is not tried again; another opening is another matter.
        if (error instanceof WALError && this.#mayFail && attempt < 4) {
          this.disk.clearFaults();
          this.#crash = null;
          continue;
        }
        throw error;
      }
      this.#opened(wal);
      return;
    }
  }

  #opened(wal: WAL): void {
    this.#wal = wal;
    if (this.#store !== null) this.#store.wal = wal;
    const { recovery } = wal;
    this.#tally.witness?.(verdictText(wal));
    if (recovery.phantomsErased > 0) {
      this.#tally.met("H4");
      this.#hadPhantoms = true;
    }
    if (recovery.tornRecords > 0) this.#tally.met("H2");
    if (recovery.headerDamaged) this.#tally.met("H9");
    if (!recovery.clean && wal.length === wal.capacity) this.#tally.met("H8");
    if (!recovery.clean && wal.tail > 1) this.#tally.met("H29");
    this.#model.checkRecovered(wal);
    this.#store?.check(wal);
    if (this.#store !== null && !recovery.clean) this.#tally.met("H28");
    if (this.#crash === null) {
      this.disk.clearFaults();
      this.#mayFail = false;
    }
  }

  // Damage and copies.

  /** Turns over a bit after a crash: noticed, or a prefix; never a wrong record. Then as if nothing had been. */
  async #rot(slot: number, bit: number): Promise<void> {
    await this.#crashNow();
    if (this.disk.halted) return;
    this.disk.clearFaults();
    this.disk.crash({ mode: "power", keep: "random" });
    this.#tally.crashes++;
    await this.#end();
    this.#store?.losePower();
    const before = this.disk.snapshot();
    this.disk.damage.flipBit(LOG, RING_AT + slot * 64 + (bit >> 3), bit & 7);
    const damaged = this.disk.image(LOG);
    const wal = new WAL(LOG, this.#options);
    try {
      wal.open();
      this.#model.checkPrefix(wal);
    } catch (error) {
      if (!(error instanceof WALCorruptError)) throw error;
      this.#tally.met("H6");
      const now = this.disk.image(LOG);
      if (now.some((byte, i) => byte !== damaged[i])) {
        throw new BrokenPromiseError("G5", "the refused file was changed");
      }
    }
    this.disk.restore(before);
    try {
      wal.close();
    } catch { /* its machine is gone */ }
    this.#open();
  }

  #backup(): void {
    if (this.disk.exists(COPY)) this.disk.outsider.unlink(COPY);
    const { first, last } = this.#wal!.backup(COPY);
    const copy = WAL.open(COPY, this.#options);
    this.#tally.met("H34");
    this.#model.checkPrefix(copy);
    if (copy.tail !== first || copy.head !== last + 1) {
      throw new BrokenPromiseError("G2", `the copy is ${copy.tail} to ${copy.head - 1}`);
    }
    copy.close();
  }
}

function toItem({ content }: AskedRecord): [bigint, bigint, bigint, bigint] {
  const { keyHigh, keyLow, valueHigh, valueLow } = content;
  return [keyHigh, keyLow, valueHigh, valueLow];
}

/** What recovery found, as far as a history decides it. */
function verdictText(wal: WAL): string {
  const { created, clean, firstLsn, lastLsn, tornRecords, phantomsErased, headerDamaged, losses } = wal.recovery;
  return JSON.stringify([created, clean, firstLsn, lastLsn, tornRecords, phantomsErased, headerDamaged, losses]);
}

/** Waits for all of them, then throws what the first that failed did. */
async function all(calls: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(calls)) if (outcome.status === "rejected") throw outcome.reason;
}
