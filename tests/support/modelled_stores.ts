// Stores that are no multi-value map, right and wrong, each with its model.

import { OpType, type WALRecord } from "../../mod.ts";
import type { StoreHome } from "../../testing.ts";

/** What lies on the disk of a store. */
interface Saved<C> {
  contents: C;
  applied: number;
}

/** Applies runs with a model, and saves what comes out with the LSN. */
abstract class Modelled<C> {
  readonly #disk: { saved: Saved<C> };

  constructor(home: StoreHome, empty: C) {
    this.#disk = home.saved(() => ({ saved: { contents: empty, applied: 0 } }));
  }

  applyBatch(records: readonly WALRecord[]): void {
    const contents = this.fold(structuredClone(this.#disk.saved.contents), records);
    this.#disk.saved = { contents, applied: records.at(-1)!.lsn };
  }

  appliedLsn(): number {
    return this.#disk.saved.applied;
  }

  contents(): C {
    return this.#disk.saved.contents;
  }

  protected abstract fold(contents: C, records: readonly WALRecord[]): C;
}

const textOf = (high: bigint, low: bigint) => `${high}:${low}`;

/** The last value of each key. */
export class LastWriter extends Modelled<Map<string, string>> {
  static model(records: readonly WALRecord[]): Map<string, string> {
    return LastWriter.after(new Map(), records);
  }

  static after(values: Map<string, string>, records: readonly WALRecord[]): Map<string, string> {
    for (const { opType, keyHigh, keyLow, valueHigh, valueLow } of records) {
      const [key, value] = [textOf(keyHigh, keyLow), textOf(valueHigh, valueLow)];
      if (opType === OpType.Insert || opType === OpType.Replace) values.set(key, value);
      else if (opType === OpType.Delete) values.delete(key);
      else if (opType === OpType.DeleteValue && values.get(key) === value) values.delete(key);
      else if (opType !== OpType.DeleteValue) throw new RangeError(`Type ${opType} is unknown`);
    }
    return values;
  }

  constructor(home: StoreHome) {
    super(home, new Map());
  }

  protected fold(values: Map<string, string>, records: readonly WALRecord[]): Map<string, string> {
    return LastWriter.after(values, records);
  }
}

/** Wrong: keeps the first value of a key. */
export class FirstWriter extends LastWriter {
  protected override fold(values: Map<string, string>, records: readonly WALRecord[]): Map<string, string> {
    for (const record of records) {
      const isThere = values.has(textOf(record.keyHigh, record.keyLow));
      if (record.opType !== OpType.Insert || !isThere) LastWriter.after(values, [record]);
    }
    return values;
  }
}

/** The opcode of a record that adds its value to a sum. */
export const ADD = 40;

/** Adds up the values of records of the application: once each, as the sum cannot tell. */
export class Counter extends Modelled<bigint> {
  static model(records: readonly WALRecord[]): bigint {
    return Counter.after(0n, records);
  }

  static after(sum: bigint, records: readonly WALRecord[]): bigint {
    for (const { opType, valueLow } of records) {
      if (opType === ADD) sum += valueLow;
      else if (opType < OpType.Insert || opType > OpType.Replace) throw new RangeError(`Type ${opType} is unknown`);
    }
    return sum;
  }

  constructor(home: StoreHome) {
    super(home, 0n);
  }

  protected fold(sum: bigint, records: readonly WALRecord[]): bigint {
    return Counter.after(sum, records);
  }
}

/** Wrong: skips what it does not know. */
export class IgnoresOperations extends Counter {
  protected override fold(sum: bigint, records: readonly WALRecord[]): bigint {
    return Counter.after(sum, records.filter(({ opType }) => opType < 32));
  }
}

/** For each value the keys that have it, ascending. */
export type Index = Map<bigint, bigint[]>;

/** An index from values to keys, which records change one by one. */
export class InvertedIndex {
  static model(records: readonly WALRecord[]): Index {
    const store = new InvertedIndex();
    for (const record of records) store.change(record);
    return store.index;
  }

  readonly index: Index;

  constructor(index: Index = new Map()) {
    this.index = index;
  }

  insert(...[, , , , record]: [bigint, bigint, bigint, bigint, WALRecord]): void {
    this.change(record);
  }

  delete(...[, , record]: [bigint, bigint, WALRecord]): void {
    this.change(record);
  }

  deleteValue(...[, , , , record]: [bigint, bigint, bigint, bigint, WALRecord]): void {
    this.change(record);
  }

  replace(...[, , , , record]: [bigint, bigint, bigint, bigint, WALRecord]): void {
    this.change(record);
  }

  protected change({ opType, keyLow, valueLow }: WALRecord): void {
    if (opType === OpType.Delete || opType === OpType.Replace) {
      for (const value of [...this.index.keys()]) this.#remove(value, keyLow);
    }
    if (opType === OpType.DeleteValue) this.#remove(valueLow, keyLow);
    if (opType !== OpType.Insert && opType !== OpType.Replace) return;
    const keys = new Set(this.index.get(valueLow)).add(keyLow);
    this.index.set(valueLow, [...keys].sort((one, other) => one < other ? -1 : 1));
  }

  #remove(value: bigint, key: bigint): void {
    const keys = this.index.get(value)?.filter((other) => other !== key) ?? [];
    if (keys.length > 0) this.index.set(value, keys);
    else this.index.delete(value);
  }
}

/** Wrong: leaves a value behind when its last key goes. */
export class LeavesEmptyLists extends InvertedIndex {
  protected override change(record: WALRecord): void {
    super.change(record);
    if (record.opType === OpType.DeleteValue && !this.index.has(record.valueLow)) this.index.set(record.valueLow, []);
  }
}
