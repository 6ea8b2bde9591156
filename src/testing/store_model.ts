// What a store must contain after some records: a multi-value map that tests compare a store with.

import { isApplicationOpcode, operationOf } from "../format/operations.ts";
import { type ApplicationOpType, OpType, type WALRecordFields } from "../types.ts";

/** A key with one of its values. */
export type StoreEntry = readonly [keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint];

/** A multi-value map, as plain as can be, which remembers the record that last changed a pair. */
export class StoreModel {
  readonly #pairs = new Map<string, StoreEntry>();
  /** For each pair that has ever existed, the record that last inserted or removed it. */
  readonly #changedBy = new Map<string, number>();

  /** The contents after these records. */
  static after(records: Iterable<WALRecordFields>): StoreModel {
    const model = new StoreModel();
    for (const record of records) model.apply(record);
    return model;
  }

  /** A record of the application changes no pair. */
  apply({ lsn, opType, keyHigh, keyLow, valueHigh, valueLow }: WALRecordFields): void {
    const pair = [keyHigh, keyLow, valueHigh, valueLow] as const;
    if (opType === OpType.Insert) {
      this.#insert(lsn, pair);
    } else if (opType === OpType.DeleteValue) {
      const name = nameOf(pair);
      if (this.#pairs.delete(name)) this.#changedBy.set(name, lsn);
    } else if (opType === OpType.Delete) {
      this.#deleteKey(lsn, pair);
    } else if (opType === OpType.Replace) {
      this.#deleteKey(lsn, pair);
      this.#insert(lsn, pair);
    } else {
      opType satisfies typeof OpType.Checkpoint | ApplicationOpType; // the compiler asks for each new operation
    }
  }

  #insert(lsn: number, pair: StoreEntry): void {
    const name = nameOf(pair);
    this.#pairs.set(name, pair);
    this.#changedBy.set(name, lsn);
  }

  #deleteKey(lsn: number, [keyHigh, keyLow]: StoreEntry): void {
    for (const [name, pair] of this.#pairs) {
      if (pair[0] !== keyHigh || pair[1] !== keyLow) continue;
      this.#pairs.delete(name);
      this.#changedBy.set(name, lsn);
    }
  }

  /** All pairs, in no order. */
  entries(): StoreEntry[] {
    return [...this.#pairs.values()];
  }

  /** True if these are the names of all pairs, and of no others. */
  hasExactly(names: ReadonlySet<string>): boolean {
    return names.size === this.#pairs.size && names.values().every((name) => this.#pairs.has(name));
  }

  /** How other contents differ, in words; null if they are the same. */
  difference(entries: Iterable<StoreEntry>): string | null {
    const found = new Set<string>();
    for (const entry of entries) {
      const name = nameOf(entry);
      if (found.has(name)) return `${name} is in the store twice`;
      found.add(name);
      if (this.#pairs.has(name)) continue;
      const lsn = this.#changedBy.get(name);
      return lsn === undefined
        ? `${name} is in the store, and no record inserted it`
        : `${name} is in the store, though LSN ${lsn} removed it`;
    }
    for (const name of this.#pairs.keys()) {
      if (!found.has(name)) return `${name} of LSN ${this.#changedBy.get(name)} is missing`;
    }
    return null;
  }
}

function nameOf([keyHigh, keyLow, valueHigh, valueLow]: StoreEntry): string {
  return `(${keyHigh}, ${keyLow}) → (${valueHigh}, ${valueLow})`;
}

/** The LSNs after which records in LSN order leave these contents; 0 for an empty store. */
export function findPrefixes(records: readonly WALRecordFields[], entries: readonly StoreEntry[]): number[] {
  const model = new StoreModel();
  const names = new Set(entries.map(nameOf));
  if (names.size < entries.length) return []; // a pair is there twice
  const found = names.size === 0 ? [0] : [];
  for (const record of records) {
    model.apply(record);
    if (model.hasExactly(names)) found.push(record.lsn);
  }
  return found;
}

/** A record as one short text. */
export function recordText(
  { lsn, opType, keyHigh, keyLow, valueHigh, valueLow }: Omit<WALRecordFields, "version" | "time">,
): string {
  const operation = operationOf(opType);
  if (operation === undefined) return `LSN ${lsn} of the unknown type ${opType}`;
  const { name: known, hasValue, method } = operation;
  const name = isApplicationOpcode(opType) ? `${known} ${opType}` : known;
  if (method === null) return `LSN ${lsn} ${name} of LSN ${valueLow}`;
  return `LSN ${lsn} ${name} (${keyHigh}, ${keyLow})${hasValue ? ` → (${valueHigh}, ${valueLow})` : ""}`;
}
