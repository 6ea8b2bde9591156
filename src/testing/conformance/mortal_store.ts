// A store that crashes and is opened again: at a call of `home.step()`, or between two calls.

import type { ApplicationOpType, Store } from "../../types.ts";
import { textOf } from "../broken_promise.ts";
import { SimulatedCrash } from "../disk/fault_plan.ts";
import type { FindContents, FoundContents } from "../contents.ts";
import { FileOrder, type TornCall } from "../file_order.ts";
import { Home, type HomeSteps, SimulatedFailure, type StoreHome } from "../store_home.ts";

/** How stores are made and read. */
export interface StoreMaker<S extends Store> {
  readonly make: (home: StoreHome) => S | Promise<S>;
  readonly contents: FindContents<S>;
  readonly operations: readonly ApplicationOpType[];
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

  /** The application's opcodes that it applies. */
  get operations(): readonly ApplicationOpType[] {
    return this.#maker.operations;
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
      this.#store = await this.#maker.make(this.#home.open(this.#storeSteps(life)));
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

  #storeSteps(life: number): HomeSteps {
    return {
      step: () => {
        if (life !== this.#life) throw new SimulatedCrash("This process is dead");
        if (this.#isStruck()) this.#strike("");
      },
      // A dead store may still clean up. A failure would have to be one of the database's own.
      beforeWrite: (what) => {
        if (life === this.#life && this.#fault?.kind === "crash" && this.#isStruck()) this.#strike(`, before ${what}`);
      },
    };
  }

  /** Counts a step. @returns true if the fault comes there. */
  #isStruck(): boolean {
    this.#steps++;
    return this.#fault !== null && this.#fault.nth === this.#steps;
  }

  #strike(where: string): never {
    this.#note(`step ${this.#steps} within the store${where}: ${this.#fault!.kind}`);
    if (this.#fault!.kind === "failure") throw new SimulatedFailure("A write of the store failed (simulated)");
    throw new SimulatedCrash("Simulated crash within the store");
  }

  /** The moments within calls at which some files had changed, and others had not. */
  async momentsWithin(calls: () => Promise<void>): Promise<readonly TornCall[]> {
    using files = new FileOrder();
    if (this.#home.directory !== null) files.open(this.#home.directory);
    files.begin(0);
    await calls();
    files.end(0, "the store", true);
    return (await files.finish()).torn;
  }

  /** The next crash leaves these files as they are now. */
  tear(files: readonly string[]): void {
    this.#note(`A crash will come before it changes ${files.map((name) => JSON.stringify(name)).join()}.`);
    this.#home.tear(files);
  }

  /** Its contents, if there is a way to read them. */
  read(): Promise<FoundContents | null> {
    return this.#maker.contents(this.store);
  }

  /** Closes the store and removes what it kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#store !== null) await this.#home.close(this.#store);
    } catch { /* what it does wrong was found before */ }
    this.#home[Symbol.dispose]();
  }
}
