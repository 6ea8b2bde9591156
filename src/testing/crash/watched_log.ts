// A log whose every append, sync and opening is a step at which its machine may crash.

import type { OpenRequest, Region, Storage } from "../../../ffi/region.ts";
import { immediate } from "../../../ffi/turn.ts";
import { storeCalls } from "../../consume/store_call.ts";
import { WALClosedError, WALConsumerLostError, WALStoreError } from "../../errors.ts";
import { RING_AT } from "../../format/layout.ts";
import type { LSN, WALOptions, WhenAppliedOptions } from "../../types.ts";
import { WAL } from "../../wal.ts";
import { BrokenPromiseError } from "../broken_promise.ts";
import type { LifeSteps } from "./life_steps.ts";
import type { LogModel } from "../log_model.ts";
import type { SimulatedDisk } from "../disk/simulated_disk.ts";

/** What watches a log. */
export interface LogWatch {
  readonly steps: LifeSteps;
  readonly model: LogModel;
  readonly consumers: ConsumersWatch;
  /** Reports a broken promise, which ends the history. */
  fail(error: BrokenPromiseError): void;
}

/** What is told of the consumers. */
export interface ConsumersWatch {
  /** Their names. */
  readonly names: readonly string[];
  /** The log is open, and nothing was checked yet. */
  opened(log: WAL): void;
  /** An append of about so many records is to come. */
  beforeAppend(records: number): void;
  /** Somebody waits for a consumer. */
  awaited(name: string): void;
  /** A consumer that does not run is about to be dropped. */
  dropped(name: string): void;
}

/** A log as the workload gets it. */
export class WatchedLog extends WAL {
  readonly #watch: LogWatch;
  /** How often it was opened. */
  #openings = 0;

  // Watches every method that appends, whatever methods there are.
  static {
    for (const [name, { value: append }] of Object.entries(Object.getOwnPropertyDescriptors(WAL.prototype))) {
      if (typeof append !== "function" || !/^(?:log|batch)(?:[A-Z]|$)/.test(name)) continue;
      Object.defineProperty(this.prototype, name, {
        value(this: WatchedLog, ...given: unknown[]) {
          const watched = () => {
            this.#watch.consumers.beforeAppend((given[0] as ArrayLike<unknown>).length ?? 1);
            return this.#appends(`${name}()`, () => Reflect.apply(append, this, given));
          };
          return name.endsWith("Sync") ? watched() : this.#acknowledged(watched as () => Promise<unknown>);
        },
      });
    }
  }

  constructor(path: string, options: WALOptions, watch: LogWatch) {
    super(path, options);
    this.#watch = watch;
  }

  override open(): void {
    if (this.isOpen) return;
    super.open();
    this.#openings++;
    this.#watch.consumers.opened(this);
    this.#watch.model.checkRecovered(this);
  }

  override whenApplied(lsn?: LSN, options?: WhenAppliedOptions): Promise<void> {
    const { names } = this.#watch.consumers;
    const applied = options?.name === undefined && names.length > 1
      ? Promise.all(names.map((name) => this.#whenApplied(lsn, { name }))).then(() => {})
      : this.#whenApplied(lsn, options);
    // A rejection that nobody waits for must not end the process.
    applied.catch(() => {});
    return applied;
  }

  /** Waits for the next consumer too, because the test stops them as no application would. */
  async #whenApplied(lsn: LSN = this.head - 1, options?: WhenAppliedOptions): Promise<void> {
    const opening = this.#openings;
    for (;;) {
      try {
        if (options?.name !== undefined) this.#watch.consumers.awaited(options.name);
        return await super.whenApplied(lsn, options);
      } catch (error) {
        this.#watch.steps.check();
        const isStopped = [WALClosedError, WALConsumerLostError, WALStoreError].some((type) => error instanceof type);
        if (!isStopped || !this.isOpen || this.#openings !== opening || storeCalls.getStore()?.isRunning) throw error;
      }
      await immediate();
    }
  }

  override dropConsumer(name = ""): boolean {
    const { steps, consumers } = this.#watch;
    const when = steps.step(name === "" ? "drop the unnamed consumer" : `drop consumer ${JSON.stringify(name)}`);
    if (when === "before") throw steps.crash();
    consumers.dropped(name);
    const wasThere = super.dropConsumer(name);
    if (when !== null) throw steps.crash();
    return wasThere;
  }

  override truncate(confirmedThroughPos: LSN): void {
    this.#watch.model.release(confirmedThroughPos);
    super.truncate(confirmedThroughPos);
  }

  override checkpoint(appliedThrough?: LSN): LSN {
    this.#watch.model.release(appliedThrough ?? 0);
    return super.checkpoint(appliedThrough);
  }

  /** Appends, with room for a crash before and after, and notes what was appended. */
  #appends<T>(what: string, append: () => T): T {
    const { steps, model } = this.#watch;
    const first = this.head;
    const when = steps.step(`append LSN ${first}: ${what}`);
    if (when === "before") throw steps.crash();
    const result = append();
    model.adopt(this, first);
    if (when === null) return result;
    // Nobody waits for this append any more.
    if (result instanceof Promise) result.catch(() => {});
    throw steps.crash();
  }

  /** What resolves must be durable. */
  #acknowledged(call: () => Promise<unknown>): Promise<unknown> {
    const first = this.head;
    let appended: Promise<unknown>;
    try {
      appended = call();
    } catch (error) {
      appended = Promise.reject(error);
    }
    const last = this.head > first ? this.head - 1 : 0;
    // This also keeps a rejection that nobody waits for from ending the process.
    appended.then(() => {
      if (this.#watch.steps.hasCrashed || this.durable >= last) return;
      this.#watch.fail(
        new BrokenPromiseError("G1", `LSN ${last} was acknowledged while only LSN ${this.durable} was durable`),
      );
    }, () => {});
    return appended;
  }
}

/** A disk's storage for one life: its openings and syncs are steps. */
export function watchedStorage(disk: SimulatedDisk, steps: LifeSteps, observe: () => void, depth: number): Storage {
  return {
    open(path: string, request: OpenRequest): Region {
      return watchedOpening("open the log", () => disk.storage.open(path, request), disk, steps, observe, depth);
    },
    write(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): void {
      if (steps.step(`write ${path}`) !== null) throw steps.crash();
      disk.storage.write(path, chunks, sizeBytes);
    },
    async writeAsync(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): Promise<void> {
      if (steps.step(`write ${path}`) !== null) throw steps.crash();
      await disk.storage.writeAsync!(path, chunks, sizeBytes);
    },
  };
}

/** Opening is many calls; the crash comes at one of them. */
function watchedOpening(
  what: string,
  open: () => Region,
  disk: SimulatedDisk,
  steps: LifeSteps,
  observe: () => void,
  depth: number,
): Region {
  const when = steps.step(what);
  if (when !== null) disk.crashAt(disk.steps + depth, when);
  let region: Region;
  try {
    region = open();
  } catch (error) {
    if (when !== null) throw steps.crash();
    throw error;
  }
  if (when !== null) throw steps.crash();
  return watchedRegion(region, disk, steps, observe, depth);
}

/** All other methods of the region are unchanged. */
function watchedRegion(
  region: Region,
  disk: SimulatedDisk,
  steps: LifeSteps,
  observe: () => void,
  depth: number,
): Region {
  const watched: Pick<Region, "sync" | "syncAsync" | "replace"> = {
    sync(offset: number, length: number): void {
      observe();
      const when = steps.step(`sync ${nameOf(offset, length)}`);
      if (when === "before") throw steps.crash();
      if (when === "during") disk.crashAt(disk.steps + 1, "during");
      try {
        region.sync(offset, length);
      } finally {
        if (when !== null) steps.crash();
      }
      steps.check();
    },
    async syncAsync(offset: number, length: number): Promise<void> {
      observe();
      const when = steps.step(`sync ${nameOf(offset, length)} off the thread`);
      if (when === "before") throw steps.crash();
      const done = region.syncAsync(offset, length);
      if (when === "during") {
        done.catch(() => {});
        throw steps.crash();
      }
      await done;
      steps.check();
      observe();
      if (when !== null || steps.step("that sync has ended") !== null) throw steps.crash();
    },
    replace(chunks: Iterable<Uint8Array>, sizeBytes: number, keepAs: string | null): Region {
      const open = () => region.replace(chunks, sizeBytes, keepAs);
      return watchedOpening("replace the log", open, disk, steps, observe, depth);
    },
  };
  return new Proxy(region, {
    get(_, name) {
      if (name === "sync" || name === "syncAsync" || name === "replace") return watched[name];
      const found: unknown = Reflect.get(region, name, region);
      return typeof found === "function" ? found.bind(region) : found;
    },
  });
}

function nameOf(offset: number, length: number): string {
  return offset < RING_AT ? "header" : `records, bytes ${offset} to ${offset + length - 1}`;
}
