// What the tests of shipping over real servers share: a log with everything in it, and its stores.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { type AppliedRun, type Consumption, type LSN, type RecordStore, WAL, type WALRecord } from "../../mod.ts";
import { WALShipError } from "../../src/errors.ts";
import { encodeRun } from "../../src/runs.ts";
import type { Following } from "../../src/ship/following.ts";
import type { Outgoing, Target } from "../../src/ship/ports.ts";
import { newShipperId, readShipment, writeShipment } from "../../src/ship/shipment.ts";
import { readEnd } from "../../src/ship/target_end.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import type { WALShipFault } from "../../src/types.ts";
import { tempDir } from "./temp.ts";

export const RETRY = { onError: () => "retry" as const };

/** Waits for something that a server has a part in. */
export async function eventually(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let waitedMs = 0; !await condition(); waitedMs += 10) {
    if (waitedMs > 120_000) throw new Error(`Waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The fault that a promise rejects with. */
export async function faultOf(promise: Promise<unknown>): Promise<WALShipFault> {
  const error = await assertRejects(() => promise, WALShipError);
  assertInstanceOf(error, WALShipError);
  assertEquals(error.code, "SHIP");
  return error.fault;
}

/** What a log's stores must have. */
const models = new WeakMap<WAL, MemoryStore>();

/** Appends so many batches, with everything that a log may have. */
export async function fill(wal: WAL, batches: number, from = 0): Promise<void> {
  const model = models.get(wal) ?? new MemoryStore();
  models.set(wal, model);
  for (let i = from; i < from + batches; i++) {
    const items = [[1, i, 2, 3], [1, i, 4, 5], [2, i % 7, 6, i]] as const;
    await wal.batchInsert(items);
    for (const [kh, kl, vh, vl] of items) model.insert(BigInt(kh), BigInt(kl), BigInt(vh), BigInt(vl));
    if (i % 7 === 0) await wal.logReplace(2, i % 7, 8, i);
    if (i % 7 === 0) model.replace(2n, BigInt(i % 7), 8n, BigInt(i));
    if (i % 11 === 0) wal.checkpoint(0);
    if (i % 5 === 0) await wal.logDelete(1, i);
    if (i % 5 === 0) model.delete(1n, BigInt(i));
  }
}

export const contents = (store: Iterable<unknown>) => [...store].map(String).sort();

/** Waits until a store has the same as its log's model. */
export async function caughtUp(store: { appliedLsn(): LSN; entries(): Iterable<unknown> }, wal: WAL): Promise<void> {
  await wal.logInsert(7, 7, 7, 7);
  const last = wal.durable;
  await eventually(() => store.appliedLsn() >= last, `LSN ${last}`);
  const model = models.get(wal)!;
  model.insert(7n, 7n, 7n, 7n);
  assertEquals(contents(store.entries()), contents(model));
}

/** Ships a log to an empty target, and checks that each of three stores has what the log has. */
export async function feedThreeStores<T>(
  target: T,
  batches: number,
  ship: (wal: WAL, target: T) => Consumption,
  followFrom: (target: T, store: MemoryStore | SQLiteStore | RecordStore) => Following,
): Promise<void> {
  using directory = tempDir();
  await using wal = WAL.open(directory.join("log"), { size: 1 << 20 });
  const memory = new MemoryStore();
  using sqlite = new SQLiteStore(directory.join("store"));
  /** A store of one's own, that takes records one by one. */
  const seen: LSN[] = [];
  const own = new MemoryStore();
  const each: RecordStore = {
    insert: (kh, kl, vh, vl, record) => (seen.push(record.lsn), own.insert(kh, kl, vh, vl, record)),
    delete: (kh, kl, record) => (seen.push(record.lsn), own.delete(kh, kl, record)),
    deleteValue: (kh, kl, vh, vl, record) => (seen.push(record.lsn), own.deleteValue(kh, kl, vh, vl, record)),
    replace: (kh, kl, vh, vl, record) => (seen.push(record.lsn), own.replace(kh, kl, vh, vl, record)),
    appliedLsn: () => own.appliedLsn(),
  };
  await using following = followFrom(target, memory);
  await using others = new AsyncDisposableStack();
  for (const store of [sqlite, each]) others.use(followFrom(target, store));
  await fill(wal, batches);
  await using shipping = ship(wal, target);
  await fill(wal, batches, batches);
  for (const store of [memory, sqlite, own]) await caughtUp(store, wal);
  // Each record once, in order. What is left out are checkpoints.
  assert(seen.every((lsn, index) => index === 0 || lsn > seen[index - 1]!), "in LSN order");
  assertEquals([memory.appliedLog(), sqlite.appliedLog()], [wal.logId, wal.logId]);
  // The other stores had records more to wait for.
  await eventually(async () => await following.lag() === 0, "no lag");
  await shipping.stop();
}

/** Appends until the store has all: a consumer that does not poll finds out with the next run. */
export async function appending(wal: WAL, store: MemoryStore): Promise<void> {
  await eventually(async () => {
    await wal.logInsert(7, 7, 7, 7);
    await new Promise((resolve) => setTimeout(resolve, 50));
    return store.appliedLsn() > wal.durable - 20;
  }, "the last records");
}

/** Appends until a target has what the log has now. A failure is noticed by the next run. */
export function hasShipped(target: Target, wal: WAL): Promise<void> {
  const last = wal.durable;
  return eventually(async () => {
    await wal.logInsert(7, 7, 7, 7);
    const end = await readEnd(target).catch(() => null);
    return (end?.run?.lastLsn ?? 0) >= last;
  }, `LSN ${last} in the target`);
}

/** Who ships what is made by hand. */
export const SHIPPER = newShipperId();

/** A log's records. */
export interface RecordsOfLog {
  readonly logId: string;
  readonly records: readonly WALRecord[];
}

/** A message with some of them. */
export function messageOf(
  { logId, records }: RecordsOfLog,
  firstLsn: LSN,
  lastLsn: LSN,
  change = {},
): Uint8Array<ArrayBuffer> {
  const run: AppliedRun = { logId, firstLsn, lastLsn, ...change };
  return writeShipment(encodeRun(records.slice(firstLsn - 1, lastLsn), run).bytes, SHIPPER);
}

/** A message on its way; a claim by default. */
export function outgoing(shipper: string, after: number, bytes: Uint8Array = writeShipment(null, shipper)): Outgoing {
  const shipment = readShipment({ place: after + 1, bytes });
  return { after, shipper, run: shipment.run === null ? null : shipment, bytes };
}

/** What is wrong with a message, and what both sides say. */
export const BAD_MESSAGES: Record<
  string,
  { bytes: (hand: RecordsOfLog) => Uint8Array; fault: WALShipFault; ships: string }
> = {
  "a gap": { bytes: (hand) => messageOf(hand, 25, 30), fault: "gap", ships: "goes on" },
  "a fork": { bytes: (hand) => messageOf(hand, 15, 25), fault: "fork", ships: "goes on" },
  "an earlier message again": { bytes: (hand) => messageOf(hand, 1, 10), fault: "fork", ships: "goes on" },
  "another log's": {
    bytes: (hand) => messageOf(hand, 21, 25, { logId: "f".repeat(32) }),
    fault: "lineage",
    ships: "lineage",
  },
  "a cut": { bytes: (hand) => messageOf(hand, 21, 25).slice(0, -1), fault: "damaged", ships: "damaged" },
  "a longer one": { bytes: (hand) => Uint8Array.of(...messageOf(hand, 21, 25), 0), fault: "damaged", ships: "damaged" },
  "a flipped bit": {
    bytes: (hand) => messageOf(hand, 21, 25).map((byte, index) => index === 300 ? byte ^ 1 : byte),
    fault: "damaged",
    ships: "damaged",
  },
  "a damaged header": {
    bytes: (hand) => messageOf(hand, 21, 25).map((byte, index) => index === 20 ? byte ^ 1 : byte),
    fault: "damaged",
    ships: "damaged",
  },
  "an empty one": { bytes: () => new Uint8Array(), fault: "foreign", ships: "foreign" },
  "text": { bytes: () => new TextEncoder().encode("hello".repeat(20)), fault: "foreign", ships: "foreign" },
};
