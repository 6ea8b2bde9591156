// Shipping over a real nats-server: what arrives, who is refused, what is told (H68, H69, H70,
// H71).

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import {
  type AppliedRun,
  consume,
  type Consumption,
  WAL,
  WALConsumingError,
  type WALRecord,
  WALStoreError,
} from "../mod.ts";
import { followFrom, type Following, type JetStream, shipTo, WALShipError } from "../src/ship/jetstream.ts";
import { JetStreamSource } from "../src/ship/jetstream_source.ts";
import { JetStreamTarget } from "../src/ship/jetstream_target.ts";
import { MovedOn } from "../src/ship/ports.ts";
import { newShipperId } from "../src/ship/shipment.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { runSnippet } from "./support/child.ts";
import { mountSkip } from "./support/loop_device.ts";
import { commonNats, NatsServer, noNats, SUBJECT } from "./support/nats.ts";
import {
  appending,
  BAD_MESSAGES,
  caughtUp,
  eventually,
  faultOf,
  feedThreeStores,
  fill,
  hasShipped,
  messageOf,
  outgoing,
  type RecordsOfLog,
  RETRY,
} from "./support/shipping.ts";
import { tempDir } from "./support/temp.ts";
import { test, type TestOptions } from "./support/test.ts";

/** Sockets outlive a test by a moment, and Deno would call that a leak. */
const OPTIONS: TestOptions = { skip: noNats, sanitize: false };
/** Whoever asks a server while it is killed gets no answer, and asks again after this time. */
const TIMEOUT_MS = 300;

/** Ships a log. */
function ship(wal: WAL, target: JetStream): Consumption {
  return consume(wal, shipTo(target), RETRY);
}

test("shipTo() and followFrom() give each store what the log has", async () => {
  await using server = await commonNats();
  const { target } = await server.target();
  await feedThreeStores(target, 30, ship, followFrom);
}, OPTIONS);

test("shipTo() and followFrom() go on when the server was killed and comes back", async () => {
  await using server = await NatsServer.start();
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const store = new MemoryStore();
  const shipping = consume(wal, shipTo(target, { timeoutMs: TIMEOUT_MS }), RETRY);
  const following = followFrom(target, store, { ...RETRY, timeoutMs: TIMEOUT_MS });
  for (let kill = 0; kill < 2; kill++) {
    await fill(wal, 50, 100 * kill);
    await server.kill();
    await fill(wal, 50, 100 * kill + 50); // a target that is down costs nothing but lag
    await server.restart();
  }
  await caughtUp(store, wal);
  await following.stop();
  await shipping.stop();
}, OPTIONS);

test("consume() waits for a server that is down when the log begins", async () => {
  await using server = await NatsServer.start();
  const { target, manager } = await server.target();
  await server.kill();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const faults: unknown[] = [];
  const shipping = consume(wal, shipTo(target, { timeoutMs: TIMEOUT_MS }), {
    onError: (error) => {
      faults.push((error as WALShipError).fault);
      return "retry";
    },
  });
  await wal.logInsert(1, 2, 3, 4);
  await eventually(() => faults.length >= 2, "two attempts");
  await server.restart();
  await wal.whenApplied();
  await shipping.stop();
  assertEquals(new Set(faults), new Set(["unreachable"]));
  assertEquals((await manager.streams.info("LOG")).state.messages, 2); // a claim and a run
}, OPTIONS);

test("shipTo() is stopped while the server is down", async () => {
  await using server = await NatsServer.start();
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const shipping = consume(wal, shipTo(target, { timeoutMs: TIMEOUT_MS }), RETRY);
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  await server.kill();
  await wal.logInsert(1, 2, 3, 5);
  await shipping.stop();
}, OPTIONS);

test("shipTo() is told that another shipper has taken over", async () => {
  await using server = await commonNats();
  using directory = tempDir();
  const { target } = await server.target();
  await using wal = WAL.open(directory.join("a"), { size: 1 << 20 });
  const shipping = ship(wal, target);
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  // The same log in another place, as after a move to another machine whose old process lives on.
  wal.flush();
  fs.copyFileSync(directory.join("a"), directory.join("b"));
  await using copy = WAL.open(directory.join("b"));
  const fenced = faultOf(shipping.done);
  const successor = consume(copy, shipTo(target));
  await copy.logInsert(1, 2, 3, 5);
  await hasShipped(new JetStreamTarget(target, TIMEOUT_MS), copy);
  await wal.logInsert(1, 2, 3, 6);
  assertEquals(await fenced, "fenced"); // although onError says "retry"
  const follower = new MemoryStore();
  const following = followFrom(target, follower);
  await eventually(() => follower.appliedLsn() >= 2, "both records");
  assertEquals([4n, 5n, 6n].map((value) => follower.has(1n, 2n, 3n, value)), [true, true, false]);
  await following.stop();
  await successor.stop();
}, OPTIONS);

test("shipTo() has the server refuse a late message of an old shipper, although its place fits", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  const reader = new JetStreamTarget(target, 5000);
  const [old, young] = [newShipperId(), newShipperId()];
  const claim = (shipper: string, after: number) => reader.append(outgoing(shipper, after));
  const send = (shipper: string, after: number) =>
    reader.append({ ...outgoing(shipper, after), run: { logId: shipper, firstLsn: 1, lastLsn: 1 } });
  await claim(old, 0);
  await send(old, 1);
  await claim(young, 2);
  // As if the server had lost its end, and had given place 3 to another message.
  await assertRejects(() => send(old, 3), MovedOn);
  await assertRejects(() => send(young, 2), MovedOn);
  await send(young, 3);
  assertEquals((await manager.streams.info(target.stream)).state.last_seq, 4);
}, OPTIONS);

test("shipTo() is told that no stream stores its messages any more, and goes on when one does again", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const told = new Set<string>();
  const onError = (error: unknown) => {
    told.add((error as WALShipError).message);
    return "retry" as const;
  };
  await using _shipping = consume(wal, shipTo(target), { pollIntervalMs: 1, onError });
  const store = new MemoryStore();
  await using _following = followFrom(target, store);
  await fill(wal, 5);
  await caughtUp(store, wal);
  await manager.streams.update(target.stream, { subjects: ["elsewhere"] });
  await fill(wal, 5, 5);
  await eventually(() => told.size > 0, "a failure");
  assertStringIncludes([...told].join("\n"), `no stream stores messages of ${target.subject}.*`);
  await manager.streams.update(target.stream, { subjects: [`${target.subject}.*`] });
  await caughtUp(store, wal);
}, OPTIONS);

test("shipTo() is told that another stream has stored its message", async () => {
  await using server = await commonNats();
  const { target } = await server.target();
  const elsewhere = new JetStreamTarget({ ...target, stream: "ELSEWHERE" }, 5000);
  const error = await assertRejects(() => elsewhere.append(outgoing(newShipperId(), 0)), WALShipError, target.stream);
  assertEquals((error as WALShipError).fault, "unsuitable");
}, OPTIONS);

test("followFrom() takes the messages from a mirror of the stream", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  const stream = `MIRROR-OF-${target.stream}`;
  await manager.streams.add({ name: stream, mirror: { name: target.stream } });
  await using wal = WAL.open(null, { size: 1 << 20 });
  const store = new MemoryStore();
  await using _following = followFrom({ ...target, stream }, store);
  for (const from of [0, 20]) {
    await using _shipping = ship(wal, target);
    await fill(wal, 20, from);
    await caughtUp(store, wal);
  }
}, OPTIONS);

test("shipTo() refuses a log of another lineage, and names the way back", async () => {
  await using server = await commonNats();
  using directory = tempDir();
  const { target } = await server.target();
  await using wal = WAL.open(directory.join("a"), { size: 1 << 20 });
  await fill(wal, 3);
  const shipping = ship(wal, target);
  await wal.whenApplied(9);
  await shipping.stop();
  wal.backup(directory.join("b"));
  await using restored = WAL.open(directory.join("b"));
  await restored.logInsert(1, 2, 3, 4);
  const again = ship(restored, target);
  const error = await assertRejects(() => again.done, WALShipError);
  assertEquals((error as WALShipError).fault, "lineage");
  assertStringIncludes(error.message, wal.logId);
  assertStringIncludes(error.message, restored.logId);
  assertStringIncludes(error.message, "backup()");
  await using other = WAL.open(null);
  await other.logInsert(1, 2, 3, 4);
  const third = consume(other, shipTo(target));
  await assertRejects(() => third.done, WALStoreError, wal.logId);
}, OPTIONS);

test("followFrom() refuses a store of another log, and takes one that a backup has filled", async () => {
  await using server = await commonNats();
  using directory = tempDir();
  const { target } = await server.target();
  await using wal = WAL.open(directory.join("a"), { size: 1 << 20 });
  await fill(wal, 3);
  // A log that has shipped and released its beginning: a new store comes from a backup.
  wal.backup(directory.join("b"));
  const through = wal.durable;
  wal.truncate(through);
  const shipping = consume(wal, shipTo(target, { startAfter: through }));
  await fill(wal, 3, 3);

  await eventually(async () => (await faultOf(followFrom(target, new MemoryStore()).done)) === "gone", "a message");
  const foreign = new MemoryStore(through, "0123456789abcdef0123456789abcdef");
  const error = await assertRejects(() => followFrom(target, foreign).done, WALShipError, "backup()");
  assertEquals((error as WALShipError).fault, "lineage");
  assertStringIncludes(error.message, "a copy of another store");

  await using backup = WAL.open(directory.join("b"));
  const store = new MemoryStore();
  const filling = consume(backup, store);
  await backup.whenApplied();
  await filling.stop();
  assertEquals(store.appliedLog(), backup.logId);
  assertEquals(await faultOf(followFrom(target, store).done), "lineage");
  const following = followFrom(target, store, { copy: backup.recovery });
  await caughtUp(store, wal);
  assertEquals(store.appliedLog(), wal.logId);
  await assertRejects(() => followFrom(target, store).done, WALConsumingError, "filling the store already");
  await following.stop();
  await shipping.stop();
}, OPTIONS);

test("shipTo() is told that all messages have expired, and goes on after what the followers have", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const options = { name: "ship", pollIntervalMs: 1, ...RETRY };
  const shipping = consume(wal, shipTo(target), options);
  const store = new MemoryStore();
  await using _following = followFrom(target, store, RETRY);
  await wal.logInsert(1, 2, 3, 4);
  await eventually(() => store.appliedLsn() === 1 && wal.tail > 2, "the release");
  await manager.streams.update(target.stream, { max_age: 100e6, duplicate_window: 100e6 });
  await eventually(async () => (await manager.streams.info(target.stream)).state.messages === 0, "the end");
  await manager.streams.update(target.stream, { max_age: 0 });
  await wal.logInsert(1, 2, 3, 5);
  assertEquals(await faultOf(shipping.done), "gone");
  await using _again = consume(wal, shipTo(target, { startAfter: wal.tail - 1 }), options);
  await eventually(() => store.has(1n, 2n, 3n, 5n), "the next record");
  const late = new MemoryStore(1, wal.logId);
  await using _late = followFrom(target, late, RETRY);
  await eventually(() => late.has(1n, 2n, 3n, 5n), "the next record");
}, OPTIONS);

test("followFrom() goes on with a store that has all of the messages that were removed", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  wal.logInsertSync(1, 2, 3, 4);
  wal.checkpoint(0);
  wal.flush();
  await using _shipping = ship(wal, target);
  const store = new MemoryStore();
  const following = followFrom(target, store);
  await eventually(() => store.appliedLsn() === 1, "the first record");
  await following.stop();
  await wal.logInsert(1, 2, 3, 5);
  const last = async () => (await manager.streams.info(target.stream)).state.last_seq;
  await eventually(async () => await last() === 3, "the second record"); // and a claim
  await manager.streams.purge(target.stream, { seq: 3 });
  await using _again = followFrom(target, store);
  await eventually(() => store.has(1n, 2n, 3n, 5n), "the second record");
}, OPTIONS);

test("followFrom() takes a copy of the writer's store, whatever the log has released", async () => {
  await using server = await commonNats();
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const local = new MemoryStore();
  await using consumption = consume(wal, local, { pollIntervalMs: 1 });
  await fill(wal, 3);
  // The consumer's own checkpoint is the last record that is released.
  await eventually(() => wal.tail === wal.head && wal.tail - 1 > local.appliedLsn(), "the release");
  const store = new MemoryStore(local.appliedLsn(), local.appliedLog());
  await consumption.stop();
  await using _shipping = consume(wal, shipTo(target, { startAfter: wal.tail - 1 }), { name: "ship" });
  await using following = followFrom(target, store);
  await wal.logInsert(1, 2, 3, 4);
  await eventually(() => following.applied === wal.durable, "the record");
  assertEquals([store.size, store.has(1n, 2n, 3n, 4n)], [1, true]);
}, OPTIONS);

/** A server with a stream, and messages that no shipper of ours wrote. */
async function withMessages(body: (stream: HandMade) => Promise<void>): Promise<void> {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  using wal = WAL.open(null, { size: 1 << 20 });
  for (let i = 0; i < 40; i++) wal.logInsertSync(1, i, 2, 3);
  wal.flush();
  await body({ target, manager, wal, logId: wal.logId, records: wal.replay() });
}

interface HandMade extends RecordsOfLog {
  readonly target: JetStream;
  readonly manager: Awaited<ReturnType<typeof jetstreamManager>>;
  readonly wal: WAL;
}

const publish = ({ target }: HandMade, bytes: Uint8Array) =>
  (target.jetstream as ReturnType<typeof jetstream>).publish(`${target.subject}.x`, bytes);

for (const [what, { bytes, fault, ships }] of Object.entries(BAD_MESSAGES)) {
  test(`followFrom() stops before a message in the stream that is ${what}`, () =>
    withMessages(async (hand) => {
      await publish(hand, messageOf(hand, 1, 10));
      await publish(hand, messageOf(hand, 11, 20));
      const live = new MemoryStore();
      const following = followFrom(hand.target, live);
      await eventually(() => live.appliedLsn() === 20, "the good messages");
      await publish(hand, bytes(hand));
      assertEquals(await faultOf(following.done), fault);
      assertEquals(live.appliedLsn(), 20);
      // A follower that begins later says the same.
      const late = new MemoryStore();
      const next = ["gap", "fork"].includes(fault) ? messageOf(hand, 31, 35) : null;
      if (next !== null) await publish(hand, next);
      const refused = await faultOf(followFrom(hand.target, late).done);
      assert([fault, "gap", "fork"].includes(refused), refused);
      assert(late.appliedLsn() <= 20, `LSN ${late.appliedLsn()}`);
      if (ships === "goes on") return;
      const shipping = consume(hand.wal, shipTo(hand.target));
      const error = await assertRejects(() => shipping.done);
      const told = error instanceof WALShipError
        ? error.fault
        : error instanceof WALStoreError
        ? "lineage"
        : String(error);
      assertEquals(told, ships);
    }), OPTIONS);
}

test("followFrom() skips a message that is in the stream twice, byte for byte", () =>
  withMessages(async (hand) => {
    await publish(hand, messageOf(hand, 1, 10));
    for (let i = 0; i < 3; i++) await publish(hand, messageOf(hand, 11, 20));
    await publish(hand, messageOf(hand, 21, 40));
    for (const applied of [0, 10, 15, 20, 30, 40]) {
      const store = new MemoryStore(applied, applied === 0 ? null : hand.logId);
      const following = followFrom(hand.target, store);
      await eventually(() => following.applied === 40, "the last record");
      assertEquals(store.size, 40 - applied);
      await following.stop();
    }
  }), OPTIONS);

test("followFrom() refuses messages in another order", () =>
  withMessages(async (hand) => {
    for (const [first, last] of [[11, 20], [1, 10], [21, 30]] as const) {
      await publish(hand, messageOf(hand, first, last));
    }
    const store = new MemoryStore();
    const fault = await faultOf(followFrom(hand.target, store).done);
    assert(["gone", "gap", "fork"].includes(fault), fault);
    assertEquals(store.size, 0);
  }), OPTIONS);

test("followFrom() is told that the messages that it needs were removed", () =>
  withMessages(async (hand) => {
    for (const first of [1, 11, 21]) await publish(hand, messageOf(hand, first, first + 9));
    await hand.manager.streams.purge(hand.target.stream, { seq: 3 });
    assertEquals(await faultOf(followFrom(hand.target, new MemoryStore()).done), "gone");
    const store = new MemoryStore(25, hand.logId);
    const following = followFrom(hand.target, store);
    await eventually(() => store.appliedLsn() === 30, "the last record");
    await following.stop();
    await hand.manager.streams.deleteMessage(hand.target.stream, 3);
    await publish(hand, messageOf(hand, 31, 40));
    const late = followFrom(hand.target, new MemoryStore(25, hand.logId));
    assertEquals(await faultOf(late.done), "gone");
  }), OPTIONS);

test("shipTo() refuses a run that is too long for a message, and says how long it may be", async () => {
  await using server = await NatsServer.start("max_payload: 16384");
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  await wal.batchInsert(Array.from({ length: 300 }, (_, i) => [1, i, 2, 3] as const));
  const shipping = consume(wal, shipTo(target), RETRY);
  const error = await assertRejects(() => shipping.done, WALShipError, "batches of at most 246 records");
  assertEquals((error as WALShipError).fault, "oversized");
  assertEquals(wal.tail, 1);
}, OPTIONS);

test("shipTo() ships every batch that fits a message, whatever comes before it", async () => {
  await using server = await NatsServer.start("max_payload: 16384");
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const store = new MemoryStore();
  await using _following = followFrom(target, store);
  const longest = () => wal.batchInsert(Array.from({ length: 246 }, (_, i) => [1, i, 2, 3] as const));
  await fill(wal, 100);
  await longest();
  const shipping = consume(wal, shipTo(target), { pollIntervalMs: 60_000 });
  await wal.whenApplied();
  for (const checkpoints of [1, 246, 247, 1000]) {
    for (let i = 0; i < checkpoints; i++) wal.checkpoint(0);
    await wal.flushAsync();
    await wal.whenApplied(); // so that the consumer has passed them when the batch comes
    await longest();
  }
  await eventually(() => store.appliedLsn() === wal.durable, "the last batch");
  await shipping.stop();
}, OPTIONS);

test("shipTo() and followFrom() are told that there is no stream, that it was deleted or purged", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  assertEquals(await faultOf(followFrom({ ...target, stream: "NONE" }, new MemoryStore()).done), "gone");
  await using wal = WAL.open(null, { size: 1 << 20 });
  assertEquals(await faultOf(consume(wal, shipTo({ ...target, stream: "NONE" }), RETRY).done), "gone");
  const shipping = consume(wal, shipTo(target, { timeoutMs: TIMEOUT_MS }), RETRY);
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  await shipping.stop();
  await manager.streams.purge(target.stream);
  assertEquals(await faultOf(consume(wal, shipTo(target), RETRY).done), "gone");
  const again = consume(wal, shipTo(target, { startAfter: wal.tail - 1, timeoutMs: TIMEOUT_MS }), RETRY);
  await wal.logInsert(1, 2, 3, 5);
  await wal.whenApplied();
  await manager.streams.delete(target.stream);
  await wal.logInsert(1, 2, 3, 6);
  assertEquals(await faultOf(again.done), "gone");
}, OPTIONS);

test("followFrom() tells of a server that is down, and goes on when it comes back", async () => {
  await using server = await NatsServer.start();
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  await using _shipping = ship(wal, target);
  const store = new MemoryStore();
  await using following = followFrom(target, store, { ...RETRY, timeoutMs: TIMEOUT_MS });
  await fill(wal, 5);
  await caughtUp(store, wal);
  await server.kill();
  await eventually(() => following.state.state === "retrying", "a failure");
  assertEquals((following.state.lastError as WALShipError).fault, "unreachable");
  await server.restart();
  await fill(wal, 5, 5);
  await caughtUp(store, wal);
}, OPTIONS);

test("shipTo() is told that its stream was purged, and does not take that for another shipper", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const shipping = ship(wal, target);
  await wal.logInsert(1, 2, 3, 4);
  await hasShipped(new JetStreamTarget(target, TIMEOUT_MS), wal);
  await manager.streams.purge(target.stream);
  await wal.logInsert(1, 2, 3, 5);
  assertEquals(await faultOf(shipping.done), "gone");
}, OPTIONS);

test("followFrom() asks nobody when the server has forgotten where it reads", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  await using _shipping = ship(wal, target);
  const store = new MemoryStore();
  const following = followFrom(target, store);
  const readers = () => manager.consumers.list(target.stream).next();
  for (let round = 0; round < 3; round++) {
    await fill(wal, 5, 5 * round);
    await caughtUp(store, wal);
    await eventually(async () => (await readers()).length > 0, "a reader");
    for (const { name } of await readers()) await manager.consumers.delete(target.stream, name);
  }
  await fill(wal, 5, 15);
  await caughtUp(store, wal);
  await manager.streams.delete(target.stream);
  assertEquals(await faultOf(following.done), "gone");
}, OPTIONS);

test("shipTo() and followFrom() wait without end for an answer if timeoutMs is Infinity", async () => {
  await using server = await commonNats();
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  await using _shipping = consume(wal, shipTo(target, { timeoutMs: Infinity }));
  await fill(wal, 5);
  const store = new MemoryStore();
  await using _following = followFrom(target, store, { timeoutMs: Infinity });
  await caughtUp(store, wal);
}, OPTIONS);

/** Ships, lets the server forget the end, and goes on. */
async function loseTail(
  keepRecords: number,
  check: (wal: WAL, done: Promise<void>, target: JetStream) => Promise<void>,
) {
  await using server = await NatsServer.start();
  using directory = tempDir();
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const options = { name: "ship", keepRecords, pollIntervalMs: 10, ...RETRY };
  const shipping = consume(wal, shipTo(target, { timeoutMs: TIMEOUT_MS }), options);
  await fill(wal, 200);
  await wal.logInsert(7, 7, 7, 7);
  await hasShipped(new JetStreamTarget(target, TIMEOUT_MS), wal);
  await eventually(() => wal.tail > 100, "the release");
  await server.kill();
  fs.cpSync(server.directory.join("data"), directory.join("data"), { recursive: true });
  await server.restart();
  const before = wal.durable;
  await fill(wal, 20, 200);
  await wal.logInsert(7, 7, 7, 7);
  await hasShipped(new JetStreamTarget(target, TIMEOUT_MS), wal);
  await eventually(() => wal.tail > before - keepRecords, "the release");
  // As after a power cut, because the server had confirmed without a sync.
  await server.kill();
  fs.rmSync(server.directory.join("data"), { recursive: true });
  fs.cpSync(directory.join("data"), server.directory.join("data"), { recursive: true });
  await server.restart();
  await fill(wal, 20, 220);
  await check(wal, shipping.done, target);
  await shipping.stop().catch(() => {});
}

test(
  "shipTo() ships a tail again that the server had confirmed and has lost",
  () =>
    loseTail(300, async (wal, _done, target) => {
      const store = new MemoryStore();
      const following = followFrom(target, store, { ...RETRY, timeoutMs: TIMEOUT_MS });
      await caughtUp(store, wal);
      await following.stop();
    }),
  OPTIONS,
);

test("shipTo() is refused if the log has released what the server has lost", () =>
  loseTail(0, async (_wal, done) => {
    await assertRejects(() => done, WALStoreError, "released");
  }), OPTIONS);

test("followFrom() goes on with a stream that has lost its end and got it again", async () => {
  await using server = await NatsServer.start();
  using directory = tempDir();
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const store = new MemoryStore();
  const following = followFrom(target, store, { ...RETRY, timeoutMs: TIMEOUT_MS });
  const shipping = ship(wal, target);
  await fill(wal, 20);
  await caughtUp(store, wal);
  await shipping.stop();
  await server.kill();
  fs.cpSync(server.directory.join("data"), directory.join("data"), { recursive: true });
  await server.restart();
  await using again = consume(wal, shipTo(target, { timeoutMs: TIMEOUT_MS }), {
    pollIntervalMs: 60_000,
    batchSize: 7,
    ...RETRY,
  });
  await fill(wal, 20, 20);
  await caughtUp(store, wal);
  await server.kill();
  fs.rmSync(server.directory.join("data"), { recursive: true });
  fs.cpSync(directory.join("data"), server.directory.join("data"), { recursive: true });
  await server.restart();
  await fill(wal, 20, 40);
  await appending(wal, store);
  await caughtUp(store, wal);
  await following.stop();
  await again.stop();
}, OPTIONS);

test("shipTo() is told that the stream is full, and goes on when there is room", async () => {
  await using server = await commonNats();
  const { target, manager } = await server.target({ max_bytes: 20_000, discard: "new" as never });
  await using wal = WAL.open(null, { size: 1 << 20 });
  const faults = new Set<unknown>();
  const shipping = consume(wal, shipTo(target), {
    onError: (error) => {
      faults.add((error as WALShipError).fault);
      return "retry";
    },
  });
  await fill(wal, 200);
  await eventually(() => faults.has("refused"), "a refusal");
  await manager.streams.update(target.stream, { max_bytes: 10_000_000 });
  const store = new MemoryStore();
  const following = followFrom(target, store, RETRY);
  await caughtUp(store, wal);
  await following.stop();
  await shipping.stop();
}, OPTIONS);

test("shipTo() loses nothing when the server's disk is full", async () => {
  using mount = tempDir();
  spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", mount.path]);
  try {
    await using server = await NatsServer.start("", mount.join("data"));
    const { target, manager } = await server.target();
    await using wal = WAL.open(null, { size: 8 << 20 });
    const faults = new Set<unknown>();
    const shipping = consume(wal, shipTo(target, { timeoutMs: TIMEOUT_MS }), {
      onError: (error) => {
        faults.add((error as WALShipError).fault);
        return "retry";
      },
    });
    for (let i = 0; i < 30; i++) await wal.batchInsert(Array.from({ length: 1000 }, (_, j) => [i, j, 2, 3] as const));
    await eventually(() => faults.size > 0, "a failure");
    spawnSync("mount", ["-o", "remount,size=64m", mount.path]);
    await server.kill();
    await server.restart();
    const store = new MemoryStore();
    const following = followFrom(target, store, { ...RETRY, timeoutMs: TIMEOUT_MS });
    await eventually(() => store.size === 30_000, "all records");
    await following.stop();
    await shipping.stop();
    assert((await manager.streams.info("LOG")).state.messages > 0);
  } finally {
    spawnSync("umount", [mount.path]);
  }
}, { ...OPTIONS, skip: noNats !== false ? noNats : mountSkip() });

test("shipTo() and followFrom() are told that the server denies access", async () => {
  await using server = await NatsServer.start(`
    authorization { users: [
      { user: "all", password: "a" },
      { user: "reads", password: "b", permissions: { publish: { deny: ["${SUBJECT}.>", "$JS.API.CONSUMER.>"] } } },
    ] }`);
  const all = await server.connect({ user: "all", pass: "a" });
  await (await jetstreamManager(all)).streams.add({ name: "LOG", subjects: [`${SUBJECT}.*`] });
  const reads = await server.connect({ user: "reads", pass: "b" });
  const target = { connection: reads, jetstream: jetstream(reads), stream: "LOG", subject: SUBJECT };
  await using wal = WAL.open(null);
  await wal.logInsert(1, 2, 3, 4);
  assertEquals(await faultOf(consume(wal, shipTo(target, { timeoutMs: 60_000 })).done), "refused");
  const allowed = { ...target, connection: all, jetstream: jetstream(all) };
  const shipping = ship(wal, allowed);
  await wal.whenApplied();
  await shipping.stop();
  assertEquals(await faultOf(followFrom(target, new MemoryStore(), { timeoutMs: 60_000 }).done), "refused");
  // In a process of its own: a refused client may throw a late ECONNRESET at nobody.
  const { stdout } = await runSnippet(`
    import { connect } from ${JSON.stringify(import.meta.resolve("@nats-io/transport-node"))};
    const options = { servers: "${server.address}", user: "all", pass: "wrong", reconnect: false };
    await connect(options).then(() => console.log("connected"), () => console.log("refused"));
  `);
  assertEquals(stdout, "refused\n");
  await reads.close();
  assertEquals(await faultOf(followFrom(target, new MemoryStore()).done), "closed");
}, OPTIONS);

test("shipTo() and followFrom() work over TLS", async () => {
  using directory = tempDir();
  const [key, cert] = [directory.join("key.pem"), directory.join("cert.pem")];
  const made = spawnSync("openssl", [
    ...[
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
      "-keyout",
      key,
      "-out",
      cert,
    ],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
  ]);
  assertEquals(made.status, 0);
  await using server = await NatsServer.start(`tls { cert_file: "${cert}", key_file: "${key}" }`);
  const connection = await server.connect({
    servers: server.address.replace("127.0.0.1", "localhost"),
    tls: { caFile: cert },
  });
  await (await jetstreamManager(connection)).streams.add({ name: "LOG", subjects: [`${SUBJECT}.*`] });
  const target = { connection, jetstream: jetstream(connection), stream: "LOG", subject: SUBJECT };
  await using wal = WAL.open(null, { size: 1 << 20 });
  await fill(wal, 20);
  const shipping = ship(wal, target);
  const store = new MemoryStore();
  const following = followFrom(target, store);
  await caughtUp(store, wal);
  await following.stop();
  await shipping.stop();
}, { ...OPTIONS, skip: noNats !== false ? noNats : spawnSync("openssl", ["version"]).status !== 0 && "no openssl" });

test("shipTo() warns of what a stream may lose, and refuses one that keeps nothing", async () => {
  await using server = await commonNats();
  const { target } = await server.target();
  await using wal = WAL.open(null);
  const store = shipTo(target);
  assertEquals(store.warnings, []);
  await store.appliedLsn();
  assertStringIncludes(store.warnings.join("\n"), "sync");
  const impatient = await server.connect({ maxReconnectAttempts: 3 });
  const closing = shipTo({ ...target, connection: impatient, jetstream: jetstream(impatient) });
  await closing.appliedLsn();
  assertStringIncludes(closing.warnings.join("\n"), "maxReconnectAttempts: -1");
  assertEquals(store.warnings.join("\n").includes("maxReconnectAttempts"), false);
  const passing = await server.target({ name: "PASSING", subjects: ["passing.*"], max_age: 60e9 });
  const expiring = shipTo({ ...passing.target, subject: "passing" });
  await expiring.appliedLsn();
  assertStringIncludes(expiring.warnings.join("\n"), "expire");
  assertEquals(store.warnings.join("\n").includes("expire"), false);
  const whole = { discard: "new" as never };
  for (
    const [name, config, isTold] of [["WHOLE", {}, false], ["LIMITED", { max_msgs_per_subject: 2 }, true]] as const
  ) {
    const { target } = await server.target({ name, subjects: [`${name}.*`], ...whole, ...config });
    const limited = shipTo({ ...target, subject: name });
    await limited.appliedLsn();
    assertEquals(limited.warnings.join("\n").includes("removes old messages"), isTold);
  }
  const memory = await server.target({ name: "MEM", subjects: ["mem.*"], storage: "memory" as never });
  const inMemory = shipTo({ ...memory.target, subject: "mem" });
  await inMemory.appliedLsn();
  assertStringIncludes(inMemory.warnings.join("\n"), "in memory");
  assertStringIncludes(inMemory.warnings.join("\n"), "removes old messages");
  const queue = await server.target({ name: "QUEUE", subjects: ["queue.*"], retention: "workqueue" as never });
  assertEquals(await faultOf(consume(wal, shipTo({ ...queue.target, subject: "queue" })).done), "unsuitable");
  const silent = await server.target({ name: "SILENT", subjects: ["silent.*"], no_ack: true });
  assertEquals(await faultOf(consume(wal, shipTo({ ...silent.target, subject: "silent" })).done), "unsuitable");
  await wal.logInsert(1, 2, 3, 4);
  // Of another stream, and of none.
  for (const subject of ["mem", "nobody", "mem.log"]) {
    const shipping = consume(wal, shipTo({ ...memory.target, stream: target.stream, subject }), RETRY);
    const error = await assertRejects(() => shipping.done, WALShipError);
    assertEquals([error.fault, error.isFinal], ["unsuitable", true]);
    assertStringIncludes(error.message, `does not store messages of ${subject}.*`);
  }
  const wide = await server.target({ name: "WIDE", subjects: ["elsewhere", "wide.*.>"] });
  await using shipping = consume(wal, shipTo({ ...wide.target, subject: "wide.log" }));
  await wal.whenApplied();
  await shipping.stop();
}, OPTIONS);

test("followFrom() retries if a server does not answer and onError says to skip, as no record is to blame", async () => {
  let attempts = 0;
  const nobody = {
    connection: { isClosed: () => false },
    jetstream: { jetstreamManager: () => Promise.reject(new Error("nobody answers")) },
    stream: "LOG",
    subject: SUBJECT,
  };
  const following = followFrom(nobody as unknown as JetStream, new MemoryStore(), {
    onError: () => ++attempts < 3 ? "skip" : "stop",
  });
  assertEquals(await faultOf(following.done), "unreachable");
  assertEquals(attempts, 3);
});

test("followFrom() tells what a server has refused, and not that it cannot be reached", async () => {
  const refusing = {
    connection: { isClosed: () => false },
    jetstream: {
      jetstreamManager: () => Promise.resolve({ consumers: { add: () => Promise.resolve({ name: "c" }) } }),
      consumers: {
        get: () => ({
          fetch: () => Promise.reject(Object.assign(new Error("no more requests"), { code: 409 })),
          info: () => Promise.resolve(),
        }),
      },
    },
    stream: "LOG",
    subject: SUBJECT,
  };
  const source = new JetStreamSource(refusing as unknown as JetStream, 1000);
  const reading = source.read(1, new AbortController().signal);
  const error = await assertRejects(() => reading.next(), WALShipError, "the server answers: no more requests");
  assertEquals(error.fault, "refused");
});

test("followFrom() is stopped from within onError", async () => {
  const nobody = {
    connection: { isClosed: () => false },
    jetstream: { jetstreamManager: () => Promise.reject(new Error("nobody answers")) },
    stream: "LOG",
    subject: SUBJECT,
  };
  const following: Following = followFrom(nobody as unknown as JetStream, new MemoryStore(), {
    onError: async () => {
      await following.stop();
      return "retry" as const;
    },
  });
  await following.done;
  assertEquals(following.state.state, "stopped");
});

test("followFrom() asks onError about its store and its source, and counts", async () => {
  await using server = await commonNats();
  const { target } = await server.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  await fill(wal, 5);
  const shipping = ship(wal, target);
  let failures = 3;
  const store = new MemoryStore();
  const flaky = {
    appliedLsn: () => store.appliedLsn(),
    applyBatch: (records: readonly WALRecord[], run: AppliedRun) => {
      if (failures-- > 0) throw new Error("the store fails");
      store.applyBatch(records, run);
    },
  };
  const attempts: number[] = [];
  const following = followFrom(target, flaky, {
    onError: (_error, { attempt }) => {
      attempts.push(attempt);
      return "retry";
    },
  });
  await caughtUp(store, wal);
  assertEquals(attempts, [1, 2, 3]);
  assertEquals(following.state.state, "running");
  await following.stop();
  assertEquals(following.state.state, "stopped");
  failures = 1;
  await wal.logInsert(1, 2, 3, 4);
  await assertRejects(() => followFrom(target, flaky).done, Error, "the store fails");
  await shipping.stop();
}, OPTIONS);
