// Fault: power fails or the process dies at any system call of a working log; any subset of what was not synced survives, torn at
// any byte; then it happens again (H1, H2, H3, H4, H5, H7, H11, H29).
// Promise: every acknowledged record is recovered, then a prefix of the rest in whole batches, and nothing else; what a recovery
// discarded does not come back (G1, G2, G3, G4, G10, G12).
// Method: count the calls of a workload, crash before, within and after each, with every subset of the dirty pieces where they are
// few and seeded ones where not; compare with an array; recover again, append, crash, recover.

import { assert } from "@std/assert";
import type { SimulatedDiskOptions } from "../testing.ts";
import { crashEverywhere, prepare, type Tally, type Workload } from "./support/crash_runs.ts";
import { test } from "./support/test.ts";

const CAPACITY = 768;

const WORKLOADS: Readonly<Record<string, Workload>> = {
  "appends one after another": {
    work: async (log) => {
      for (let i = 0; i < 4; i++) await log.insert();
      await log.delete();
      await log.deleteValue();
    },
  },
  "groups of appends": {
    work: async (log) => {
      for (const count of [20, 3, 12]) await log.inserts(count);
    },
  },
  "groups across a page border": {
    prelude: (log) => log.batchInsertSync(61),
    work: async (log) => {
      await log.inserts(6);
      await log.inserts(58);
      await log.batchInsert(12);
    },
  },
  "appends that come while a sync runs": {
    work: async (log) => {
      const running: Promise<void>[] = [];
      for (let i = 0; i < 12; i++) {
        running.push(log.insert());
        for (let turn = 0; turn < 5; turn++) await null;
      }
      await Promise.allSettled(running);
      log.flush();
    },
  },
  "synchronous appends and flushes": {
    work: async (log) => {
      log.insertSync();
      log.insertSync();
      log.flush();
      log.insertSync();
      await log.flushAsync();
      log.insertSync();
      log.insertSync();
    },
  },
  "batches": {
    work: async (log) => {
      await log.batchInsert(3);
      await Promise.allSettled([log.batchInsert(10), log.batchDelete(9), log.insert()]);
      log.batchInsertSync(20);
      log.flush();
      log.batchInsertSync(5);
    },
  },
  "a wrap": {
    prelude: (log) => {
      log.batchInsertSync(700);
      log.batchInsertSync(60);
      log.flush();
      log.truncate(700);
    },
    work: async (log) => {
      await log.batchInsert(6);
      await log.batchInsert(12);
      log.insertSync();
      log.insertSync();
      await log.inserts(3);
    },
  },
  "a full ring, let go of and written over": {
    prelude: (log) => {
      for (let i = 0; i < CAPACITY / 64; i++) log.batchInsertSync(64);
      log.flush();
    },
    work: async (log) => {
      log.truncate(64);
      await log.inserts(4);
      log.truncate(192);
      log.batchInsertSync(100);
      log.flush();
      log.truncate(600);
      await log.insert();
    },
  },
  "checkpoints": {
    work: async (log) => {
      await log.inserts(3);
      log.checkpoint(2);
      await log.insert();
      log.truncate(2);
      log.checkpoint(4);
    },
  },
  "closing and opening": {
    work: async (log) => {
      await log.insert();
      log.insertSync();
      log.close();
      log.wal.open();
      await log.insert();
      log.close();
      log.wal.open();
      log.close();
    },
  },
};

const VARIANTS: readonly { name: string; flush: "inline" | "offload"; disk: SimulatedDiskOptions }[] = [
  { name: "inline", flush: "inline", disk: { pieceBytes: 512 } },
  { name: "offload", flush: "offload", disk: { pieceBytes: 512, asyncTicks: 20 } },
  {
    name: "offload through the spare descriptor",
    flush: "offload",
    disk: { pieceBytes: 64, asyncTicks: 20, asyncUsesSpare: true, writeBackChance: 0.1, dropsCache: false },
  },
];

for (const [name, workload] of Object.entries(WORKLOADS)) {
  test(`WAL recovers after a crash at any call: ${name}`, async () => {
    for (const [index, variant] of VARIANTS.entries()) {
      const tally: Tally = { crashes: 0, images: 0 };
      const start = await prepare(workload, variant.disk, { flush: variant.flush });
      await crashEverywhere(`${name}, ${variant.name}`, start, workload.work, 1000 * (index + 1), tally);
      assert(tally.crashes > 20 && tally.images > 60, `${tally.crashes} crashes, ${tally.images} images`);
    }
  });
}
