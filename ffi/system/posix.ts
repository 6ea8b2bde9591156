// What Linux and macOS share of a System. It calls node:fs where every runtime has the call, and
// libc for the rest.

import * as fs from "node:fs";
import * as c from "../libc/platform.ts";
import type { Platform } from "../libc/platform.ts";
import type { Libc } from "../libc/libc.ts";
import * as paths from "./paths.ts";
import { call, status } from "./paths.ts";
import {
  errnoOf,
  type FileStatus,
  type Mapping,
  type MapRequest,
  type System,
  SystemError,
  type WatchedPath,
} from "./system.ts";

/** Every runtime adds O_CLOEXEC to every descriptor that it opens. */
const OPEN_FLAGS = fs.constants.O_RDWR | fs.constants.O_NOFOLLOW;
const DIRECTORY_FLAGS = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;
/** Longer than a struct statfs (2168 bytes on macOS, 120 on Linux) and a fstore_t (32). */
const SCRATCH_BYTES = 4096;

/** The error of the last call. Read it before anything else is called. */
export function lastError(libc: Libc, on: Platform, call: string, path?: string): SystemError {
  return new SystemError(call, c.errnoName(on, libc.errno()), path);
}

/** What Linux and macOS share. */
export abstract class PosixSystem implements System {
  readonly maxMappingBytes: number;
  /** Memory for answers of C functions. An ArrayBuffer's memory does not move. */
  protected readonly scratch: ArrayBuffer = new ArrayBuffer(SCRATCH_BYTES);
  protected readonly scratchView: DataView = new DataView(this.scratch);
  protected readonly scratchAddress: number;
  protected readonly libc: Libc;
  protected readonly on: Platform;
  readonly pageBytes: number;

  constructor(libc: Libc, on: Platform, pageBytes: number) {
    this.libc = libc;
    this.on = on;
    this.pageBytes = pageBytes;
    this.maxMappingBytes = libc.maxViewBytes;
    this.scratchAddress = libc.addressOf(this.scratch);
  }

  get fileSizeLimit(): number {
    // struct rlimit: u64 rlim_cur, u64 rlim_max. No limit is 2^64 − 1, or 2^63 − 1 on macOS.
    if (this.libc.getrlimit(c.RLIMIT_FSIZE, this.scratchAddress) !== 0) return Infinity;
    return Number(this.scratchView.getBigUint64(0, true));
  }

  protected failure(name: string, path?: string): SystemError {
    return lastError(this.libc, this.on, name, path);
  }

  /** Repeats a call as long as signals interrupt it. */
  protected retry(name: string, body: () => number): void {
    while (body() !== 0) {
      const error = this.failure(name);
      if (error.errno !== "EINTR") throw error;
    }
  }

  realPath(path: string): string {
    return paths.realPath(path);
  }

  lstat(path: string): FileStatus | null {
    return paths.lstat(path);
  }

  stat(path: string): FileStatus | null {
    return paths.stat(path);
  }

  fstat(fd: number): FileStatus {
    return status(call("fstat", undefined, () => fs.fstatSync(fd, { bigint: true })));
  }

  open(path: string, what: "file" | "create" | "directory"): number {
    return call("open", path, () => {
      if (what === "directory") return fs.openSync(path, DIRECTORY_FLAGS);
      return what === "file"
        ? fs.openSync(path, OPEN_FLAGS)
        : fs.openSync(path, OPEN_FLAGS | fs.constants.O_CREAT, 0o600);
    });
  }

  read(fd: number, bytes: Uint8Array, offset: number): number {
    let done = 0;
    while (done < bytes.length) {
      const count = call("pread", undefined, () => fs.readSync(fd, bytes, done, bytes.length - done, offset + done));
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(fd: number, bytes: Uint8Array, offset: number): void {
    let done = 0;
    while (done < bytes.length) {
      const count = call("pwrite", undefined, () => fs.writeSync(fd, bytes, done, bytes.length - done, offset + done));
      if (count === 0) throw new SystemError("pwrite", "ENOSPC");
      done += count;
    }
  }

  truncate(fd: number, sizeBytes: number): void {
    call("ftruncate", undefined, () => fs.ftruncateSync(fd, sizeBytes));
  }

  abstract allocate(fd: number, sizeBytes: number): void;
  abstract fsync(fd: number): void;
  abstract fsyncAsync(fd: number): Promise<void>;

  rename(from: string, to: string): void {
    call("rename", to, () => fs.renameSync(from, to));
  }

  link(from: string, to: string): void {
    call("link", to, () => fs.linkSync(from, to));
  }

  unlink(path: string): void {
    call("unlink", path, () => fs.unlinkSync(path));
  }

  close(fd: number): void {
    // Not repeated after EINTR: the descriptor is closed, and its number may belong to another
    // file.
    try {
      fs.closeSync(fd);
    } catch (cause) {
      throw new SystemError("close", errnoOf(cause), undefined, { cause });
    }
  }

  lock(fd: number): boolean {
    for (;;) {
      if (this.libc.flock(fd, c.LOCK_EX | c.LOCK_NB) === 0) return true;
      const error = this.failure("flock");
      if (error.errno === "EAGAIN") return false;
      if (error.errno !== "EINTR") throw error;
    }
  }

  unlock(fd: number): void {
    this.retry("flock", () => this.libc.flock(fd, c.LOCK_UN));
  }

  abstract fileSystem(fd: number): string;
  abstract noCopyOnWrite(fd: number, action: "set" | "get"): boolean;
  abstract dropCache(fd: number, offset: number, lengthBytes: number): void;
  abstract map(request: MapRequest): Mapping;

  watch(path: string): WatchedPath {
    let links = 0;
    return {
      get links() {
        return links;
      },
      is: (device, inode, sizeBytes) => {
        const found = paths.statIfThere(path);
        links = found?.links ?? 0;
        return found !== null && found.inode === inode && found.device === device && found.sizeBytes === sizeBytes;
      },
    };
  }
}
