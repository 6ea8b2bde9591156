// Fault: any call of the C library fails under a working log, once or from then on, with any of
//   several errors. A pending sync fails or succeeds while another sync is called for (H10, H11,
//   H12, H24).
// Promise: each failure is a typed error. After a failed sync nothing is acknowledged until the log
//   is reopened, even if a later sync would succeed, and no later sync is tried. Every promise
//   settles (G1, G2, G6, G8).
// Method: count the calls of a life of a log on a real file, repeat that life with each of them
//   failing, and reopen without a fault.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import process from "node:process";
import { OpType, type Store, WAL, WALClosedError, WALError, type WALOptions, WALSyncError } from "../../mod.ts";
import { platform } from "../../ffi/libc/platform.ts";
import { mappedStorage } from "../../ffi/file/mapped_storage.ts";
import { openLibc, posixSystem } from "../../ffi/system/current.ts";
import type { Storage } from "../../ffi/region.ts";
import { type System, SystemError } from "../../ffi/system/system.ts";
import { failingLibc, failingSystem, held, systemWithMapping, type Verdict } from "../support/region.ts";
import { tempDir } from "../support/temp.ts";
import { roundsOf, share } from "../support/share.ts";
import { test } from "../support/test.ts";

const notLinux = process.platform !== "linux" && "the calls are Linux's";
const ERRORS = ["EIO", "ENOSPC", "ENOMEM", "EACCES", "EINVAL"];
const BYTES = 65536;
const FLUSHES = ["inline", "offload"] as const;

const store = (): Store => ({ insert() {}, delete() {}, deleteValue() {} });

/** What a life was promised, and what went wrong in it. */
class Witness {
  /** LSNs up to here were acknowledged. */
  acknowledged = 0;
  /** The last LSN that was appended. */
  appended = 0;
  readonly errors: unknown[] = [];
  /** A sync of an open log has failed; from then on, an acknowledgement is a lie. */
  isSyncLost = false;

  acknowledge(lsn: number): void {
    assert(!this.isSyncLost || lsn <= this.acknowledged, `LSN ${lsn} was acknowledged after a failed sync`);
    this.acknowledged = Math.max(this.acknowledged, lsn);
  }

  async try(action: () => unknown): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (error) {
      this.errors.push(error);
      return false;
    }
  }
}

/**
 * Lives a log's life with all that can fail in it, and goes on after an error as a careless caller
 * would.
 */
async function life(path: string, options: WALOptions, witness: Witness, onOpen: () => void = () => {}): Promise<void> {
  const wal = new WAL(path, { size: BYTES, idleHeaderDelayMs: Infinity, now: () => 1, ...options });
  if (!await witness.try(() => wal.open())) return;
  onOpen();
  const waits: Promise<unknown>[] = [];
  const append = (action: () => Promise<unknown>) => {
    waits.push(witness.try(async () => {
      const done = action();
      const last = wal.head - 1;
      await done;
      witness.acknowledge(last);
    }));
  };
  for (let i = 0; i < 3; i++) append(() => wal.logInsert(i, 1, 2, 3));
  append(() => wal.batchInsert([[1, 2, 3, 4], [5, 6, 7, 8]]));
  await Promise.all(waits);
  await witness.try(() => {
    wal.logInsertSync(4, 1, 2, 3);
    wal.flush();
    witness.acknowledge(wal.head - 1);
  });
  await witness.try(async () => {
    const last = wal.logDeleteSync(4, 1);
    await wal.flushAsync();
    witness.acknowledge(last);
  });
  await witness.try(() => witness.acknowledge(wal.checkpoint(Math.min(2, wal.head - 1))));
  await witness.try(() => wal.truncate(Math.min(2, wal.durable)));
  const stop = new AbortController();
  const consuming = witness.try(() => wal.consumeAsync(store(), { signal: stop.signal, pollIntervalMs: 1 }));
  append(() => wal.logInsert(5, 1, 2, 3));
  await Promise.all(waits);
  stop.abort();
  await consuming;
  // Round the ring, so that its new tail has to be durable.
  await witness.try(() => {
    wal.flush();
    wal.truncate(wal.durable);
    wal.batchInsertSync(Array.from({ length: wal.capacity - 3 }, (_, i) => [i, 1, 2, 3]));
    const last = wal.logInsertSync(6, 1, 2, 3);
    wal.flush();
    witness.acknowledge(last);
    assertEquals(wal.replay().at(-1)!.lsn, last);
  });
  const last = wal.head - 1;
  witness.appended = last;
  if (await witness.try(() => wal.close())) { if (!witness.isSyncLost) witness.acknowledge(last); }
}

const SYNCS = new Set(["msync", "msyncAsync", "fdatasync", "sync", "syncAsync", "syncFile"]);

/** Runs the life with each call failing, and looks at what it leaves. */
async function sweep(make: (verdict: Verdict) => Storage, options: WALOptions): Promise<number> {
  using directory = tempDir(fs.existsSync("/dev/shm") ? "/dev/shm" : undefined);
  const path = directory.join("log");
  let calls = 0;
  const clean = new Witness();
  await life(path, { ...options, storage: make(() => (calls++, null)) }, clean);
  assertEquals(clean.errors, []);
  fs.rmSync(path);
  let runs = 0;
  const manners = ["once", "for ever"] as const;
  for (const [errno, manner] of share(ERRORS.flatMap((errno) => manners.map((manner) => [errno, manner] as const)))) {
    for (let failing = 0; failing < calls; failing++) {
      const witness = new Witness();
      let failed = "";
      let isOpen = false;
      const verdict: Verdict = (call, index) => {
        if (manner === "once" ? index !== failing : failed === "" ? index !== failing : call !== failed) return null;
        failed = call;
        // Only a sync of the open log acknowledges: one while opening or in close() does not.
        if (isOpen && SYNCS.has(call)) witness.isSyncLost = true;
        return errno;
      };
      const where = () => `${failed} ${failing} fails ${manner} with ${errno}, ${JSON.stringify(options)}`;
      try {
        await life(path, { ...options, storage: make(verdict) }, witness, () => isOpen = true);
        for (const error of witness.errors) assertInstanceOf(error, WALError, String(error));
        // A call that only helps may fail unseen. A sync may not, except the header's sync in
        // close() when all is durable.
        const isTold = witness.errors.some((error) => error instanceof WALSyncError);
        if (witness.isSyncLost) assert(isTold || witness.acknowledged === witness.appended, "nobody was told");
        // An off-thread sync of a closed log may have a turn to go.
        await new Promise((resolve) => setTimeout(resolve, 0));
        assertEquals(held(directory.path), []);
        const wal = WAL.open(path, { size: BYTES });
        assert(wal.head > witness.acknowledged, `LSN ${witness.acknowledged} is gone`);
        let lsn = wal.tail;
        for (const record of wal.replay()) assertEquals(record.lsn, lsn++);
        await wal.logInsert(7, 7, 7, 7);
        wal.close();
      } catch (error) {
        throw new Error(`${where()}\n${error instanceof Error ? error.stack : error}`, { cause: error });
      }
      fs.rmSync(path, { force: true });
      runs++;
    }
  }
  return runs;
}

for (const flush of FLUSHES) {
  test(
    `WAL is told of each failing call of libc, and acknowledges nothing after a failed sync (${flush})`,
    async () => {
      const on = platform();
      const libc = openLibc(on);
      const runs = await sweep((verdict) => {
        // The library's self-test comes first, and has tests of its own.
        let selfTestCalls = 0;
        let isTested = false;
        const later: Verdict = (call, index) => {
          if (isTested) return verdict(call, index - selfTestCalls);
          selfTestCalls = index + 1;
          return null;
        };
        const system = posixSystem(failingLibc(libc, on.errno, later));
        isTested = true;
        return mappedStorage(system);
      }, { flush });
      console.log(`${runs} failing calls of libc, ${flush}`);
      assert(runs > roundsOf(200));
    },
    { skip: notLinux },
  );

  test(`WAL is told of each failing system call, those of the runtime too (${flush})`, async () => {
    const system = posixSystem();
    const runs = await sweep((verdict) => mappedStorage(failingSystem(system, verdict)), { flush });
    console.log(`${runs} failing system calls, ${flush}`);
    assert(runs > roundsOf(200));
  }, { skip: notLinux });
}

/** A system whose syncs are under a test's control. */
interface Controlled {
  readonly system: System;
  /** Set: inline syncs fail with it. */
  errno: string | null;
  /** Inline syncs so far. */
  syncs: number;
  /** Off-thread syncs that are pending. */
  readonly pending: { resolve(): void; reject(errno: string): void }[];
  /** Set: off-thread syncs wait for the test. */
  holds: boolean;
}

function controlled(): Controlled {
  const real = posixSystem();
  const state: Controlled = { system: real, errno: null, syncs: 0, pending: [], holds: false };
  const fail = (call: string): void => {
    state.syncs++;
    if (state.errno !== null) throw new SystemError(call, state.errno);
  };
  const system = systemWithMapping(real, (mapping) => ({
    sync(offset, lengthBytes) {
      fail("msync");
      mapping.sync(offset, lengthBytes);
    },
    syncFile() {
      fail("fdatasync");
      mapping.syncFile();
    },
    syncAsync(offset, lengthBytes) {
      state.syncs++;
      if (!state.holds) return mapping.syncAsync(offset, lengthBytes);
      return new Promise<void>((resolve, reject) => {
        state.pending.push({ resolve, reject: (errno) => reject(new SystemError("msync", errno)) });
      });
    },
  }));
  return Object.assign(state, { system });
}

/** Waits until a sync is pending. */
async function untilPending(state: Controlled, count = 1): Promise<void> {
  for (let turn = 0; state.pending.length < count; turn++) {
    assert(turn < 1000, "no sync was started");
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** How a promise ends; it must have ended by then. */
async function endOf(promise: Promise<unknown>): Promise<string> {
  const timer = Promise.withResolvers<string>();
  const timeout = setTimeout(() => timer.resolve("pending"), 60_000);
  const end = await Promise.race([
    promise.then(() => "resolved", (error) => error instanceof WALError ? error.code : String(error)),
    timer.promise,
  ]);
  clearTimeout(timeout);
  return end;
}

function openControlled(state: Controlled, path: string, flush: WALOptions["flush"] = "offload"): WAL {
  return WAL.open(path, { size: BYTES, flush, storage: mappedStorage(state.system), idleHeaderDelayMs: Infinity });
}

for (const nth of [1, 2, 3]) {
  for (const flush of FLUSHES) {
    for (const errno of ["EIO", "ENOSPC", "EDQUOT", "EINTR"]) {
      test(`WAL takes a failed sync for final: number ${nth}, ${flush}, ${errno}`, async () => {
        using directory = tempDir();
        const state = controlled();
        const wal = openControlled(state, directory.join("log"), flush);
        for (let i = 1; i < nth; i++) await wal.logInsert(i, 1, 1, 1);
        const { durable } = wal;
        state.holds = flush === "offload";
        if (flush === "inline") state.errno = errno;
        const waits = [wal.logInsert(9, 1, 1, 1), wal.batchInsert([[9, 1, 1, 1], [9, 1, 1, 1]]), wal.flushAsync()];
        const consuming = wal.consumeAsync(store());
        const ends = Promise.all([...waits, consuming].map(endOf));
        if (flush === "offload") {
          await untilPending(state);
          // It belongs to the next group, which must not be tried.
          const late = wal.logInsert(10, 1, 1, 1);
          state.pending[0]!.reject(errno);
          assertEquals(await endOf(late), "SYNC");
        }
        assertEquals(await ends, ["SYNC", "SYNC", "SYNC", "SYNC"]);
        // From here on, syncs would succeed: the kernel has marked the pages clean.
        state.errno = null;
        state.holds = false;
        const { syncs } = state;
        const { head } = wal;
        for (const call of [() => wal.flush(), () => wal.logInsertSync(1, 1, 1, 1), () => wal.checkpoint()]) {
          assertThrows(call, WALSyncError);
        }
        for (const call of [() => wal.logInsert(1, 1, 1, 1), () => wal.flushAsync(), () => wal.consumeAsync(store())]) {
          const error = await assertRejects(call, WALSyncError);
          assertEquals([error.durable, error.path], [durable, fs.realpathSync(directory.join("log"))]);
        }
        assertThrows(() => wal.close(), WALSyncError);
        assertEquals([wal.isOpen, wal.head, wal.durable, state.syncs], [false, head, durable, syncs]);
        // The page cache still has the records: a reopening syncs them before it trusts them.
        wal.open();
        assert(state.syncs > syncs, "what recovery found was not synced");
        assertEquals([wal.head, wal.durable, wal.recovery.clean], [head, head - 1, false]);
        await wal.logInsert(1, 1, 1, 1);
        wal.close();
        assertEquals(held(directory.path), []);
      }, { skip: notLinux });
    }
  }
}

test("flush() during a pending sync acknowledges that group, and a late failure is final all the same", async () => {
  using directory = tempDir();
  const state = controlled();
  const wal = openControlled(state, directory.join("log"));
  state.holds = true;
  const first = wal.logInsert(1, 1, 1, 1);
  await untilPending(state);
  const second = wal.logInsert(2, 1, 1, 1);
  wal.flush();
  assertEquals([await endOf(first), await endOf(second), wal.durable], ["resolved", "resolved", 2]);
  const third = wal.logInsert(3, 1, 1, 1);
  state.pending[0]!.reject("EIO");
  assertEquals(await endOf(third), "SYNC");
  assertEquals(wal.durable, 2);
  assertThrows(() => wal.flush(), WALSyncError);
  assertThrows(() => wal.close(), WALSyncError);
  assertEquals(held(directory.path), []);
}, { skip: notLinux });

test("flush() that fails during a pending sync rejects all, whatever becomes of the pending one", async () => {
  for (const outcome of ["resolve", "reject"] as const) {
    using directory = tempDir();
    const state = controlled();
    const wal = openControlled(state, directory.join("log"));
    state.holds = true;
    const first = wal.logInsert(1, 1, 1, 1);
    await untilPending(state);
    const second = wal.logInsert(2, 1, 1, 1);
    state.errno = "EIO";
    assertThrows(() => wal.flush(), WALSyncError);
    assertEquals([await endOf(first), await endOf(second)], ["SYNC", "SYNC"]);
    state.errno = null;
    state.pending[0]![outcome]("EIO");
    await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals(wal.durable, 0);
    assertThrows(() => wal.flush(), WALSyncError);
    assertThrows(() => wal.close(), WALSyncError);
    assertEquals(held(directory.path), []);
  }
}, { skip: notLinux });

test(
  "close() during a pending sync settles everything, and the next opening is no concern of the old sync",
  async () => {
    for (const outcome of ["resolve", "reject"] as const) {
      for (const fails of [false, true]) {
        using directory = tempDir();
        const state = controlled();
        const wal = openControlled(state, directory.join("log"));
        state.holds = true;
        const first = wal.logInsert(1, 1, 1, 1);
        await untilPending(state);
        const second = wal.logInsert(2, 1, 1, 1);
        const ends = Promise.all([endOf(first), endOf(second)]);
        if (fails) state.errno = "EIO";
        if (fails) assertThrows(() => wal.close(), WALSyncError);
        else wal.close();
        state.errno = null;
        assertEquals(await ends, fails ? ["SYNC", "SYNC"] : ["resolved", "resolved"]);
        await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALClosedError);
        state.holds = false;
        wal.open();
        assertEquals([wal.head, wal.recovery.clean], [3, !fails]);
        await wal.logInsert(3, 1, 1, 1);
        // The sync of the life before comes back now.
        state.pending[0]![outcome]("EIO");
        await new Promise((resolve) => setTimeout(resolve, 5));
        await wal.logInsert(4, 1, 1, 1);
        assertEquals([wal.durable, wal.stats().poisoned], [4, false]);
        wal.close();
        assertEquals(held(directory.path), []);
      }
    }
  },
  { skip: notLinux },
);

test("WAL frees no slot by a header whose sync fails, and acknowledges nothing after it", async () => {
  for (const flush of FLUSHES) {
    using directory = tempDir();
    const state = controlled();
    const wal = openControlled(state, directory.join("log"), flush);
    const { capacity } = wal;
    for (let i = 0; i < capacity; i++) wal.logInsertSync(i, 1, 1, 1);
    wal.flush();
    wal.truncate(capacity / 16);
    state.errno = "EIO";
    assertThrows(() => wal.logInsertSync(1, 1, 1, 1), WALSyncError);
    state.errno = null;
    await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALSyncError);
    assertEquals(wal.head, capacity + 1);
    // All that was appended is durable: there is nothing to report.
    wal.close();
    wal.open();
    const records = wal.replay();
    assertEquals([records.at(-1)!.lsn, records.every(({ opType }) => opType === OpType.Insert)], [capacity, true]);
    wal.close();
  }
}, { skip: notLinux });
