// A process of a simulated machine, beside others: it can be stopped at each of its system calls,
// and killed there alone.

import { mappedStorage } from "../../ffi/file/mapped_storage.ts";
import type { Mapping, System } from "../../ffi/system/system.ts";
import type { WALOptions } from "../../mod.ts";
import type { SimulatedDisk } from "../../testing.ts";

/** Thrown by each call of a process that was killed. */
export class Killed extends Error {}

/** One process of the machine: a system that says which call comes next, and that can be killed. */
export class Process {
  readonly options: WALOptions;
  readonly #system: System;
  readonly #descriptors = new Set<number>();
  readonly #mappings = new Set<Mapping>();
  #calls = 0;
  #isDead = false;

  /**
   * @param more how it opens logs.
   * @param before gets the number of each call, from 1. If it returns true, the process is killed
   * before that call.
   */
  constructor(disk: SimulatedDisk, more: WALOptions = {}, before: (call: number) => boolean | void = () => {}) {
    this.#system = disk.system;
    const enter = () => {
      if (this.#isDead) throw new Killed();
      if (before(++this.#calls) === true) {
        this.kill();
        throw new Killed();
      }
    };
    const watched = <T extends object>(target: T): T =>
      new Proxy(target, {
        get: (_, name) => {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== "function") return value;
          return (...values: unknown[]) => {
            enter();
            const result: unknown = Reflect.apply(value, target, values);
            this.#note(target, String(name), values, result);
            return name === "watch" || name === "map" ? watched(result as object) : result;
          };
        },
      });
    this.options = {
      storage: mappedStorage(watched(this.#system)),
      now: disk.clock.now,
      idleHeaderDelayMs: Infinity,
      flush: "inline",
      ...more,
    };
  }

  /** How many system calls there have been. */
  get calls(): number {
    return this.#calls;
  }

  /** True once it has been killed. */
  get isDead(): boolean {
    return this.#isDead;
  }

  #note(target: object, name: string, values: unknown[], result: unknown): void {
    if (name === "open") this.#descriptors.add(result as number);
    if (name === "map") this.#mappings.add(result as Mapping);
    if (name !== "close") return;
    if (target === this.#system) this.#descriptors.delete(values[0] as number);
    else this.#mappings.delete(target as Mapping);
  }

  /** The kernel takes back what a dead process had. */
  kill(): void {
    this.#isDead = true;
    for (const mapping of this.#mappings) mapping.close();
    for (const fd of this.#descriptors) this.#system.close(fd);
  }
}
