// Fault: a target has messages that do not belong together: a gap, a fork, another log's, damaged,
//   foreign and repeated ones. A store or a log is of another lineage, or another shipper comes in
//   between (H70, H71). A target confirms late (H69), or an attempt to send is still held (H68).
// Promise: nothing of them is applied, skipped or merged, and a typed error says what is wrong
//   (G20).
// Method: put messages into a simulated broker by hand, and follow from each position that a store
//   can have, live and after the fact.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { takeConsumer } from "../../src/arguments/consumer.ts";
import { encodedRunsOf } from "../../src/arguments/encoded_runs.ts";
import { WALShipError } from "../../src/errors.ts";
import { encodeRun } from "../../src/runs.ts";
import { follow, type Following } from "../../src/ship/following.ts";
import { MovedOn, type Outgoing, type Source, type Target } from "../../src/ship/ports.ts";
import { TargetShipper } from "../../src/ship/shipper.ts";
import { newShipperId, shipmentBytes, writeShipment } from "../../src/ship/shipment.ts";
import { readEnd } from "../../src/ship/target_end.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { Random } from "../../testing.ts";
import type { AppliedRun, LSN, WALShipFault } from "../../src/types.ts";
import { consume, WAL } from "../../mod.ts";
import { Gate, ListStore, range, until } from "../support/logs.ts";
import { NO_FAULTS, SimulatedBroker } from "../support/simulated_broker.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const SHIPPER = newShipperId();
const OTHER = "f".repeat(32);
const { logId, records } = plainLog();

function plainLog() {
  using wal = WAL.open(null, { size: 65536 });
  for (let i = 0; i < 40; i++) wal.logInsertSync(1, i, 2, 3);
  return { logId: wal.logId, records: wal.replay() };
}

function message(firstLsn: LSN, lastLsn: LSN, change: Partial<AppliedRun> = {}): Uint8Array {
  const run = { logId, firstLsn, lastLsn, ...change };
  return writeShipment(encodeRun(records.slice(firstLsn - 1, lastLsn), run).bytes, SHIPPER);
}

const claim = () => writeShipment(null, newShipperId());
const flipped = (bytes: Uint8Array, at: number) => bytes.map((byte, index) => index === at ? byte ^ 1 : byte);

function brokerWith(messages: readonly Uint8Array[]): SimulatedBroker {
  const broker = new SimulatedBroker(new Random(1), NO_FAULTS);
  for (const bytes of messages) put(broker, bytes);
  return broker;
}

function put(broker: SimulatedBroker, bytes: Uint8Array): void {
  broker.messages.push({ place: ++broker.place, bytes, shipper: SHIPPER });
}

/** What comes after LSN 1 to 20, and what is said of it. */
const BAD: Record<string, [bytes: Uint8Array, faults: readonly WALShipFault[]]> = {
  "a gap": [message(25, 30), ["gap"]],
  "a gap of one": [message(22, 30), ["gap"]],
  "a fork": [message(15, 25), ["fork"]],
  "a fork that begins anew": [message(1, 25), ["fork"]],
  "a fork of one": [message(20, 21), ["fork"]],
  "an earlier message": [message(1, 10), ["fork"]],
  "another log's": [message(21, 25, { logId: OTHER }), ["lineage"]],
  "cut": [message(21, 25).slice(0, -1), ["damaged"]],
  "cut in its header": [message(21, 25).slice(0, 40), ["foreign"]],
  "cut in the header of its run": [message(21, 25).slice(0, 100), ["damaged"]],
  "longer": [Uint8Array.of(...message(21, 25), 0), ["damaged"]],
  "damaged in its first byte": [flipped(message(21, 25), 0), ["foreign"]],
  "damaged in the shipper's name": [flipped(message(21, 25), 20), ["damaged"]],
  "damaged in the header of its run": [flipped(message(21, 25), 64 + 33), ["damaged"]],
  "damaged in its first record": [flipped(message(21, 25), 64 + 64 + 40), ["damaged"]],
  "damaged in its last byte": [flipped(message(21, 25), 64 + 64 + 5 * 64 - 1), ["damaged"]],
  "empty": [new Uint8Array(), ["foreign"]],
  "text": [new TextEncoder().encode("hello".repeat(40)), ["foreign"]],
};

const following = (broker: SimulatedBroker, store: MemoryStore) =>
  follow(broker.source(), takeConsumer(store, {}), undefined);

async function faultOf(promise: Promise<unknown>): Promise<WALShipFault> {
  let ended = false;
  const settled = promise.then(() => {}, () => {}).then(() => ended = true);
  await until(() => ended, "a refusal");
  await settled;
  const error = await assertRejects(() => promise, WALShipError);
  return (error as WALShipError).fault;
}

/** Stops a follower that goes on where it must not. */
function stopsBefore(lsn: LSN, follower: Following): Promise<void> {
  let ended = false;
  follower.done.then(() => ended = true, () => ended = true);
  return until(() => ended || follower.applied > lsn, "a refusal").then(() =>
    follower.applied > lsn ? follower.stop() : follower.done
  );
}

test("followFrom() stops before a message that is not the log's next one, and says why", async () => {
  for (const [what, [bytes, faults]] of Object.entries(BAD)) {
    for (const between of [[], [claim()]]) {
      const broker = brokerWith([message(1, 10), message(11, 20), ...between]);
      const store = new MemoryStore();
      const follower = following(broker, store);
      await until(() => store.appliedLsn() === 20);
      put(broker, bytes);
      const told = await faultOf(stopsBefore(20, follower));
      assert(faults.includes(told), `${what}: ${told}`);
      assertEquals([store.appliedLsn(), store.size], [20, 20], what);
      // Whoever begins later is told too, wherever the store is, and gets nothing that is wrong.
      for (const applied of [0, 5, 10, 15, 20]) {
        const late = new MemoryStore(applied, logId);
        put(broker, message(31, 40));
        await faultOf(stopsBefore(20, following(broker, late)));
        assert(late.appliedLsn() <= 20 && late.size === late.appliedLsn() - applied, `${what}, from ${applied}`);
        broker.messages.pop();
        broker.place--;
      }
    }
  }
});

test("followFrom() goes on after messages that are repeated byte for byte, and after claims", async () => {
  const [a, b, c] = [message(1, 10), message(11, 20), message(21, 40)];
  const broker = brokerWith([claim(), a, claim(), claim(), b, b, b, claim(), c, c]);
  for (let applied = 0; applied <= 40; applied++) {
    const store = new MemoryStore(applied, applied === 0 ? null : logId);
    const follower = following(broker, store);
    await until(() => follower.applied === 40);
    assertEquals([store.size, await follower.lag()], [40 - applied, 0]);
    await follower.stop();
  }
});

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test("followFrom() goes on after a source has lost its end and has as many messages again", async () => {
  const broker = brokerWith([message(1, 10), message(11, 20)]);
  const store = new MemoryStore();
  const follower = following(broker, store);
  for (const [kept, last] of [[1, 30], [0, 40]] as const) {
    await until(() => store.appliedLsn() === (kept === 1 ? 20 : 30));
    await turns(100); // nothing comes for a while
    broker.messages.splice(kept);
    broker.place = kept;
    for (const bytes of kept === 1 ? [message(11, last)] : [claim(), message(1, last)]) put(broker, bytes);
    await until(() => store.appliedLsn() === last, `LSN ${last}`);
  }
  assertEquals(store.size, 40);
  await follower.stop();
});

test("followFrom() gives a store each record once, though its source has lost its end and got it in other runs", async () => {
  const broker = brokerWith([message(1, 10), message(11, 12)]);
  const gate = new Gate();
  const store = new ListStore();
  store.before = ({ lsn }) => lsn === 1 ? gate.enter() : undefined;
  const follower = follow(broker.source(), takeConsumer(store, {}), undefined);
  await gate.entered;
  for (const last of [13, 20]) {
    await turns(100);
    broker.messages.pop();
    broker.place--;
    put(broker, message(11, last));
  }
  await turns(100);
  gate.open();
  await until(() => follower.applied === 20);
  await follower.stop();
  assertEquals(store.applied, range(1, 20));
});

test("followFrom() waits for the first message of a source that has none, or claims alone", async () => {
  for (const before of [[], [claim()]]) {
    const broker = brokerWith(before);
    const store = new MemoryStore();
    const follower = following(broker, store);
    assertEquals([follower.applied, await follower.lag()], [0, 0]);
    put(broker, message(1, 10));
    await until(() => follower.applied === 10);
    assertEquals(await follower.lag(), 0);
    await follower.stop();
  }
});

/** A source that gives so many answers, and then none. */
function hangingAfter(answers: number, source: Source): Source & { readonly hangs: boolean } {
  const answer = async <T>(call: () => Promise<T>): Promise<T> => {
    if (answers-- > 0) return await call();
    hanging.hangs = true;
    return await new Promise<never>(() => {});
  };
  const hanging = {
    hangs: false,
    bounds: () => answer(() => source.bounds()),
    at: (place: number) => answer(() => source.at(place)),
    async *read(place: number, signal: AbortSignal) {
      const messages = source.read(place, signal)[Symbol.asyncIterator]();
      for (let next; !(next = await answer(() => messages.next())).done;) yield next.value;
    },
  };
  return hanging;
}

test("followFrom() is stopped while its source does not answer, whatever it was asked", async () => {
  for (let answers = 0; answers < 12; answers++) {
    const broker = brokerWith([claim(), message(1, 10), message(11, 20), message(21, 40)]);
    const source = hangingAfter(answers, broker.source());
    const store = new MemoryStore();
    const follower = follow(source, takeConsumer(store, { onError: () => "retry" }), undefined);
    await until(() => source.hangs, `question ${answers + 1}`);
    await follower.stop();
    assertEquals(follower.state.state, "stopped");
  }
});

test("followFrom() refuses a store that lacks what was removed, and one of another log", async () => {
  const broker = brokerWith([claim(), message(1, 10), message(11, 20), message(21, 40)]);
  broker.messages.splice(0, 2);
  assertEquals(await faultOf(following(broker, new MemoryStore()).done), "gone");
  assertEquals(await faultOf(following(broker, new MemoryStore(9, logId)).done), "gone");
  assertEquals(await faultOf(following(broker, new MemoryStore(15, OTHER)).done), "lineage");
  const store = new MemoryStore(10, logId);
  const follower = following(broker, store);
  await until(() => store.appliedLsn() === 40);
  await follower.stop();
});

test("followFrom() takes a store of a copy up to the LSN that both logs share", async () => {
  const broker = brokerWith([message(1, 40)]);
  const copies: [applied: LSN, copy: { logId: string; origin: { logId: string; lastLsn: LSN } | null }, ok: boolean][] =
    [
      [20, { logId: OTHER, origin: { logId, lastLsn: 20 } }, true],
      [21, { logId: OTHER, origin: { logId, lastLsn: 20 } }, false],
      [20, { logId: OTHER, origin: { logId: "e".repeat(32), lastLsn: 20 } }, false],
      [20, { logId: OTHER, origin: null }, false],
      [20, { logId, origin: { logId: OTHER, lastLsn: 20 } }, true],
      [21, { logId, origin: { logId: OTHER, lastLsn: 20 } }, false],
    ];
  for (const [applied, copy, ok] of copies) {
    const store = new MemoryStore(applied, OTHER);
    const follower = follow(broker.source(), takeConsumer(store, {}), copy);
    if (!ok) {
      assertEquals(await faultOf(follower.done), "lineage");
      continue;
    }
    await until(() => store.appliedLsn() === 40);
    assertEquals([store.size, store.appliedLog()], [40 - applied, logId]);
    await follower.stop();
  }
});

test("shipTo() refuses a target of another log, and one whose end it cannot read", async () => {
  for (const [what, [bytes, faults]] of Object.entries(BAD)) {
    const isRun = ["gap", "fork", "lineage"].includes(faults[0]!);
    if (isRun) continue;
    const shipper = new TargetShipper(brokerWith([message(1, 20), bytes]).target(), {
      inFlight: 1,
      startAfter: undefined,
    });
    assert(faults.includes(await faultOf(shipper.appliedLsn())), what);
  }
  const broker = brokerWith([message(1, 20)]);
  const shipper = new TargetShipper(broker.target(), { inFlight: 1, startAfter: undefined });
  assertEquals([await shipper.appliedLsn(), shipper.appliedLog()], [20, logId]);
  const run = { logId: OTHER, firstLsn: 21, lastLsn: 25 };
  for (let attempt = 0; attempt < 2; attempt++) {
    assertEquals(await faultOf(shipper.applyBatch(records.slice(20, 25), run)), "lineage");
  }
  assertEquals(broker.messages.length, 1, "not even a claim was sent");
});

test("shipTo() sends no run after a claim if the end has changed while it claimed", async () => {
  const broker = brokerWith([message(1, 20)]);
  const target = broker.target();
  const shipper = new TargetShipper({
    ...target,
    append: (outgoing) => {
      // The broker loses its end, and another shipper writes something else there.
      if (outgoing.run === null) broker.messages[0] = { ...broker.messages[0]!, bytes: message(1, 15) };
      return target.append(outgoing);
    },
  }, { inFlight: 1, startAfter: undefined });
  assertEquals(await shipper.appliedLsn(), 20);
  const run = { logId, firstLsn: 21, lastLsn: 25 };
  assertEquals(await faultOf(shipper.applyBatch(records.slice(20, 25), run)), "moved");
  assertEquals(broker.messages.length, 2, "only the claim was sent");
  assertEquals(await shipper.appliedLsn(), 15);
  await shipper.applyBatch(records.slice(15, 25), { logId, firstLsn: 16, lastLsn: 25 });
  await shipper.sync();
});

test("shipTo() does not ask for ever a target that refuses what it shows as its end", async () => {
  const target = brokerWith([message(1, 20)]).target();
  let refuses: "claims" | "runs" | "nothing" = "claims";
  const append: typeof target.append = (outgoing) => {
    const isRefused = refuses === (outgoing.run === null ? "claims" : "runs");
    return isRefused
      ? Promise.reject(new MovedOn("as a server that is behind the one that was read"))
      : target.append(outgoing);
  };
  const shipper = new TargetShipper({ ...target, append }, { inFlight: 1, startAfter: undefined });
  await shipper.appliedLsn();
  const ship = () => shipper.applyBatch(records.slice(20, 25), { logId, firstLsn: 21, lastLsn: 25 });
  assertEquals(await faultOf(ship()), "unreachable");
  refuses = "runs";
  await ship();
  assertEquals(await faultOf(shipper.sync()), "unreachable");
  refuses = "nothing";
  await shipper.sync();
  assertEquals((await readEnd(target)).run?.lastLsn, 25);
});

test("shipTo() tells as durable only what the target has confirmed", async () => {
  const target = brokerWith([message(1, 20)]).target();
  const confirmations: (() => void)[] = [];
  const append: typeof target.append = async (outgoing) => {
    await target.append(outgoing);
    if (outgoing.run !== null) await new Promise<void>((resolve) => confirmations.push(resolve));
  };
  const shipper = new TargetShipper({ ...target, append }, { inFlight: 4, startAfter: undefined });
  const runs = encodedRunsOf(shipper, shipper.applyBatch)!;
  assertEquals([runs.next, runs.durableLsn], [0, 0]);
  await shipper.appliedLsn();
  assertEquals([runs.next, runs.durableLsn], [21, 20]);
  for (const first of [21, 26, 31]) {
    await shipper.applyBatch(records.slice(first - 1, first + 4), { logId, firstLsn: first, lastLsn: first + 4 });
  }
  await until(() => confirmations.length === 3);
  assertEquals([runs.next, runs.durableLsn], [36, 20]);
  confirmations.shift()!();
  await until(() => runs.durableLsn === 25);
  for (const confirm of confirmations) confirm();
  await shipper.sync();
  assertEquals([runs.next, runs.durableLsn], [36, 35]);
});

test("shipTo() uses the bytes of a message again once it is confirmed, unless it was sent twice", async () => {
  const target = brokerWith([message(1, 20)]).target();
  /** What the first attempts gave. A client that has given up may still hold that. */
  const held: { readonly bytes: Uint8Array; readonly copy: Uint8Array }[] = [];
  let isLost = false;
  const append: typeof target.append = async (outgoing) => {
    if (outgoing.run !== null) held.push({ bytes: outgoing.bytes, copy: outgoing.bytes.slice() });
    if (isLost) throw new WALShipError("unreachable", "no answer in time");
    await target.append(outgoing);
  };
  const shipper = new TargetShipper({ ...target, append }, { inFlight: 1, startAfter: undefined });
  await shipper.appliedLsn();
  const runs = encodedRunsOf(shipper, shipper.applyBatch)!;
  const ship = async (firstLsn: LSN) => {
    const run = { logId, firstLsn, lastLsn: firstLsn + 4 };
    const encoded = encodeRun(records.slice(firstLsn - 1, run.lastLsn), run).bytes;
    const bytes = runs.allocate(runs.prefixBytes + encoded.length);
    bytes.set(encoded, runs.prefixBytes);
    await runs.apply(bytes, run);
  };
  await ship(21);
  await shipper.sync();
  isLost = true;
  await ship(26);
  assertEquals(await faultOf(shipper.sync()), "unreachable");
  isLost = false;
  await shipper.sync();
  await ship(31);
  await shipper.sync();
  const [first, ...twice] = held.splice(0, held.length - 1);
  const [last] = held;
  assert(twice.length > 1, "LSN 26 to 30 were sent again");
  for (const { bytes, copy } of twice) {
    assert(bytes === first!.bytes, "the bytes of LSN 21 to 25 are used again");
    assertEquals(bytes, copy);
  }
  assert(last!.bytes !== first!.bytes, "those of LSN 26 to 30 are not");
});

test("followFrom() ships on to a target that takes less at once than the follower", async () => {
  const broker = brokerWith([message(1, 5), message(6, 10), message(11, 12), message(13, 20)]);
  const next = brokerWith([]);
  const shipper = new TargetShipper(next.target(shipmentBytes(8)), { inFlight: 4, startAfter: undefined });
  const follower = follow(broker.source(), takeConsumer(shipper, {}), undefined);
  await until(() => follower.applied === 20 || follower.state.lastError !== null);
  await follower.stop();
  assertEquals((await readEnd(next.target())).run?.lastLsn, 20);
});

test("shipTo() refuses to ship to a target that takes no record at all", async () => {
  using directory = tempDir();
  await using wal = WAL.open(directory.join("log"), { size: 65536, followers: true });
  await wal.logInsert(1, 2, 3, 4);
  for (const log of [wal, WAL.follow(wal.path!)]) {
    const target = brokerWith([]).target(shipmentBytes(1) - 1);
    const shipper = new TargetShipper(target, { inFlight: 1, startAfter: undefined });
    assertEquals(await faultOf(log.consumeAsync(shipper)), "oversized");
  }
});

test("shipTo() refuses a run without a record", async () => {
  const shipper = new TargetShipper(brokerWith([]).target(), { inFlight: 1, startAfter: undefined });
  await shipper.appliedLsn();
  const empty = { logId, firstLsn: 1, lastLsn: 5 };
  await assertRejects(() => shipper.applyBatch([], empty), RangeError, "there is no record");
});

/** A target that nobody reaches while it is down. */
function switched(target: Target): Target & { isDown: boolean } {
  const ask = <T>(call: () => Promise<T>): Promise<T> =>
    reached.isDown ? Promise.reject(new WALShipError("unreachable", "no answer in time")) : call();
  const reached = {
    isDown: false,
    maxBytes: target.maxBytes,
    warnings: () => ask(() => target.warnings()),
    bounds: () => ask(() => target.bounds()),
    read: (place: number) => ask(() => target.read(place)),
    append: (outgoing: Outgoing) => ask(() => target.append(outgoing)),
  };
  return reached;
}

test("shipTo() confirms nothing that its target has lost, when it is stopped before it has begun anew", async () => {
  await using wal = WAL.open(null, { size: 65536 });
  const broker = brokerWith([]);
  const target = switched(broker.target());
  const faults: unknown[] = [];
  const shipping = consume(wal, new TargetShipper(target, { inFlight: 4, startAfter: undefined }), {
    pollIntervalMs: Infinity,
    onError: (error) => {
      faults.push((error as WALShipError).fault);
      target.isDown = true;
      return "retry";
    },
  });
  const ship = async (key: number) => {
    await wal.logInsert(1, key, 2, 3);
    await wal.whenApplied();
  };
  for (const key of [1, 2, 3]) await ship(key);
  await until(() => broker.place === 4, "three runs after the claim");
  broker.messages.splice(2);
  broker.place = 2;
  await ship(4);
  await wal.logInsert(1, 5, 2, 3);
  await until(() => faults.includes("unreachable"), "a start that fails");
  await shipping.stop();
  assertEquals([faults[0], wal.tail], ["moved", 1]);
});

test("shipTo() ships again what its target lacks, although somebody has called appliedLsn() meanwhile", async () => {
  for (const failures of [1, 2]) {
    await using wal = WAL.open(null, { size: 65536 });
    const broker = brokerWith([]);
    const target = switched(broker.target());
    const shipper = new TargetShipper(target, { inFlight: 4, startAfter: undefined });
    const onError = () => "retry" as const;
    await using _shipping = consume(wal, shipper, { pollIntervalMs: Infinity, onError });
    await wal.logInsert(1, 1, 2, 3);
    await until(() => broker.place === 2, "a claim and a run");
    target.isDown = true;
    for (let i = 0; i < failures; i++) {
      await wal.logInsert(1, 2 + i, 2, 3);
      await new Promise((resolve) => setTimeout(resolve, 5)); // so that it is a run of its own
    }
    target.isDown = false;
    assertEquals(await shipper.appliedLsn(), 1);
    await wal.logInsert(1, 9, 2, 3);
    const store = new MemoryStore();
    const follower = following(broker, store);
    await until(() => store.appliedLsn() === wal.durable, "the last record");
    await follower.stop();
    assertEquals(store.size, 2 + failures);
  }
});

test("shipTo() confirms nothing that it has forgotten, because somebody has called appliedLsn()", async () => {
  for (const calls of [1, 2]) {
    await using wal = WAL.open(null, { size: 65536 });
    const broker = brokerWith([]);
    const target = switched(broker.target());
    const shipper = new TargetShipper(target, { inFlight: 4, startAfter: undefined });
    const faults: unknown[] = [];
    await using shipping = consume(wal, shipper, {
      pollIntervalMs: calls === 1 ? Infinity : 20,
      onError: (error) => {
        faults.push((error as WALShipError).fault);
        target.isDown = true;
        return "retry";
      },
    });
    await wal.logInsert(1, 1, 2, 3);
    await until(() => broker.place === 2, "a claim and a run");
    await shipper.sync();
    target.isDown = true;
    await wal.logInsert(1, 2, 2, 3);
    await until(() => shipping.applied === 2, "a run that is on its way");
    target.isDown = false;
    assertEquals(await shipper.appliedLsn(), 1);
    if (calls === 2) {
      await until(() => faults.includes("unreachable"), "a start that fails");
      target.isDown = false;
      assertEquals(await shipper.appliedLsn(), 1);
    }
    await shipping.stop();
    assert(faults.includes("moved") && wal.tail <= 2, `${faults.join()}, ${wal.tail}`);
  }
});

test("shipTo() ships what its target has lost since a consumer began, although somebody has called appliedLsn()", async () => {
  await using wal = WAL.open(null, { size: 65536 });
  const broker = brokerWith([]);
  const target = broker.target();
  const begin = (shipper: TargetShipper) =>
    consume(wal, shipper, { name: "ship", keepRecords: 100, pollIntervalMs: Infinity, onError: () => "retry" });
  const first = begin(new TargetShipper(target, { inFlight: 4, startAfter: undefined }));
  for (const key of [1, 2]) {
    await wal.logInsert(1, key, 2, 3);
    await until(() => broker.place === 1 + key, "a run of its own");
  }
  await first.stop();
  const shipper = new TargetShipper(target, { inFlight: 4, startAfter: undefined });
  await using _shipping = begin(shipper);
  await until(() => shipper.appliedLog() !== null, "the start of the second one");
  await new Promise((resolve) => setTimeout(resolve, 5));
  broker.messages.pop();
  broker.place--;
  assertEquals(await shipper.appliedLsn(), 1);
  await wal.logInsert(1, 3, 2, 3);
  const store = new MemoryStore();
  const follower = following(broker, store);
  await until(() => store.appliedLsn() >= 3, "the last record");
  await follower.stop();
  assertEquals(store.size, 3);
});
