// What crash tests do to a log: short workloads, each for one way in which a log is used.

import type { Workload } from "./crash_runs.ts";

/** Slots of a log of 64 KiB. */
export const CAPACITY = 768;

/** By name. */
export const WORKLOADS: Readonly<Record<string, Workload>> = {
  "appends one after another": {
    work: async (log) => {
      for (let i = 0; i < 4; i++) await log.insert();
      await log.delete();
      await log.deleteValue();
      await log.replace();
      await log.operation();
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
  "batches of all operations, over the end of the ring": {
    prelude: (log) => {
      log.batchInsertSync(758);
      log.flush();
      log.truncate(758);
    },
    work: async (log) => {
      await log.batch(4);
      await Promise.allSettled([log.batch(9), log.insert(), log.batch(3)]);
      log.batchSync(7);
      log.flush();
      log.batchSync(2);
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
  "a full ring, released and written over": {
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
