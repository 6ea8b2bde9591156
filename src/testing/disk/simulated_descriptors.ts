// The descriptors of a simulated process, and the locks that its open files hold.

import { assert } from "../../../ffi/assert.ts";
import { SystemError } from "../../../ffi/system/system.ts";
import type { SimulatedProcess } from "./simulated_process.ts";
import type { FileNode, SimulatedNode } from "./simulated_tree.ts";

/** An open file description. */
export interface Description {
  readonly path: string;
  readonly node: FileNode;
  /** The last write-back error that it has learned of. */
  errorSequence: number;
}

/** No number is used twice, so that descriptors of a dead process stay invalid. */
let nextDescriptor = 1000;

/** One process's open files and directories. */
export class SimulatedDescriptors {
  readonly #process: SimulatedProcess;
  readonly #files = new Map<number, Description>();
  readonly #directories = new Map<number, string>();
  readonly #locks = new Map<bigint, Description>();

  constructor(process: SimulatedProcess) {
    this.#process = process;
  }

  /** How many are open, and how many locks are held. */
  get counts(): { readonly descriptors: number; readonly locks: number } {
    return { descriptors: this.#files.size + this.#directories.size, locks: this.#locks.size };
  }

  openFile(path: string, node: SimulatedNode): number {
    if (node.kind === "symlink") throw new SystemError("open", "ELOOP", path);
    if (node.kind === "directory") throw new SystemError("open", "EISDIR", path);
    this.#files.set(nextDescriptor, { path, node, errorSequence: node.file.errors.learned });
    return nextDescriptor++;
  }

  openDirectory(path: string): number {
    this.#process.mustRun();
    this.#directories.set(nextDescriptor, path);
    return nextDescriptor++;
  }

  /** The path of an open directory; null for a file. */
  directory(fd: number): string | null {
    return this.#directories.get(fd) ?? null;
  }

  /** An open file. */
  file(call: string, fd: number): Description {
    this.#process.mustRun();
    const description = this.#files.get(fd);
    if (description === undefined) throw new SystemError(call, "EBADF");
    return description;
  }

  /** Frees a descriptor and its lock. As on Linux, that happens even if `close()` fails. */
  forget(fd: number): void {
    this.#directories.delete(fd);
    const description = this.#files.get(fd);
    if (description === undefined) return;
    this.#files.delete(fd);
    this.unlock(description);
  }

  /** False if another open file holds the lock. */
  lock(description: Description): boolean {
    const { inode } = description.node;
    const holder = this.#locks.get(inode);
    if (holder !== undefined && holder !== description) return false;
    this.#locks.set(inode, description);
    assert([...this.#files.values()].includes(description), "only an open file holds a lock");
    return true;
  }

  unlock(description: Description): void {
    const { inode } = description.node;
    if (this.#locks.get(inode) === description) this.#locks.delete(inode);
  }
}
