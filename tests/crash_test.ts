// Fault: power fails or the process dies at any system call of a working log. Any subset of what
//   was not synced survives, torn at any byte. Then the same happens again (H1, H2, H3, H4, H5, H7,
//   H11, H29).
// Promise: every acknowledged record is recovered, then a prefix of the rest in whole batches, and
//   nothing else. What a recovery discarded does not come back (G1, G2, G3, G4, G10, G12).
// Method: count the calls of a workload, and crash before, within and after each. Try every subset
//   of the dirty pieces where they are few, and seeded subsets otherwise. Compare with an array,
//   recover again, append, crash, and recover.

import { assert } from "@std/assert";
import type { SimulatedDiskOptions } from "../testing.ts";
import { crashEverywhere, prepare, type Tally } from "./support/crash_runs.ts";
import { isMine } from "./support/share.ts";
import { test } from "./support/test.ts";
import { WORKLOADS } from "./support/workloads.ts";

const VARIANTS: readonly { name: string; flush: "inline" | "offload"; disk: SimulatedDiskOptions }[] = [
  { name: "inline", flush: "inline", disk: { pieceBytes: 512 } },
  { name: "offload", flush: "offload", disk: { pieceBytes: 512, asyncTicks: 20 } },
  {
    name: "offload through the spare descriptor",
    flush: "offload",
    disk: { pieceBytes: 64, asyncTicks: 20, asyncUsesSpare: true, writeBackChance: 0.1, dropsCache: false },
  },
];

for (const [place, [name, workload]] of Object.entries(WORKLOADS).entries()) {
  test(`WAL recovers after a crash at any call: ${name}`, async () => {
    for (const [index, variant] of VARIANTS.entries()) {
      if (!isMine(place + index)) continue;
      const tally: Tally = { crashes: 0, images: 0 };
      const start = await prepare(workload, variant.disk, { flush: variant.flush });
      await crashEverywhere(`${name}, ${variant.name}`, start, workload.work, 1000 * (index + 1), tally);
      assert(tally.crashes > 20 && tally.images > 60, `${tally.crashes} crashes, ${tally.images} images`);
    }
  });
}
