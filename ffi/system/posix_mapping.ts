// What Linux and macOS share of a Mapping: mmap, munmap, and addresses from offsets.

import { assert } from "../assert.ts";
import { detach } from "../detach.ts";
import * as c from "../libc/platform.ts";
import type { Platform } from "../libc/platform.ts";
import type { Libc } from "../libc/libc.ts";
import { lastError } from "./posix.ts";
import { type Mapping, type MapRequest, SystemError } from "./system.ts";

/** A mapping without syncing and paging, which differ between Linux and macOS. */
export abstract class PosixMapping implements Mapping {
  readonly buffer: ArrayBuffer;
  abstract readonly syncsRangeAside: boolean;
  protected readonly request: MapRequest;
  protected readonly libc: Libc;
  protected readonly on: Platform;
  readonly #address: number;
  #isOpen = true;

  /** Maps the file. */
  constructor(libc: Libc, on: Platform, request: MapRequest) {
    const { fd, lengthBytes } = request;
    this.libc = libc;
    this.on = on;
    this.request = request;
    this.#address = libc.mmap(0, lengthBytes, c.PROT_READ | c.PROT_WRITE, c.MAP_SHARED, fd, 0);
    if (!(this.#address > 0)) throw this.failure("mmap");
    try {
      this.buffer = libc.view(this.#address, lengthBytes);
    } catch (cause) {
      libc.munmap(this.#address, lengthBytes);
      throw new SystemError("mmap", "ENOMEM", undefined, { cause });
    }
  }

  abstract sync(offset: number, lengthBytes: number): void;
  abstract syncAsync(offset: number, lengthBytes: number): Promise<void>;
  abstract syncFile(): void;
  abstract pageIn(offset: number, lengthBytes: number, before: "load" | "store"): void;
  abstract release(offset: number, lengthBytes: number, from: "process" | "kernel"): void;

  close(): void {
    assert(this.#isOpen, "a mapping is unmapped once, because its addresses may belong to another mapping afterwards");
    this.#isOpen = false;
    if (this.buffer.byteLength > 0) detach(this.buffer);
    if (this.libc.munmap(this.#address, this.request.lengthBytes) !== 0) throw this.failure("munmap");
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
