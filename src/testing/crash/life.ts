// One life of a simulated machine. Log and store are opened, a consumer feeds the store, the
// workload runs, until the crash.

import { clearTimeout, setTimeout } from "node:timers";
import { immediate } from "../../../ffi/turn.ts";
import { WALError, WALStoreError } from "../../errors.ts";
import type { Store, WALOptions } from "../../types.ts";
import { WAL } from "../../wal.ts";
import { BrokenPromiseError, textOf } from "../broken_promise.ts";
import { bury } from "../bury.ts";
import { Consumers } from "./consumers.ts";
import { type LifeEnd, LifeSteps } from "./life_steps.ts";
import type { CrashOptions } from "../disk/options.ts";
import type { LogModel } from "../log_model.ts";
import type { StoreAccount } from "../store_account.ts";
import type { FoundContents } from "../contents.ts";
import type { Random } from "../random.ts";
import type { SimulatedDisk } from "../disk/simulated_disk.ts";
import type { FileOrder, TornCall } from "../file_order.ts";
import { type Home, type HomeSteps, SimulatedFailure } from "../store_home.ts";
import { checkFinally } from "./final_check.ts";
import type { Subject } from "./options.ts";
import { WatchedLog, watchedStorage } from "./watched_log.ts";
import { WatchedStore } from "./watched_store.ts";

/** Where the log lies on the simulated disk. */
export const LOG_PATH = "/sim/log";

/** What is decided beforehand about a life. */
export interface LifePlan {
  /** Which life of the history, from 0. */
  readonly number: number;
  readonly point: LifeEnd | null;
  /** After the last step, if there was no crash: crash, close, or check everything and close. */
  readonly end: "crash" | "close" | "check";
  readonly crash: CrashOptions;
  /** If power is lost, the store loses writes that it did not sync. */
  readonly losesWrites: boolean;
  /** The call to the store within which the crash comes, between two files; null if it does not. */
  readonly torn: TornCall | null;
  /** Watches in which order calls change the store's files; null if nobody does. */
  readonly files: FileOrder | null;
  /** Which of the system calls of an opening the crash hits. */
  readonly depth: number;
  readonly log: WALOptions;
  readonly batchSize: number;
  readonly stopChance: number;
  readonly failureChance: number;
  readonly writeBackChance: number;
  /** Before it is opened, the log is restored from a backup of itself. */
  readonly restoresLog: boolean;
  readonly random: Random;
}

/** What outlives a life. */
export interface Machine {
  readonly disk: SimulatedDisk;
  readonly home: Home;
  readonly model: LogModel;
  /**
   * The store's account. Each crash copies it, so that a dead life changes its own account only.
   */
  account: StoreAccount;
  readonly lines: string[];
}

/** How long the work of a dead process may go on before the next life begins all the same. */
const AFTERMATH_MS = 1000;

/** A life, to be lived once. */
export class Life<S extends Store> {
  readonly #subject: Subject<S>;
  readonly #machine: Machine;
  readonly #plan: LifePlan;
  readonly #steps: LifeSteps;
  readonly #failed = Promise.withResolvers<never>();
  #log: WatchedLog | null = null;
  #store: S | null = null;
  #watched: WatchedStore | null = null;
  #consumers: Consumers | null = null;
  /** What goes on at the same time as the life itself, and may outlast it. */
  readonly #running: Promise<unknown>[] = [];

  constructor(subject: Subject<S>, machine: Machine, plan: LifePlan) {
    this.#subject = subject;
    this.#machine = machine;
    this.#plan = plan;
    this.#failed.promise.catch(() => {});
    this.#steps = new LifeSteps(plan.point, machine.lines, () => this.#crash(), () => this.#tick());
  }

  get steps(): number {
    return this.#steps.count;
  }

  /** Resolves when the life is over; rejects if it showed that something is wrong. */
  async run(): Promise<void> {
    const { end, number } = this.#plan;
    this.#steps.note(number === 0 ? "The machine starts." : "The machine starts again.");
    const life = this.#live();
    life.catch(() => {}); // awaited below, unless the crash comes first
    const timer = setTimeout(() => {
      this.#failed.reject(
        new Error(`Nothing happens any more: this life did not end in ${this.#subject.timeoutMs} ms`),
      );
    }, this.#subject.timeoutMs);
    try {
      await Promise.race([this.#steps.ended, this.#failed.promise, life]);
      if (end === "crash" && !this.#steps.hasCrashed) this.#steps.crash();
    } catch (error) {
      if (!this.#steps.hasCrashed || error instanceof BrokenPromiseError) throw error;
    } finally {
      clearTimeout(timer);
      await this.#bury();
    }
  }

  async #live(): Promise<void> {
    const { end } = this.#plan;
    const log = this.#openLog();
    await this.#openStore();
    const consuming = this.#consumers!.run(this.#watched!, this.#plan.batchSize);
    this.#running.push(consuming.catch((error) => this.#fail(this.#steps.hasCrashed ? error : explained(error))));
    if (end !== "check") await this.#work(log);
    await this.#catchUp(log);
    if (end === "crash") return;
    this.#consumers!.end();
    await Promise.all(this.#running);
    if (end === "check") await checkFinally(this.#store!, await this.#read(), this.#machine, this.#subject.check);
    this.#machine.model.adopt(log);
    log.close();
    this.#machine.model.noteDurable(log.durable);
    await this.#machine.home.close(this.#store!);
    this.#store = null;
    this.#steps.note("Log and store are closed.");
  }

  #openLog(): WatchedLog {
    const { disk, model } = this.#machine;
    const observe = () => {
      if (this.#log !== null) model.adopt(this.#log);
    };
    if (this.#plan.restoresLog && disk.exists(LOG_PATH)) {
      restoreLog(disk, this.#plan.log);
      this.#steps.note("The log is restored from a backup of itself.");
    }
    const storage = watchedStorage(disk, this.#steps, observe, this.#plan.depth);
    const options = { ...this.#plan.log, storage, now: disk.clock.now };
    const watch = { steps: this.#steps, model, fail: (error: BrokenPromiseError) => this.#fail(error) };
    this.#log = new WatchedLog(LOG_PATH, options, watch);
    this.#log.open();
    this.#consumers = new Consumers(this.#log, this.#steps);
    this.#steps.note(`        the log has LSN ${this.#log.tail} to ${this.#log.head - 1}`);
    return this.#log;
  }

  async #openStore(): Promise<void> {
    const { home, model, account } = this.#machine;
    if (this.#steps.step("open the store") !== null) throw this.#steps.crash();
    try {
      this.#store = await this.#subject.store(
        home.open(storeSteps(this.#steps, this.#plan, () => this.#watched !== null)),
      );
    } catch (error) {
      this.#steps.check();
      throw new BrokenPromiseError("G11", `the store cannot be opened: ${textOf(error)}`, "", { cause: error });
    }
    this.#steps.check();
    const store = this.#store;
    await account.checkOpened(store, await this.#read());
    this.#steps.check();
    if (home.directory !== null) this.#plan.files?.open(home.directory);
    this.#watched = new WatchedStore(store, {
      steps: this.#steps,
      model,
      account,
      home,
      random: this.#plan.random,
      logId: () => this.#log!.logId,
      durable: () => this.#log!.durable,
      fail: (error) => this.#fail(error),
      losesWrites: this.#plan.losesWrites,
      torn: this.#plan.torn,
      files: this.#plan.files,
      read: () => this.#read(),
      stopChance: this.#plan.stopChance,
      stop: () => this.#consumers!.stop(),
    });
  }

  async #work(wal: WAL): Promise<void> {
    const { number, random } = this.#plan;
    try {
      const work = Promise.resolve(
        this.#subject.workload({
          wal,
          store: this.#store!,
          crashes: number,
          random: random.fork(`workload ${number}`),
        }),
      );
      this.#running.push(work.catch(() => {}));
      await work;
    } catch (error) {
      this.#steps.check();
      // If the store made the consumer fail, that failure is reported first.
      await immediate();
      const where = number === 0 ? "though nothing had crashed" : `though nothing had crashed since crash ${number}`;
      throw new Error(`The workload failed, ${where}: ${textOf(error)}`, { cause: error });
    }
  }

  async #catchUp(log: WatchedLog): Promise<void> {
    if (!log.isOpen) log.open();
    await log.flushAsync();
    const { model } = this.#machine;
    model.adopt(log);
    const last = model.lastData();
    while (log.applied < last) {
      this.#steps.check();
      if (this.#consumers!.hasEnded) throw new Error("This life has failed, and its consumer with it");
      await immediate();
    }
  }

  #read(): Promise<FoundContents | null> {
    return this.#subject.contents(this.#store!);
  }

  #fail(error: unknown): void {
    this.#failed.reject(error);
  }

  #tick(): void {
    const { disk } = this.#machine;
    if (!disk.halted && this.#plan.random.chance(this.#plan.writeBackChance)) disk.writeBackSome();
  }

  #crash(): void {
    const { disk, home, model } = this.#machine;
    const { crash, losesWrites } = this.#plan;
    const { torn } = home;
    if (this.#log !== null) {
      if (!disk.halted) model.adopt(this.#log);
      model.noteDurable(this.#log.durable);
    }
    this.#machine.account = this.#machine.account.clone();
    disk.crash(crash);
    disk.clearFaults();
    const loses = crash.mode === "power" && losesWrites;
    home.crash(loses ? "image" : "now");
    const kept = typeof crash.keep === "string" ? ` (unsynced pages of the log: ${crash.keep})` : "";
    this.#steps.note(
      torn.length > 0
        ? `The process is killed within that call, before it changes ${
          torn.map((name) => JSON.stringify(name)).join()
        }.`
        : crash.mode === "kill"
        ? "The process is killed."
        : `Power is lost${kept}${loses ? "; the store loses what it did not sync" : ""}.`,
    );
  }

  /** Ends what is still going on in a process that is dead or done. */
  async #bury(): Promise<void> {
    this.#steps.finish();
    this.#consumers?.end();
    bury(this.#log);
    if (this.#watched !== null) this.#running.push(this.#watched.idle);
    let settled = false;
    Promise.allSettled(this.#running).then(() => settled = true);
    for (const startMs = Date.now(); !settled && Date.now() - startMs < AFTERMATH_MS;) await immediate();
    if (this.#store === null) return;
    try {
      await this.#machine.home.close(this.#store);
    } catch { /* the store says that it is dead */ }
  }
}

/** Steps within the store. While it is being opened, no write fails. */
function storeSteps(
  steps: LifeSteps,
  { random, failureChance }: LifePlan,
  isOpen: () => boolean,
): HomeSteps {
  const stepWithin = (where: string) => {
    if (steps.step(`within the store${where}`) !== null) throw steps.crash();
  };
  return {
    step: () => {
      stepWithin("");
      if (isOpen() && random.chance(failureChance)) {
        throw new SimulatedFailure("A write of the store failed (simulated)");
      }
    },
    // No failure here, because it would have to be one of the database's own errors. A store that
    // is dead or done may still clean up.
    beforeWrite: (what) => {
      if (!steps.isOver) stepWithin(`, before ${what}`);
    },
  };
}

/** The same records, in a log with another id. A store that knows its log takes them. */
function restoreLog(disk: SimulatedDisk, options: WALOptions): void {
  const backup = `${LOG_PATH}.backup`;
  {
    using log = WAL.open(LOG_PATH, { ...options, storage: disk.storage, now: disk.clock.now });
    log.backup(backup);
  }
  disk.outsider.writeFile(LOG_PATH, disk.image(backup, "cache"));
  disk.outsider.unlink(backup);
}

/** What a consumer's failure means for the promises. */
function explained(error: unknown): unknown {
  if (error instanceof BrokenPromiseError) return error;
  if (error instanceof WALStoreError) {
    return new BrokenPromiseError("G11", `the log and the store do not fit together (H27): ${error.message}`);
  }
  if (error instanceof WALError && error.code !== "SQLITE") return error;
  return new BrokenPromiseError("G11", `the store threw: ${textOf(error)}`, "", { cause: error });
}
