// Fault: the log runs code of the caller while it reads an argument: a wall clock, a getter, an
//   iterator, a Proxy. That code appends to the same log, which has one free slot. Or it flushes,
//   truncates or closes that log (H39).
// Promise: after reopening, the log has all acknowledged records in whole batches, and no others
//   (G1, G2, G3). Each number that is written was checked (G15).
// Method: each method, with each kind of argument that runs code, and each call in that code. Then
//   the log is closed and opened again, and has exactly what the calls returned. Proxies count how
//   often each value is read.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import {
  type BatchItem,
  type DeleteItem,
  type HybridTimeInput,
  type InsertBytes,
  type InsertItem,
  OpType,
  type Store,
  WAL,
  WALClosedError,
  WALConsumingError,
  WALCorruptError,
  WALFullError,
  type WALOptions,
  WALSyncError,
  WALTruncatedError,
} from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { settle } from "../support/commit_target.ts";
import { CAPACITY, fill, items, ListStore, lsns, openInMemory, openOn, PATH, range } from "../support/logs.ts";
import { test } from "../support/test.ts";

/** A time in 2030, later than all clocks of these tests. */
const TIME = [1_900_000_000_000_000_000n, 0, 0] as const satisfies HybridTimeInput;
const DRIFT = { maxClockDriftMs: Infinity } satisfies WALOptions;

/** Code of the caller that runs once, when an argument is read. */
type Hook = () => void;

/** A log with one free slot, whose last record is not durable. It notes what its calls return. */
class Trial {
  readonly disk = new SimulatedDisk();
  readonly wal: WAL;
  /** The opcode and the key of each acknowledged LSN. */
  readonly expected = new Map<number, string>();
  #onClock: Hook | null = null;

  constructor() {
    const { clock } = this.disk;
    this.wal = openOn(this.disk, {
      ...DRIFT,
      now: () => {
        const hook = this.#onClock;
        this.#onClock = null;
        hook?.();
        return clock.now();
      },
    });
    for (let lsn = 1; lsn < CAPACITY; lsn++) {
      if (lsn === CAPACITY - 1) this.wal.flush();
      this.wal.logInsertSync(lsn, 0, 0, 0);
      this.note(lsn, OpType.Insert, lsn);
    }
  }

  /** Sets the code that the wall clock runs at its next reading. */
  onClock(hook: Hook): void {
    this.#onClock = hook;
  }

  note(lastLsn: number, opType: OpType, ...keys: number[]): void {
    keys.forEach((key, i) => this.expected.set(lastLsn - keys.length + 1 + i, `${opType} ${key}`));
  }

  /**
   * Checks that the log has what its calls returned, after it was closed or crashed and reopened.
   */
  check(where: string): void {
    const { poisoned } = this.wal.isOpen ? this.wal.stats() : { poisoned: false };
    if (poisoned) this.disk.crash({ keep: "none" });
    try {
      this.wal.close();
    } catch (error) {
      assert(poisoned, `${where}: ${error}`);
    }
    using reopened = openOn(this.disk);
    const found = reopened.replay().map(({ lsn, opType, keyHigh }) => [lsn, `${opType} ${keyHigh}`]);
    const kept = [...this.expected].filter(([lsn]) => lsn >= reopened.tail);
    assertEquals(found, poisoned ? kept.filter(([lsn]) => lsn < CAPACITY - 1) : kept, where);
  }
}

/** A call in the caller's code, and the error of the outer call, which writes one record. */
interface Inner {
  readonly name: string;
  readonly call: (trial: Trial) => void;
  readonly outcome: typeof WALFullError | typeof WALSyncError | typeof WALClosedError | null;
}

const INNER: readonly Inner[] = [
  {
    name: "an append",
    call: (trial) => trial.note(trial.wal.logInsertSync(7000, 0, 0, 0), OpType.Insert, 7000),
    outcome: WALFullError,
  },
  {
    name: "a batch",
    call: (trial) => trial.note(trial.wal.batchInsertSync([[7000, 0, 0, 0]]), OpType.Insert, 7000),
    outcome: WALFullError,
  },
  {
    name: "a checkpoint",
    call: (trial) => trial.note(trial.wal.checkpoint(), OpType.Checkpoint, 0),
    outcome: WALFullError,
  },
  { name: "flush()", call: ({ wal }) => wal.flush(), outcome: null },
  {
    name: "flush() that fails and is caught",
    call: ({ wal, disk }) => {
      disk.fail({ call: "syncMapped" });
      assertThrows(() => wal.flush(), WALSyncError);
    },
    outcome: WALSyncError,
  },
  { name: "truncate()", call: ({ wal }) => wal.truncate(400), outcome: null },
  { name: "close()", call: ({ wal }) => wal.close(), outcome: WALClosedError },
];

/** Makes a time, an item or a batch that runs the hook when it is read, and then is valid. */
type Wrap<Value> = (hook: Hook) => Value;

/** A copy of an array or an item that runs the hook when the element or the field is read. */
function withGetter<Target extends object>(target: Target, name: PropertyKey, hook: Hook): Target {
  const value = Reflect.get(target, name);
  const copy = Array.isArray(target) ? [...target] : { ...target };
  return Object.defineProperty(copy, name, {
    get() {
      hook();
      return value;
    },
  }) as unknown as Target;
}

/** An array that runs the hook when the property is read. */
function withTrap<Target extends object>(target: Target, name: string | symbol, hook: Hook): Target {
  return new Proxy(target, {
    get(from, property, receiver) {
      if (property === name) hook();
      return Reflect.get(from, property, receiver);
    },
  });
}

const TIMES: readonly [name: string, wrap: Wrap<HybridTimeInput>][] = [
  ...[0, 1, 2].map((index) =>
    [`a getter of time[${index}]`, (hook) => withGetter(TIME, index, hook)] as [string, Wrap<HybridTimeInput>]
  ),
  ["a Proxy of a time", (hook) => withTrap([...TIME], "2", hook) as unknown as HybridTimeInput],
  ["the length of a time", (hook) => withTrap([...TIME], "length", hook) as unknown as HybridTimeInput],
];

/** Ways to read a batch of one item with the key 8000: an array, or an object with these fields. */
function batchesOf<Item extends object>(item: Item): readonly [name: string, wrap: Wrap<Iterable<Item>>][] {
  class Items extends Array<Item> {
    hook: Hook = () => {};
    override [Symbol.iterator]() {
      this.hook();
      return super[Symbol.iterator]();
    }
  }
  const fields = Object.keys(item);
  const last = fields.at(-1)!;
  const copy = () => (Array.isArray(item) ? [...item] : { ...item }) as Item;
  return [
    ...fields.map((field): [string, Wrap<Iterable<Item>>] => [
      `${field} of an item`,
      (hook) => [withGetter(item, field, hook)],
    ]),
    ["a Proxy of an item", (hook) => [withTrap(copy(), last, hook)]],
    ["a Proxy of an item's first field", (hook) => [withTrap(copy(), Array.isArray(item) ? "length" : "type", hook)]],
    ["a getter of a batch", (hook) => withGetter([item], 0, hook)],
    ["a Proxy of a batch", (hook) => withTrap([item], "0", hook)],
    ["the length of a batch", (hook) => withTrap([item], "length", hook)],
    ["what a batch is iterated by", (hook) => withTrap([item], Symbol.iterator, hook)],
    ["the iterator of an array", (hook) => Object.assign(Items.of(item) as Items, { hook })],
    [
      "a generator",
      (hook) =>
        function* () {
          hook();
          yield item;
          hook();
        }(),
    ],
  ];
}

/** A call that writes one record with the key 8000, and how it can be made to run a hook. */
interface Entry {
  readonly name: string;
  readonly opType: OpType;
  readonly ways: readonly [name: string, enter: (trial: Trial, hook: Hook) => unknown][];
}

const byClock = (call: (wal: WAL) => unknown): [string, (trial: Trial, hook: Hook) => unknown] => [
  "the wall clock",
  (trial, hook) => {
    trial.onClock(hook);
    return call(trial.wal);
  },
];
const byTime = (call: (wal: WAL, time: HybridTimeInput) => unknown) =>
  TIMES.map(([name, wrap]) =>
    [name, ({ wal }: Trial, hook: Hook) => call(wal, wrap(hook))] as [string, (trial: Trial, hook: Hook) => unknown]
  );
const byItems = <Item extends object>(item: Item, call: (wal: WAL, batch: Iterable<Item>) => unknown) =>
  batchesOf(item).map(([name, wrap]) =>
    [name, ({ wal }: Trial, hook: Hook) => call(wal, wrap(hook))] as [string, (trial: Trial, hook: Hook) => unknown]
  );
const single = (name: string, opType: OpType, call: (wal: WAL, time?: HybridTimeInput) => unknown): Entry => ({
  name,
  opType,
  ways: [byClock((wal) => call(wal)), ...byTime(call)],
});
const batch = <Item extends object>(
  name: string,
  opType: OpType,
  item: Item,
  call: (wal: WAL, batch: Iterable<Item>) => unknown,
): Entry => ({ name, opType, ways: [byClock((wal) => call(wal, [item])), ...byItems(item, call)] });

/** Logs bytes whose prototype is code of the caller, besides what `single()` does. */
const singleOfBytes = (
  name: string,
  opType: OpType,
  call: (wal: WAL, key: Uint8Array, value: Uint8Array, time?: HybridTimeInput) => unknown,
): Entry => ({
  name,
  opType,
  ways: [
    ...single(name, opType, (wal, time) => call(wal, KEY_BYTES, VALUE_BYTES, time)).ways,
    ["the prototype of a key", ({ wal }, hook) => call(wal, withPrototype(KEY_BYTES, hook), VALUE_BYTES)],
  ],
});

/** Bytes that run the hook when their prototype's prototype is asked for. */
function withPrototype(bytes: Uint8Array, hook: Hook): Uint8Array {
  const prototype = new Proxy(Uint8Array.prototype, {
    getPrototypeOf() {
      hook();
      return Uint8Array.prototype;
    },
  });
  return Object.setPrototypeOf(bytes.slice(), prototype) as Uint8Array;
}

const INSERT: InsertItem = [8000, 1, 2, 3];
const DELETE: DeleteItem = [8000, 1];
/** 8000 and 1, as a key in bytes. */
const KEY_BYTES = Uint8Array.of(0, 0, 0, 0, 0, 0, 0x1f, 0x40, 0, 0, 0, 0, 0, 0, 0, 1);
const VALUE_BYTES = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3);
const PACKED = Uint8Array.of(...KEY_BYTES, ...VALUE_BYTES);
const INSERT_BYTES: InsertBytes = [KEY_BYTES, VALUE_BYTES];
const DELETE_VALUE: BatchItem = { type: "deleteValue", keyHigh: 8000, keyLow: 1n, valueHigh: 2, valueLow: 3n };
const DELETE_KEY: BatchItem = { type: "delete", keyHigh: 8000n, keyLow: 1 };
const OPERATION: BatchItem = { ...DELETE_VALUE, type: "operation", code: 40 };
const DELETE_OF_BYTES: BatchItem = { type: "delete", key: KEY_BYTES };
const INSERT_OF_BYTES: BatchItem = { type: "insert", key: KEY_BYTES, value: VALUE_BYTES };
const ENTRIES: readonly Entry[] = [
  single("logInsertSync()", OpType.Insert, (wal, time) => wal.logInsertSync(...INSERT, time)),
  single("logInsert()", OpType.Insert, (wal, time) => wal.logInsert(...INSERT, time)),
  single("logDeleteSync()", OpType.Delete, (wal, time) => wal.logDeleteSync(...DELETE, time)),
  single("logDelete()", OpType.Delete, (wal, time) => wal.logDelete(...DELETE, time)),
  single("logDeleteValueSync()", OpType.DeleteValue, (wal, time) => wal.logDeleteValueSync(...INSERT, time)),
  single("logDeleteValue()", OpType.DeleteValue, (wal, time) => wal.logDeleteValue(...INSERT, time)),
  single("logReplaceSync()", OpType.Replace, (wal, time) => wal.logReplaceSync(...INSERT, time)),
  single("logReplace()", OpType.Replace, (wal, time) => wal.logReplace(...INSERT, time)),
  single("logOperationSync()", 33, (wal, time) => wal.logOperationSync(33, ...INSERT, time)),
  single("logOperation()", 33, (wal, time) => wal.logOperation(33, ...INSERT, time)),
  batch("batchInsertSync()", OpType.Insert, INSERT, (wal, batch) => wal.batchInsertSync(batch)),
  batch("batchInsert()", OpType.Insert, INSERT, (wal, batch) => wal.batchInsert(batch)),
  batch("batchDeleteSync()", OpType.Delete, DELETE, (wal, batch) => wal.batchDeleteSync(batch)),
  batch("batchDelete()", OpType.Delete, DELETE, (wal, batch) => wal.batchDelete(batch)),
  singleOfBytes("logInsertSync() of bytes", OpType.Insert, (wal, ...given) => wal.logInsertSync(...given)),
  singleOfBytes("logInsert() of bytes", OpType.Insert, (wal, ...given) => wal.logInsert(...given)),
  singleOfBytes("logDeleteSync() of bytes", OpType.Delete, (wal, key, _, time) => wal.logDeleteSync(key, time)),
  singleOfBytes("logDelete() of bytes", OpType.Delete, (wal, key, _, time) => wal.logDelete(key, time)),
  singleOfBytes(
    "logDeleteValueSync() of bytes",
    OpType.DeleteValue,
    (wal, ...given) => wal.logDeleteValueSync(...given),
  ),
  singleOfBytes("logDeleteValue() of bytes", OpType.DeleteValue, (wal, ...given) => wal.logDeleteValue(...given)),
  singleOfBytes("logReplaceSync() of bytes", OpType.Replace, (wal, ...given) => wal.logReplaceSync(...given)),
  singleOfBytes("logReplace() of bytes", OpType.Replace, (wal, ...given) => wal.logReplace(...given)),
  singleOfBytes("logOperationSync() of bytes", 33, (wal, ...given) => wal.logOperationSync(33, ...given)),
  singleOfBytes("logOperation() of bytes", 33, (wal, ...given) => wal.logOperation(33, ...given)),
  batch("batchSync()", OpType.DeleteValue, DELETE_VALUE, (wal, batch) => wal.batchSync(batch)),
  batch("batch()", OpType.Delete, DELETE_KEY, (wal, batch) => wal.batch(batch)),
  batch(
    "batchSync() of bytes",
    OpType.Delete,
    DELETE_OF_BYTES,
    (wal, batch) => wal.batchSync(batch),
  ),
  batch("batchSync() of operations", 40, OPERATION, (wal, batch) => wal.batchSync(batch)),
  batch("batch() of bytes", OpType.Insert, INSERT_OF_BYTES, (wal, batch) => wal.batch(batch)),
  {
    name: "batch() of bytes with a prototype",
    opType: OpType.Insert,
    ways: [[
      "the prototype of a key",
      ({ wal }, hook) => wal.batch([{ ...INSERT_OF_BYTES, key: withPrototype(KEY_BYTES, hook) }]),
    ]],
  },
  batch("batchInsertSync() of bytes", OpType.Insert, INSERT_BYTES, (wal, batch) => wal.batchInsertSync(batch)),
  batch("batchInsert() of bytes", OpType.Insert, INSERT_BYTES, (wal, batch) => wal.batchInsert(batch)),
  {
    name: "batchDelete() of bytes",
    opType: OpType.Delete,
    ways: [["the prototype of an item", ({ wal }, hook) => wal.batchDelete([withPrototype(KEY_BYTES, hook)])]],
  },
  {
    name: "batchInsertSync() of packed bytes",
    opType: OpType.Insert,
    ways: [byClock((wal) => wal.batchInsertSync(PACKED))],
  },
  { name: "batchInsert() of packed bytes", opType: OpType.Insert, ways: [byClock((wal) => wal.batchInsert(PACKED))] },
  {
    name: "batchDeleteSync() of packed bytes",
    opType: OpType.Delete,
    ways: [byClock((wal) => wal.batchDeleteSync(KEY_BYTES))],
  },
  {
    name: "batchDelete() of packed bytes",
    opType: OpType.Delete,
    ways: [byClock((wal) => wal.batchDelete(KEY_BYTES))],
  },
  { name: "checkpoint()", opType: OpType.Checkpoint, ways: [byClock((wal) => wal.checkpoint())] },
];

for (const { name, opType, ways } of ENTRIES) {
  test(`${name} writes into no slot that is taken, whatever the caller's code does while it is read`, async () => {
    for (const [way, enter] of ways) {
      for (const inner of INNER) {
        const where = `${name}, entered by ${way}, which calls ${inner.name}`;
        const trial = new Trial();
        await settle(); // the first append of a turn asks for the time
        let runs = 0;
        const hook = () => {
          if (runs++ === 0) inner.call(trial);
        };
        let error: unknown = null;
        try {
          await enter(trial, hook);
        } catch (thrown) {
          error = thrown;
        }
        assert(runs > 0, `${where}: the code did not run`);
        if (inner.outcome === null) assertEquals(error, null, where);
        else assertInstanceOf(error, inner.outcome, where);
        const key = opType === OpType.Checkpoint ? 0 : 8000;
        if (error === null) trial.note(trial.wal.head - 1, opType, key);
        assert(trial.wal.length <= CAPACITY, where);
        trial.check(where);
      }
    }
  });
}

test("batchInsert() refuses a batch whose item closes the log with WALClosedError, and writes nothing of it", () => {
  for (const count of [3, 200, 2000]) {
    const disk = new SimulatedDisk();
    const wal = openOn(disk, { size: 2 ** 18 });
    fill(wal, 1);
    const batch = items(2, count);
    batch[count - 1] = withGetter(batch[count - 1]!, 1, () => wal.close());
    assertThrows(() => wal.batchInsertSync(batch), WALClosedError);
    using reopened = openOn(disk);
    assertEquals([lsns(reopened.replay()), reopened.recovery.phantomsErased], [[1], 0]);
  }
});

test("WAL.open() by a wall clock, an item or a store within a call makes the new opening do that call", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, DRIFT);
  const again = () => {
    wal.close();
    wal.open();
  };
  fill(wal, 1);
  assertEquals(wal.batchInsertSync([[1, 1, 1, 1], withGetter([2, 2, 2, 2], 3, again)]), 3);
  assertEquals(wal.logInsertSync(1, 1, 1, 1, withGetter(TIME, 0, again)), 4);
  assertEquals(lsns(wal.records(Object.defineProperty({}, "from", { get: again }))), range(1, 4));
  wal.close();
});

test("open() opens one log, though the wall clock opens it first", () => {
  for (const path of [null, PATH]) {
    const disk = new SimulatedDisk();
    let lsn = 0;
    let opens = true;
    const wal: WAL = new WAL(path, {
      size: 65536,
      storage: disk.storage,
      now: () => {
        if (opens) {
          opens = false;
          wal.open();
          lsn = wal.logInsertSync(1, 1, 1, 1);
        }
        return disk.clock.now();
      },
    });
    wal.open();
    assertEquals([lsn, wal.length], [1, 1]);
    wal.close();
  }
});

test("consumeAsync() refuses when a getter of its options or store starts a consumer or closes the log", async () => {
  const reads: [name: string, given: (hook: Hook) => [store: Store, options: { pollIntervalMs: number }]][] = [
    ["an option", (hook) => [new ListStore(), withTrap({ pollIntervalMs: 1 }, "pollIntervalMs", hook)]],
    ["a method of the store", (hook) => [withMethod(new ListStore(), "insert", hook), { pollIntervalMs: 1 }]],
    ["sync() of the store", (hook) => [withMethod(new ListStore(), "sync", hook), { pollIntervalMs: 1 }]],
  ];
  for (const [name, given] of reads) {
    const wal = openInMemory();
    let first: Promise<void> | null = null;
    const store = new ListStore();
    await assertRejects(
      () => wal.consumeAsync(...given(() => first ??= wal.consumeAsync(store))),
      Error,
      "a consumer is running",
      name,
    );
    await wal.logInsert(1, 1, 1, 1);
    await wal.whenApplied();
    assertEquals(store.applied, [1], name);
    wal.close();
    await first;
    await assertRejects(() => wal.consumeAsync(...given(() => wal.close())), WALClosedError, undefined, name);
  }
});

/** A store whose method is found by a getter. */
function withMethod(store: ListStore, name: "insert" | "sync", hook: Hook): Store {
  const method = name === "sync" ? () => {} : store.insert;
  return Object.defineProperty(store, name, {
    get() {
      hook();
      return method;
    },
  });
}

/** Counts how often each property is read. */
class Reads {
  readonly counts = new Map<string, number>();

  of<Target extends object>(target: Target, name: string): Target {
    return new Proxy(target, {
      get: (from, property) => {
        const key = `${name}.${String(property)}`;
        this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
        const value = Reflect.get(from, property, from);
        return typeof value === "function" ? value.bind(from) : value;
      },
    });
  }

  /** The values that were read more than once. */
  get repeated(): string[] {
    return [...this.counts].filter(([, count]) => count > 1).map(([key, count]) => `${key}: ${count} times`);
  }
}

test("WAL reads each value of a caller once: times, items, batches, options, ranges, stores", async () => {
  const reads = new Reads();
  const insertItem = (key: number, name: string) => reads.of([key, 1, 2, 3] as const, name) as unknown as InsertItem;
  const deleteItem = (key: number, name: string) => reads.of([key, 1] as const, name) as unknown as DeleteItem;
  const time = (name: string) => {
    const nanos = 1_900_000_000_000_000_000n + BigInt(reads.counts.size);
    return reads.of([nanos, 0, 0] as const, name) as unknown as HybridTimeInput;
  };
  const disk = new SimulatedDisk();
  const options = {
    size: 65536,
    create: true,
    recovery: "strict",
    verify: true,
    flush: "inline",
    fullTimeoutMs: Infinity,
    closeTimeoutMs: 1000,
    durability: "full",
    idleHeaderDelayMs: Infinity,
    shard: 3,
    now: disk.clock.now,
    allowUnsafeFileSystem: true,
    storage: disk.storage,
    ...DRIFT,
  } as const;
  const wal = WAL.open(PATH, reads.of(options, "options"));
  wal.logInsertSync(1, 1, 1, 1, time("logInsertSync"));
  await wal.logInsert(1, 1, 1, 1, time("logInsert"));
  wal.logDeleteSync(1, 1, time("logDeleteSync"));
  await wal.logDelete(1, 1, time("logDelete"));
  wal.logDeleteValueSync(1, 1, 1, 1, time("logDeleteValueSync"));
  await wal.logDeleteValue(1, 1, 1, 1, time("logDeleteValue"));
  wal.logReplaceSync(1, 1, 1, 1, time("logReplaceSync"));
  await wal.logReplace(1, 1, 1, 1, time("logReplace"));
  wal.logOperationSync(60, 1, 1, 1, 1, time("logOperationSync"));
  await wal.logOperation(60, 1, 1, 1, 1, time("logOperation"));
  for (const count of [1, 20, 300]) {
    const inserts = (name: string) =>
      reads.of(Array.from({ length: count }, (_, i) => insertItem(i, `${name} ${count} ${i}`)), `${name} ${count}`);
    const deletes = (name: string) =>
      reads.of(Array.from({ length: count }, (_, i) => deleteItem(i, `${name} ${count} ${i}`)), `${name} ${count}`);
    wal.flush();
    wal.truncate(wal.durable);
    // One batch is read by index, although it is a Proxy. The other one is read by an iterator.
    wal.batchInsertSync(Object.setPrototypeOf(inserts("batchInsertSync"), Array.prototype));
    await wal.batchInsert(inserts("batchInsert").values());
    wal.flush();
    wal.truncate(wal.durable);
    wal.batchDeleteSync(deletes("batchDeleteSync").values());
    await wal.batchDelete(deletes("batchDelete").values());
    wal.flush();
    wal.truncate(wal.durable);
    const mixed = (name: string) =>
      reads.of(
        Array.from({ length: count }, (_, i) => {
          const forms = [DELETE_VALUE, DELETE_KEY, DELETE_OF_BYTES, OPERATION, INSERT_OF_BYTES];
          return reads.of(forms[i % 5]!, `${name} ${count} ${i}`);
        }),
        `${name} ${count}`,
      );
    wal.batchSync(Object.setPrototypeOf(mixed("batchSync"), Array.prototype));
    await wal.batch(mixed("batch").values());
  }
  const head = wal.head;
  lsns(wal.records(reads.of({ from: wal.tail, to: head - 1 }, "records()")));
  assertEquals(wal.cursor(reads.of({ from: wal.tail, to: head - 1 }, "cursor()")).next(), true);
  const stop = new AbortController();
  const store = Object.assign(new ListStore(), { sync() {}, appliedLsn: () => wal.tail - 1 });
  const consume = { signal: stop.signal, batchSize: 7, pollIntervalMs: 1, onError: () => "stop" as const };
  const consuming = wal.consumeAsync(reads.of(store, "store"), reads.of(consume, "consume()"));
  await wal.logInsert(1, 1, 1, 1);
  await wal.whenApplied();
  assertEquals(store.applied.at(-1), head);
  stop.abort();
  await consuming;
  wal.close();
  assertEquals(reads.repeated.filter((key) => !/batch\w* \d+\.length/.test(key)), []);
  for (
    const name of [
      "logInsert.0",
      "logDeleteValueSync.2",
      "batchInsertSync 300 299.3",
      "batchDelete 20 7.1",
      "batchSync 300 295.valueLow",
      "batch 20 19.key",
      "batch 20 18.code",
    ]
  ) {
    assertEquals(reads.counts.get(name), 1, name);
  }
  for (const name of ["options.now", "consume().batchSize", "store.sync", "records().from", "cursor().to"]) {
    assertEquals(reads.counts.get(name), 1, name);
  }
});

test("batchInsert() reads each index and the length of an array once, also through a Proxy", () => {
  using wal = openInMemory();
  const counts = new Map<PropertyKey, number>();
  const batch = new Proxy(items(1, 50), {
    get(target, property, receiver) {
      counts.set(property, (counts.get(property) ?? 0) + 1);
      return Reflect.get(target, property, receiver);
    },
  });
  wal.batchInsertSync(batch);
  assertEquals([...counts.values()].filter((count) => count !== 1), []);
  assertEquals([counts.size, wal.length], [52, 50]);
});

test("batchInsert() writes as many records as it has read items, whatever length a Proxy reports", async () => {
  const saying = <Item>(list: Item[], length: unknown): Item[] =>
    new Proxy(list, { get: (target, name) => name === "length" ? length : Reflect.get(target, name) });
  const none = [NaN, -1, -3, -Infinity, -0, 0.9, "no number", undefined, null, {}];
  const one = [1, 1.5, "1", true, { valueOf: () => 1 }];
  for (const [lengths, count] of [[none, 0], [one, 1]] as const) {
    for (const length of lengths) {
      using wal = openInMemory();
      wal.batchInsertSync(items(1, 5));
      wal.flush();
      wal.batchInsertSync(saying(items(6, 3), length));
      wal.batchDeleteSync(saying<DeleteItem>([[7, 0], [8, 0], [9, 0]], length));
      await wal.batchInsert(saying(items(6, 3), length));
      await wal.batchDelete(saying<DeleteItem>([[7, 0], [8, 0], [9, 0]], length));
      assertEquals(wal.head, 6 + 4 * count, String(length));
      assertEquals(wal.logInsertSync(10, 0, 0, 0), wal.head - 1);
      assertEquals(lsns(wal.replay()), range(1, 6 + 4 * count));
    }
  }
});

test("batchInsert() refuses an array with empty places at the first one, however many there are", () => {
  using wal = openInMemory();
  for (const batch of [new Array(5), new Array(2 ** 32 - 1), Object.assign(items(1, 2), { length: 2 ** 31 })]) {
    assertThrows(() => wal.batchInsertSync(batch), TypeError, "is not [keyHigh, keyLow, valueHigh, valueLow]");
    assertThrows(() => wal.batchDeleteSync(batch), TypeError, "is not [keyHigh, keyLow]");
  }
  assertEquals(wal.head, 1);
});

test("batchInsert() reads an item before it asks the iterator for the next, which may be the same array", () => {
  using wal = openInMemory();
  let isClosed = false;
  function* reusing<Item extends number[]>(item: Item, count: number): Generator<Item> {
    try {
      for (item[0] = 1; item[0] <= count; item[0]++) yield item;
      item.length = 0;
      yield item;
    } finally {
      isClosed = true;
    }
  }
  wal.batchInsertSync(reusing<[number, number, number, number]>([0, 0, 0, 0], 200).take(150));
  wal.batchDeleteSync(reusing<[number, number]>([0, 0], 200).take(150));
  assertEquals(wal.replay().map(({ keyHigh }) => Number(keyHigh)), [...range(1, 150), ...range(1, 150)]);
  isClosed = false;
  assertThrows(() => wal.batchInsertSync(reusing<[number, number, number, number]>([0, 0, 0, 0], 3)), TypeError);
  assertEquals([isClosed, wal.head], [true, 301]);
});

test("batchInsert() reads a batch by its iterator: that of a subclass, or of the array's own", () => {
  class Backwards extends Array<InsertItem> {
    override [Symbol.iterator]() {
      return [...super[Symbol.iterator]()].reverse().values();
    }
  }
  const own = Object.assign(items(1, 3), { [Symbol.iterator]: () => items(7, 2).values() });
  for (const [batch, keys] of [[Backwards.from(items(1, 3)), "3 2 1"], [own, "7 8"]] as const) {
    using wal = openInMemory();
    wal.batchInsertSync(batch);
    assertEquals(wal.replay().map(({ keyHigh }) => keyHigh).join(" "), keys);
  }
});

test("WAL never reads a number twice, so a getter cannot change it after the check", () => {
  const changing = <Tuple extends readonly unknown[]>(tuple: Tuple, index: number): Tuple => {
    const values = [tuple[index], -1, 0.5, "no number", 2n ** 64n];
    return Object.defineProperty([...tuple], index, { get: () => values.shift() }) as unknown as Tuple;
  };
  using wal = openInMemory(DRIFT);
  for (const count of [2, 40]) {
    const batch = items(1, count);
    for (const place of [0, 1, 2, 3]) batch[place % count] = changing(items(1, 1)[0]!, place);
    wal.batchInsertSync(batch);
  }
  wal.logInsertSync(1, 1, 1, 1, changing(TIME, 0));
  wal.logInsertSync(1, 1, 1, 1, changing([TIME[0] + 1n, 0, 0] as const, 1));
  wal.logInsertSync(1, 1, 1, 1, changing([TIME[0] + 2n, 0, 0] as const, 2));
  const times = wal.replay().slice(-3).map(({ time }) => time);
  assertEquals(times, [[...TIME], [TIME[0] + 1n, 0, 0], [TIME[0] + 2n, 0, 0]]);
  assertEquals(wal.length, 45);
});

/** Every way in which code of the caller runs while bytes are read, and takes the bytes away. */
const BYTES_READERS: readonly [name: string, call: (wal: WAL, ids: Uint8Array[], take: Hook) => unknown][] = [
  ["logInsertSync()", (wal, [key, value]) => wal.logInsertSync(key!, value!)],
  ["logInsert()", (wal, [key, value]) => wal.logInsert(key!, value!)],
  ["logDeleteSync()", (wal, [key]) => wal.logDeleteSync(key!)],
  ["logDelete()", (wal, [key]) => wal.logDelete(key!)],
  ["logDeleteValueSync()", (wal, [key, value]) => wal.logDeleteValueSync(key!, value!)],
  ["logDeleteValue()", (wal, [key, value]) => wal.logDeleteValue(key!, value!)],
  ["logReplaceSync()", (wal, [key, value]) => wal.logReplaceSync(key!, value!)],
  ["logReplace()", (wal, [key, value]) => wal.logReplace(key!, value!)],
  ["logOperationSync()", (wal, [key, value]) => wal.logOperationSync(33, key!, value!)],
  ["logOperation()", (wal, [key, value]) => wal.logOperation(33, key!, value!)],
  ["a time", (wal, [key, value], take) => wal.logInsertSync(key!, value!, withGetter(TIME, 2, take))],
  ["a time of a delete", (wal, [key], take) => wal.logDelete(key!, withGetter(TIME, 0, take))],
  ["a prototype of the value", (wal, [key, value], take) => wal.logInsertSync(key!, withPrototype(value!, take))],
  ["a prototype in an item", (wal, [key, value], take) => wal.batchInsertSync([[key!, withPrototype(value!, take)]])],
  ["a getter of an item", (wal, ids, take) => wal.batchInsert([withGetter(ids as unknown as InsertBytes, 1, take)])],
  [
    "a getter of an item's value",
    (wal, [key, value], take) =>
      wal.batchSync([withGetter({ type: "insert", key: key!, value: value! }, "value", take)]),
  ],
  [
    "a getter of what an item has not",
    (wal, [key], take) => wal.batch([Object.defineProperty({ type: "delete", key: key! }, "valueLow", { get: take })]),
  ],
];

test("WAL refuses bytes that the caller's code takes away before they are read, and writes nothing", async () => {
  for (const [name, call] of BYTES_READERS) {
    let hook: Hook | null = null;
    const ids = [KEY_BYTES.slice(), VALUE_BYTES.slice()];
    let taken = 0;
    const take = () => {
      taken++;
      for (const { buffer } of ids) if (buffer.byteLength > 0) structuredClone(buffer, { transfer: [buffer] });
    };
    const wal = openInMemory({
      ...DRIFT,
      now: () => {
        const act = hook;
        hook = null;
        act?.();
        return Date.now();
      },
    });
    await settle(); // the next append asks for the time
    if (name.endsWith("()")) hook = take;
    let error: unknown = null;
    try {
      await call(wal, ids, take);
    } catch (thrown) {
      error = thrown;
    }
    assertInstanceOf(error, RangeError, name);
    assertEquals([error.message.includes("0 bytes as key"), wal.head, taken], [true, 1, 1], name);
    wal.close();
  }
});

test("batchInsert() writes the bytes of an item as they were when it was read, and a packed batch as it was handed in", async () => {
  const disk = new SimulatedDisk();
  let hook: Hook | null = null;
  const wal = openOn(disk, {
    now: () => {
      const act = hook;
      hook = null;
      act?.();
      return disk.clock.now();
    },
  });
  const [key, value] = [KEY_BYTES.slice(), VALUE_BYTES.slice()];
  wal.batchInsertSync([[key, value], withGetter([key, value] as const, 0, () => key.fill(9)), [1, 2, 3, 4]]);
  const found = wal.replay().map(({ keyHigh }) => keyHigh);
  assertEquals(found, [8000n, 0x0909_0909_0909_0909n, 1n]);
  await settle();
  const packed = PACKED.slice();
  hook = () => packed.fill(9);
  wal.batchInsertSync(packed);
  await settle();
  const lost = PACKED.slice();
  hook = () => void structuredClone(lost, { transfer: [lost.buffer] });
  await wal.batchInsert(lost);
  assertEquals(wal.replay().slice(3).map(({ keyHigh, valueLow }) => [keyHigh, valueLow]), [[8000n, 3n], [8000n, 3n]]);
  wal.close();
});

test("logInsert() that waits for room writes what its call read, even if the caller changes that later", async () => {
  const wal = openInMemory(DRIFT);
  const gate = Promise.withResolvers<void>();
  const store = new ListStore();
  store.before = () => gate.promise;
  const consuming = wal.consumeAsync(store);
  fill(wal, CAPACITY);
  const reads = new Reads();
  const time: [bigint, number, number] = [...TIME];
  const batch = [[1, 1, 1, 1], [2, 2, 2, 2]] as [number, number, number, number][];
  const waiting = [
    wal.batchInsert(reads.of(batch, "batch").values()),
    wal.batchDelete([reads.of([3, 3] as const, "delete") as unknown as DeleteItem]),
    wal.logInsert(4, 4, 4, 4, reads.of(time, "time") as unknown as HybridTimeInput),
    wal.logDelete(5, 5, reads.of([TIME[0], 1, 0] as const, "time of a delete") as unknown as HybridTimeInput),
  ];
  assertEquals(wal.stats().waiting, 4);
  time[0] = 1n;
  batch[0]![0] = 99;
  batch.length = 1;
  gate.resolve();
  await Promise.all(waiting);
  const data = Array.from(wal.records({ from: wal.tail })).filter(({ opType }) => opType !== OpType.Checkpoint);
  assertEquals(data.slice(-5).map(({ keyHigh }) => keyHigh), [1n, 2n, 3n, 4n, 5n]);
  assertEquals(data.slice(-2).map(({ time }) => time), [[TIME[0], 0, 0], [TIME[0], 1, 0]]);
  assertEquals(reads.repeated.filter((key) => !key.endsWith(".length")), []);
  wal.close();
  await consuming;
});

test("WAL throws an error of the caller's own code as it is, and no append waits because of it", async () => {
  const wal = openInMemory(DRIFT);
  const full = openInMemory();
  fill(full, CAPACITY);
  const consuming = wal.consumeAsync(new ListStore());
  const throwing = () => void full.logInsertSync(1, 1, 1, 1);
  const attempts = [
    () => wal.batchInsert([withGetter(INSERT, 3, throwing)]),
    () => wal.batchDelete([withGetter(DELETE, 1, throwing)]),
    () => wal.logInsert(...INSERT, withGetter(TIME, 0, throwing)),
    () => wal.logDelete(...DELETE, withGetter(TIME, 1, throwing)),
    () => wal.logDeleteValue(...INSERT, withGetter(TIME, 2, throwing)),
  ];
  for (const attempt of attempts) await assertRejects(attempt, WALFullError);
  assertEquals([wal.head, wal.stats().waiting], [1, 0]);
  wal.close();
  full.close();
  await consuming;
});

test("WAL throws a wall clock's error, writes nothing, and goes on", async () => {
  const disk = new SimulatedDisk();
  let fails = false;
  const wal = openOn(disk, {
    now: () => {
      if (fails) throw new Error("no clock");
      return disk.clock.now();
    },
  });
  const calls = [
    () => wal.logInsertSync(1, 1, 1, 1),
    () => wal.batchInsertSync(items(1, 200)),
    () => wal.checkpoint(),
    () => wal.stats(),
  ];
  fill(wal, 1);
  for (const call of calls) {
    await settle();
    fails = true;
    assertThrows(call, Error, "no clock");
    fails = false;
    assertEquals(wal.head, 2);
  }
  wal.flush(); // which asks for no time, as close() does not
  fails = true;
  wal.truncate(0);
  wal.close();
  using reopened = openOn(disk);
  assertEquals([lsns(reopened.replay()), reopened.recovery.phantomsErased], [[1], 0]);
});

test("consumeAsync() ends when a wall clock closes the log that it confirms to", async () => {
  const disk = new SimulatedDisk();
  let hook: Hook | null = null;
  const wal = openOn(disk, {
    now: () => {
      const act = hook;
      hook = null;
      act?.();
      return disk.clock.now();
    },
  });
  const store = new ListStore();
  const consuming = wal.consumeAsync(store, { pollIntervalMs: 0 });
  await wal.logInsert(1, 1, 1, 1);
  hook = () => wal.close();
  await consuming;
  assertEquals([wal.isOpen, store.applied], [false, [1]]);
});

test("truncate() and checkpoint() that meet damage confirm nothing", async () => {
  const damagedAt = (lsn: number) => {
    const disk = new SimulatedDisk();
    {
      using wal = openOn(disk, { size: 2 ** 20 });
      fill(wal, 4500);
      wal.batchInsertSync(items(4501, 10));
      fill(wal, 5000);
    }
    // `verify: "ends"` does not verify this record.
    disk.damage.flipBit(PATH, 16384 + (lsn - 1) * 64 + 40, 0);
    return disk;
  };
  for (const call of ["truncate", "checkpoint"] as const) {
    for (const [damaged, through] of [[4500, 4500], [4505, 4505], [4505, 4508]] as const) {
      if (call === "checkpoint" && damaged !== through) continue; // it releases nothing, so it need not find the batch's start
      const disk = damagedAt(damaged);
      const wal = openOn(disk);
      const before = [wal.tail, wal.head, wal.applied];
      assertThrows(() => wal[call](through), WALCorruptError);
      assertEquals([wal.tail, wal.head, wal.applied], before, `${call}(${through}), ${damaged} is damaged`);
      // The next checkpoint names only what was confirmed, which is nothing.
      wal.checkpoint();
      assertEquals(Array.from(wal.records({ from: wal.head - 1 }), ({ valueLow }) => valueLow), [0n]);
      wal.close();
      await settle();
    }
  }
});

test("checkpoint() in a full ring that meets damage, or can free nothing, confirms nothing", () => {
  for (const damaged of [6, 0]) {
    const disk = new SimulatedDisk();
    let wal = openOn(disk);
    fill(wal, 4);
    wal.batchInsertSync(items(5, 5));
    fill(wal, CAPACITY - 9);
    wal.close();
    wal = openOn(disk);
    if (damaged !== 0) disk.damage.flipBit(PATH, 16384 + (damaged - 1) * 64 + 40, 0);
    const before = [wal.tail, wal.head, wal.applied];
    if (damaged !== 0) assertThrows(() => wal.checkpoint(8), WALCorruptError);
    else assertThrows(() => wal.checkpoint(0), WALFullError);
    assertEquals([wal.tail, wal.head, wal.applied], before);
    if (damaged !== 0) continue;
    // After the records before the batch are released, a part of the batch frees nothing.
    assertEquals([wal.checkpoint(4), wal.tail, wal.applied], [CAPACITY + 1, 5, 4]);
    fill(wal, 3);
    assertThrows(() => wal.checkpoint(8), WALFullError);
    assertEquals([wal.tail, wal.applied], [5, 4]);
    wal.close();
  }
});

test("batchInsert() keeps a batch of each size whole, though each item writes batches to this and other logs", async () => {
  const other = openInMemory({ size: 2 ** 23 });
  const wal = openInMemory({ size: 2 ** 23 });
  const expected: bigint[] = [];
  const otherExpected: bigint[] = [];
  let key = 1;
  for (const count of [1, 15, 16, 1024, 1025, 3000, 17_000]) {
    for (const nested of count > 16_384 ? [1, count] : [1, 16, 1100]) {
      const add = (log: WAL, list: bigint[]) => {
        log.batchInsertSync(items(key, nested));
        for (let i = 0; i < nested; i++) list.push(BigInt(key++));
      };
      const own = items(1_000_000 + expected.length, count);
      own[count - 1] = withGetter(own[count - 1]!, 3, () => {
        add(wal, expected);
        add(other, otherExpected);
      });
      own[0] = withGetter(own[0]!, 0, () => add(other, otherExpected));
      const keys = own.map(([, keyLow]) => BigInt(keyLow));
      await wal.batchInsert(own);
      expected.push(...keys);
    }
  }
  assertEquals([wal.length, other.length], [expected.length, otherExpected.length]);
  for (const [log, keys] of [[wal, expected], [other, otherExpected]] as const) {
    assertEquals(Array.from(log.records(), ({ keyLow }) => keyLow), keys);
    log.close();
  }
});

test("consumeAsync() throws a signal's error, and the next consumer may begin", async () => {
  using wal = openInMemory();
  const thrower = (): never => {
    throw new Error("the signal's own");
  };
  for (const method of ["aborted", "addEventListener", "removeEventListener"] as const) {
    const stop = new AbortController();
    const signal = Object.defineProperty(
      stop.signal,
      method,
      method === "aborted" ? { get: thrower } : { value: thrower },
    );
    const failing = wal.consumeAsync(new ListStore(), { signal });
    // Only this signal lets the consumer begin.
    if (method === "removeEventListener") stop.abort();
    await assertRejects(() => failing, Error, "the signal's own", method);
    assertEquals(wal.stats().consuming, false, method);
    const store = new ListStore();
    const consuming = wal.consumeAsync(store);
    const lsn = wal.logInsertSync(1, 1, 1, 1);
    await wal.whenApplied();
    assertEquals(store.applied.at(-1), lsn, method);
    await wal[Symbol.asyncDispose]();
    await consuming;
    wal.open();
  }
});

test("batchInsert() reads a batch into the memory of the previous one, whether small or large", () => {
  const made: number[] = [];
  const { ArrayBuffer } = globalThis;
  using wal = openInMemory({ size: 2 ** 24 });
  for (const count of [10, 2000, 17_000, 40_000]) {
    const inserts = items(1, count);
    const deletes = inserts.map(([high, low]) => [high, low] as const);
    wal.batchInsertSync(inserts);
    wal.batchDeleteSync(deletes);
    globalThis.ArrayBuffer = new Proxy(ArrayBuffer, {
      construct: (type, [bytes]) => {
        made.push(bytes);
        return new type(bytes);
      },
    });
    try {
      wal.batchInsertSync(inserts);
      wal.batchDeleteSync(deletes);
    } finally {
      globalThis.ArrayBuffer = ArrayBuffer;
    }
    wal.flush();
    wal.truncate(wal.durable);
  }
  assertEquals(made, []);
});

test("batchInsert() neither loses a record that an item appends when it is read, nor tears the batch", () => {
  for (let nth = 1; nth <= 4; nth++) {
    const wal = openInMemory();
    let reads = 0;
    let appended = 0;
    const item = [0, 2, 3, 4];
    Object.defineProperty(item, 0, {
      get() {
        if (++reads === nth) appended = wal.logInsertSync(77, 77, 77, 77);
        return 1;
      },
    });
    let last = 0;
    try {
      last = wal.batchInsertSync([[5, 5, 5, 5], item as unknown as InsertItem, [6, 6, 6, 6]]);
    } catch { /* refusing it is as good */ }
    wal.flush();
    const records = wal.replay();
    assertEquals(lsns(records), range(1, wal.head - 1), `read ${nth}`);
    if (appended > 0) assertEquals(records[appended - 1]!.keyHigh, 77n, `read ${nth}`);
    if (last > 0) assertEquals(records.slice(last - 3, last).map((record) => record.keyHigh), [5n, 1n, 6n]);
    assertEquals(wal.head - 1, (appended > 0 ? 1 : 0) + (last > 0 ? 3 : 0));
    wal.close();
  }
});

test("records(), cursor(), encodeRun() and backup() read what they are given before they look at the log", () => {
  /** An option whose reading releases or appends records, or closes the log. */
  const option = (name: string, value: unknown, act: () => void) =>
    Object.defineProperty({}, name, {
      enumerable: true,
      get() {
        act();
        return value;
      },
    });
  const readers: readonly ((wal: WAL, options: object) => unknown)[] = [
    (wal, options) => [...wal.records(options)],
    (wal, options) => {
      for (const cursor = wal.cursor(options); cursor.next(););
    },
    (wal, options) => wal.encodeRun(options),
  ];
  const ends = { from: 3, to: 5, since: 0n, until: 2n ** 64n - 1n };
  const calls = [
    ...Object.entries(ends).flatMap(([name, value]) => readers.map((call) => ({ name, value, call }))),
    { name: "through", value: 5, call: (wal: WAL, options: object) => wal.backup("/sim/copy", options) },
  ];
  for (const { name, value, call } of calls) {
    const started = () => {
      const wal = openOn(new SimulatedDisk());
      fill(wal, CAPACITY);
      wal.flush();
      return wal;
    };
    const closing = started();
    assertThrows(() => call(closing, option(name, value, () => closing.close())), WALClosedError, undefined, name);
    // The slots of the records that were asked for are used again meanwhile.
    const releasing = started();
    const release = () => {
      releasing.truncate(CAPACITY);
      fill(releasing, CAPACITY);
      releasing.flush();
    };
    const asked = option(name, value, release);
    if (name === "from" || name === "through") assertThrows(() => call(releasing, asked), WALTruncatedError);
    else if (name === "to") assertRejectsOrIsEmpty(() => call(releasing, asked));
    else call(releasing, asked);
    assertEquals(lsns(releasing.replay()), range(CAPACITY + 1, 2 * CAPACITY), name);
    releasing.close();
  }
});

/** A range that ends before the log begins holds nothing; a run of it is refused. */
function assertRejectsOrIsEmpty(call: () => unknown): void {
  try {
    assertEquals(call() ?? [], []);
  } catch (error) {
    assertInstanceOf(error, RangeError);
  }
}

test("consumeAsync() from within appliedLsn() rejects with WALConsumingError", async () => {
  const wal = openInMemory();
  await wal.logInsert(1, 1, 1, 1);
  const other = new ListStore();
  let second: Promise<unknown> | null = null;
  const store = Object.assign(new ListStore(), {
    appliedLsn() {
      second = wal.consumeAsync(other).then(() => "ran", (error) => error);
      return 0;
    },
  });
  const run = wal.consumeAsync(store);
  await wal.whenApplied();
  await assertRejects(() => wal.consumeAsync(other), WALConsumingError);
  wal.close();
  await run;
  assertEquals([(await second as unknown) instanceof WALConsumingError, store.applied, other.applied], [true, [1], []]);
});
