// Fault: a sync fails, at once or off the thread, while groups wait (H10). A group that waits for
//   the event loop is synced too late (H17).
// Promise: what is acknowledged was synced after it was stored. A failure is final and reaches
//   everybody (G1, G6, G16).
// Method: a target that only counts, whose syncs end when and how the test says.

import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { immediate, LoopTurn, type Turn } from "../ffi/turn.ts";
import { GroupCommit } from "../src/engine/group_commit.ts";
import { FakeTarget, settle, Watched } from "./support/commit_target.ts";
import { test } from "./support/test.ts";

/** A turn that is never over, because the tests count microtasks. */
const ENDLESS: Turn = { isOver: () => false, end: immediate };

function start(option: "inline" | "offload" | "adaptive" = "inline", cutRecords = Infinity, turn: Turn = ENDLESS) {
  const target = new FakeTarget();
  // A real turn takes real time.
  if (turn !== ENDLESS) target.nowMs = () => performance.now();
  const commit = new GroupCommit(target, target.positions, option, cutRecords, turn);
  target.onFailed = (error) => commit.end(error);
  /** One durable append. */
  const append = () => {
    target.append();
    return commit.join().shared;
  };
  return { target, commit, append };
}

/** Waits until `count` syncs are in flight. */
async function untilPending(target: FakeTarget, count: number): Promise<void> {
  for (let turn = 0; target.pending.length < count; turn++) {
    assert(turn < 100, "the sync never starts");
    await null;
  }
}

test("join() gives all callers of a group one promise, and syncs once", async () => {
  const { target, commit, append } = start();
  const promises = Array.from({ length: 100 }, append);
  assertEquals(new Set(promises).size, 1);
  assertEquals(target.syncs.length, 0);
  await Promise.all(promises);
  assertEquals(target.syncs, [{ first: 1, last: 100, where: "inline" }]);
  assertEquals([target.positions.durable, commit.pace.syncs, commit.pace.records, target.advances], [100, 1, 100, 1]);
});

test("join() costs two readings of the clock, and the latency of its sync lies between them", async () => {
  const { target, commit, append } = start();
  let readings = 0;
  target.nowMs = () => readings++;
  for (let n = 1; n <= 10; n++) {
    await append();
    const { count, totalMs } = commit.pace.latency.snapshot();
    assertEquals([readings, count, totalMs], [2 * n, n, n]);
  }
  target.append();
  commit.flush();
  assertEquals([readings, commit.pace.latency.snapshot().totalMs], [22, 11]);
});

test("join() starts a new group once the sync has begun", async () => {
  const { target, append } = start("offload");
  const first = append();
  await untilPending(target, 1);
  const second = append();
  assertNotStrictEquals(first, second);
  target.pending[0]!.resolve();
  await first;
  await untilPending(target, 2);
  assertEquals(target.syncs[1], { first: 2, last: 2, where: "offload" });
  target.pending[1]!.resolve();
  await second;
});

test("GroupCommit puts callers that one sync woke into one group, also through nested async functions", async () => {
  for (const depths of [[0, 1, 2, 3, 0, 1, 2, 3, 2, 1], [0, 2, 2, 2], [2, 0]]) {
    const { target, append } = start();
    const nested = async (depth: number): Promise<void> => {
      if (depth === 0) await append();
      else await nested(depth - 1);
    };
    await Promise.all(depths.map(async (depth) => {
      for (let round = 0; round < 20; round++) await nested(depth);
    }));
    assertEquals(target.syncs.length, 20, `depths ${depths}`);
    assertEquals(target.syncs.every(({ first, last }) => last - first + 1 === depths.length), true);
  }
});

test("GroupCommit does not acknowledge a record by a sync that began before the record was appended", async () => {
  const { target, append } = start("offload");
  const first = append();
  await untilPending(target, 1);
  const second = new Watched(append());
  target.pending[0]!.resolve();
  await first;
  await untilPending(target, 2);
  await settle();
  assertEquals([second.state, target.positions.durable], ["pending", 1]);
  target.pending[1]!.resolve();
  await settle();
  assertEquals([second.state, target.positions.durable], ["resolved", 2]);
});

test("GroupCommit has one sync in flight at a time, and everything that comes meanwhile makes one group", async () => {
  const { target, append } = start("offload");
  const all: Promise<void>[] = [append()];
  await untilPending(target, 1);
  for (let i = 0; i < 50; i++) {
    all.push(append());
    await settle();
  }
  assertEquals(target.syncs.length, 1);
  target.pending[0]!.resolve();
  await untilPending(target, 2);
  assertEquals(target.syncs[1], { first: 2, last: 51, where: "offload" });
  target.pending[1]!.resolve();
  await Promise.all(all);
});

test("promiseOf() gives a caller an LSN, and everybody is woken in the order of the calls", async () => {
  for (const option of ["inline", "offload"] as const) {
    const { target, commit, append } = start(option);
    const woken: unknown[] = [];
    const appendFor = () => {
      target.append();
      return commit.join().promiseOf(target.positions.head - 1);
    };
    const calls = [append, append, appendFor, appendFor, append, append, appendFor, append];
    const promises = calls.map((call, i) => call().then((lsn) => woken.push([i, lsn])));
    if (option === "offload") {
      await untilPending(target, 1);
      target.pending[0]!.resolve();
    }
    await Promise.all(promises);
    assertEquals(woken, calls.map((call, i) => [i, call === appendFor ? i + 1 : undefined]));
    assertEquals(target.syncs.length, 1);
  }
});

test("promiseOf() rejects with the error of its sync, of the end, and of an end before it", async () => {
  const { target, commit, append } = start("offload");
  const error = new Error("no");
  const [first, second] = [commit.join().promiseOf(7), append()].map((promise) => new Watched(promise));
  await untilPending(target, 1);
  const late = new Watched(commit.join().promiseOf(8));
  commit.end(error);
  const last = new Watched(commit.join().promiseOf(9));
  await settle();
  for (const waiter of [first!, second!, late, last]) assertEquals([waiter.state, waiter.error], ["rejected", error]);
});

test("whenDurable() waits for the sync that has the record: one that is over, in flight, or still to come", async () => {
  const { target, commit, append } = start("offload");
  target.append(3);
  const first = commit.whenDurable(2); // which starts a sync, though nobody else waits
  await untilPending(target, 1);
  assertEquals(target.syncs, [{ first: 1, last: 3, where: "offload" }]);
  target.append(2);
  const inFlight = [1, 2, 3].map((lsn) => new Watched(commit.whenDurable(lsn)));
  const later = [4, 5].map((lsn) => new Watched(commit.whenDurable(lsn)));
  assertStrictEquals(commit.whenDurable(5), append());
  target.pending[0]!.resolve();
  await first;
  await untilPending(target, 2);
  await settle();
  assertEquals(inFlight.map(({ state }) => state), ["resolved", "resolved", "resolved"]);
  assertEquals(later.map(({ state }) => state), ["pending", "pending"]);
  target.pending[1]!.resolve();
  await settle();
  assertEquals(later.map(({ state }) => state), ["resolved", "resolved"]);
  assertEquals([await commit.whenDurable(), target.syncs.length], [undefined, 2]);
});

test("whenDurable() shares a sync in flight for which nobody waits, and its failure", async () => {
  for (const fails of [false, true]) {
    const { target, commit } = start("offload");
    target.append(2);
    commit.schedule();
    await untilPending(target, 1);
    const waiters = [commit.whenDurable(1), commit.whenDurable()];
    assertStrictEquals(waiters[0], waiters[1]);
    const watched = new Watched(waiters[0]!);
    if (fails) target.pending[0]!.reject(new Error("no"));
    else target.pending[0]!.resolve();
    await settle();
    assertEquals([watched.state, target.syncs.length], [fails ? "rejected" : "resolved", 1]);
  }
});

test("GroupCommit rejects all who wait when a sync off the thread cannot even start", async () => {
  const { target, commit, append } = start("offload");
  const error = new Error("no");
  target.syncRecordsAsync = () => {
    throw error;
  };
  const waiters = [append(), commit.whenDurable(), commit.join().promiseOf(1)].map((promise) => new Watched(promise));
  await settle();
  for (const waiter of waiters) assertEquals([waiter.state, waiter.error], ["rejected", error]);
  assertEquals(target.positions.durable, 0);
});

test("flush() covers what waits and what is in flight, and acknowledges both", async () => {
  const { target, commit, append } = start("offload");
  const first = new Watched(append());
  await untilPending(target, 1);
  const second = new Watched(append());
  const third = new Watched(commit.whenDurable(1));
  commit.flush();
  assertEquals(target.syncs[1], { first: 1, last: 2, where: "inline" });
  assertEquals(target.positions.durable, 2);
  await settle();
  assertEquals([first.state, second.state, third.state], ["resolved", "resolved", "resolved"]);
  target.pending[0]!.resolve();
  await settle();
  assertEquals([target.positions.durable, target.syncs.length], [2, 2]);
});

test("flush() with nothing to make durable asks nothing of the medium", () => {
  const { target, commit } = start();
  commit.flush();
  assertEquals([target.syncs.length, target.advances], [0, 0]);
});

for (const option of ["inline", "offload"] as const) {
  test(`GroupCommit rejects all who wait when a ${option} sync fails, and acknowledges nothing later`, async () => {
    const { target, commit, append } = start(option);
    const error = new Error("no");
    target.error = error;
    const first = [append(), append()].map((promise) => new Watched(promise));
    let late: Watched | null = null;
    if (option === "offload") {
      await untilPending(target, 1);
      late = new Watched(append());
      target.pending[0]!.reject(error);
    }
    await settle();
    for (const waiter of [...first, ...(late === null ? [] : [late])]) {
      assertEquals(waiter.state, "rejected");
      assertStrictEquals(waiter.error, error);
    }
    assertEquals([target.failures, target.positions.durable, target.advances], [[error], 0, 0]);
    target.error = null;
    commit.schedule();
    await settle();
    assertEquals([target.syncs.length, target.positions.durable], [1, 0]);
  });
}

test("GroupCommit acknowledges nobody when a sync off the thread succeeds after flush() has failed", async () => {
  const { target, commit, append } = start("offload");
  const first = new Watched(append());
  await untilPending(target, 1);
  const second = new Watched(append());
  const error = new Error("no");
  target.error = error;
  commit.end(assertThrows(() => commit.flush()));
  target.pending[0]!.resolve();
  await settle();
  assertEquals([first.state, second.state, target.positions.durable, target.advances], ["rejected", "rejected", 0, 0]);
});

test("end() rejects all who wait, for good", async () => {
  const { target, commit, append } = start("offload");
  const first = append();
  await untilPending(target, 1);
  const second = append();
  const error = new Error("closed");
  commit.end(error);
  assertStrictEquals(await assertRejects(() => first), error);
  assertStrictEquals(await assertRejects(() => second), error);
  target.pending[0]!.reject(new Error("too late"));
  await settle();
  assertEquals([target.failures, commit.asyncRunning], [[], false]);
});

test("GroupCommit writes the header after the records, in the same commit, and its failure takes nothing back", async () => {
  for (const option of ["inline", "offload"] as const) {
    const { target, append } = start(option);
    const error = new Error("no");
    target.isHeaderWanted = true;
    target.headerError = error;
    const waiter = new Watched(append());
    if (option === "offload") {
      await untilPending(target, 1);
      assertEquals(target.headerSyncs, 0);
      target.pending[0]!.resolve();
    }
    await settle();
    assertEquals([waiter.state, target.headerSyncs, target.positions.durable], ["resolved", 1, 1]);
    assertEquals(target.failures, [error]);
  }
});

test("schedule() writes a header that is wanted though nobody waits and nothing was appended", async () => {
  for (const option of ["inline", "offload"] as const) {
    const { target, commit } = start(option);
    target.isHeaderWanted = true;
    commit.schedule();
    await settle();
    assertEquals([target.headerSyncs, target.syncs.length], [1, 0]);
  }
});

test("schedule() during a sync off the thread is remembered", async () => {
  const { target, commit, append } = start("offload");
  const first = append();
  await untilPending(target, 1);
  target.append();
  commit.schedule();
  target.pending[0]!.resolve();
  await first;
  await untilPending(target, 2);
  target.pending[1]!.resolve();
  await settle();
  assertEquals(target.positions.durable, 2);
});

test("GroupCommit lets timers run while inline commits follow one another", async () => {
  const { append } = start("inline", Infinity, new LoopTurn());
  let commits = 0;
  let isOver = false;
  const timer = new Promise<number>((resolve) =>
    setTimeout(() => {
      isOver = true;
      resolve(commits);
    }, 1)
  );
  // A chain that never leaves the microtask queue would keep the timer waiting for ever.
  while (!isOver) {
    await append();
    assert(++commits < 5_000_000, "the timer never had its turn");
  }
  assert(await timer > 0);
});

/** Makes each sync take 3 ms by the target's clock. */
function slowDown(target: FakeTarget): void {
  let nowMs = 0;
  target.nowMs = () => nowMs;
  target.onSync = () => nowMs += 3;
}

test("GroupCommit leaves the thread when adaptive syncs are slow, and comes back when they are fast", async () => {
  const { target, commit, append } = start("adaptive");
  assertEquals(commit.pace.mode, "inline");
  slowDown(target);
  for (let slow = 0; commit.pace.mode === "inline"; slow++) {
    assert(slow < 50, "never leaves the thread");
    await append();
  }
  target.onSync = () => {};
  let rounds = 0;
  while (commit.pace.mode === "offload") {
    assert(++rounds < 200, "never comes back");
    const done = append();
    await untilPending(target, 1);
    target.pending.shift()!.resolve();
    await done;
  }
  assert(rounds > 1, "one fast sync is no reason");
  await append();
  assertEquals(target.syncs.at(-1)!.where, "inline");
});

test("GroupCommit stays inline or off the thread as it was told, however long a sync takes", async () => {
  const { target, commit, append } = start("inline");
  slowDown(target);
  await append();
  assertEquals(commit.pace.mode, "inline");
  assertEquals(start("offload").commit.pace.mode, "offload");
});

// Groups that wait for more callers.

/** A turn that is never over, and ends when the test says so. */
class ManualTurn implements Turn {
  /** How many turns were waited for. */
  count = 0;
  #ending = Promise.withResolvers<void>();

  isOver(): boolean {
    return false;
  }

  end(): Promise<void> {
    this.count++;
    return this.#ending.promise;
  }

  /** Lets a turn pass, and whatever microtasks do after it. */
  async pass(): Promise<void> {
    const ending = this.#ending;
    this.#ending = Promise.withResolvers();
    ending.resolve();
    await settle();
  }
}

/** A log whose last group had `count` callers. */
async function startAfter(count: number, option: "inline" | "offload" = "inline", cutRecords = Infinity) {
  const turn = new ManualTurn();
  const all = start(option, cutRecords, turn);
  all.target.nowMs = () => 0;
  const group = Promise.all(Array.from({ length: count }, all.append));
  if (option === "offload") {
    await untilPending(all.target, 1);
    all.target.pending.shift()!.resolve();
  }
  await group;
  assertEquals(turn.count, 0, "the first group waits for nobody");
  return { ...all, turn };
}

test("GroupCommit syncs at once for a lone writer, and for callers that are as many as in the last group", async () => {
  for (const callers of [1, 5]) {
    const { target, append, turn } = await startAfter(callers);
    for (let round = 1; round <= 50; round++) {
      for (let i = 0; i < callers; i++) append();
      await settle();
      assertEquals([target.syncs.length, turn.count], [1 + round, 0], `${callers} callers`);
    }
  }
});

test("GroupCommit waits for a turn where the last group had more callers, and syncs once for all who come in it", async () => {
  for (const option of ["inline", "offload"] as const) {
    const { target, append, turn } = await startAfter(4, option);
    const promises = [append()];
    await settle();
    assertEquals([target.syncs.length, turn.count], [1, 1], "one of four has come");
    for (let i = 0; i < 3; i++) {
      promises.push(append());
      await settle();
    }
    assertEquals(target.syncs.length, 1, "they come one by one, in one turn");
    await turn.pass();
    assertEquals([target.syncs.at(-1), turn.count], [{ first: 5, last: 8, where: option }, 1]);
    target.pending.shift()?.resolve();
    await Promise.all(promises);
  }
});

test("GroupCommit waits for turns while each brings callers, and no longer", async () => {
  const { target, append, turn } = await startAfter(10);
  append();
  await settle();
  for (let turns = 1; turns <= 4; turns++) {
    assertEquals([turn.count, target.syncs.length], [turns, 1]);
    append();
    await turn.pass();
  }
  assertEquals([turn.count, target.syncs.length], [5, 1], "the fourth turn brought a caller too");
  await turn.pass();
  assertEquals([turn.count, target.syncs.at(-1)], [5, { first: 11, last: 15, where: "inline" }]);
});

test("GroupCommit lets a lone writer wait for one turn when the others have gone, and then for none", async () => {
  const { target, append, turn } = await startAfter(10);
  append();
  await settle();
  await turn.pass();
  for (let round = 1; round <= 10; round++) {
    assertEquals([target.syncs.length, turn.count], [1 + round, 1]);
    append();
    await settle();
  }
});

test("GroupCommit waits for turns no longer than a sync takes, however many callers they bring", async () => {
  const { target, append, turn } = await startAfter(10);
  let nowMs = 0;
  target.nowMs = () => nowMs;
  target.onSync = () => nowMs += 8;
  await Promise.all(Array.from({ length: 10 }, append));
  target.onSync = () => {};
  // A sync takes 1 ms on average now.
  append();
  await settle();
  for (const [turns, syncs] of [[2, 2], [3, 2], [3, 3]] as const) {
    nowMs += 0.4;
    append();
    await turn.pass();
    assertEquals([turn.count, target.syncs.length], [turns, syncs]);
  }
  assertEquals(target.syncs[2], { first: 21, last: 24, where: "inline" });
});

test("flush() does not wait for a turn, and acknowledges a group that waits for one", async () => {
  const { target, commit, append, turn } = await startAfter(4);
  const waiting = new Watched(append());
  await settle();
  commit.flush();
  await settle();
  assertEquals([waiting.state, target.syncs.length, turn.count], ["resolved", 2, 1]);
  await turn.pass();
  assertEquals(target.syncs.length, 2);
  append();
  await settle();
  assertEquals(target.syncs.length, 3);
});

test("end() rejects a group that waits for a turn, and syncs nothing after it", async () => {
  const { target, commit, append, turn } = await startAfter(4);
  const waiting = new Watched(append());
  await settle();
  commit.end(new Error("over"));
  await settle();
  await turn.pass();
  assertEquals([waiting.state, target.syncs.length], ["rejected", 1]);
});

test("GroupCommit cuts a group that waits for a turn, when the group becomes large", async () => {
  const { target, append, turn } = await startAfter(20, "offload", 30);
  const promises = [append()];
  await settle();
  assertEquals([turn.count, target.syncs.length], [1, 1]);
  promises.push(...Array.from({ length: 35 }, append));
  assertEquals(target.syncs[1], { first: 21, last: 51, where: "offload" });
  await turn.pass();
  assertEquals(target.syncs.length, 2);
  target.pending.shift()!.resolve();
  await settle();
  await turn.pass();
  assertEquals(target.syncs[2], { first: 52, last: 56, where: "offload" });
  target.pending.shift()!.resolve();
  await Promise.all(promises);
});

test("GroupCommit syncs for a group that waits for a turn though nobody else comes and the event loop is held", async () => {
  const target = new FakeTarget();
  target.nowMs = () => performance.now();
  const commit = new GroupCommit(target, target.positions, "inline", Infinity, new LoopTurn());
  const append = () => {
    target.append();
    return commit.join().shared;
  };
  for (let round = 0; round < 5; round++) {
    await Promise.all([append(), append(), append()]);
    const waiting = append();
    const heldMs = performance.now() + 3;
    while (performance.now() < heldMs);
    await waiting;
  }
  assertEquals(target.positions.durable, 20);
});

// Groups that are cut.

/** Starts a log whose groups are cut at 10 records, and appends `count`. */
function startCut(count: number, option: "inline" | "offload" | "adaptive" = "adaptive") {
  const all = start(option, 10);
  const promises = Array.from({ length: count }, all.append);
  return { ...all, promises, watched: promises.map((promise) => new Watched(promise)) };
}

const states = (watched: readonly Watched[]) => new Set(watched.map(({ state }) => state));

test("GroupCommit cuts a large group: its first part is synced while the others append, and acknowledged by itself", async () => {
  const { target, promises, watched } = startCut(25);
  assertEquals(target.syncs, [{ first: 1, last: 11, where: "offload" }], "at once, before anybody waits");
  assertEquals(new Set(promises).size, 2);
  await settle();
  assertEquals([target.syncs.length, states(watched)], [1, new Set(["pending"])]);
  target.pending[0]!.resolve();
  await settle();
  assertEquals([states(watched.slice(0, 11)), states(watched.slice(11))], [
    new Set(["resolved"]),
    new Set(["pending"]),
  ]);
  assertEquals(target.syncs[1], { first: 12, last: 25, where: "offload" });
  target.pending[1]!.resolve();
  await settle();
  assertEquals([states(watched), target.syncs.length], [new Set(["resolved"]), 2]);
});

test("GroupCommit has the halves of a cut group take turns: one is synced while the callers of the other run", async () => {
  const { target, commit, append } = start("adaptive", 10);
  let running = true;
  let done = 0;
  const writers = Array.from({ length: 30 }, async () => {
    while (running) {
      await append();
      done++;
    }
  });
  for (let turn = 0; turn < 20; turn++) {
    await settle();
    assertEquals(target.pending.length, 1, "one sync is in flight");
    const { first, last } = target.syncs.at(-1)!;
    assertEquals(target.positions.head - 1 - last, 30 - (last - first + 1), "the others have appended");
    assert(target.positions.durable < first);
    target.pending.shift()!.resolve();
  }
  running = false;
  commit.flush();
  target.pending.shift()?.resolve();
  await Promise.all(writers);
  assert(done >= 20 * 10, `${done} appends`);
});

test("GroupCommit does not cut a group that has become small, and is inline again", async () => {
  const { target, append, promises } = startCut(12);
  target.pending.shift()!.resolve();
  await settle();
  const few = Array.from({ length: 3 }, append);
  target.pending.shift()!.resolve();
  await Promise.all([...promises, ...few]);
  assertEquals(target.syncs.map(({ first, last, where }) => [first, last, where]), [
    [1, 11, "offload"],
    [12, 12, "offload"],
    [13, 15, "inline"],
  ]);
  await Promise.all(Array.from({ length: 10 }, append));
  assertEquals([target.syncs.at(-1), target.positions.durable], [{ first: 16, last: 25, where: "inline" }, 25]);
});

test("GroupCommit cuts nothing inline", async () => {
  const { target, promises } = startCut(1000, "inline");
  await Promise.all(promises);
  assertEquals(target.syncs, [{ first: 1, last: 1000, where: "inline" }]);
});

test("GroupCommit rejects everybody when a sync of half a group fails, and acknowledges nothing after it", async () => {
  for (const which of [0, 1]) {
    const { target, watched } = startCut(25);
    if (which === 1) {
      target.pending[0]!.resolve();
      await settle();
    }
    target.pending[which]!.reject(new Error("no"));
    await settle();
    const acknowledged = which === 0 ? 0 : 11;
    assertEquals(watched.filter(({ state }) => state === "resolved").length, acknowledged);
    assertEquals(watched.filter(({ state }) => state === "rejected").length, 25 - acknowledged);
    assertEquals([target.failures.length, target.positions.durable, target.syncs.length], [1, acknowledged, which + 1]);
  }
});

test("flush() covers both halves of a cut group", async () => {
  const { target, commit, watched } = startCut(25);
  commit.flush();
  await settle();
  assertEquals([states(watched), target.positions.durable], [new Set(["resolved"]), 25]);
  target.pending[0]!.resolve();
  await settle();
  assertEquals([target.syncs.length, commit.asyncRunning], [2, false]);
});

test("end() rejects both halves of a cut group", async () => {
  const { target, commit, watched } = startCut(25);
  commit.end(new Error("over"));
  await settle();
  assertEquals(states(watched), new Set(["rejected"]));
  target.pending[0]!.resolve();
  await settle();
  assertEquals([target.syncs.length, target.positions.durable], [1, 0]);
});

test("GroupCommit writes a header that is wanted between the halves of a cut group", async () => {
  const { target, watched } = startCut(25);
  target.isHeaderWanted = true;
  target.pending.shift()!.resolve();
  await settle();
  assertEquals([target.headerSyncs, target.syncs.length], [1, 2]);
  target.pending.shift()?.resolve();
  await settle();
  assertEquals(states(watched), new Set(["resolved"]));
});

test("GroupCommit makes records durable that are appended while a cut group is synced, though nobody waits for them", async () => {
  const { target, commit, watched } = startCut(11);
  target.append(3);
  commit.schedule();
  target.pending.shift()!.resolve();
  await settle();
  assertEquals([states(watched), target.positions.durable], [new Set(["resolved"]), 14]);
});
