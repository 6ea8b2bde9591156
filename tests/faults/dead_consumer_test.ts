// Fault: the consumer fails, is refused, or hangs in a call to its store, while appends are still
//   acknowledged (H46).
// Promise: callers that ask learn of it at once, and why. The ring does not fill in silence (G13).
//   Closing ends, and calls to a store never overlap (G11).
// Method: stores that throw, are refused, or never answer; a clock that the test controls; children
//   for rejections that nobody handles.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  type ConsumerStats,
  type Store,
  type WAL,
  WALClosedError,
  WALConsumingError,
  WALFullError,
  type WALOptions,
  WALStoreError,
} from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { projectUrl, runSnippet } from "../support/child.ts";
import { settle, Watched } from "../support/commit_target.ts";
import { CAPACITY, fill, Gate, ListStore, openInMemory, openOn, range, until } from "../support/logs.ts";
import { test } from "../support/test.ts";

const fault = new Error("the store is away");

/** A store that fails while `isAway` is true. */
function fragileStore(): ListStore & { isAway: boolean } {
  const store = Object.assign(new ListStore(), { isAway: true });
  store.before = () => {
    if (store.isAway) throw fault;
  };
  return store;
}

function consumerOf(wal: WAL): Pick<ConsumerStats, "state" | "attempts" | "lastError"> {
  const { state, attempts, lastError } = wal.stats().consumer;
  return { state, attempts, lastError };
}

/** A consumer that waits for a call to its store, which does not return before `answer` settles. */
async function hanging(options: WALOptions = {}) {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, options);
  const answer = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  const store = new ListStore();
  store.before = () => {
    entered.resolve();
    return answer.promise;
  };
  const stop = new AbortController();
  fill(wal, 3);
  const consuming = new Watched(wal.consumeAsync(store, { signal: stop.signal }));
  await entered.promise;
  disk.clock.stall();
  return { wal, disk, store, answer, stop, consuming };
}

test("stats().consumer says whether a consumer runs, was stopped or failed, and with which error", async () => {
  await using wal = openInMemory();
  const none = { state: "none", attempts: 0, lastError: null, callMs: 0, skipped: 0, skippedLsns: [] } as const;
  assertEquals(wal.stats().consumer, none);
  const stop = new AbortController();
  const stopped = wal.consumeAsync(new ListStore(), { signal: stop.signal });
  assertEquals([wal.stats().consuming, consumerOf(wal)], [true, { state: "running", attempts: 0, lastError: null }]);
  stop.abort();
  await stopped;
  assertEquals([wal.stats().consuming, consumerOf(wal)], [false, { state: "stopped", attempts: 0, lastError: null }]);
  fill(wal, 1);
  assertStrictEquals(await assertRejects(() => wal.consumeAsync(fragileStore())), fault);
  assertEquals(consumerOf(wal), { state: "failed", attempts: 1, lastError: fault });
  assertEquals(wal.stats().consuming, false);
});

test("stats().consumer counts failures in a row while onError says retry, and forgets them at a success", async () => {
  await using wal = openInMemory();
  const store = fragileStore();
  const seen: unknown[] = [];
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, {
    signal: stop.signal,
    onError: (_error, { attempt }) => {
      seen.push([attempt, consumerOf(wal)]);
      assert(wal.stats().warnings.some((text) => text.includes(`failed ${attempt} time(s) in a row`)));
      store.isAway = attempt < 3;
      return "retry";
    },
  });
  fill(wal, 1);
  await wal.whenApplied();
  assertEquals(seen, range(1, 3).map((n) => [n, { state: "retrying", attempts: n, lastError: fault }]));
  assertEquals(consumerOf(wal), { state: "running", attempts: 0, lastError: fault });
  assertEquals(wal.stats().warnings.filter((text) => text.includes("store")), []);
  stop.abort();
  await consuming;
});

test("stats().consumer goes on counting while sync() fails, though the records are applied again in between", async () => {
  await using wal = openInMemory();
  const store = new ListStore() as ListStore & Store;
  const attempts: number[] = [];
  store.before = () => void attempts.push(wal.stats().consumer.attempts);
  store.sync = () => {
    if (attempts.length < 4) throw fault;
  };
  const consuming = wal.consumeAsync(store, { pollIntervalMs: 0, onError: () => "retry" });
  fill(wal, 1);
  await until(() => wal.tail > 1);
  assertEquals([attempts, consumerOf(wal).state], [[0, 1, 2, 3], "running"]);
  wal.close();
  await consuming;
});

for (
  const [what, start, reason] of [
    ["failed", (wal: WAL) => wal.consumeAsync(fragileStore()), Error],
    ["was refused for its store's LSN", (wal: WAL) => {
      return wal.consumeAsync(Object.assign(new ListStore(), { appliedLsn: () => 77 }));
    }, WALStoreError],
    ["was refused for its store", (wal: WAL) => wal.consumeAsync({} as Store), TypeError],
    ["was refused for an option", (wal: WAL) => wal.consumeAsync(new ListStore(), 100), RangeError],
  ] as const
) {
  test(`whenApplied() rejects with the error of the last consumer, which ${what}, until another one starts`, async () => {
    using wal = openInMemory();
    fill(wal, 1);
    await assertRejects(() => wal.whenApplied(), WALClosedError, "no consumer runs");
    const error = await assertRejects(() => start(wal), reason);
    for (let i = 0; i < 2; i++) assertStrictEquals(await assertRejects(() => wal.whenApplied()), error);
    assertStrictEquals(wal.stats().consumer.lastError, error);

    const stop = new AbortController();
    const consuming = wal.consumeAsync(new ListStore(), { signal: stop.signal });
    await assertRejects(() => start(wal), what === "failed" ? WALConsumingError : Error);
    await wal.whenApplied();
    stop.abort();
    await consuming;
    fill(wal, 1);
    await assertRejects(() => wal.whenApplied(), WALClosedError, "the last one was stopped");

    await assertRejects(() => start(wal), reason);
    wal.close();
    wal.open();
    fill(wal, 1);
    await assertRejects(() => wal.whenApplied(), WALClosedError, "no consumer runs");
  });
}

test("WALFullError has the failed consumer's error as its cause, for waiting and for later appends", async () => {
  await using wal = openInMemory();
  fill(wal, CAPACITY);
  assertEquals(assertThrows(() => fill(wal, 1), WALFullError, "no consumer runs").cause, undefined);
  const store = fragileStore();
  const consuming = new Watched(wal.consumeAsync(store));
  const waiting = [new Watched(wal.logInsert(1, 1, 1, 1)), new Watched(wal.batchDelete([[1, 1]]))];
  await until(() => consuming.state === "rejected" && waiting.every(({ state }) => state === "rejected"));
  const later = [await assertRejects(() => wal.logDelete(1, 1)), assertThrows(() => fill(wal, 1))];
  for (const error of [...waiting.map(({ error }) => error), ...later]) {
    assert(error instanceof WALFullError, String(error));
    assertStrictEquals(error.cause, fault);
    assertStringIncludes(error.message, "the consumer failed with Error: the store is away");
  }
});

test("WALFullError has the error of a store that is retried as its cause", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 0 });
  fill(wal, CAPACITY);
  const stop = new AbortController();
  const consuming = wal.consumeAsync(fragileStore(), {
    signal: stop.signal,
    onError: () => new Promise((resolve) => stop.signal.addEventListener("abort", () => resolve("stop"))),
  });
  consuming.catch(() => {});
  await until(() => wal.stats().consumer.state === "retrying");
  const error = await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALFullError, "failed 1 time(s) in a row");
  assertStrictEquals(error.cause, fault);
  stop.abort();
  assertStrictEquals(await assertRejects(() => consuming), fault);
});

test("stats() warns at once when a consumer has failed with records left, until they are applied", async () => {
  await using wal = openInMemory();
  const store = fragileStore();
  const died = () => wal.stats().warnings.filter((text) => text.startsWith("The consumer failed with Error"));
  await assertRejects(() => wal.consumeAsync(new ListStore(), 100));
  assertEquals(wal.stats().warnings.filter((text) => text.includes("consumer")), []);
  fill(wal, 2);
  await assertRejects(() => wal.consumeAsync(store));
  assertEquals(died(), ["The consumer failed with Error: the store is away, and 2 record(s) are not in the store"]);
  await wal.logInsert(1, 1, 1, 1);
  assertStringIncludes(died().join(), "3 record(s)");
  store.isAway = false;
  const consuming = wal.consumeAsync(store);
  await wal.whenApplied();
  assertEquals(died(), []);
  wal.close();
  await consuming;
});

test("stats() and WALFullError report a call to the store that does not return, with a warning after a second", async () => {
  const { wal, disk, answer, stop, consuming } = await hanging();
  const warned = () => wal.stats().warnings.filter((text) => text.includes("for its store to return"));
  const { callMs } = wal.stats().consumer;
  disk.clock.advance(1000 - callMs);
  assertEquals([wal.stats().consumer.callMs, warned()], [1000, []]);
  disk.clock.advance(1);
  assertEquals([wal.stats().consumer.callMs, warned()], [1001, [
    "The consumer has been waiting 1001 ms for its store to return from a call, and 3 record(s) are not in the store",
  ]]);
  fill(wal, CAPACITY - 3);
  assertThrows(() => fill(wal, 1), WALFullError, "the consumer has been waiting 1001 ms for its store");
  answer.resolve();
  await wal.whenApplied();
  assertEquals([wal.stats().consumer.callMs, warned()], [0, []]);
  stop.abort();
  await until(() => consuming.state === "resolved");
  wal.close();
});

type Call = "insert" | "applyBatch" | "appliedLsn" | "sync" | "onError";

/** A consumer that waits for a call of this kind, for as long as the promise is pending. */
async function waitingFor(call: Call, wal: WAL, answer: Promise<unknown>): Promise<Watched> {
  const entered = Promise.withResolvers<void>();
  const hang = (): never => {
    entered.resolve();
    return answer as never;
  };
  const store: Store = new ListStore();
  if (call === "onError") {
    store.insert = () => {
      throw fault;
    };
  } else store[call] = hang;
  const consuming = new Watched(wal.consumeAsync(store, { pollIntervalMs: 0, onError: hang }));
  fill(wal, 3);
  await entered.promise;
  return consuming;
}

for (const call of ["insert", "applyBatch", "appliedLsn", "sync", "onError"] as const) {
  test(`consumeAsync() ends when the log is closed while ${call}() does not return, and ignores what the call does later`, async () => {
    for (const ending of ["resolve", "reject"] as const) {
      const wal = openOn(new SimulatedDisk());
      const answer = Promise.withResolvers<unknown>();
      const consuming = await waitingFor(call, wal, answer.promise);
      const { applied } = wal;
      wal.close();
      await settle();
      assertEquals(consuming.state, call === "onError" ? "rejected" : "resolved");
      wal.open();
      const state = () => [wal.head, wal.tail, wal.durable, wal.applied, wal.stats().consumer.state];
      const before = state();
      // An unhandled rejection would end the process.
      if (ending === "resolve") answer.resolve(call === "appliedLsn" ? 3 : "retry");
      else answer.reject(new Error("too late"));
      await settle();
      await until(() => true);
      assertEquals([state(), applied <= 3], [before, true]);
      wal.close();
    }
  });
}

test("WAL[Symbol.asyncDispose]() gives up a call to the store that does not return after closeTimeoutMs, and closes the log cleanly", async () => {
  const { wal, consuming, store } = await hanging({ closeTimeoutMs: 5 });
  wal.logInsertSync(9, 9, 9, 9);
  await wal[Symbol.asyncDispose]();
  assertEquals([wal.isOpen, store.applied], [false, []]);
  await until(() => consuming.state === "resolved");
  wal.open();
  assertEquals([wal.recovery.clean, wal.length], [true, 4]);
  wal.close();
});

test("WAL[Symbol.asyncDispose]() waits for a call to the store that returns in time", async () => {
  for (const closeTimeoutMs of [undefined, Infinity]) {
    const { wal, answer, consuming, store } = await hanging({ closeTimeoutMs });
    const closing = new Watched(wal[Symbol.asyncDispose]());
    await settle();
    assertEquals([closing.state, consuming.state, wal.isOpen], ["pending", "pending", true]);
    answer.resolve();
    await until(() => closing.state === "resolved");
    assertEquals([consuming.state, wal.isOpen, store.applied], ["resolved", false, [1]]);
  }
});

test("consumeAsync() calls a store only after a call of an earlier log has ended", async () => {
  const wal = openOn(new SimulatedDisk());
  const gate = new Gate();
  let [running, most, applied] = [0, 0, 0];
  const given: number[] = [];
  const store = {
    async applyBatch(records: readonly { readonly lsn: number }[]) {
      most = Math.max(most, ++running);
      await gate.enter();
      given.push(...records.map(({ lsn }) => lsn));
      applied = given.at(-1)!;
      running--;
    },
    appliedLsn: () => applied,
  } as Partial<Store> as Store;
  fill(wal, 3);
  const first = wal.consumeAsync(store);
  await gate.entered;
  wal.close();
  await first;
  wal.open();
  fill(wal, 2);
  const second = wal.consumeAsync(store);
  await settle();
  assertEquals([running, wal.stats().consumer.state], [1, "running"]);
  gate.open();
  await wal.whenApplied();
  assertEquals([most, given], [1, range(1, 5)]);
  wal.close();
  await second;
});

test("whenApplied() handles the rejection of a failed consumer, which otherwise is unhandled", async () => {
  const program = (start: string, wait: string) => `
    import { consume, WAL } from "${projectUrl("mod.ts")}";
    const wal = WAL.open(null, { size: 65536 });
    wal.logInsertSync(1, 2, 3, 4);
    const store = { applyBatch() { throw new Error("no store"); } };
    ${start};
    try { ${wait} } catch (error) { console.log("told:", error.message); }
    await new Promise((resolve) => setTimeout(resolve, 0));
    console.log("goes on");`;
  const [method, handle] = ["wal.consumeAsync(store)", "const consumption = consume(wal, store)"];
  for (
    const [start, wait] of [
      [method, "await wal.whenApplied();"],
      [handle, "await wal.whenApplied();"],
      [handle, "wal.flush(); await consumption.done;"],
      [handle, "await using _ = consumption; await wal.whenApplied().catch(() => {});"],
    ] as const
  ) {
    const told = await runSnippet(program(start, wait));
    assertEquals([told.code, told.stdout, told.stderr], [0, "told: no store\ngoes on\n", ""], `${start}, ${wait}`);
  }
  for (const start of [method, handle]) {
    const untold = await runSnippet(program(start, "await wal.flushAsync();"));
    assert(untold.code !== 0);
    assertStringIncludes(untold.stderr, "no store");
  }
});

test("whenApplied() and asyncDispose from within the store settle: they do not wait for the call they are made in", async () => {
  for (const what of ["whenApplied", "dispose"] as const) {
    const wal = openInMemory();
    await wal.logInsert(1, 2, 3, 4);
    let inner: unknown = "not called";
    const store = new ListStore();
    store.before = async () => {
      const call = what === "dispose" ? wal[Symbol.asyncDispose]() : wal.whenApplied();
      inner = await call.then(() => "resolved", (error) => error);
    };
    const stop = new AbortController();
    const run = new Watched(wal.consumeAsync(store, { signal: stop.signal }));
    await until(() => inner !== "not called", `${what} in the store`);
    assertEquals(what === "dispose" ? inner : inner instanceof WALClosedError, what === "dispose" ? "resolved" : true);
    stop.abort();
    await until(() => run.state !== "pending", "the consumer to end");
    assertEquals(run.state, "resolved");
    wal.close();
  }
});
