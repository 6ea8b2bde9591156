// Fault: the machine or the process dies at any call while a log is made, or a call fails. Part of
//   what was not synced is lost (H9).
// Promise: afterwards there is no file at the path, or a whole one, and the next opening works by
//   itself (G12).
// Method: count the calls of a clean creation. Crash before, within and after each, with every
//   subset of the dirty pieces, and fail each with every error.

import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { temporaryPath } from "../ffi/file/creation.ts";
import { type OpenRequest, RegionError } from "../ffi/region.ts";
import { everySubset, type Moment, SimulatedCrash, SimulatedDisk, type SimulatedDiskOptions } from "../testing.ts";
import { test } from "./support/test.ts";

const PATH = "/sim/log";
const TEMPORARY = temporaryPath("/sim/log");
const SIZE = 65536;
const MOMENTS: readonly Moment[] = ["before", "during", "after"];
const MODES = ["power", "kill"] as const;

/** The first bytes of a new file: no two pages alike, so that nothing missing goes unnoticed. */
const FIRST_BYTES = Uint8Array.from({ length: 16384 }, (_, index) => 1 + (index * 7 + (index >> 12)) % 255);
const WHOLE = new Uint8Array(SIZE);
WHOLE.set(FIRST_BYTES);

const REQUEST: OpenRequest = {
  create: true,
  sizeBytes: SIZE,
  minimumBytes: 16384,
  initialBytes: () => FIRST_BYTES,
  readOwnerPid: () => null,
  allowUnsafeFileSystem: false,
  barrierOnly: false,
};

function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

/** Fails with the disk's history if a condition does not hold. */
function check(holds: boolean, problem: string, disk: SimulatedDisk): void {
  if (!holds) throw new Error(`${problem}\n${disk.describe()}`);
}

/** Calls that fail before the temporary file is known to be ours, and the one that removes it. */
const UNTIL_OURS: ReadonlySet<string> = new Set(["openOrCreate", "lock", "fstat", "lstat", "unlink"]);

/** What programs find at the path: nothing or a whole file. */
function assertNothingOrWhole(disk: SimulatedDisk): void {
  if (!disk.exists(PATH)) return;
  check(same(disk.image(PATH, "cache"), WHOLE), "The file at the path is not whole", disk);
}

/** Opens, and loses power right after that. The file that open() returned must survive. */
function assertOpens(disk: SimulatedDisk): void {
  let region;
  try {
    region = disk.storage.open(PATH, REQUEST);
  } catch (error) {
    throw new Error(`The next opening fails\n${disk.describe()}`, { cause: error });
  }
  check(same(region.memory.bytes(), WHOLE), "The opened file is not whole", disk);
  disk.crash({ mode: "power", keep: "none" });
  check(disk.exists(PATH), "The name of an opened file was not durable", disk);
  check(same(disk.image(PATH), WHOLE), "The bytes of an opened file were not durable", disk);
}

/** How many calls a clean creation takes. */
function cleanSteps(options: SimulatedDiskOptions): number {
  const disk = new SimulatedDisk(options);
  disk.storage.open(PATH, REQUEST);
  return disk.steps;
}

/**
 * Makes a disk whose machine has halted at that call of a creation; null if the creation ended
 * before.
 */
function crashedAt(step: number, when: Moment, options: SimulatedDiskOptions): SimulatedDisk | null {
  const disk = new SimulatedDisk(options);
  disk.crashAt(step, when);
  try {
    disk.storage.open(PATH, REQUEST);
    return null;
  } catch (error) {
    if (!(error instanceof SimulatedCrash)) throw error;
    return disk;
  }
}

test("Storage.open() leaves nothing or a whole file when power is lost at any call, with any subset of what was not synced", () => {
  let images = 0;
  for (const directoryOrder of ["journal", "any"] as const) {
    const options: SimulatedDiskOptions = { pieceBytes: 4096, directoryOrder };
    const steps = cleanSteps(options);
    assert(steps > 30);
    for (let step = 1; step <= steps; step++) {
      for (const when of MOMENTS) {
        const disk = crashedAt(step, when, options);
        assert(disk !== null, `step ${step} of ${steps} was not reached`);
        const snapshot = disk.snapshot();
        for (const keep of everySubset(disk.dirtyPieces().length)) {
          disk.restore(snapshot);
          disk.restart({ mode: "power", keep });
          assertNothingOrWhole(disk);
          assertOpens(disk);
          images++;
        }
      }
    }
  }
  assert(images > 1000, `${images} crash images`);
});

test("Storage.open() leaves nothing or a whole file when power is lost at any call and pieces are torn", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const options: SimulatedDiskOptions = {
      seed,
      pieceBytes: seed % 2 === 0 ? 64 : 512,
      tearChance: 0.3,
      directoryOrder: "any",
      writeBackChance: 0.3,
    };
    const steps = cleanSteps(options);
    for (let step = 1; step <= steps; step++) {
      const disk = crashedAt(step, MOMENTS[(step + seed) % 3]!, options);
      if (disk === null) continue;
      disk.restart({ mode: "power", keep: "random" });
      assertNothingOrWhole(disk);
      assertOpens(disk);
    }
  }
});

test("Storage.open() leaves nothing or a whole file when the process is killed at any call, and power is lost at the next", () => {
  const options: SimulatedDiskOptions = { pieceBytes: 4096 };
  const steps = cleanSteps(options);
  for (let step = 1; step <= steps; step++) {
    for (const when of MOMENTS) {
      const disk = crashedAt(step, when, options)!;
      disk.restart({ mode: "kill" });
      assertNothingOrWhole(disk);
      const killed = disk.snapshot();
      assertOpens(disk);
      for (let next = 1; next <= 2 * steps; next++) {
        disk.restore(killed);
        disk.crashAt(disk.steps + next, MOMENTS[next % 3]);
        try {
          disk.storage.open(PATH, REQUEST);
          break;
        } catch (error) {
          if (!(error instanceof SimulatedCrash)) throw error;
        }
        disk.restart({ mode: "power", keep: "random" });
        assertNothingOrWhole(disk);
        assertOpens(disk);
      }
    }
  }
});

test("Storage.open() creates a file although a stale temporary file is there, whatever is in it", () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(100).fill(9), new Uint8Array(2 * SIZE).fill(9), WHOLE]) {
    const disk = new SimulatedDisk();
    disk.outsider.writeFile(TEMPORARY, bytes);
    assertOpens(disk);
    assertEquals(disk.paths(), [PATH]);
  }
});

test("Storage.open() throws RegionError when any call of a creation fails with any error, and the next opening works", () => {
  const clean = new SimulatedDisk();
  clean.storage.open(PATH, REQUEST);
  const calls = clean.trace.map(({ call }) => call);
  let failures = 0;
  for (const errno of ["EIO", "ENOSPC", "ENOMEM", "EDQUOT", "EINTR", "EACCES", "EPERM"]) {
    for (const [index, call] of calls.entries()) {
      const nth = calls.slice(0, index + 1).filter((earlier) => earlier === call).length;
      for (const when of MOMENTS) {
        for (const times of [1, Infinity]) {
          const disk = new SimulatedDisk();
          assert(call !== "event");
          disk.fail({ call, nth, errno, when, times });
          try {
            disk.storage.open(PATH, REQUEST).close();
          } catch (error) {
            if (!(error instanceof RegionError)) throw new Error(disk.describe(), { cause: error });
            failures++;
          }
          disk.clearFaults();
          assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 }, disk.describe());
          assertNothingOrWhole(disk);
          // Once the temporary file is ours, it is removed.
          if (times === 1 && disk.exists(TEMPORARY)) assert(UNTIL_OURS.has(call), disk.describe());
          const snapshot = disk.snapshot();
          assertOpens(disk);
          disk.restore(snapshot);
          disk.crash({ mode: "power", keep: "random" });
          assertNothingOrWhole(disk);
          assertOpens(disk);
        }
      }
    }
  }
  assert(failures > 500, `${failures} failures`);
});

test("Storage.open() throws RegionError when any call of an opening fails, and the file is as it was", () => {
  const made = new SimulatedDisk();
  made.storage.open(PATH, REQUEST).close();
  const snapshot = made.snapshot();
  const before = made.steps;
  made.storage.open(PATH, REQUEST);
  const calls = made.trace.slice(-(made.steps - before)).map(({ call }) => call);
  for (const errno of ["EIO", "ENOSPC", "ENOMEM", "EINTR"]) {
    for (const [index, call] of calls.entries()) {
      const nth = calls.slice(0, index + 1).filter((earlier) => earlier === call).length;
      assert(call !== "event");
      made.restore(snapshot);
      made.fail({ call, nth, errno });
      try {
        made.storage.open(PATH, REQUEST).close();
      } catch (error) {
        if (!(error instanceof RegionError)) throw new Error(made.describe(), { cause: error });
      }
      made.clearFaults();
      assertEquals(made.openHandles, { descriptors: 0, mappings: 0, locks: 0 }, made.describe());
      assertEquals(made.paths(), [PATH]);
      assertOpens(made);
    }
  }
});

test("Region.replace() replaces a file whole or not at all, and the old one is never lost", () => {
  const kept = "/sim/log.damaged";
  const old = new Uint8Array(SIZE).fill(5);
  const write = (disk: SimulatedDisk) => {
    const region = disk.storage.open(PATH, REQUEST);
    region.replace([FIRST_BYTES.subarray(0, 5000), FIRST_BYTES.subarray(5000)], SIZE, kept).close();
    region.close();
  };
  const start = () => {
    const disk = new SimulatedDisk({ pieceBytes: 4096, directoryOrder: "journal" });
    disk.outsider.writeFile(PATH, old);
    return disk;
  };
  const clean = start();
  write(clean);
  assert(same(clean.image(PATH), WHOLE) && same(clean.image(kept), old));
  for (let step = 1; step <= clean.steps; step++) {
    for (const when of MOMENTS) {
      for (const mode of MODES) {
        const disk = start();
        disk.crashAt(step, when);
        try {
          write(disk);
        } catch (error) {
          if (!(error instanceof SimulatedCrash)) throw error;
        }
        const snapshot = disk.snapshot();
        for (const keep of everySubset(mode === "kill" ? 0 : disk.dirtyPieces().length)) {
          disk.restore(snapshot);
          disk.crash({ mode, keep });
          const at = disk.image(PATH, "cache");
          const isOld = same(at, old);
          check(isOld || same(at, WHOLE), "neither old nor new", disk);
          check(isOld || same(disk.image(kept, "cache"), old), "the old file is lost", disk);
        }
      }
    }
  }
});
