// Tries the C library on anonymous memory before it is trusted with a file.

import { detach } from "../detach.ts";
import { FileMemory } from "../file_memory.ts";
import type { Libc } from "./libc.ts";
import * as c from "./platform.ts";
import { errnoName, type Platform, unsupported } from "./platform.ts";

/**
 * Tries the constants on a page of anonymous memory, so that a wrong table is an error and not a
 * damaged file.
 *
 * @returns the size of a page.
 * @throws {RegionError} `PLATFORM`.
 */
export function verifyLibc(libc: Libc, on: Platform): number {
  const pageBytes = libc.sysconf(on.SC_PAGESIZE);
  const isPower = pageBytes >= 4096 && pageBytes <= 2 ** 24 && (pageBytes & (pageBytes - 1)) === 0;
  if (!isPower) {
    throw unsupported(`here, as its page size reads as ${pageBytes}`);
  }

  const address = libc.mmap(0, pageBytes, c.PROT_READ | c.PROT_WRITE, c.MAP_PRIVATE | on.MAP_ANON, -1, 0);
  if (!(address > 0)) {
    throw unsupported(`here, as anonymous memory is refused with ${errnoName(on, libc.errno())}`);
  }
  const first = libc.view(address, pageBytes);
  const second = libc.view(address, pageBytes);
  new Uint8Array(first).set([0x57, 0x41, 0x4c], pageBytes - 3);
  const holds = first.byteLength === pageBytes &&
    new Uint8Array(second)[pageBytes - 2] === 0x41 &&
    new Uint8Array(second)[0] === 0;
  detach(first);
  detach(second);
  const synced = libc.msync(address, pageBytes, on.MS_SYNC) === 0;
  const unmapped = libc.munmap(address, pageBytes) === 0;
  if (!holds || !synced || !unmapped) {
    throw unsupported("here, as anonymous memory does not behave as expected");
  }

  const empty = libc.mmap(0, 0, c.PROT_READ, c.MAP_PRIVATE | on.MAP_ANON, -1, 0);
  if (empty !== -1 || libc.errno() !== on.errno["EINVAL"]) {
    throw unsupported("here, as a failing call does not report its error");
  }
  if (!canMapInto(libc, on, pageBytes)) {
    throw unsupported("here, as memory is not mapped into a WebAssembly memory");
  }
  return pageBytes;
}

/**
 * True if memory that is mapped into a WebAssembly memory is what its buffer shows, and if zeros
 * can be put in its place.
 */
function canMapInto(libc: Libc, on: Platform, pageBytes: number): boolean {
  const memory = libc.canMapIntoMemories ? FileMemory.toMap(pageBytes, pageBytes, libc.addressOf) : null;
  if (memory === null) return true;
  const { buffer, at } = memory;
  const address = libc.addressOf(buffer) + at;
  const isMapped = (kind: number) =>
    libc.mmap(address, pageBytes, c.PROT_READ | c.PROT_WRITE, kind | c.MAP_FIXED | on.MAP_ANON, -1, 0) === address;
  const byte = new Uint8Array(buffer, at + pageBytes - 1, 1);
  const seen = libc.view(address + pageBytes - 1, 1);
  byte[0] = 1;
  const shows = isMapped(c.MAP_SHARED) && byte[0] === 0 && (byte[0] = 2) === new Uint8Array(seen)[0];
  const isCleared = isMapped(c.MAP_PRIVATE) && byte[0] === 0;
  detach(seen);
  memory.detach();
  if (isCleared) memory.recycle();
  return shows && isCleared && byte.length === 0;
}
