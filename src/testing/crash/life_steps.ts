// Counts the steps of one life of a simulated machine, and ends that life at a chosen step.

import { type Moment, SimulatedCrash } from "../disk/fault_plan.ts";

/** The step at which a life ends. */
export interface LifeEnd {
  /** The number of the step, from 1. */
  readonly step: number;
  readonly when: Moment;
}

/**
 * The steps of one life: appends, syncs, openings, calls to the store and `home.step()` within
 * them. The count does not depend on the speed of the real machine, so a seed and a step repeat a
 * history.
 */
export class LifeSteps {
  readonly #point: LifeEnd | null;
  readonly #crash: () => void;
  readonly #tick: () => void;
  readonly #ended = Promise.withResolvers<void>();
  #end: SimulatedCrash | null = null;
  #isDone = false;
  #count = 0;
  /** What happened, oldest first. Shared by all lives of a history. */
  readonly history: string[];

  /**
   * @param crash ends all that the life runs, by power loss or by a kill.
   * @param tick called at each step before anything else.
   */
  constructor(point: LifeEnd | null, history: string[], crash: () => void, tick: () => void) {
    this.#point = point;
    this.history = history;
    this.#crash = crash;
    this.#tick = tick;
  }

  get count(): number {
    return this.#count;
  }

  /** True once the life is over. */
  get hasCrashed(): boolean {
    return this.#end !== null;
  }

  /** True once the life has crashed or is done. */
  get isOver(): boolean {
    return this.#isDone || this.#end !== null;
  }

  /** The life is done: what is still closed does not count. */
  finish(): void {
    this.#isDone = true;
  }

  /** Resolves at the crash. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Throws if the life is over. Code that still runs in the dead process calls this. */
  check(): void {
    if (this.#end !== null) throw this.#end;
  }

  /**
   * Counts a step.
   *
   * @returns when the caller has to call `crash()`; null if the step is not the last one.
   */
  step(what: string): Moment | null {
    this.check();
    this.#tick();
    this.#count++;
    this.note(`${String(this.#count).padStart(6)}  ${what}`);
    return this.#point?.step === this.#count ? this.#point.when : null;
  }

  /** Adds a line to the history. */
  note(line: string): void {
    this.history.push(line);
  }

  /** Ends the life here. @returns the error that the caller must throw. */
  crash(): SimulatedCrash {
    if (this.#end !== null) return this.#end;
    this.#end = new SimulatedCrash(`Simulated crash at step ${this.#count}`);
    this.#crash();
    this.#ended.resolve();
    return this.#end;
  }
}
