// The syncs of a simulated process, at once and in the background: what they write, lose, and
// report.

import type { Fault, SystemCall, TraceEntry } from "./fault_plan.ts";
import type { Description } from "./simulated_descriptors.ts";
import type { Decide, PageImage, WriteEffect } from "./simulated_file.ts";
import type { SimulatedProcess } from "./simulated_process.ts";

/** A sync in the background. */
type BackgroundCall = "syncMappedAsync" | "fsyncAsync";

/** One process's syncs. */
export class SimulatedSyncs {
  readonly #process: SimulatedProcess;
  /** Syncs in the background that have begun. */
  readonly #pending: { readonly finish: () => void; readonly reject: (error: unknown) => void }[] = [];

  constructor(process: SimulatedProcess) {
    this.#process = process;
    process.atEnd((crash) => {
      for (const { reject } of this.#pending.splice(0)) reject(crash);
    });
  }

  /** How many syncs in the background have begun and not ended. */
  get pendingAsync(): number {
    return this.#pending.length;
  }

  /** Ends the oldest sync in the background, or the one of that index. */
  finishAsync(index = 0): void {
    const [pending] = this.#pending.splice(index, 1);
    if (pending === undefined) throw new RangeError(`No asynchronous sync ${index} is pending`);
    pending.finish();
  }

  /** Syncs a range before it returns. */
  sync(call: SystemCall, description: Description, offset: number, length: number): void {
    const { file } = description.node;
    const { entry, fault } = this.#process.enter(call, description.path);
    const some: Decide = () => this.#process.machine.random.chance(0.5);
    if (fault?.kind === "crash") {
      if (fault.when === "during") file.failSync(offset, length, true, some);
      if (fault.when === "after") file.sync(offset, length);
      throw this.#process.crashIn(entry);
    }
    if (fault === null) file.sync(offset, length);
    else if ((fault.spec.effect ?? "error") !== "error") file.sync(offset, length, this.#effect(entry, fault));
    else {
      const { when, pages, errno } = fault.spec;
      if (when === "after") file.sync(offset, length);
      else file.failSync(offset, length, pages === "dirty", when === "during" ? some : () => false);
      file.errors.raise(errno);
    }
    this.#report(entry, description);
  }

  #effect(entry: TraceEntry, fault: Fault & { kind: "fail" }): WriteEffect {
    const { effect, byBytes = this.#process.machine.settings.pageBytes } = fault.spec;
    entry.outcome = effect!;
    return effect === "misplaced" ? { kind: "misplaced", byBytes } : { kind: "lost" };
  }

  /** Throws the last write-back error if this description has not learned of it. */
  #report(entry: TraceEntry, description: Description): void {
    const error = description.node.file.errors.tell(description);
    if (error !== null) throw this.#process.failure(entry, error, description.path);
  }

  #finishLater(finish: () => void): Promise<void> {
    const { settings, random } = this.#process.machine;
    return new Promise((resolve, reject) => {
      const pending = {
        reject,
        finish: () => {
          try {
            finish();
            resolve();
          } catch (error) {
            reject(error);
          }
        },
      };
      this.#pending.push(pending);
      if (settings.asyncTicks === "manual") return;
      let ticks = 1 + random.below(settings.asyncTicks);
      const turn = () => {
        const index = this.#pending.indexOf(pending);
        // A crash, or the test, has ended it.
        if (index < 0) return;
        if (--ticks > 0) queueMicrotask(turn);
        else this.finishAsync(index);
      };
      queueMicrotask(turn);
    });
  }

  /** Syncs a range in the background. */
  async(
    call: BackgroundCall,
    description: Description,
    offset: number,
    length: number,
  ): Promise<void> {
    const { file } = description.node;
    const { entry, fault } = this.#process.enter(call, description.path);
    if (fault?.kind === "crash" && fault.when === "before") throw this.#process.crashIn(entry);
    const images = file.beginSync(offset, length);
    if (fault?.kind === "crash") throw this.#process.crashIn(entry);
    entry.outcome = "begun";
    return this.#finishLater(() => this.#endAsync(`${call} ends`, description, images, fault));
  }

  #endAsync(
    call: `${BackgroundCall} ends`,
    description: Description,
    images: readonly PageImage[],
    begun: Fault | null,
  ): void {
    const { file } = description.node;
    const { entry, fault: atEnd } = this.#process.enter(call, description.path);
    const fault = atEnd ?? begun;
    if (fault?.kind === "crash") {
      if (fault.when === "after") file.finishSync(images);
      throw this.#process.crashIn(entry);
    }
    if (fault === null) file.finishSync(images);
    else if ((fault.spec.effect ?? "error") !== "error") file.finishSync(images, this.#effect(entry, fault));
    else {
      if (fault.when === "after") file.finishSync(images);
      else file.failQueued(images, fault.spec.pages === "dirty");
      file.errors.raise(fault.spec.errno);
    }
    this.#report(entry, description);
  }
}
