// Fault: crashes that keep any part of what was not synced, and damage to what they leave (H1, H2, H6).
// Promise: docs/format.md says all that recovery decides: a reader made from it alone agrees with the library (G2, G3, G5).
// Method: random logs on a simulated disk, crashed, damaged or closed; both read the same bytes.

import { assert, assertEquals } from "@std/assert";
import { WAL, WALCorruptError, WALFormatError } from "../mod.ts";
import { Random, SimulatedDisk } from "../testing.ts";
import { readLog, type ReadResult } from "./support/format_reader.ts";
import { test } from "./support/test.ts";

const PATH = "/sim/log";
const SEEDS = 200;

/** A log after some laps of appends, batches, truncations and reopenings; crashed, or closed. */
async function makeImage(random: Random): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk({ seed: random.below(2 ** 31), tearChance: 0.2 });
  const options = { storage: disk.storage, now: disk.clock.now, size: 65536, idleHeaderDelayMs: Infinity };
  let wal = WAL.open(PATH, options);
  for (let step = random.between(3, 60); step > 0; step--) {
    const kind = random.below(10);
    const room = wal.capacity - wal.length;
    if (room < 60) {
      wal.flush();
      wal.truncate(wal.durable);
    }
    if (kind < 4) { for (let i = random.below(50); i > 0; i--) wal.logInsertSync(step, i, kind, i); }
    else if (kind < 7) {
      wal.batchInsertSync(Array.from({ length: random.below(20) }, (_, i) => [step, i, kind, i] as const));
    } else if (kind === 7) wal.flush();
    else if (kind === 8) await wal.logDelete(step, step);
    else {
      wal.close();
      wal = WAL.open(PATH, options);
    }
  }
  if (random.below(3) === 0) wal.close();
  disk.crash({ mode: "power", keep: "random" });
  try {
    wal.close();
  } catch { /* its machine has crashed */ }
  return disk;
}

/** The same bytes in memory, through the library. */
function readByLibrary(disk: SimulatedDisk): ReadResult {
  try {
    using wal = WAL.open(PATH, { storage: disk.storage, now: disk.clock.now });
    return wal.replay().map((record) => ({
      lsn: record.lsn,
      opcode: record.opType,
      goesOn: false,
      timeNanos: record.time[0],
      keyLow: record.keyLow,
      valueLow: record.valueLow,
    }));
  } catch (error) {
    if (error instanceof WALCorruptError) return "damaged";
    if (error instanceof WALFormatError) return error.message.includes("later version") ? "later version" : "not a log";
    throw error;
  }
}

function comparable(result: ReadResult): unknown {
  return typeof result === "string" ? result : result.map((record) => ({ ...record, goesOn: false }));
}

for (const damaged of [false, true]) {
  test(`A reader made from docs/format.md agrees with recovery on ${damaged ? "damaged" : "crashed"} logs`, async () => {
    const verdicts = { kept: 0, refused: 0 };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed);
      const disk = await makeImage(random);
      if (damaged) {
        for (let i = random.between(1, 3); i > 0; i--) {
          const isHeader = random.below(4) === 0;
          const offset = isHeader ? random.below(8192) : 16384 + random.below(65536 - 16384);
          disk.damage.flipBit(PATH, offset, random.below(8));
        }
      }
      const expected = readLog(disk.image(PATH).slice());
      const actual = readByLibrary(disk);
      assertEquals(comparable(actual), comparable(expected), `seed ${seed}`);
      verdicts[typeof actual === "string" ? "refused" : "kept"]++;
    }
    assert(verdicts.kept > 0);
    assertEquals(verdicts.refused > 0, damaged);
  });
}
