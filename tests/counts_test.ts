// How often the log asks the medium, and for how much: figures that no machine's speed changes.

import { assert, assertEquals } from "@std/assert";
import type { WAL } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, items, ListStore, openInMemory, openOn, PATH, range, until } from "./support/logs.ts";
import { offsetOf, Simulation } from "./support/simulation.ts";
import { test } from "./support/test.ts";

/** Syncs of any kind that the disk has seen. */
function syncCalls(disk: SimulatedDisk): number {
  return disk.trace.filter(({ call }) => ["syncMapped", "syncMappedAsync", "syncData", "fsync"].includes(call)).length;
}

/** What a call costs in syncs and in bytes written. */
async function cost(disk: SimulatedDisk, call: () => unknown): Promise<{ syncs: number; bytes: number }> {
  const syncs = syncCalls(disk);
  const bytes = disk.bytesWritten(PATH);
  await call();
  return { syncs: syncCalls(disk) - syncs, bytes: disk.bytesWritten(PATH) - bytes };
}

for (const flush of ["inline", "offload"] as const) {
  test(`logInsert() that is awaited costs one sync of one page (${flush})`, async () => {
    const disk = new SimulatedDisk();
    const wal = openOn(disk, { flush });
    const id = new Uint8Array(16);
    for (let i = 1; i <= 200; i++) {
      const append = () => i % 2 === 0 ? wal.logInsert(i, i, i, i) : wal.logInsert(id, id);
      assertEquals(await cost(disk, append), { syncs: 1, bytes: 4096 }, `append ${i}`);
    }
    assertEquals([wal.stats().syncs, wal.stats().recordsPerSync, wal.stats().headerSyncs <= 2], [200, 1, true]);
    wal.close();
  });

  test(`logInsert() calls of one turn cost one sync, of the pages they lie in (${flush})`, async () => {
    const disk = new SimulatedDisk();
    const wal = openOn(disk, { flush, size: 2 ** 20 });
    for (const count of [2, 10, 52, 64, 640, 1500]) {
      wal.flush();
      const page = (lsn: number) => Math.floor((lsn - 1) / 64);
      const pages = page(wal.head + count - 1) - page(wal.head) + 1;
      const found = await cost(disk, () => Promise.all(range(1, count).map((i) => wal.logInsert(i, i, i, i))));
      assertEquals(found, { syncs: 1, bytes: pages * 4096 }, `${count} appends`);
    }
    wal.close();
  });
}

test("logInsert() calls of a large group cost two syncs: the second half is appended while the first is written", async () => {
  for (const [flush, syncs] of [["inline", 1], ["adaptive", 2], ["offload", 2]] as const) {
    const disk = new SimulatedDisk();
    const wal = openOn(disk, { flush, size: 2 ** 20 });
    const found = await cost(disk, () => Promise.all(range(1, 4000).map((i) => wal.logInsert(i, i, i, i))));
    // The page in which the first half ends is written twice.
    const pages = Math.ceil(4000 / 64) + syncs - 1;
    assertEquals(found, { syncs, bytes: pages * 4096 }, flush);
    wal.close();
  }
});

test("batchInsert() costs one sync; where it goes over the end of the ring, two", async () => {
  const disk = new SimulatedDisk();
  await using wal = openOn(disk, { flush: "inline" });
  assertEquals((await cost(disk, () => wal.batchInsert(new Uint8Array(300 * 32)))).syncs, 1);
  assertEquals((await cost(disk, () => wal.batchInsert(items(1, 400)))).syncs, 1);
  const { headerSyncs } = wal.stats();
  wal.truncate(700);
  await wal.logInsert(1, 1, 1, 1); // both header copies with the new tail go along
  await until(() => wal.stats().headerSyncs >= headerSyncs + 2);
  assertEquals((await cost(disk, () => wal.batchInsert(items(1, 100)))).syncs, 2);
});

test("logInsert() by writers in lockstep makes groups as large as there are writers", async () => {
  const writers = 50;
  for (const flush of ["inline", "offload"] as const) {
    const disk = new SimulatedDisk();
    await using wal = openOn(disk, { flush });
    const rounds = 10;
    await Promise.all(
      range(1, writers).map(async () => {
        for (let i = 0; i < rounds; i++) await wal.logInsert(i, i, i, i);
      }),
    );
    const { syncs, recordsPerSync } = wal.stats();
    assert(syncs <= rounds + 1, `${syncs} syncs`);
    assert(recordsPerSync >= writers * rounds / (rounds + 1));
  }
});

test("logInsert() calls that come one by one, as requests do, share a sync", async () => {
  for (const flush of ["inline", "offload"] as const) {
    const disk = new SimulatedDisk();
    await using wal = openOn(disk, { flush });
    const requests = () =>
      range(1, 20).map((i) =>
        new Promise<void>((resolve, reject) => {
          setImmediate(() => wal.logInsert(i, i, i, i).then(resolve, reject));
        })
      );
    await Promise.all(range(1, 20).map((i) => wal.logInsert(i, i, i, i)));
    const before = wal.stats().syncs;
    for (let round = 0; round < 10; round++) await Promise.all(requests());
    const syncs = wal.stats().syncs - before;
    assert(syncs <= 20, `${syncs} syncs for 10 times 20 requests (${flush})`);
  }
});

test("logInsertSync() costs nothing until flush(), and flush() one sync", async () => {
  const disk = new SimulatedDisk();
  await using wal = openOn(disk);
  assertEquals(await cost(disk, () => fill(wal, 100)), { syncs: 0, bytes: 0 });
  assertEquals((await cost(disk, () => wal.flush())).syncs, 1);
  assertEquals(await cost(disk, () => wal.flush()), { syncs: 0, bytes: 0 });
  assertEquals(await cost(disk, () => wal.flushAsync()), { syncs: 0, bytes: 0 });
});

test("truncate() writes a header for an eighth of the ring, not for each call", async () => {
  const disk = new SimulatedDisk();
  await using wal = openOn(disk, { flush: "inline" });
  fill(wal, CAPACITY / 2);
  wal.flush();
  const before = wal.stats().headerSyncs;
  for (let lsn = 1; lsn <= CAPACITY / 2; lsn++) {
    wal.truncate(lsn);
    if (lsn % (CAPACITY / 8) === 0) await until(() => wal.stats().headerSyncs - before === lsn / (CAPACITY / 8));
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(wal.stats().headerSyncs - before, 4);
});

test("truncate() costs few headers in a lap: appends do not pay for it", async () => {
  const disk = new SimulatedDisk();
  await using wal = openOn(disk, { flush: "inline" });
  const before = wal.stats().headerSyncs;
  for (let i = 0; i < 4 * CAPACITY; i++) {
    await wal.logInsert(i, i, i, i);
    wal.truncate(wal.durable);
  }
  const headers = wal.stats().headerSyncs - before;
  assert(headers <= 4 * 8 + 2, `${headers} headers in four laps`);
  assertEquals(wal.stats().syncs, 4 * CAPACITY);
});

test("truncate() costs few headers in a nearly full ring too, and in a full one no more than two for each record", async () => {
  for (const flush of ["inline", "offload"] as const) {
    const counts = [];
    for (const keep of [600, 700, 760, CAPACITY]) {
      const disk = new SimulatedDisk();
      await using wal = openOn(disk, { flush });
      fill(wal, keep);
      wal.flush();
      const before = wal.stats().headerSyncs;
      for (let i = 0; i < 1000; i++) {
        wal.truncate(wal.tail);
        await wal.logInsert(i, i, i, i);
      }
      counts.push(wal.stats().headerSyncs - before);
    }
    const [roomy, narrow, tight, full] = counts as [number, number, number, number];
    assert(roomy <= 30 && narrow <= 80 && tight <= 700 && full <= 2000, `${flush}: ${counts}`);
  }
});

test("replay(), records() and cursor() cost no sync and write nothing", async () => {
  const disk = new SimulatedDisk();
  await using wal = openOn(disk);
  fill(wal, 500);
  wal.flush();
  const found = await cost(disk, () => {
    wal.replay();
    assertEquals([...wal.records()].length, 500);
    for (const cursor = wal.cursor(); cursor.next(););
    wal.stats();
  });
  assertEquals(found, { syncs: 0, bytes: 0 });
});

test("open() of a clean log costs the same whatever the log holds", async () => {
  const costs: number[] = [];
  for (const records of [0, 10, CAPACITY]) {
    const disk = new SimulatedDisk();
    {
      using wal = openOn(disk);
      fill(wal, records);
    }
    let wal: WAL | null = null;
    costs.push((await cost(disk, () => wal = openOn(disk))).syncs);
    wal!.close();
  }
  assertEquals(new Set(costs).size, 1, `${costs}`);
});

test("consumeAsync() that keeps up costs a sync for each append, and one checkpoint for an eighth of the ring", async () => {
  await using wal = openInMemory();
  const consuming = wal.consumeAsync(new ListStore(), { pollIntervalMs: Infinity });
  const count = 2 * CAPACITY;
  for (let i = 0; i < count; i++) {
    await wal.logInsert(i, i, i, i);
    await wal.whenApplied();
  }
  const { syncs, head } = wal.stats();
  const checkpoints = head - 1 - count;
  assert(checkpoints <= 20, `${checkpoints} checkpoints`);
  assert(syncs <= count + checkpoints, `${syncs} syncs`);
  wal.close();
  await consuming;
});

test("WAL faults each page in once to erase in it, not once for each record", () => {
  const simulation = new Simulation({ seed: 1 });
  const wal = simulation.open();
  for (let i = 0; i < wal.capacity; i++) wal.logInsertSync(1, i, 0, 0);
  // The first page of the unsynced records does not reach the medium: LSN 65 is in the second one.
  const border = 65;
  simulation.crash({ keep: (piece) => "offset" in piece && piece.offset >= offsetOf(border) });
  const before = simulation.disk.steps;
  const reopened = simulation.open();
  assertEquals([reopened.length, reopened.recovery.phantomsErased], [0, reopened.capacity - border + 1]);
  const faults = simulation.disk.trace.filter(({ step, call }) => step > before && call === "populate").length;
  assert(faults < 50, `${faults} calls for 12 pages`);
  reopened.close();
});
