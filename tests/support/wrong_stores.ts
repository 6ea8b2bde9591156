// Stores that do everything right, and stores that each do one thing wrong: the kit must tell them
// apart.

import { type AppliedRun, OpType, type WALRecord, type WALRecordFields } from "../../mod.ts";
import type { StoreEntry, StoreHome } from "../../testing.ts";

/** An operation of the application, which most stores do not know. */
export const SPLIT = 40;

/** What lies on the store's disk. */
export interface Saved {
  entries: readonly StoreEntry[];
  applied: number;
}

/** A multi-value map that writes all of itself at each run: slow, and right. */
export class GoodStore {
  protected readonly disk: { saved: Saved };
  protected readonly home: StoreHome;

  constructor(home: StoreHome) {
    this.home = home;
    this.disk = home.saved(() => ({ saved: { entries: [] as StoreEntry[], applied: 0 } }));
  }

  applyBatch(records: readonly WALRecord[]): void | Promise<void> {
    const entries = after(this.disk.saved.entries, records);
    this.home.step();
    this.disk.saved = { entries, applied: records.at(-1)!.lsn };
  }

  appliedLsn(): number {
    return this.disk.saved.applied;
  }

  entries(): readonly StoreEntry[] {
    return this.disk.saved.entries;
  }
}

/** Awaits in the middle of its work, where other things happen. */
export class AsyncGoodStore extends GoodStore {
  override async applyBatch(records: readonly WALRecord[]): Promise<void> {
    const entries = after(this.disk.saved.entries, records);
    for (let turn = 0; turn < 5; turn++) await null;
    this.home.step();
    this.disk.saved = { entries, applied: records.at(-1)!.lsn };
    await null;
  }
}

/** Keeps everything in memory and writes it when it is told to. */
export class GoodSyncingStore extends GoodStore {
  protected memory: Saved = this.disk.saved;

  override applyBatch(records: readonly WALRecord[]): void {
    // A new consumer goes on from what is on disk, and hands out again what is in memory only.
    const missing = records.filter(({ lsn }) => lsn > this.memory.applied);
    if (missing.length === 0) return;
    this.memory = { entries: after(this.memory.entries, missing), applied: missing.at(-1)!.lsn };
  }

  sync(): void {
    this.home.step();
    this.disk.saved = this.memory;
  }

  override entries(): readonly StoreEntry[] {
    return this.memory.entries;
  }
}

/** What lies on the disk of a store that knows its log. */
interface SavedWithLog extends Saved {
  log: string | null;
}

/** Saves the log's id with the LSN. */
export class GoodLogStore {
  protected readonly disk: { saved: SavedWithLog };
  protected readonly home: StoreHome;

  constructor(home: StoreHome) {
    this.home = home;
    this.disk = home.saved(() => ({ saved: { entries: [] as StoreEntry[], applied: 0, log: null as string | null } }));
  }

  applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    const entries = after(this.disk.saved.entries, records);
    this.home.step();
    this.disk.saved = { entries, applied: run.lastLsn, log: run.logId };
  }

  appliedLsn(): number {
    return this.disk.saved.applied;
  }

  appliedLog(): string | null {
    return this.disk.saved.log;
  }

  entries(): readonly StoreEntry[] {
    return this.disk.saved.entries;
  }
}

/** The same, and writes when it is told to. */
export class GoodSyncingLogStore extends GoodLogStore {
  protected memory: SavedWithLog = this.disk.saved;

  override applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    const missing = records.filter(({ lsn }) => lsn > this.memory.applied);
    if (missing.length === 0) return;
    this.memory = { entries: after(this.memory.entries, missing), applied: run.lastLsn, log: run.logId };
  }

  sync(): void {
    this.home.step();
    this.disk.saved = this.memory;
  }

  override entries(): readonly StoreEntry[] {
    return this.memory.entries;
  }
}

/** Saves the log's id after data and LSN: a crash in between leaves another log's id. */
export class LogAfterLsn extends GoodLogStore {
  override applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    const { entries, log } = this.disk.saved;
    this.disk.saved = { entries: after(entries, records), applied: run.lastLsn, log };
    this.home.step();
    this.disk.saved = { ...this.disk.saved, log: run.logId };
  }
}

/** The log's id is saved before data and LSN. */
export class LogBeforeLsn extends GoodLogStore {
  override applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    this.disk.saved = { ...this.disk.saved, log: run.logId };
    super.applyBatch(records, run);
  }
}

/** Saves the id of the first log only. */
export class KeepsFirstLog extends GoodLogStore {
  override applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    const { log } = this.disk.saved;
    super.applyBatch(records, log === null ? run : { ...run, logId: log });
  }
}

/** Never saves the id. */
export class ForgetsLog extends GoodLogStore {
  override applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    super.applyBatch(records, run);
    this.disk.saved = { ...this.disk.saved, log: null };
  }
}

/** Says the id that it has in memory, with the LSN that it has on disk. */
export class LogAheadOfDisk extends GoodSyncingLogStore {
  override appliedLog(): string | null {
    return this.memory.log;
  }
}

/** A method for each operation, and nothing that knows of LSNs. */
export class GoodPlainStore {
  readonly #disk: { entries: readonly StoreEntry[] };
  readonly home: StoreHome;

  constructor(home: StoreHome) {
    this.home = home;
    this.#disk = home.saved(() => ({ entries: [] as StoreEntry[] }));
  }

  insert(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void {
    this.#change(record);
  }

  delete(_kh: bigint, _kl: bigint, record: WALRecord): void {
    this.#change(record);
  }

  deleteValue(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void {
    this.#change(record);
  }

  replace(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void {
    this.#change(record);
  }

  entries(): readonly StoreEntry[] {
    return this.#disk.entries;
  }

  #change(record: WALRecord): void {
    this.home.step();
    this.#disk.entries = after(this.#disk.entries, [record]);
  }
}

/** Whole runs, on disk when it is told to, and nothing that knows of LSNs. */
export class GoodSyncingPlainStore {
  readonly #disk: { entries: readonly StoreEntry[] };
  readonly #home: StoreHome;
  #memory: readonly StoreEntry[];

  constructor(home: StoreHome) {
    this.#home = home;
    this.#disk = home.saved(() => ({ entries: [] as StoreEntry[] }));
    this.#memory = this.#disk.entries;
  }

  applyBatch(records: readonly WALRecord[]): void {
    this.#home.step();
    this.#memory = after(this.#memory, records);
  }

  sync(): void {
    this.#home.step();
    this.#disk.entries = this.#memory;
  }

  entries(): readonly StoreEntry[] {
    return this.#memory;
  }
}

/** The applied LSN is saved after the data: a crash in between has the data applied twice. */
export class LsnAfterData extends GoodStore {
  override applyBatch(records: readonly WALRecord[]): void {
    this.disk.saved = { ...this.disk.saved, entries: after(this.disk.saved.entries, records) };
    this.home.step();
    this.disk.saved = { ...this.disk.saved, applied: records.at(-1)!.lsn };
  }
}

/** The applied LSN is saved before the data: a crash in between loses the data. */
export class LsnBeforeData extends GoodStore {
  override applyBatch(records: readonly WALRecord[]): void {
    const entries = after(this.disk.saved.entries, records);
    this.disk.saved = { ...this.disk.saved, applied: records.at(-1)!.lsn };
    this.home.step();
    this.disk.saved = { ...this.disk.saved, entries };
  }
}

/** Writes each record of a run by itself. */
export class OneByOne extends GoodStore {
  override applyBatch(records: readonly WALRecord[]): void {
    for (const record of records) {
      this.disk.saved = { entries: after(this.disk.saved.entries, [record]), applied: record.lsn };
      this.home.step();
    }
  }
}

/** As `OneByOne`, without a step of its own to crash at. */
export class OneByOneWithoutSteps extends GoodStore {
  override applyBatch(records: readonly WALRecord[]): void {
    for (const record of records) {
      this.disk.saved = { entries: after(this.disk.saved.entries, [record]), applied: record.lsn };
    }
  }
}

/** Says that it has durably what it has in memory. */
export class LsnAheadOfDisk extends GoodSyncingStore {
  override appliedLsn(): number {
    return this.memory.applied;
  }
}

/** Takes records that come again for the newest: its LSN goes back, its data does not. */
export class GoesBack extends GoodSyncingStore {
  override applyBatch(records: readonly WALRecord[]): void {
    this.memory = { entries: after(this.memory.entries, records), applied: records.at(-1)!.lsn };
  }
}

/** Its `sync()` does not write. */
export class LazySync extends GoodSyncingStore {
  override sync(): void {}
}

/** Takes a failed write for a done one, and goes on after it. */
export class SkipsAfterThrow extends GoodStore {
  #next = 0;

  override applyBatch(records: readonly WALRecord[]): void {
    const missing = records.filter(({ lsn }) => lsn > this.#next);
    this.#next = records.at(-1)!.lsn;
    if (missing.length > 0) super.applyBatch(missing);
  }
}

/** A list instead of a set: what comes again is there again. */
export class AppliesTwice {
  readonly #disk: { entries: StoreEntry[] };

  constructor(home: StoreHome) {
    this.#disk = home.saved(() => ({ entries: [] as StoreEntry[] }));
  }

  insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    this.#disk.entries.push([keyHigh, keyLow, valueHigh, valueLow]);
  }

  delete(keyHigh: bigint, keyLow: bigint): void {
    this.#disk.entries = this.#disk.entries.filter(([high, low]) => high !== keyHigh || low !== keyLow);
  }

  deleteValue(...pair: [bigint, bigint, bigint, bigint, WALRecord]): void {
    const isSame = (entry: StoreEntry) => entry.every((half, i) => half === pair[i]);
    this.#disk.entries = this.#disk.entries.filter((entry) => !isSame(entry));
  }

  replace(...[keyHigh, keyLow, valueHigh, valueLow]: [bigint, bigint, bigint, bigint, WALRecord]): void {
    this.delete(keyHigh, keyLow);
    this.insert(keyHigh, keyLow, valueHigh, valueLow);
  }

  entries(): readonly StoreEntry[] {
    return this.#disk.entries;
  }
}

/** Adds the value of a replace to those that the key has. */
export class ReplacesAsInsert extends GoodStore {
  override applyBatch(records: readonly WALRecord[]): void {
    const asInsert = (record: WALRecord): WALRecordFields =>
      record.opType === OpType.Replace ? { ...record.toObject(), opType: OpType.Insert } : record;
    const entries = after(this.disk.saved.entries, records.map(asInsert));
    this.home.step();
    this.disk.saved = { entries, applied: records.at(-1)!.lsn };
  }
}

/** Does all the deletes of a run first. */
export class IgnoresOrder extends GoodStore {
  override applyBatch(records: readonly WALRecord[]): void {
    const isInsert = ({ opType }: WALRecord) => opType === OpType.Insert;
    const entries = after(this.disk.saved.entries, [
      ...records.filter((record) => !isInsert(record)),
      ...records.filter(isInsert),
    ]);
    this.disk.saved = { entries, applied: records.at(-1)!.lsn };
  }
}

/** Keeps 64-bit numbers as doubles. */
export class RoundsNumbers extends GoodStore {
  override entries(): readonly StoreEntry[] {
    const round = (half: bigint) => BigInt.asUintN(64, BigInt(Number(half)));
    return super.entries().map(([a, b, c, d]) => [round(a), round(b), round(c), round(d)]);
  }
}

/** What a store makes of a key or a value that it reads from bytes. */
type ReadHalves = (bytes: DataView) => readonly [high: bigint, low: bigint];

/** Takes keys and values as bytes, and reads halves from them in some way. */
class ReadsBytes extends GoodStore {
  protected readonly read: ReadHalves = (bytes) => [bytes.getBigUint64(0), bytes.getBigUint64(8)];

  override applyBatch(records: readonly WALRecord[]): void {
    const halvesOf = ({ buffer }: Uint8Array<ArrayBuffer>) => this.read(new DataView(buffer));
    const entries = after(
      this.disk.saved.entries,
      records.map(({ lsn, opType, version, time, key, value }): WALRecordFields => {
        const [[keyHigh, keyLow], [valueHigh, valueLow]] = [halvesOf(key), halvesOf(value)];
        return { lsn, opType, version, time, keyHigh, keyLow, valueHigh, valueLow };
      }),
    );
    this.home.step();
    this.disk.saved = { entries, applied: records.at(-1)!.lsn };
  }
}

/** Reads the bytes as they are, big-endian. */
export class GoodBytesStore extends ReadsBytes {}

/** Reads bytes in the order of the machine. */
export class ReadsLittleEndian extends ReadsBytes {
  protected override readonly read: ReadHalves = (bytes) => [bytes.getBigUint64(0, true), bytes.getBigUint64(8, true)];
}

/** Takes the second half for the first one. */
export class SwapsHalves extends ReadsBytes {
  protected override readonly read: ReadHalves = (bytes) => [bytes.getBigUint64(8), bytes.getBigUint64(0)];
}

/** Looks keys up by their first 15 bytes. */
export class ForgetsLastByte extends ReadsBytes {
  protected override readonly read: ReadHalves = (bytes) => [bytes.getBigUint64(0), bytes.getBigUint64(8) & ~0xffn];
}

/** Skips what it does not know. */
export class SkipsOperations extends GoodStore {
  override applyBatch(records: readonly WALRecord[]): void {
    const entries = after(this.disk.saved.entries, records.filter(({ opType }) => opType < 32));
    this.home.step();
    this.disk.saved = { entries, applied: records.at(-1)!.lsn };
  }
}

/** Counts the records of one operation of its own, beside the entries. */
export class GoodOperationsStore {
  readonly #disk: { saved: Saved & { readonly splits: number } };
  readonly #home: StoreHome;

  constructor(home: StoreHome) {
    this.#home = home;
    this.#disk = home.saved(() => ({ saved: { entries: [] as StoreEntry[], applied: 0, splits: 0 } }));
  }

  applyBatch(records: readonly WALRecord[]): void {
    const isSplit = ({ opType }: WALRecord) => opType === SPLIT;
    const entries = after(this.#disk.saved.entries, records.filter((record) => !isSplit(record)));
    const splits = this.#disk.saved.splits + records.filter(isSplit).length;
    this.#home.step();
    this.#disk.saved = { entries, applied: records.at(-1)!.lsn, splits };
  }

  appliedLsn(): number {
    return this.#disk.saved.applied;
  }

  get splits(): number {
    return this.#disk.saved.splits;
  }

  entries(): readonly StoreEntry[] {
    return this.#disk.saved.entries;
  }
}

/** Forgets everything with its process. */
export class Forgets extends GoodStore {
  #memory: Saved = { entries: [], applied: 0 };

  override applyBatch(records: readonly WALRecord[]): void {
    this.#memory = { entries: after(this.#memory.entries, records), applied: records.at(-1)!.lsn };
  }

  override appliedLsn(): number {
    return this.#memory.applied;
  }

  override entries(): readonly StoreEntry[] {
    return this.#memory.entries;
  }
}

/** What records make of a multi-value map. */
export function after(entries: readonly StoreEntry[], records: readonly WALRecordFields[]): readonly StoreEntry[] {
  let result = entries;
  for (const { opType, keyHigh, keyLow, valueHigh, valueLow } of records) {
    const isKey = ([high, low]: StoreEntry) => high === keyHigh && low === keyLow;
    const isPair = (entry: StoreEntry) => isKey(entry) && entry[2] === valueHigh && entry[3] === valueLow;
    if (opType === OpType.Insert) {
      if (!result.some(isPair)) result = [...result, [keyHigh, keyLow, valueHigh, valueLow]];
    } else if (opType === OpType.Delete) {
      result = result.filter((entry) => !isKey(entry));
    } else if (opType === OpType.DeleteValue) {
      result = result.filter((entry) => !isPair(entry));
    } else if (opType === OpType.Replace) {
      result = [...result.filter((entry) => !isKey(entry)), [keyHigh, keyLow, valueHigh, valueLow]];
    } else {
      throw new RangeError(`LSN of type ${opType}: there is no such type`);
    }
  }
  return result;
}
