// Fault: power fails, the process dies or the store throws between apply, the store's sync, the
//   checkpoint and the truncate (H26, H27, H28).
// Promise: the store gets durable records only, in order. The log releases a record only when the
//   store has it durably. A store that saves its LSN with the data gets each record exactly once,
//   any other at least once (G11).
// Method: crash at each call of the disk and of the store, by power loss and by kill, and compare
//   the store with what was logged. A store that saves its LSN apart from its data must fail, which
//   shows that the check can.

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Store, WAL, WALRecord } from "../../mod.ts";
import { WALStoreError } from "../../mod.ts";
import { append, appendBatch, CAPACITY, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

/**
 * `exact` saves LSN and data together, `plain` saves no LSN, `apart` saves the LSN first and the
 * data later.
 */
type Kind = "exact" | "plain" | "apart";

/** Thrown by a store whose machine has crashed. */
class StoreCrash extends Error {}

/** A store with a page cache of its own: what is not synced is lost with power. */
class CrashingStore {
  applied: number[] = [];
  #synced = 0;
  mark = 0;
  /** Calls so far, and the one to crash at. */
  calls = 0;
  crashAt = 0;
  wal: WAL | null = null;
  readonly kind: Kind;

  constructor(kind: Kind) {
    this.kind = kind;
  }

  get store(): Store {
    const take = (record: WALRecord) => {
      assert(record.lsn <= this.wal!.durable, `the store got LSN ${record.lsn}, durable is ${this.wal!.durable}`);
      this.applied.push(record.lsn);
    };
    const one = (record: WALRecord) => {
      this.#enter();
      take(record);
    };
    const sync = () => {
      this.#enter();
      this.#synced = this.applied.length;
    };
    const each: Store = {
      insert: (_kh, _kl, _vh, _vl, record) => one(record),
      delete: (_kh, _kl, record) => one(record),
      deleteValue: (_kh, _kl, _vh, _vl, record) => one(record),
      sync,
    };
    if (this.kind === "plain") return each;
    return {
      ...each,
      applyBatch: (records) => {
        if (this.kind === "apart") this.mark = records.at(-1)!.lsn;
        this.#enter();
        records.forEach(take);
        if (this.kind === "exact") this.mark = records.at(-1)!.lsn;
      },
      appliedLsn: () => this.mark,
    };
  }

  #enter(): void {
    if (++this.calls === this.crashAt) throw new StoreCrash();
  }

  /** Power is lost: what was synced is there, and no more. */
  losePower(): void {
    this.applied.length = this.#synced;
    if (this.kind === "exact") this.mark = this.applied.at(-1) ?? 0;
  }
}

const RECORDS = 40;

function write(wal: WAL): void {
  append(wal, 10);
  appendBatch(wal, 5);
  append(wal, RECORDS - 15);
  wal.flush();
}

/** Consumes until everything is applied and confirmed, or something crashes. */
async function consume(wal: WAL, store: CrashingStore): Promise<void> {
  store.wal = wal;
  const stop = new AbortController();
  const running = wal.consumeAsync(store.store, { signal: stop.signal, batchSize: 4, pollIntervalMs: 0 });
  const settled = running.then(() => true, () => true);
  while (wal.isOpen && (wal.tail <= RECORDS || wal.durable < wal.head - 1)) {
    const over = await Promise.race([settled, new Promise<false>((resolve) => setTimeout(() => resolve(false), 0))]);
    if (over) break;
  }
  stop.abort();
  await running;
}

function data(wal: WAL): number[] {
  return wal.replay().filter(({ keyHigh }) => keyHigh === 1n).map(({ lsn }) => lsn);
}

/** What is in the store, and in the log beyond it, is everything. */
function assertNothingLost(store: CrashingStore, wal: WAL, where: string): void {
  const inStore = new Set(store.applied);
  for (let lsn = 1; lsn < Math.min(wal.tail, RECORDS + 1); lsn++) {
    assert(inStore.has(lsn), `${where}: LSN ${lsn} was released, and the store lacks it`);
  }
  const last = Math.max(0, ...store.applied);
  assert(last < wal.head, `${where}: the store has LSN ${last}, the log ends at ${wal.head - 1}`);
}

/** After the crash, consumes to the end; everything is in the store then, in order. */
async function finish(simulation: Simulation, store: CrashingStore, where: string): Promise<void> {
  store.crashAt = 0;
  const wal = simulation.open();
  assertNothingLost(store, wal, where);
  const left = data(wal);
  await consume(wal, store);
  assertNothingLost(store, wal, where);
  const all = store.applied;
  if (store.kind === "exact") {
    assertEquals(
      all,
      Array.from({ length: RECORDS }, (_, i) => i + 1),
      `${where}: exactly once`,
    );
  } else {
    assertEquals(new Set(all).size, RECORDS, `${where}: at least once; the log still had ${left}`);
    // A repetition begins anew, and leaves nothing out.
    for (let i = 1; i < all.length; i++) {
      assert(all[i]! <= all[i - 1]! + 1, `${where}: LSN ${all[i - 1]! + 1} was skipped`);
    }
  }
  wal.close();
}

for (const kind of ["exact", "plain"] as const) {
  test(`consumeAsync() repeats nothing it must not and skips nothing when power fails at any call of the disk, store ${kind}`, async () => {
    const simulation = new Simulation({ traceLimit: 60 });
    const { disk } = simulation;
    write(simulation.open());
    simulation.wal!.close();
    const before = disk.snapshot();
    let crashes = 0;
    for (let step = 1, over = false; !over; step++) {
      for (const mode of ["power", "kill"] as const) {
        disk.restore(before);
        simulation.bury();
        const store = new CrashingStore(kind);
        const first = disk.steps + step;
        disk.crashAt(first);
        try {
          await consume(simulation.open(), store);
          over = !disk.halted;
        } catch (error) {
          if (!disk.halted) throw error;
        }
        if (over) break;
        simulation.crash({ mode, keep: "random" });
        if (mode === "power") store.losePower();
        await finish(simulation, store, `step ${step}, ${mode}`);
        crashes++;
      }
    }
    assert(crashes > 20, `${crashes} crashes`);
  });

  test(`consumeAsync() repeats nothing it must not and skips nothing when a crash hits any call of the store, store ${kind}`, async () => {
    for (let at = 1, over = false; !over; at++) {
      for (const mode of ["power", "kill", "throw"] as const) {
        const simulation = new Simulation({ traceLimit: 60 });
        write(simulation.open());
        const store = new CrashingStore(kind);
        store.crashAt = at;
        const wal = simulation.wal!;
        try {
          await consume(wal, store);
          over = true;
          break;
        } catch (error) {
          assert(error instanceof StoreCrash, String(error));
        }
        if (mode === "throw") wal.close();
        else simulation.crash({ mode, keep: "none" });
        if (mode === "power") store.losePower();
        await finish(simulation, store, `store call ${at}, ${mode}`);
      }
    }
  });
}

test("CrashingStore that saves its LSN apart from its data is noticed by the checks of this file", async () => {
  let noticed = 0;
  for (let at = 1; at <= 8; at++) {
    const simulation = new Simulation();
    write(simulation.open());
    const store = new CrashingStore("apart");
    store.crashAt = at;
    await consume(simulation.wal!, store).catch(() => {});
    simulation.crash({ mode: "kill" });
    try {
      await finish(simulation, store, `store call ${at}`);
    } catch {
      noticed++;
    }
  }
  assert(noticed > 0);
});

test("consumeAsync() hands out no record before its sync has ended, however long that takes", async () => {
  const simulation = new Simulation({ asyncTicks: "manual" }, { flush: "offload" });
  const { disk } = simulation;
  const wal = simulation.open();
  const store = new CrashingStore("plain");
  store.wal = wal;
  const stop = new AbortController();
  const running = wal.consumeAsync(store.store, { signal: stop.signal, pollIntervalMs: Infinity });
  // Its failure shows in what the store has not got.
  running.catch(() => {});
  const pass = async () => {
    for (let i = 0; i < 20; i++) await null;
    await new Promise((resolve) => setImmediate(resolve)); // a consumer yields now and then
    for (let i = 0; i < 20; i++) await null;
  };
  for (let round = 1; round <= 5; round++) {
    const waiting = wal.logInsert(1, round, 2, round);
    await pass();
    const had = store.applied.length;
    assertEquals(disk.pendingAsync, 1);
    await pass();
    assertEquals(store.applied.length, had, "applied while its sync ran");
    while (disk.pendingAsync > 0) {
      disk.finishAsync();
      await pass();
    }
    await waiting;
    assertEquals(store.applied.length, round);
  }
  stop.abort();
  const ended = running.then(() => true);
  while (!await Promise.race([ended, pass().then(() => false)])) if (disk.pendingAsync > 0) disk.finishAsync();
  simulation.crash({ keep: "none" });
  assert(simulation.open().head > 5);
});

test("consumeAsync() refuses a store that is ahead of the log, or that lacks what the log has released", async () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  write(wal);
  const store = (lsn: number): Store => ({ ...new CrashingStore("plain").store, appliedLsn: () => lsn });
  await assertRejects(() => wal.consumeAsync(store(RECORDS + 1)), WALStoreError);
  wal.checkpoint(20);
  wal.truncate(20);
  await assertRejects(() => wal.consumeAsync(store(10)), WALStoreError);
  assertEquals([wal.tail, wal.applied], [21, 20]);
  wal.close();
});

test("consumeAsync() makes the store durable before the tail moves, over more than a lap", async () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  const store = new CrashingStore("exact");
  store.wal = wal;
  const stop = new AbortController();
  const running = wal.consumeAsync(store.store, { signal: stop.signal, batchSize: 50, pollIntervalMs: 0 });
  for (let i = 0; i < 2 * CAPACITY; i += 10) {
    await Promise.all(Array.from({ length: 10 }, () => wal.logInsert(1, 1, 2, 2)));
    const durable = structuredClone(store.applied);
    assert(wal.tail - 1 <= (durable.at(-1) ?? 0) + 1, `the tail is ${wal.tail}, the store has ${durable.at(-1)}`);
  }
  stop.abort();
  await running;
  assertEquals(new Set(store.applied).size, store.applied.length);
  wal.close();
});
