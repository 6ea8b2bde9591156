// Counts what happens in one life of a simulated machine, and ends that life at a chosen count.

import { type Moment, SimulatedCrash } from "../disk/fault_plan.ts";

/** Where a life ends. */
export interface LifeEnd {
  /** The number of the step, from 1. */
  readonly step: number;
  readonly when: Moment;
}

/**
 * The steps of one life: appends, syncs, openings, calls to the store and `home.step()` within
 * them. The count does not depend on the machine's speed, so a seed and a step give one history
 * again.
 */
export class CrashClock {
  readonly #point: LifeEnd | null;
  readonly #crash: () => void;
  readonly #tick: () => void;
  readonly #ended = Promise.withResolvers<void>();
  #end: SimulatedCrash | null = null;
  #steps = 0;
  /** What happened, oldest first. Shared by all lives of a history. */
  readonly history: string[];

  /**
   * @param crash takes power from everything, or kills it.
   * @param tick called at each step before anything else.
   */
  constructor(point: LifeEnd | null, history: string[], crash: () => void, tick: () => void) {
    this.#point = point;
    this.history = history;
    this.#crash = crash;
    this.#tick = tick;
  }

  get steps(): number {
    return this.#steps;
  }

  /** True once the life is over. */
  get hasCrashed(): boolean {
    return this.#end !== null;
  }

  /** Resolves at the crash. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Throws if the life is over: for whatever goes on in a process that is dead. */
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
    this.#steps++;
    this.note(`${String(this.#steps).padStart(6)}  ${what}`);
    return this.#point?.step === this.#steps ? this.#point.when : null;
  }

  /** Adds a line to the history. */
  note(line: string): void {
    this.history.push(line);
  }

  /** Ends the life here. The result is what callers throw. */
  crash(): SimulatedCrash {
    if (this.#end !== null) return this.#end;
    this.#end = new SimulatedCrash(`Simulated crash at step ${this.#steps}`);
    this.#crash();
    this.#ended.resolve();
    return this.#end;
  }
}
