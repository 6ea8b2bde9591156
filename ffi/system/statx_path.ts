// A path that is checked by statx, without an allocation.

import * as c from "../libc/platform.ts";
import type { Libc } from "../libc/libc.ts";
import { isAbsence, type SystemError, type WatchedPath } from "./system.ts";

/**
 * A path and the struct statx for its answers, which has the same layout on every processor:
 *
 *   offset  type  field
 *       16  u32   stx_nlink
 *       28  u16   stx_mode
 *       32  u64   stx_ino
 *       40  u64   stx_size
 *      136  u32   stx_dev_major
 *      140  u32   stx_dev_minor
 *      256        (ours) the path, with its NUL
 */
export class StatxPath implements WatchedPath {
  readonly #view: DataView;
  readonly #address: number;
  readonly #statx: NonNullable<Libc["statx"]>;
  readonly #failure: () => SystemError;
  #major = -1;
  #minor = -1;
  #device = -1n;

  constructor(
    buffer: ArrayBuffer,
    address: number,
    statx: NonNullable<Libc["statx"]>,
    failure: () => SystemError,
  ) {
    // The view keeps the buffer alive, so that the address stays valid.
    this.#view = new DataView(buffer);
    this.#address = address;
    this.#statx = statx;
    this.#failure = failure;
  }

  get links(): number {
    return this.#view.getUint32(16, true);
  }

  /** Fills the struct. 0 if the file could be inspected. */
  fill(): number {
    return this.#statx(c.AT_FDCWD, this.#address + 256, 0, c.STATX_TYPE_LINKS_INO_SIZE, this.#address);
  }

  is(device: bigint, inode: bigint, sizeBytes: number): boolean {
    while (this.fill() !== 0) {
      const error = this.#failure();
      if (isAbsence(error)) return false;
      // Network file systems can be interrupted.
      if (error.errno !== "EINTR") throw error;
    }
    const view = this.#view;
    if (view.getBigUint64(32, true) !== inode || Number(view.getBigUint64(40, true)) !== sizeBytes) return false;
    const major = view.getUint32(136, true);
    const minor = view.getUint32(140, true);
    if (major !== this.#major || minor !== this.#minor) {
      this.#major = major;
      this.#minor = minor;
      this.#device = deviceNumber(BigInt(major), BigInt(minor));
    }
    return this.#device === device;
  }
}

/** st_dev of stat for these numbers: makedev() of glibc and musl. */
function deviceNumber(major: bigint, minor: bigint): bigint {
  return (major & 0xfffff000n) << 32n | (major & 0xfffn) << 8n | (minor & 0xffffff00n) << 12n | (minor & 0xffn);
}
