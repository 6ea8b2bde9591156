// One life of a simulated machine. Log and stores are opened, consumers feed the stores, the
// workload runs, until the crash.

import { clearTimeout, setTimeout } from "node:timers";
import { immediate } from "../../../ffi/turn.ts";
import type { WALOptions } from "../../types.ts";
import { LONGEST_TIMER_MS } from "../../arguments/numbers.ts";
import { WAL } from "../../wal.ts";
import { BrokenPromiseError, textOf } from "../broken_promise.ts";
import { bury } from "../bury.ts";
import { type LifeEnd, LifeSteps } from "./life_steps.ts";
import type { CrashOptions } from "../disk/options.ts";
import type { LogModel } from "../log_model.ts";
import type { Random } from "../random.ts";
import type { SimulatedDisk } from "../disk/simulated_disk.ts";
import type { FileOrder, TornCall } from "../file_order.ts";
import { FedStores } from "./fed_stores.ts";
import { checkFinally } from "./final_check.ts";
import { named, type StoreState } from "./fed_store.ts";
import type { Subject } from "./options.ts";
import { WatchedLog, watchedStorage } from "./watched_log.ts";

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
  /** For each store, what watches in which order calls change its files; null if nobody does. */
  readonly files: readonly FileOrder[] | null;
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
  readonly model: LogModel;
  readonly stores: readonly StoreState[];
  readonly lines: string[];
}

/** How long the work of a dead process may go on before the next life begins all the same. */
const AFTERMATH_MS = 1000;

/** A life, to be lived once. */
export class Life {
  readonly #subject: Subject;
  readonly #machine: Machine;
  readonly #plan: LifePlan;
  readonly #steps: LifeSteps;
  readonly #failed = Promise.withResolvers<never>();
  #log: WatchedLog | null = null;
  readonly #stores: FedStores;
  /** What goes on at the same time as the life itself, and may outlast it. */
  readonly #running: Promise<unknown>[] = [];

  constructor(subject: Subject, machine: Machine, plan: LifePlan) {
    this.#subject = subject;
    this.#machine = machine;
    this.#plan = plan;
    this.#stores = new FedStores(machine.stores, machine.model);
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
    const { timeoutMs } = this.#subject;
    const timer = setTimeout(() => {
      const unanswered = this.#stores.all.flatMap(({ unanswered }) => unanswered ?? []);
      const why = unanswered.length === 0 ? "" : `; no answer yet: ${unanswered.join(", ")}`;
      this.#failed.reject(new Error(`Nothing happens any more: this life did not end in ${timeoutMs} ms${why}`));
    }, Math.min(timeoutMs, LONGEST_TIMER_MS));
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
    const { model } = this.#machine;
    const log = this.#openLog();
    for (const fed of this.#stores.all) await fed.open();
    for (const fed of this.#stores.all) {
      this.#running.push(fed.consumers!.run().catch((error) => this.#fail(named(fed.state.subject.name, error))));
    }
    if (this.#stores.all.length > 1) await this.#begin();
    if (end !== "check") await this.#work(log);
    await this.#catchUp(log);
    if (end === "crash") return;
    for (const { consumers } of this.#stores.all) consumers?.end();
    await Promise.all(this.#running);
    for (const fed of end === "check" ? this.#stores.all : []) {
      try {
        await checkFinally(fed.state, fed.store, await fed.read(), model);
      } catch (error) {
        throw named(fed.state.subject.name, error);
      }
    }
    model.adopt(log);
    log.close();
    model.noteDurable(log.durable);
    for (const fed of this.#stores.all) await fed.close();
    this.#steps.note(`Log and ${this.#stores.all.length === 1 ? "store" : "stores"} are closed.`);
  }

  #openLog(): WatchedLog {
    const { disk, model } = this.#machine;
    const observe = () => {
      if (this.#log !== null) model.adopt(this.#log);
    };
    if (this.#plan.restoresLog && disk.exists(LOG_PATH)) {
      restoreLog(disk, this.#plan.log, (log) => this.#stores.opened(log));
      this.#steps.note("The log is restored from a backup of itself.");
    }
    const storage = watchedStorage(disk, this.#steps, observe, this.#plan.depth);
    const options = { ...this.#plan.log, storage, now: disk.clock.now };
    const fail = (error: unknown) => this.#fail(error);
    const watch = { steps: this.#steps, model, consumers: this.#stores, fail };
    const log = this.#log = new WatchedLog(LOG_PATH, options, watch);
    log.open();
    const release = () => this.#stores.release(log.durable);
    const isAlone = this.#machine.stores.length === 1;
    this.#stores.begin({ steps: this.#steps, plan: this.#plan, model, log, isAlone, release, fail });
    this.#steps.note(`        the log has LSN ${log.tail} to ${log.head - 1}`);
    return log;
  }

  /**
   * Waits until the log knows all consumers. While a store is filled again, others release records,
   * and only an application knows how to do without them.
   */
  async #begin(): Promise<void> {
    while (!this.#stores.areHeld) await this.#turn();
  }

  async #turn(): Promise<void> {
    this.#steps.check();
    if (this.#stores.all.some(({ consumers }) => consumers!.hasEnded)) {
      throw new Error("This life has failed, and its consumer with it");
    }
    await immediate();
  }

  async #work(wal: WAL): Promise<void> {
    const { number, random } = this.#plan;
    try {
      const work = Promise.resolve(
        this.#subject.workload({
          wal,
          store: this.#stores.all[0]!.store,
          stores: this.#stores.byName,
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
    for (const { consumers } of this.#stores.all) consumers!.stayAwake();
    while (log.applied < last || this.#stores.all.some(({ consumers }) => consumers!.isBehind)) await this.#turn();
  }

  #fail(error: unknown): void {
    this.#failed.reject(error);
  }

  #tick(): void {
    const { disk } = this.#machine;
    if (!disk.halted && this.#plan.random.chance(this.#plan.writeBackChance)) disk.writeBackSome();
  }

  #crash(): void {
    const { disk, stores, model } = this.#machine;
    const { crash, losesWrites } = this.#plan;
    const torn = stores.flatMap(({ home }) => home.torn);
    if (this.#log !== null) {
      if (!disk.halted) model.adopt(this.#log);
      model.noteDurable(this.#log.durable);
    }
    for (const state of stores) state.account = state.account.clone();
    disk.crash(crash);
    disk.clearFaults();
    const loses = crash.mode === "power" && losesWrites;
    for (const { home } of stores) home.crash(loses ? "image" : "now");
    const kept = typeof crash.keep === "string" ? ` (unsynced pages of the log: ${crash.keep})` : "";
    this.#steps.note(
      torn.length > 0
        ? `The process is killed within that call, before it changes ${
          torn.map((name) => JSON.stringify(name)).join()
        }.`
        : crash.mode === "kill"
        ? "The process is killed."
        : `Power is lost${kept}${loses ? lossText(stores.length) : ""}.`,
    );
  }

  /** Ends what is still going on in a process that is dead or done. */
  async #bury(): Promise<void> {
    this.#steps.finish();
    for (const { consumers } of this.#stores.all) consumers?.end();
    bury(this.#log);
    this.#running.push(...this.#stores.all.map(({ idle }) => idle));
    let settled = false;
    Promise.allSettled(this.#running).then(() => settled = true);
    for (const startMs = Date.now(); !settled && Date.now() - startMs < AFTERMATH_MS;) await immediate();
    for (const fed of this.#stores.all) await fed.close().catch(() => {}); // the store says that it is dead
  }
}

function lossText(stores: number): string {
  return `; the ${stores === 1 ? "store loses what it" : "stores lose what they"} did not sync`;
}

/** The same records, in a log with another id. A store that knows its log takes them. */
function restoreLog(disk: SimulatedDisk, options: WALOptions, opened: (log: WAL) => void): void {
  const backup = `${LOG_PATH}.backup`;
  {
    using log = WAL.open(LOG_PATH, { ...options, storage: disk.storage, now: disk.clock.now });
    opened(log); // a backup has no consumers
    log.backup(backup);
  }
  disk.outsider.writeFile(LOG_PATH, disk.image(backup, "cache"));
  disk.outsider.unlink(backup);
}
