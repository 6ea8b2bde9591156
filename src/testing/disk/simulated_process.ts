// A simulated process: numbers its system calls, injects faults, and ends with a crash.

import { SystemError } from "../../../ffi/system/system.ts";
import { type Fault, SimulatedCrash, type SystemCall, type TraceEntry } from "./fault_plan.ts";
import type { Random } from "../random.ts";
import type { SimulatedFile } from "./simulated_file.ts";
import type { SimulatedTree } from "./simulated_tree.ts";

/** What a process needs of the machine it runs on. */
export interface SimulatedMachine {
  readonly tree: SimulatedTree;
  readonly random: Random;
  readonly settings: SystemSettings;
  /** Numbers a call, and finds the fault that it meets. */
  enter(call: SystemCall, subject: string): { readonly entry: TraceEntry; readonly fault: Fault | null };
  newFile(): SimulatedFile;
  /** The process ends, and the machine with it. */
  halt(): void;
}

/** What the simulated system is like. */
export interface SystemSettings {
  readonly pageBytes: number;
  readonly fileSystem: string;
  readonly noCopyOnWrite: boolean;
  readonly dropsCache: boolean;
  readonly asyncUsesSpare: boolean;
  /**
   * The most turns of the microtask queue that an asynchronous sync takes. With `"manual"`, the
   * sync ends at `finishAsync()`.
   */
  readonly asyncTicks: number | "manual";
}

/** The C functions that errors name, as on a real system. */
const C_NAMES: Partial<Record<SystemCall, string>> = {
  realPath: "realpath",
  openOrCreate: "open",
  read: "pread",
  write: "pwrite",
  truncate: "ftruncate",
  allocate: "posix_fallocate",
  syncDirectory: "fsync",
  lock: "flock",
  unlock: "flock",
  fileSystem: "fstatfs",
  setNoCopyOnWrite: "ioctl",
  isNoCopyOnWrite: "ioctl",
  dropCache: "posix_fadvise",
  map: "mmap",
  unmap: "munmap",
  populate: "madvise",
  syncMapped: "msync",
  syncMappedAsync: "msync",
  "syncMappedAsync ends": "msync",
  fsyncAsync: "fsync",
  "fsyncAsync ends": "fsync",
  syncData: "fdatasync",
  preparePath: "statx",
  pathIs: "statx",
};

/** One process. Once it has crashed, each of its calls throws `SimulatedCrash`, for ever. */
export class SimulatedProcess {
  readonly machine: SimulatedMachine;
  #crash: SimulatedCrash | null = null;
  readonly #atEnd: ((crash: SimulatedCrash) => void)[] = [];

  constructor(machine: SimulatedMachine) {
    this.machine = machine;
  }

  /** Adds an action for the end of the process. */
  atEnd(action: (crash: SimulatedCrash) => void): void {
    this.#atEnd.push(action);
  }

  /** Ends the process. */
  kill(message: string): SimulatedCrash {
    if (this.#crash === null) {
      this.#crash = new SimulatedCrash(message);
      for (const action of this.#atEnd) action(this.#crash);
    }
    return this.#crash;
  }

  /** Throws the crash of a process that has ended. */
  mustRun(): void {
    if (this.#crash !== null) throw this.#crash;
  }

  /** Begins a call: numbers it, and finds the fault that it meets. */
  enter(call: SystemCall, subject: string): { readonly entry: TraceEntry; readonly fault: Fault | null } {
    this.mustRun();
    return this.machine.enter(call, subject);
  }

  /** Crashes in a call. */
  crashIn(entry: TraceEntry): SimulatedCrash {
    entry.outcome = "crash";
    const crash = this.kill(`Simulated crash at step ${entry.step} (${entry.call} ${entry.subject})`);
    this.machine.halt();
    return crash;
  }

  /**
   * Runs a call, with the failure or the crash that it meets.
   *
   * @param part does a part of the call's work, for a fault in the middle of the call.
   * @param takeBack undoes the result, for a fault after the call's work.
   */
  step<T>(call: SystemCall, subject: string, act: () => T, part?: () => void, takeBack?: (result: T) => void): T {
    const { entry, fault } = this.enter(call, subject);
    if (fault === null) return this.#act(entry, act);
    if (fault.when === "during") part?.();
    if (fault.when === "after") {
      // The call's own error no longer matters.
      try {
        const result = act();
        takeBack?.(result);
      } catch { /* the fault comes first */ }
    }
    if (fault.kind === "crash") throw this.crashIn(entry);
    throw this.failure(entry, fault.spec.errno, subject);
  }

  #act<T>(entry: TraceEntry, act: () => T): T {
    try {
      const result = act();
      if (typeof result === "boolean" || result === null) entry.outcome = String(result);
      return result;
    } catch (error) {
      entry.outcome = error instanceof SystemError ? error.errno : String(error);
      throw error;
    }
  }

  /** The error of a call that fails. */
  failure(entry: TraceEntry, errno = "EIO", path?: string): SystemError {
    entry.outcome = errno;
    const name = entry.call as SystemCall;
    return new SystemError(C_NAMES[name] ?? name, errno, path);
  }
}
