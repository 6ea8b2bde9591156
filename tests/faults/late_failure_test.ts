// Fault: a sync off the thread fails, and another sync is asked for before the log has heard of the
//   failure, while the pages count as clean (H10).
// Promise: neither flush() nor close() nor a promise reports a record as durable that was not
//   written (G1, G6).
// Method: let the sync fail at a known moment, wait 0 to 20 turns of the microtask queue, then
//   flush, close or checkpoint. What any of them confirmed must survive the loss of everything that
//   was not written.

import { assert } from "@std/assert";
import type { WAL } from "../../mod.ts";
import { append, LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

const MOST_HOPS = 20;

const CALLS: Readonly<Record<string, (wal: WAL) => void | Promise<void>>> = {
  "flush()": (wal) => wal.flush(),
  "close()": (wal) => wal.close(),
  "checkpoint()": (wal) => void wal.checkpoint(1),
  "flushAsync()": (wal) => wal.flushAsync(),
  "whenDurable()": (wal) => wal.whenDurable(),
  "logInsert()": (wal) => wal.logInsert(1, wal.head, 2, wal.head),
};

for (const [name, call] of Object.entries(CALLS)) {
  test(`WAL.${name} confirms nothing while an asynchronous sync's failure is on its way to the log`, async () => {
    for (const asyncUsesSpare of [false, true]) {
      for (let hops = 0; hops <= MOST_HOPS; hops++) {
        const simulation = new Simulation({ asyncUsesSpare, asyncTicks: "manual", dropsCache: false }, {
          flush: "offload",
        });
        const { disk } = simulation;
        const wal = simulation.open();
        append(wal, 1);
        wal.flush();
        let confirmed = 1;
        const waiting = wal.logInsert(1, 2, 2, 2).then(() => confirmed = 2, () => {});
        while (disk.pendingAsync === 0) await null;
        disk.fail({ call: "syncMappedAsync ends" });
        disk.finishAsync();
        for (let i = 0; i < hops; i++) await null;
        const calling = (async () => {
          try {
            const last = wal.head - 1;
            await call(wal);
            confirmed = Math.max(confirmed, last);
          } catch { /* the call may be refused */ }
        })();
        for (let i = 0; i < 30; i++) {
          await null;
          if (disk.pendingAsync > 0) disk.finishAsync();
        }
        await Promise.all([waiting, calling]);
        simulation.crash({ mode: "power", keep: "none" });
        const where = `${hops} turns, asyncUsesSpare ${asyncUsesSpare}, ${LOG}\n${disk.describe(20)}`;
        const recovered = simulation.open();
        assert(
          recovered.head - 1 >= confirmed,
          `up to LSN ${confirmed} confirmed, ${recovered.head - 1} recovered: ${where}`,
        );
        recovered.close();
      }
    }
  });
}
