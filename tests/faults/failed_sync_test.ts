// Fault: a sync fails once, and the pages that it did not write count as clean, so the next sync
//   succeeds without them (H10, H11).
// Promise: the first failure is final. Nothing is acknowledged after it until the log is reopened.
//   A reopening that succeeds has made durable what it found, even in the page cache only (G1, G6).
// Method: count the syncs of a workload with its opening and closing, and fail each: nothing
//   written, a part, or all of it. Then reopen in the same kernel and lose power, or lose power at
//   once, and compare with an array.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { WAL, WALError } from "../../mod.ts";
import { bury } from "../../src/testing/bury.ts";
import type { LogModel } from "../../src/testing/log_model.ts";
import type { Keep, Moment, SimulatedDiskOptions, SystemCall } from "../../testing.ts";
import { checkAfterCrash, LOG_PATH, prepare, type Start, type Work } from "../support/crash_runs.ts";
import { ModelledLog } from "../support/modelled_log.ts";
import { Random } from "../../testing.ts";
import { test } from "../support/test.ts";
import { WORKLOADS } from "../support/workloads.ts";

const SYNCS: readonly SystemCall[] = ["syncMapped", "syncMappedAsync", "syncData", "fsync", "syncDirectory"];
const MOMENTS: readonly Moment[] = ["before", "during", "after"];
const VARIANTS: readonly { flush: "inline" | "offload"; disk: SimulatedDiskOptions }[] = [
  { flush: "inline", disk: { dropsCache: false } },
  { flush: "inline", disk: { dropsCache: true } },
  { flush: "offload", disk: { dropsCache: false, asyncTicks: 20 } },
  { flush: "offload", disk: { dropsCache: false, asyncTicks: 20, asyncUsesSpare: true } },
];

/**
 * Opens the log and works on it until something fails. A failure leaves nothing that could be
 * acknowledged later.
 */
async function runUntilFailure({ options }: Start, model: LogModel, work: Work): Promise<void> {
  let wal: WAL;
  try {
    wal = WAL.open(LOG_PATH, options);
  } catch (error) {
    if (!(error instanceof WALError)) throw error;
    return;
  }
  model.checkRecovered(wal);
  try {
    await work(new ModelledLog(wal, model));
  } catch (error) {
    if (!(error instanceof WALError)) throw error;
  }
  model.noteDurable(wal.durable);
  if (wal.isOpen && wal.stats().poisoned) await assertPoisoned(wal);
  bury(wal);
}

async function assertPoisoned(wal: WAL): Promise<void> {
  const { durable, head } = wal;
  assertThrows(() => wal.flush(), WALError);
  assertThrows(() => wal.logInsertSync(1, 2, 3, 4), WALError);
  assertThrows(() => wal.checkpoint(), WALError);
  await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALError);
  await assertRejects(() => wal.batchDelete([[1, 2]]), WALError);
  await assertRejects(() => wal.batch([{ type: "delete", keyHigh: 1, keyLow: 2 }]), WALError);
  await assertRejects(() => wal.flushAsync(), WALError);
  // A poisoned log promises nothing more, not even of a record that is durable.
  await assertRejects(() => wal.whenDurable(durable), WALError);
  assertEquals([wal.durable, wal.head], [durable, head]);
}

for (const [name, workload] of Object.entries(WORKLOADS)) {
  test(`WAL acknowledges nothing after a failed sync, and loses nothing before it: ${name}`, async () => {
    let failures = 0;
    for (const [index, { flush, disk: diskOptions }] of VARIANTS.entries()) {
      const start = await prepare(workload, { seed: index + 1, ...diskOptions }, { flush });
      const { disk, snapshot } = start;
      for (const call of SYNCS) {
        for (let nth = 1, met = true; met; nth++) {
          for (const when of MOMENTS) {
            disk.restore(snapshot);
            const model = start.model.clone();
            disk.fail({ call, nth, when, errno: nth % 2 === 0 ? "ENOSPC" : "EIO" });
            await runUntilFailure(start, model, workload.work);
            met = disk.trace.some(({ call: traced, outcome }) =>
              traced === call && outcome !== "ok" && outcome !== "begun"
            ) ||
              disk.trace.some(({ call: traced, outcome }) =>
                traced === `${call} ends` && outcome !== "ok"
              );
            if (!met) break;
            failures++;
            const failed = disk.snapshot();
            for (const keep of ["reopen", "none", "random"] as const) {
              disk.restore(failed);
              try {
                if (keep !== "reopen") disk.crash({ mode: "power", keep: keep as Keep });
                await checkAfterCrash(start, model.clone(), new Random(failures));
              } catch (error) {
                const where = `${name}, variant ${index}: ${call} ${nth} fails ${when}, then ${keep}`;
                throw new Error(`${where}\n${String(error)}\n${disk.describe(120)}`, { cause: error });
              }
            }
          }
        }
      }
    }
    assert(failures > 40, `${failures} failures`);
  });
}
