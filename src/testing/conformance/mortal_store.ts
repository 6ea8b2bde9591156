// A store that crashes and is opened again: at a call of `home.step()`, or between two calls.

import type { Store } from "../../types.ts";
import { textOf } from "../broken_promise.ts";
import { SimulatedCrash } from "../disk/fault_plan.ts";
import type { ReadContents, StoreEntry } from "../store_model.ts";
import { Home, SimulatedFailure, type StoreHome } from "../store_home.ts";

/** How stores are made and read. */
export interface StoreMaker<S extends Store> {
  readonly make: (home: StoreHome) => S | Promise<S>;
  readonly contents: ReadContents<S> | undefined;
  readonly temporary: string | undefined;
}

/** What `home.step()` does at a later call: a crash, or a failed write. */
export interface StepFault {
  /** Which call, from 1. */
  readonly nth: number;
  readonly kind: "crash" | "failure";
}

/** A store over all its lives, until it is disposed. */
export class MortalStore<S extends Store> implements AsyncDisposable {
  readonly #maker: StoreMaker<S>;
  readonly #home: Home;
  readonly #note: (line: string) => void;
  #store: S | null = null;
  #fault: StepFault | null = null;
  #steps = 0;
  #life = 0;

  /** @param note is told what happens. */
  constructor(maker: StoreMaker<S>, note: (line: string) => void) {
    this.#maker = maker;
    this.#home = new Home(maker.temporary);
    this.#note = note;
  }

  /** The store that is open. */
  get store(): S {
    return this.#store!;
  }

  /** The number of the store's lives. Actions of an earlier life are ignored. */
  get life(): number {
    return this.#life;
  }

  /** How often the store has called `home.step()` since the last `arm()`. */
  get steps(): number {
    return this.#steps;
  }

  /** Whether a crash leaves the store as it is. */
  get isOutside(): boolean {
    return this.#home.isOutside(this.#store);
  }

  /** Makes a later step crash or fail; null for none. */
  arm(fault: StepFault | null): void {
    this.#fault = fault;
    this.#steps = 0;
  }

  /** Opens the store. @throws {Error} if it cannot be opened. */
  async open(): Promise<void> {
    this.arm(null);
    const life = this.#life;
    try {
      this.#store = await this.#maker.make(this.#home.open(() => this.#step(life)));
    } catch (cause) {
      throw new Error(`the store cannot be opened: ${textOf(cause)}`, { cause });
    }
    this.becomesDurable();
  }

  /** Makes durable what the store has now. */
  becomesDurable(): void {
    this.#home.keepImage();
  }

  /** Crashes the store's machine. */
  async crash(mode: "power" | "kill"): Promise<void> {
    this.#note(mode === "power" ? "Power is lost, and with it what was not synced." : "The process is killed.");
    const dead = this.store;
    this.#home.crash(mode === "power" ? "image" : "now");
    this.#life++;
    try {
      await this.#home.close(dead);
    } catch { /* it is dead */ }
  }

  #step(life: number): void {
    if (life !== this.#life) throw new SimulatedCrash("This process is dead");
    this.#steps++;
    if (this.#fault === null || this.#fault.nth !== this.#steps) return;
    this.#note(`step ${this.#steps} within the store: ${this.#fault.kind}`);
    if (this.#fault.kind === "failure") throw new SimulatedFailure("A write of the store failed (simulated)");
    throw new SimulatedCrash("Simulated crash within the store");
  }

  /** Its contents, if there is a way to read them. */
  async read(): Promise<StoreEntry[] | null> {
    return this.#maker.contents === undefined ? null : [...await this.#maker.contents(this.store)];
  }

  /** Closes the store and removes what it kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#store !== null) await this.#home.close(this.#store);
    } catch { /* what it does wrong was found before */ }
    this.#home[Symbol.dispose]();
  }
}
