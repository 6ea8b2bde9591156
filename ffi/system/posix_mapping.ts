// What Linux and macOS share of a Mapping: mmap, munmap, and addresses from offsets.

import { assert } from "../assert.ts";
import { FileMemory } from "../file_memory.ts";
import * as c from "../libc/platform.ts";
import type { Platform } from "../libc/platform.ts";
import type { Libc } from "../libc/libc.ts";
import { lastError } from "./posix.ts";
import { type Mapping, type MapRequest, SystemError } from "./system.ts";

/** The memories in which files are mapped now. */
const mapped = new Set<FileMemory>();
let isKept = false;

/** A mapping without syncing and paging, which differ between Linux and macOS. */
export abstract class PosixMapping implements Mapping {
  readonly memory: FileMemory;
  abstract readonly syncsRangeAside: boolean;
  protected readonly request: MapRequest;
  protected readonly libc: Libc;
  protected readonly on: Platform;
  readonly #address: number;
  #isOpen = true;

  /** Maps the file. */
  constructor(libc: Libc, on: Platform, request: MapRequest, pageBytes: number) {
    this.libc = libc;
    this.on = on;
    this.request = request;
    const { fd, lengthBytes } = request;
    const memory = libc.canMapIntoMemories ? FileMemory.toMap(lengthBytes, pageBytes, libc.addressOf) : null;
    if (memory !== null) {
      this.memory = memory;
      this.#address = libc.addressOf(memory.buffer) + memory.at;
      keep(libc, memory);
      try {
        this.#map(this.#address, c.MAP_SHARED | c.MAP_FIXED, fd);
      } catch (error) {
        this.#giveBack();
        throw error;
      }
    } else {
      this.#address = this.#map(0, c.MAP_SHARED, fd);
      try {
        this.memory = new FileMemory(libc.view(this.#address, lengthBytes));
      } catch (cause) {
        libc.munmap(this.#address, lengthBytes);
        throw new SystemError("mmap", "ENOMEM", undefined, { cause });
      }
    }
  }

  #map(address: number, flags: number, fd: number): number {
    const { lengthBytes } = this.request;
    const got = this.libc.mmap(address, lengthBytes, c.PROT_READ | c.PROT_WRITE, flags, fd, 0);
    if (!(got > 0)) throw this.failure("mmap");
    assert(address === 0 || got === address, "a file is mapped where its memory is");
    return got;
  }

  abstract sync(offset: number, lengthBytes: number): void;
  abstract syncAsync(offset: number, lengthBytes: number): Promise<void>;
  abstract syncFile(): void;
  abstract pageIn(offset: number, lengthBytes: number, before: "load" | "store"): void;
  abstract release(offset: number, lengthBytes: number, from: "process" | "kernel"): void;

  close(): void {
    assert(this.#isOpen, "a mapping is unmapped once, because its addresses may belong to another mapping afterwards");
    this.#isOpen = false;
    if (this.memory.memory !== null) return this.#giveBack();
    this.memory.detach();
    if (this.libc.munmap(this.#address, this.request.lengthBytes) !== 0) throw this.failure("munmap");
  }

  /**
   * Puts zeros in place of the file. Others may get these pages then, and must not store into the
   * file. If this fails, the memory is kept for ever.
   */
  #giveBack(): void {
    this.memory.detach();
    this.#map(this.#address, c.MAP_PRIVATE | c.MAP_FIXED | this.on.MAP_ANON, -1);
    mapped.delete(this.memory);
    this.memory.recycle();
  }

  /** The address of a range, for a call of the kernel. */
  protected addressOf(offset: number, lengthBytes: number): number {
    assert(this.#isOpen, "the kernel is called for mapped memory only");
    assert(offset >= 0 && offset + lengthBytes <= this.request.lengthBytes, "a range is inside its mapping");
    return this.#address + offset;
  }

  protected failure(call: string): SystemError {
    return lastError(this.libc, this.on, call);
  }
}

/**
 * Keeps a memory until its file is no longer mapped there. An engine may give the pages of a memory
 * that it collects to others, who would then store into the file.
 */
function keep(libc: Libc, memory: FileMemory): void {
  if (!isKept) libc.keep(mapped);
  isKept = true;
  mapped.add(memory);
}
