// Fault: the watermark that tells damage from a torn tail stands still, so that rot passes for a
//   crash (H6).
// Promise: a later record, or the header once the log is idle, shows what was acknowledged (G5).
// Method: read the watermarks off the medium after each way in which records become durable.

import { assertEquals, assertThrows } from "@std/assert";
import { readHeaders } from "../src/format/header.ts";
import { WALCorruptError } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { fill, items, openOn, PATH, range, until } from "./support/logs.ts";
import { test } from "./support/test.ts";

/**
 * The watermark in each record from 1 on, and in the newest header, as power loss would leave them.
 */
function watermarks(disk: SimulatedDisk, count: number): { records: number[]; header: number } {
  const bytes = disk.image(PATH);
  const view = new DataView(bytes.buffer);
  return {
    records: range(1, count).map((lsn) => lsn - view.getUint32(16384 + (lsn - 1) * 64 + 28, true)),
    header: readHeaders(bytes).newest!.durable,
  };
}

for (const flush of ["inline", "offload"] as const) {
  test(`WAL notes in each record what was durable when it was written (${flush})`, async () => {
    const disk = new SimulatedDisk();
    const wal = openOn(disk, { flush });
    for (let i = 1; i <= 3; i++) await wal.logInsert(i, i, i, i);
    await Promise.all([wal.logInsert(4, 4, 4, 4), wal.logInsert(5, 5, 5, 5)]);
    await wal.batchInsert(items(6, 3));
    fill(wal, 2);
    wal.flush();
    assertEquals(watermarks(disk, 10).records, [0, 1, 2, 3, 3, 5, 5, 5, 8, 8]);
    wal.close();
  });
}

test("WAL that is idle notes in its header what is durable, once", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { idleHeaderDelayMs: 1 });
  await wal.logInsert(1, 1, 1, 1);
  assertEquals(watermarks(disk, 1).header, 0);
  await until(() => watermarks(disk, 1).header === 1);
  const { headerSyncs } = wal.stats();
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals(wal.stats().headerSyncs, headerSyncs);
  fill(wal, 3);
  wal.flush();
  await until(() => watermarks(disk, 4).header === 4);
  disk.crash({ keep: "none" });
  disk.damage.flipBit(PATH, 16384 + 3 * 64 + 40, 1);
  assertEquals(assertThrows(() => openOn(disk), WALCorruptError).firstLsn, 4);
});

test("WAL that is idle notes it also where an offloaded sync made it durable", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { idleHeaderDelayMs: 1, flush: "offload" });
  await wal.logInsert(1, 1, 1, 1);
  await until(() => watermarks(disk, 1).header === 1);
  wal.close();
});

test("close() and reopening after a crash note it", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 3);
  wal.close();
  assertEquals(watermarks(disk, 3).header, 3);
  wal.open();
  fill(wal, 2);
  wal.flush();
  disk.crash({ keep: "none" });
  assertEquals(watermarks(disk, 5).header, 3);
  using reopened = openOn(disk);
  assertEquals([reopened.durable, watermarks(disk, 5).header], [5, 5]);
});

test("WAL puts no watermark on the medium ahead of what is on the medium", async () => {
  const disk = new SimulatedDisk({ writeBackChance: 0.3, seed: 7 });
  const wal = openOn(disk, { flush: "offload", idleHeaderDelayMs: 0 });
  for (let round = 0; round < 60; round++) {
    const done = round % 3 === 0 ? wal.batchInsert(items(1, 4)) : wal.logInsert(1, 1, 1, 1);
    for (let turn = 0; turn < round % 7; turn++) await null;
    if (round % 5 === 0) wal.flush();
    if (round % 2 === 0) await done;
    // A crash now, with nothing more kept, must not look like damage.
    const snapshot = new SimulatedDisk();
    snapshot.outsider.writeFile(PATH, disk.image(PATH));
    const { durable } = wal;
    const copy = openOn(snapshot);
    assertEquals(copy.head > durable, true, `round ${round}`);
    copy.close();
  }
  await wal.flushAsync();
  wal.close();
});
