// One store in one life: it is opened, fed by consumers, one after the other, as if the application
// stopped and started them, checked and closed.

import { immediate } from "../../../ffi/turn.ts";
import { WALError, WALStoreError } from "../../errors.ts";
import type { Store } from "../../types.ts";
import { BrokenPromiseError, textOf } from "../broken_promise.ts";
import type { FoundContents } from "../contents.ts";
import type { FileOrder, TornCall } from "../file_order.ts";
import type { LogModel } from "../log_model.ts";
import type { StoreAccount } from "../store_account.ts";
import { type Home, type HomeSteps, SimulatedFailure } from "../store_home.ts";
import type { LifePlan } from "./life.ts";
import type { LifeSteps } from "./life_steps.ts";
import type { StoreSubject } from "./options.ts";
import type { WatchedLog } from "./watched_log.ts";
import { WatchedStore } from "./watched_store.ts";

/** What outlives a life of one store. */
export interface StoreState {
  readonly subject: StoreSubject;
  readonly home: Home;
  /** Each crash copies it, so that a dead life changes its own account only. */
  account: StoreAccount;
}

/** The life that a store is in. */
export interface StoreLife {
  readonly steps: LifeSteps;
  readonly plan: LifePlan;
  readonly model: LogModel;
  readonly log: WatchedLog;
  /** Ends the life with an error. */
  readonly fail: (error: unknown) => void;
}

/** One of the stores of a life. */
export class FedStore {
  readonly state: StoreState;
  readonly #life: StoreLife;
  /** Watches in which order calls change the store's files; null if nobody does. */
  readonly #files: FileOrder | null;
  /** The call within which the crash comes; null if it does not. */
  readonly #torn: TornCall | null;
  #store: Store | null = null;
  #watched: WatchedStore | null = null;
  #session = new AbortController();
  #hasEnded = false;

  /** @param number which store of the machine, from 0. */
  constructor(state: StoreState, life: StoreLife, number: number) {
    const { files, torn } = life.plan;
    this.state = state;
    this.#life = life;
    this.#files = files?.[number] ?? null;
    this.#torn = torn?.store === number ? torn : null;
  }

  /** The user's store, while it is open. */
  get store(): Store {
    return this.#store!;
  }

  /** True if there is no next consumer. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Settles when the call that runs has ended. */
  get idle(): Promise<unknown> {
    return Promise.resolve(this.#watched?.idle);
  }

  async open(): Promise<void> {
    const { steps, plan, model, log } = this.#life;
    const { subject, home, account } = this.state;
    if (steps.step("open the store") !== null) throw steps.crash();
    try {
      this.#store = await subject.store(home.open(storeSteps(steps, plan, () => this.#watched !== null)));
    } catch (error) {
      steps.check();
      throw new BrokenPromiseError("G11", `the store cannot be opened: ${textOf(error)}`, "", { cause: error });
    }
    steps.check();
    await account.checkOpened(this.#store, await this.read());
    steps.check();
    if (home.directory !== null) this.#files?.open(home.directory);
    this.#watched = new WatchedStore(this.#store, {
      steps,
      model,
      account,
      home,
      random: plan.random,
      logId: () => log.logId,
      durable: () => log.durable,
      fail: (error) => this.#life.fail(error),
      losesWrites: plan.losesWrites,
      torn: this.#torn,
      files: this.#files,
      read: () => this.read(),
      stopChance: plan.stopChance,
      stop: () => this.#stop(),
    });
  }

  /** Runs consumers until `end()` or the crash. */
  async run(): Promise<void> {
    const { steps, plan, log } = this.#life;
    const watched = this.#watched!;
    while (!this.#hasEnded && !steps.hasCrashed) {
      if (!log.isOpen) {
        await immediate();
        continue;
      }
      this.#session = new AbortController();
      watched.begin();
      await log.consumeAsync(watched.store, {
        batchSize: plan.batchSize,
        // The history must depend on steps only, and not on time.
        pollIntervalMs: Infinity,
        signal: this.#session.signal,
      });
    }
  }

  /**
   * Stops the consumer, and another one goes on. Appends that wait for room reject when a consumer
   * ends, so a consumer is stopped only while there is plenty of room.
   */
  #stop(): void {
    const { log } = this.#life;
    if (log.isOpen && log.length < log.capacity / 4 && log.stats().waiting === 0) this.#session.abort();
  }

  /** Stops the consumer; there is no next one. */
  end(): void {
    this.#hasEnded = true;
    this.#session.abort();
  }

  /** Everything in the store, if there is a way to read it. */
  read(): Promise<FoundContents | null> {
    return this.state.subject.contents(this.#store!);
  }

  /** Closes it, once. */
  close(): Promise<void> {
    const store = this.#store;
    this.#store = null;
    return store === null ? Promise.resolve() : this.state.home.close(store);
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

/** What a consumer's failure means for the promises. */
export function explained(error: unknown): unknown {
  if (error instanceof BrokenPromiseError) return error;
  if (error instanceof WALStoreError) {
    return new BrokenPromiseError("G11", `the log and the store do not fit together (H27): ${error.message}`);
  }
  if (error instanceof WALError && error.code !== "SQLITE") return error;
  return new BrokenPromiseError("G11", `the store threw: ${textOf(error)}`, "", { cause: error });
}
