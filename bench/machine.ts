// Describes the machine, because figures say nothing without it.

import { closeSync, fdatasyncSync, fsyncSync, openSync, readFileSync, realpathSync, rmSync, writeSync } from "node:fs";
import { arch, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { runtime } from "../ffi/runtime.ts";
import { quantile, Samples } from "./measure.ts";

/** Where a run was made. */
export interface MachineFacts {
  readonly date: string;
  readonly runtime: typeof runtime;
  readonly runtimeVersion: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly fileSystem: string;
  /** p50 of one write of 64 bytes and fdatasync into a preallocated file, in the same run. */
  readonly fdatasyncP50Us: number;
  readonly fdatasyncP99Us: number;
}

/** Describes this machine, and measures a bare fdatasync for some seconds. */
export function machineFacts(directory: string, seconds: number): MachineFacts {
  const sync = measureFdatasync(join(directory, "fdatasync"), seconds);
  return {
    date: new Date().toISOString(),
    runtime,
    runtimeVersion: process.versions[runtime] ?? "unknown",
    cpu: cpus()[0]?.model ?? arch(),
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${platform()} ${release()} ${arch()}`,
    fileSystem: fileSystemOf(directory),
    fdatasyncP50Us: quantile(sync, 0.5),
    fdatasyncP99Us: quantile(sync, 0.99),
  };
}

/** The type of a path's file system: that of the longest mount point above the path. */
export function fileSystemOf(path: string): string {
  try {
    const mounts = readFileSync("/proc/mounts", "utf8").split("\n").map((line) => line.split(" "));
    const real = `${realpathSync(path)}/`;
    const above = mounts.filter(([, point]) =>
      point !== undefined && real.startsWith(point === "/" ? "/" : `${point}/`)
    );
    above.sort((a, b) => b[1]!.length - a[1]!.length);
    return above[0]?.[2] ?? "unknown";
  } catch {
    return "unknown";
  }
}

function measureFdatasync(path: string, seconds: number): Float64Array {
  const fd = openSync(path, "w+");
  const block = new Uint8Array(4096);
  for (let at = 0; at < 2 ** 20; at += block.length) writeSync(fd, block, 0, block.length, at);
  fsyncSync(fd);
  const samples = new Samples();
  const end = performance.now() + seconds * 1e3;
  for (let before = performance.now(), at = 0; before < end; at = (at + 64) % 2 ** 20) {
    writeSync(fd, block, 0, 64, at);
    fdatasyncSync(fd);
    const after = performance.now();
    samples.add((after - before) * 1e3);
    before = after;
  }
  closeSync(fd);
  rmSync(path);
  return samples.values.sort();
}
