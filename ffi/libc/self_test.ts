// Tries the C library on anonymous memory before it is trusted with a file.

import { detach } from "../detach.ts";
import type { Libc } from "./libc.ts";
import { errnoName, MAP_PRIVATE, type Platform, PROT_READ, PROT_WRITE, unsupported } from "./platform.ts";

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

  const address = libc.mmap(0, pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | on.MAP_ANON, -1, 0);
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

  const empty = libc.mmap(0, 0, PROT_READ, MAP_PRIVATE | on.MAP_ANON, -1, 0);
  if (empty !== -1 || libc.errno() !== on.errno["EINVAL"]) {
    throw unsupported("here, as a failing call does not report its error");
  }
  return pageBytes;
}
