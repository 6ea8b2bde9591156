// Another program on the same machine, which knows nothing of locks.

import type { SimulatedMachine } from "./simulated_process.ts";

/**
 * What another program does to files, also to those that a log has open. Its calls are not
 * counted as steps, and no fault makes them fail.
 *
 * @example Another program deletes the log
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { SimulatedDisk } from "@cidstore/wal/testing";
 *
 * const disk = new SimulatedDisk();
 * const options = { storage: disk.storage, now: disk.clock.now, size: 65536 };
 * const wal = WAL.open("/sim/log", options);
 * wal.logInsertSync(1, 2, 3, 4);
 * disk.outsider.unlink("/sim/log");
 * try {
 *   wal.flush();
 * } catch (error) {
 *   console.log((error as { code: string }).code); // GONE
 * }
 * ```
 */
export class OtherProgram {
  readonly #machine: SimulatedMachine;
  readonly #note: (text: string) => void;

  /** @internal Made by the disk. */
  constructor(machine: SimulatedMachine, note: (text: string) => void) {
    this.#machine = machine;
    this.#note = note;
  }

  /**
   * Makes a file with these bytes, durable at once. An existing file is replaced, not overwritten.
   */
  writeFile(path: string, bytes: Uint8Array): void {
    const { tree } = this.#machine;
    if (tree.walk("open", path, false).node !== null) tree.unlink(path);
    const place = tree.walk("open", path, false);
    const { file } = tree.makeFile(place, this.#machine.newFile());
    file.write(bytes, 0);
    file.sync(0, bytes.length);
    tree.sync(place.path.slice(0, place.path.lastIndexOf("/")) || "/");
    this.#note(`another program writes ${path}`);
  }

  /** Deletes a file. */
  unlink(path: string): void {
    this.#machine.tree.unlink(path);
    this.#note(`another program deletes ${path}`);
  }

  /** Moves a file, over another one if there is one. */
  rename(from: string, to: string): void {
    this.#machine.tree.rename(from, to);
    this.#note(`another program moves ${from} to ${to}`);
  }

  /** Gives a file a second name, as a snapshot made of hard links does. */
  link(from: string, to: string): void {
    this.#machine.tree.link(from, to);
    this.#note(`another program links ${from} as ${to}`);
  }

  /** Cuts or grows a file. */
  truncate(path: string, sizeBytes: number): void {
    this.#machine.tree.file("truncate", path).file.resize(sizeBytes);
    this.#note(`another program cuts ${path} to ${sizeBytes} bytes`);
  }

  /** Makes a directory, durable at once. */
  makeDirectory(path: string): void {
    this.#machine.tree.makeDirectory(path);
  }

  /** Makes a symbolic link. */
  symlink(target: string, path: string): void {
    this.#machine.tree.makeSymlink(target, path);
    this.#note(`another program links ${path} to ${target}`);
  }
}
