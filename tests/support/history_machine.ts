// The machine of a random history: a disk, a log, up to three consumers, and its lives between
// crashes.
// What a log recovers is compared with the model at each opening.

import {
  WAL,
  WALConsumerLostError,
  WALCorruptError,
  WALError,
  WALFullError,
  type WALOptions,
  WALSyncError,
} from "../../mod.ts";
import { replacedPath, temporaryPath } from "../../ffi/file/creation.ts";
import type { AskedRecord } from "../../src/testing/asked_records.ts";
import { readHeaders } from "../../src/format/header.ts";
import { bury } from "../../src/testing/bury.ts";
import { LogModel } from "../../src/testing/log_model.ts";
import { recordText } from "../../src/testing/store_model.ts";
import { BrokenPromiseError, type CrashOptions, Random, SimulatedDisk } from "../../testing.ts";
import type { Crash, History, Step } from "./history.ts";
import { HistoryConsumer } from "./history_consumer.ts";
import { HistoryFollower } from "./history_follower.ts";
import type { Tally } from "./history_tally.ts";

const LOG = "/sim/log";
const RING_AT = 16384;
/** Openings that a crash or a failed sync may hit, one after the other. */
const MOST_ATTEMPTS = 5;

/** A machine, over all its lives. */
export class HistoryMachine {
  readonly disk: SimulatedDisk;
  readonly model: LogModel = new LogModel();
  readonly consumers: readonly HistoryConsumer[];
  readonly options: WALOptions;
  readonly #flush: History["flush"];
  readonly #tally: Tally;
  readonly #tears: boolean;
  readonly #random: Random;
  #wal: WAL | null = null;
  /** Calls that have not settled. */
  #pending: Promise<void>[] = [];
  /** The first failure that nobody expected. */
  #failure: unknown = null;
  /** A crash at a call to come. */
  #crash: Crash | null = null;
  /** A sync was told to fail since the log was opened. */
  #mayFail = false;
  /** The last crash was a kill: what is recovered may be in the page cache only. */
  #killed = false;
  #hadPhantoms = false;
  /** Outlives the writer, but not the machine. */
  #follower: HistoryFollower | null = null;

  constructor(history: History, tally: Tally) {
    this.#flush = history.flush;
    this.#tally = tally;
    this.#tears = history.disk.tearChance! > 0;
    this.disk = new SimulatedDisk(tally.witness === null ? history.disk : { ...history.disk, traceLimit: Infinity });
    this.#random = new Random(history.seed).fork("run");
    this.consumers = history.consumers.map((plan) =>
      new HistoryConsumer(plan, this.model, this.#random.fork(`store ${plan.name}`), tally)
    );
    this.options = {
      size: 65536,
      idleHeaderDelayMs: Infinity,
      flush: history.flush,
      verify: history.seed % 4 !== 0,
      storage: this.disk.storage,
      now: this.disk.clock.now,
    };
  }

  /** The log that is open. */
  get wal(): WAL {
    return this.#wal!;
  }

  // Calls, and how they may fail.

  /** True for what the log may fail with, as things are. */
  isExpected(error: unknown): boolean {
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

  /** Watches a call: what it acknowledges, how it may fail. */
  watch(call: Promise<unknown>, asked: readonly AskedRecord[]): Promise<void> {
    const poisoned = !this.disk.halted && this.wal.isOpen && this.wal.stats().poisoned;
    const watched = call.then(() => {
      if (poisoned) {
        throw new BrokenPromiseError("G6", `record ${asked.at(-1)!.number} was acknowledged after a failed sync`);
      }
      this.model.asked.acknowledge(asked);
    });
    this.#pending.push(watched.catch((error) => {
      if (!this.isExpected(error) && !(error instanceof WALError && error.code === "CLOSED")) this.#failure ??= error;
    }));
    watched.catch(() => {});
    return watched;
  }

  /** Waits for all calls. */
  async settle(): Promise<void> {
    while (this.#pending.length > 0) await all(this.#pending.splice(0));
  }

  /** Throws what no call may fail with. */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  failSync({ nth, errno, when }: Extract<Step, { do: "failSync" }>): void {
    this.#mayFail = true;
    const call = this.#flush === "inline" ? "syncMapped" : "syncMappedAsync ends";
    this.disk.fail({ call, nth, errno, when });
    if (this.#flush === "offload") this.disk.fail({ call: "syncMapped", nth: nth + 1, errno, when });
  }

  // The consumers.

  /** A consumer by any number; undefined if the history has none. */
  consumer(index: number): HistoryConsumer | undefined {
    return this.consumers[index % this.consumers.length];
  }

  consume(consumer: HistoryConsumer | undefined, fills: boolean): void {
    const options = { pollIntervalMs: this.#pollIntervalMs(), batchSize: this.#random.pick([1, 7, 1024]) };
    consumer?.start(this.wal, fills, options, (error) => this.isExpected(error), (error) => this.#failure ??= error);
    if (this.consumers.filter(({ isRunning }) => isRunning).length > 1) this.#tally.met("H61");
  }

  /** Compares what the log holds for consumers with what their stores lack. */
  lookAtConsumers(): void {
    if (this.consumers.length === 0 || this.wal.stats().poisoned) return;
    for (const consumer of this.consumers) consumer.look(this.wal, true);
  }

  /** A timer races with the steps; a witness is to see the same each time. */
  #pollIntervalMs(): number {
    const picked = this.#random.pick([0, Infinity]);
    return this.#tally.witness === null ? picked : Infinity;
  }

  async stopConsumers(): Promise<void> {
    await Promise.all(this.consumers.map((consumer) => consumer.stop()));
  }

  /** The stores of all consumers that hold records get all that is durable. */
  async catchUp(): Promise<void> {
    const { wal } = this;
    this.disk.clearFaults();
    for (const consumer of this.consumers.filter(({ holds }) => holds)) {
      consumer.store.failsIn = consumer.store.syncFailsIn = -1;
      this.consume(consumer, false);
      const applied = wal.whenApplied(wal.durable, { name: consumer.plan.name });
      const isLost = await applied.then(() => false, (error) => {
        if (error instanceof WALConsumerLostError) return true; // the checkpoint of another was too much
        throw error;
      });
      await consumer.stop();
      this.check();
      if (isLost) continue;
      const lacked = consumer.store.lacked(wal.durable);
      if (lacked !== null) throw new BrokenPromiseError("G11", `a store has not got ${recordText(lacked)}`);
    }
    this.lookAtConsumers();
  }

  /** Lets the follower read what is new. */
  follow(): void {
    if (this.#tally.witness !== null) return; // it reads the clock, and a witness is to see the same
    const mode = this.disk.seed % 2 === 0 ? "durable" : "appended";
    this.#follower ??= new HistoryFollower(this.disk, LOG, mode, this.model);
    if (!this.#follower.look()) this.#stopFollowing();
  }

  #stopFollowing(): void {
    this.#follower?.close();
    this.#follower = null;
  }

  // Lives.

  /** Opens and compares. A failing sync, or a crash to come, may hit this too. */
  open(): void {
    for (let attempt = 1;; attempt++) {
      if (this.disk.halted) {
        const crash = this.#crash ?? { mode: "power" };
        this.#crash = null;
        this.disk.crash(crash);
        this.#tally.crashes++;
        if (crash.mode !== "kill") this.#losePower();
        this.#tally.met("H5");
      }
      const wal = new WAL(LOG, this.options);
      try {
        this.#tally.opens++;
        wal.open();
      } catch (error) {
        if (this.disk.halted && attempt < MOST_ATTEMPTS) continue;
        // A sync that fails is not tried again; another opening is another matter.
        if (error instanceof WALError && this.#mayFail && attempt < MOST_ATTEMPTS) {
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
    for (const { store } of this.consumers) store.wal = wal;
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
    this.#follower?.noteRecovery(wal.head);
    // Without consumers, only the caller releases records.
    if (this.consumers.length > 0) this.model.release(wal.tail - 1);
    this.model.checkRecovered(wal);
    for (const consumer of this.consumers) consumer.recovered(wal);
    if (this.consumers.length > 0) {
      if (!recovery.clean) this.#tally.met("H28");
      else this.#checkTable();
    }
    const stray = [temporaryPath(LOG), replacedPath(LOG)].find((path) => this.disk.exists(path));
    if (stray !== undefined) throw new Error(`the opening left ${stray}`);
    if (this.#crash === null) {
      this.disk.clearFaults();
      this.#mayFail = false;
    }
  }

  /** Both header copies of a log that was closed are those of a writer. */
  #checkTable(): void {
    const { copies } = readHeaders(this.disk.image(LOG).slice());
    const wrong = copies.find((copy) => typeof copy === "string");
    if (wrong !== undefined) throw new BrokenPromiseError("G5", `a header copy is wrong: ${wrong} (H62)`);
    if (copies.some((copy) => typeof copy !== "string" && copy.consumers.length > 0)) this.#tally.met("H62");
  }

  #losePower(): void {
    for (const { store } of this.consumers) store.losePower();
  }

  /** Closes and opens, without a crash. */
  async reopen(): Promise<void> {
    await this.stopConsumers();
    if (this.disk.halted) return;
    const { wal } = this;
    try {
      wal.close();
      this.model.noteDurable(wal.head - 1);
    } catch (error) {
      if (!this.isExpected(error)) throw error;
    }
    await this.settle();
    if (this.disk.halted) return;
    this.follow();
    this.open();
  }

  /** A crash is to come: at once, or at a call. */
  planCrash(crash: Crash): void {
    this.#crash = crash;
    if (crash.inCalls > 0) this.disk.crashAt(this.disk.steps + crash.inCalls, crash.when);
  }

  /** If a crash is to come, or the machine has halted: crashes, and opens the log again. */
  async crashIfDue(): Promise<void> {
    const crash = this.#crash;
    if (crash === null && !this.disk.halted) return;
    this.#crash = null;
    this.#tally.met(crash?.mode === "kill" ? "H11" : "H1");
    if (crash?.mode !== "kill" && this.#killed) this.#tally.met("H11");
    if (this.#hadPhantoms) this.#tally.met("H5");
    this.#hadPhantoms = false;
    this.#killed = crash?.mode === "kill";
    if (this.#tears) this.#tally.met("H2");
    await this.#end(crash ?? { mode: "power" });
    this.open();
    if (crash?.again !== true || this.disk.halted) return;
    const found = this.wal.head;
    await this.#end({ mode: "power", keep: "none" });
    this.open();
    if (this.wal.head === found) return;
    const now = this.wal.head - 1;
    throw new BrokenPromiseError("G6", `recovery found up to LSN ${found - 1}, and after another crash up to ${now}`);
  }

  /**
   * Crashes, and flips a bit: the log is refused, or holds a prefix, never a wrong record. Then
   * goes on as if the bit had not been flipped.
   */
  async rot(slot: number, bit: number): Promise<void> {
    await this.crashIfDue();
    if (this.disk.halted) return;
    this.disk.clearFaults();
    await this.#end({ mode: "power", keep: "random" });
    const before = this.disk.snapshot();
    this.disk.damage.flipBit(LOG, RING_AT + slot * 64 + (bit >> 3), bit & 7);
    const damaged = this.disk.image(LOG);
    const wal = new WAL(LOG, this.options);
    try {
      wal.open();
      this.model.checkPrefix(wal);
    } catch (error) {
      if (!(error instanceof WALCorruptError)) throw error;
      this.#tally.met("H6");
      const now = this.disk.image(LOG);
      if (now.some((byte, i) => byte !== damaged[i])) {
        throw new BrokenPromiseError("G5", "the refused file was changed");
      }
    }
    this.disk.restore(before);
    bury(wal);
    this.open();
  }

  /** Ends a life, and waits until everything of the dead process has settled. */
  async #end(crash: CrashOptions): Promise<void> {
    this.disk.crash(crash);
    this.#tally.crashes++;
    this.bury();
    const failure = this.#failure;
    await this.settle();
    await this.stopConsumers();
    // What a dead process says no longer counts, unless it is a broken promise.
    if (!(this.#failure instanceof BrokenPromiseError)) this.#failure = failure;
    if (crash.mode === "kill") return this.follow();
    this.#stopFollowing();
    this.#losePower();
  }

  /** Ends the log that is open, for good. */
  bury(): void {
    bury(this.#wal);
    this.#wal = null;
  }

  /** Tells the witness what the disk was asked for. */
  testify(): void {
    const { witness } = this.#tally;
    if (witness === null) return;
    for (const { step, call, subject, outcome } of this.disk.trace) witness(`${step} ${call} ${subject}: ${outcome}`);
  }
}

/** What recovery found, as far as a history decides it. */
function verdictText(wal: WAL): string {
  const { created, clean, firstLsn, lastLsn, tornRecords, phantomsErased, headerDamaged, losses } = wal.recovery;
  return JSON.stringify([created, clean, firstLsn, lastLsn, tornRecords, phantomsErased, headerDamaged, losses]);
}

/** Waits for all of them, then throws what the first that failed did. */
export async function all(calls: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(calls)) if (outcome.status === "rejected") throw outcome.reason;
}
