// All stores of one life, and what the log tells of their consumers.

import type { LSN, Store } from "../../types.ts";
import type { WAL } from "../../wal.ts";
import type { LogModel } from "../log_model.ts";
import type { Consumers } from "./consumers.ts";
import { FedStore, giveUp, type StoreLife, type StoreState } from "./fed_store.ts";
import type { ConsumersWatch } from "./watched_log.ts";

/** The stores of a life. */
export class FedStores implements ConsumersWatch {
  readonly #states: readonly StoreState[];
  readonly #model: LogModel;
  #all: readonly FedStore[] = [];

  constructor(states: readonly StoreState[], model: LogModel) {
    this.#states = states;
    this.#model = model;
  }

  /** Each store; none before `begin()`. */
  get all(): readonly FedStore[] {
    return this.#all;
  }

  get names(): readonly string[] {
    return this.#states.map(({ subject }) => subject.name);
  }

  get byName(): Readonly<Record<string, Store>> {
    return Object.fromEntries(this.#all.map(({ state, store }) => [state.subject.name, store]));
  }

  /** The log is open. */
  begin(life: StoreLife): void {
    this.#all = this.#states.map((state, number) => new FedStore(state, life, number));
  }

  /** True if the log keeps for each store what it lacks, unless it was given up. */
  get areHeld(): boolean {
    return this.#all.every(({ state, consumers }) => state.account.isGivenUp || consumers!.isHeld);
  }

  opened(log: WAL): void {
    // `stats()` reads the clock, which then goes on: histories of one store would be others.
    if (this.#states.length === 1 && this.#states[0]!.subject.maxLagRecords === undefined) return;
    for (const { name, lost } of log.stats().consumers) {
      const state = lost ? this.#states.find(({ subject }) => subject.name === name) : undefined;
      if (state !== undefined) giveUp(state);
    }
    this.release(log.durable);
  }

  beforeAppend(records: number): void {
    for (const { consumers } of this.#all) consumers?.makeRoom(records);
  }

  awaited(name: string): void {
    this.#consumersOf(name)?.wake();
  }

  dropped(name: string): void {
    const state = this.#states.find(({ subject }) => subject.name === name);
    if (state !== undefined && this.#consumersOf(name)?.isRunning === false) state.account.isGivenUp = true;
  }

  #consumersOf(name: string): Consumers | null {
    return this.#all.find(({ state }) => state.subject.name === name)?.consumers ?? null;
  }

  /**
   * What all stores have durably may be released. One that was given up does not count.
   *
   * @param durable may be released if all were given up.
   */
  release(durable: LSN): void {
    const kept = this.#states.filter(({ account }) => !account.isGivenUp).map(({ account }) => account.durable);
    this.#model.release(kept.length === 0 ? durable : Math.min(...kept));
  }
}
