// Which system call fails, and where the machine crashes.

/**
 * Thrown by every call of a process that a simulated crash has ended, from the call that it hit.
 */
export class SimulatedCrash extends Error {
  /** `"SimulatedCrash"`. */
  override name = "SimulatedCrash";
}

/**
 * A call that can fail, and in which the machine can crash. An asynchronous sync counts as two
 * calls, its beginning and its end. `pathIs` is the inspection of the log's own path.
 */
export type SystemCall =
  | "realPath"
  | "lstat"
  | "stat"
  | "fstat"
  | "open"
  | "openOrCreate"
  | "read"
  | "write"
  | "truncate"
  | "allocate"
  | "fsync"
  | "syncDirectory"
  | "rename"
  | "link"
  | "unlink"
  | "close"
  | "lock"
  | "unlock"
  | "fileSystem"
  | "setNoCopyOnWrite"
  | "isNoCopyOnWrite"
  | "dropCache"
  | "map"
  | "unmap"
  | "populate"
  | "syncMapped"
  | "syncMappedAsync"
  | "syncMappedAsync ends"
  | "fsyncAsync"
  | "fsyncAsync ends"
  | "syncData"
  | "preparePath"
  | "pathIs";

/**
 * When within a call: before anything is done, after a part of it, or when all is done but the
 * caller does not know.
 */
export type Moment = "before" | "during" | "after";

/** A crash that is to come. */
export interface CrashPoint {
  /** The number of the call, as in `disk.steps` and `disk.trace`; the first is 1. */
  readonly step: number;
  /** @default {"before"} */
  readonly when?: Moment | undefined;
}

/** A failure that is to come. */
export interface FailingCall {
  /** Which of the system's methods. */
  readonly call: SystemCall;
  /**
   * Which of the later calls fails, counted from 1.
   *
   * @default {1}
   */
  readonly nth?: number | undefined;
  /**
   * How many calls in a row fail; `Infinity` for all.
   *
   * @default {1}
   */
  readonly times?: number | undefined;
  /**
   * The error's name.
   *
   * @default {"EIO"}
   */
  readonly errno?: string | undefined;
  /**
   * Whether the call has done nothing, a part or everything when it fails.
   *
   * @default {"before"}
   */
  readonly when?: Moment | undefined;
  /**
   * What a failed sync does to pages that it did not write. With `"clean"`, as on Linux, they count
   * as clean, so the next sync succeeds without them. With `"dirty"`, they stay dirty.
   *
   * @default {"clean"}
   */
  readonly pages?: "clean" | "dirty" | undefined;
  /**
   * What happens to a sync: an error; or success is reported although the medium has nothing
   * (`"lost"`), or has it elsewhere (`"misplaced"`, by `byBytes`).
   *
   * @default {"error"}
   */
  readonly effect?: "error" | "lost" | "misplaced" | undefined;
  /** How far from its place a misplaced page is written; a multiple of 512. */
  readonly byBytes?: number | undefined;
  /** Only calls about this path; of a descriptor, the path it was opened by. */
  readonly path?: string | undefined;
}

/** What a call meets. */
export type Fault =
  | { readonly kind: "crash"; readonly when: Moment }
  | { readonly kind: "fail"; readonly when: Moment; readonly spec: FailingCall };

/** One line of the history. */
export interface TraceEntry {
  /** The number of the call; 0 if the entry is not a call. */
  readonly step: number;
  /** The call, or something that happened between two. */
  readonly call: SystemCall | "event";
  /** The path of the call, or what happened. */
  readonly subject: string;
  /** `ok`, an error's name, or `crash`. */
  outcome: string;
}

/** The faults that are to come. */
export class FaultPlan {
  #crash: CrashPoint | null = null;
  #failing: { readonly spec: FailingCall; skip: number; left: number }[] = [];

  /** Crashes at this call; null: nowhere. */
  crashAt(point: CrashPoint | null): void {
    this.#crash = point;
  }

  fail(spec: FailingCall): void {
    this.#failing.push({ spec, skip: (spec.nth ?? 1) - 1, left: spec.times ?? 1 });
  }

  /** Forgets everything that is to come. */
  clear(): void {
    this.#crash = null;
    this.#failing = [];
  }

  /** What this call meets. Asked once for each call. */
  next(step: number, call: SystemCall, path: string): Fault | null {
    let fault: Fault | null = null;
    for (const failing of this.#failing) {
      const { spec } = failing;
      if (spec.call !== call || (spec.path !== undefined && spec.path !== path)) continue;
      if (failing.skip > 0) failing.skip--;
      else if (failing.left > 0) {
        failing.left--;
        fault ??= { kind: "fail", when: spec.when ?? "before", spec };
      }
    }
    if (this.#crash?.step !== step) return fault;
    const when = this.#crash.when ?? "before";
    this.#crash = null;
    return { kind: "crash", when };
  }
}
