// A small file system of a test's own, on a loop device: root on Linux only.

import { execFileSync } from "node:child_process";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** File systems that a test can ask for, and how each is made. */
const MAKERS: Readonly<Record<string, readonly string[]>> = {
  ext4: ["mkfs.ext4", "-q", "-F"],
  // Up to 128 MiB it keeps all that it needs for itself at the device's start.
  "ext4 without a journal": ["mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", "-E", "lazy_itable_init=0"],
  xfs: ["mkfs.xfs", "-q", "-f"],
  btrfs: ["mkfs.btrfs", "-q", "-f"],
};

/** A mounted file system; disposing it unmounts it. */
export interface LoopDevice extends Disposable {
  readonly path: string;
  /** Bytes read from the device so far. */
  bytesRead(): number;
  /** Bytes written to the device so far. */
  bytesWritten(): number;
  /**
   * The device's pages of 4 KiB that are not all zeros, with what was written. The bytes are good
   * until the next one.
   */
  pages(): Generator<[offset: number, bytes: Uint8Array]>;
  /**
   * From this byte of the device on, reading and writing give an error; what was read before is
   * forgotten.
   */
  cutAt(offset: number): void;
  /**
   * Flips bytes of the device, without the file system; what was read before is
   * forgotten.
   */
  spoil(offsets: readonly number[]): void;
}

/** What `pages()` reads at a time. */
const PIECE_BYTES = 64 * 1024;
/**
 * Images of file systems lie in memory where there is so much room: a disk would take minutes to
 * sync them.
 */
const MEMORY = "/dev/shm";
const MEMORY_BYTES = 2 ** 30;

function parentOfImages(): string {
  try {
    const { bavail, bsize } = fs.statfsSync(MEMORY);
    if (bavail * bsize >= MEMORY_BYTES) return MEMORY;
  } catch { /* there is none */ }
  return tmpdir();
}

/** What `loopDeviceSkip()` found, by file system. */
const found = new Map<string, string | false>();

/** Why a test cannot mount a tmpfs here; false if it can. */
export function mountSkip(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "mounting needs root on Linux";
  const directory = fs.mkdtempSync(join(tmpdir(), "wal-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "none", directory], { stdio: "ignore" });
    execFileSync("umount", [directory]);
    return false;
  } catch {
    return "mounting is not permitted";
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** Why `loopDevice()` cannot work here; false if it can. */
export function loopDeviceSkip(type: string): string | false {
  const skip = found.get(type) ?? tryLoopDevice(type);
  found.set(type, skip);
  return skip;
}

function tryLoopDevice(type: string): string | false {
  if (process.platform !== "linux") return "loop devices are Linux's";
  if (process.getuid?.() !== 0) return "mounting needs root";
  if (!fs.existsSync("/dev/loop-control")) return "there are no loop devices";
  const tool = MAKERS[type]![0]!;
  if (!["/usr/sbin/", "/sbin/", "/usr/bin/"].some((directory) => fs.existsSync(directory + tool))) return `no ${tool}`;
  try {
    loopDevice(type, type === "xfs" ? 320 : 256)[Symbol.dispose]();
  } catch (error) {
    return `mounting ${type} fails: ${String(error).split("\n")[0]}`;
  }
  return false;
}

/** Makes and mounts a file system. */
export function loopDevice(type: string, sizeMiB: number): LoopDevice {
  const directory = fs.mkdtempSync(join(parentOfImages(), "wal-loop-"));
  const image = join(directory, "image");
  const path = join(directory, "mount");
  fs.mkdirSync(path);
  try {
    fs.closeSync(fs.openSync(image, "w"));
    fs.truncateSync(image, sizeMiB * 2 ** 20);
    const [maker, ...options] = MAKERS[type]!;
    run(maker!, [...options, image]);
    run("mount", ["-o", "loop", image, path]);
  } catch (error) {
    fs.rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  const device = run("findmnt", ["-n", "-o", "SOURCE", path]).trim().split("/").at(-1)!;
  const mount = () => run("mount", ["-o", "loop", image, path]);
  // The third number counts sectors that were read, and the seventh those that were written, of 512
  // bytes (Linux, Documentation/block/stat.rst).
  const sectors = (index: number) =>
    Number(fs.readFileSync(`/sys/block/${device}/stat`, "utf8").trim().split(/\s+/)[index]);
  return {
    path,
    bytesRead: () => sectors(2) * 512,
    bytesWritten: () => sectors(6) * 512,
    *pages() {
      run("sync", ["-f", path]);
      const file = fs.openSync(image, "r");
      try {
        const piece = Buffer.alloc(PIECE_BYTES);
        const zeros = Buffer.alloc(PIECE_BYTES);
        for (let at = 0; fs.readSync(file, piece, 0, PIECE_BYTES, at) === PIECE_BYTES; at += PIECE_BYTES) {
          if (piece.equals(zeros)) continue;
          for (let page = 0; page < PIECE_BYTES; page += 4096) yield [at + page, piece.subarray(page, page + 4096)];
        }
      } finally {
        fs.closeSync(file);
      }
    },
    cutAt(offset) {
      run("umount", [path]);
      mount();
      fs.truncateSync(image, offset);
      // Past the end of its file, a device reads zeros; past its own end, nothing can be read.
      run("losetup", ["-c", run("findmnt", ["-n", "-o", "SOURCE", path]).trim()]);
    },
    spoil(offsets) {
      run("umount", [path]);
      const file = fs.openSync(image, "r+");
      const byte = new Uint8Array(1);
      for (const offset of offsets) {
        fs.readSync(file, byte, 0, 1, offset);
        byte[0]! ^= 0xff;
        fs.writeSync(file, byte, 0, 1, offset);
      }
      fs.closeSync(file);
      mount();
    },
    [Symbol.dispose]() {
      // Back to its size if it was cut, so that what is still to be written can be.
      fs.truncateSync(image, sizeMiB * 2 ** 20);
      run("losetup", ["-c", run("findmnt", ["-n", "-o", "SOURCE", path]).trim()]);
      run("umount", [path]);
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}

function run(command: string, values: string[]): string {
  const path = `${process.env["PATH"]}:/usr/sbin:/sbin`;
  return execFileSync(command, values, { encoding: "utf8", stdio: "pipe", env: { ...process.env, PATH: path } });
}
