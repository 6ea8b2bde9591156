// One store in one life: it is opened, fed by consumers, read and closed.

import type { Store } from "../../types.ts";
import { BrokenPromiseError, textOf } from "../broken_promise.ts";
import type { FoundContents } from "../contents.ts";
import { SimulatedCrash } from "../disk/fault_plan.ts";
import type { FileOrder, TornCall } from "../file_order.ts";
import type { LogModel } from "../log_model.ts";
import type { StoreAccount } from "../store_account.ts";
import { type Home, type HomeSteps, SimulatedFailure } from "../store_home.ts";
import { Consumers } from "./consumers.ts";
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
  /** True if there is no other store. */
  readonly isAlone: boolean;
  /** Notes that the log may release what all stores have durably. */
  readonly release: () => void;
  /** Ends the life with an error. */
  readonly fail: (error: unknown) => void;
}

/**
 * Notes that the log has given up the consumer of a store.
 *
 * @throws {BrokenPromiseError} if it had no reason.
 */
export function giveUp({ subject: { name, maxLagRecords = Infinity }, account }: StoreState): void {
  if (maxLagRecords === Infinity) {
    throw named(name, new BrokenPromiseError("G11", "the log has given up the consumer, which has no maxLagRecords"));
  }
  account.isGivenUp = true;
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
  #consumers: Consumers | null = null;

  /** @param number which store of the machine, from 0. */
  constructor(state: StoreState, life: StoreLife, number: number) {
    const { files, torn } = life.plan;
    this.state = state;
    this.#life = life;
    this.#files = files?.[number] ?? null;
    this.#torn = torn?.store === number ? torn : null;
  }

  /** The user's store. It must be open. */
  get store(): Store {
    return this.#store!;
  }

  /** Its consumers; null until it is open. */
  get consumers(): Consumers | null {
    return this.#consumers;
  }

  /** What the store has not answered yet; null if nobody waits for it. */
  get unanswered(): string | null {
    return this.#watched === null ? `open ${this.state.subject.text}` : this.#watched.unanswered;
  }

  /** Settles when the call that runs has ended. */
  get idle(): Promise<unknown> {
    return Promise.resolve(this.#watched?.idle);
  }

  async open(): Promise<void> {
    const { steps, plan, model, log, release } = this.#life;
    const { subject, home, account } = this.state;
    if (steps.step(`open ${subject.text}`) !== null) throw steps.crash();
    try {
      this.#store = await subject.store(home.open(storeSteps(subject.text, steps, plan, () => this.#watched !== null)));
    } catch (error) {
      steps.check();
      throw new BrokenPromiseError("G11", `${subject.text} cannot be opened: ${textOf(error)}`, "", { cause: error });
    }
    steps.check();
    if (subject.reseed !== undefined && this.#store.appliedLsn === undefined) {
      throw new TypeError(`A store with \`reseed\` must have appliedLsn(), and ${subject.text} has none`);
    }
    try {
      await account.checkOpened(this.#store, await this.read());
    } catch (error) {
      throw named(subject.name, error);
    }
    steps.check();
    if (home.directory !== null) this.#files?.open(home.directory);
    const watched = this.#watched = new WatchedStore(this.#store, {
      name: subject.text.replace(/^the /, ""),
      steps,
      model,
      account,
      home,
      random: plan.random,
      logId: () => log.logId,
      durable: () => log.durable,
      release,
      fail: (error) => this.#life.fail(named(subject.name, error)),
      losesWrites: plan.losesWrites,
      torn: this.#torn,
      files: this.#files,
      read: () => this.read(),
      stopChance: plan.stopChance,
      stop: () => this.#consumers!.stop(),
    });
    this.#consumers = new Consumers(this.state, this.#life, watched);
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

/** An error of a store, with the name of the store. */
export function named(name: string, error: unknown): unknown {
  if (name === "" || error instanceof SimulatedCrash) return error;
  const text = `store ${JSON.stringify(name)}`;
  if (error instanceof BrokenPromiseError) {
    return new BrokenPromiseError(error.promise, `${text}: ${error.finding}`, "", { cause: error.cause ?? error });
  }
  return new Error(`${text}: ${textOf(error)}`, { cause: error });
}

/** Steps within the store. While it is being opened, no write fails. */
function storeSteps(
  text: string,
  steps: LifeSteps,
  { random, failureChance }: LifePlan,
  isOpen: () => boolean,
): HomeSteps {
  const stepWithin = (where: string) => {
    if (steps.step(`within ${text}${where}`) !== null) throw steps.crash();
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
