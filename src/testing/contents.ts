// What a test knows of a store's contents: how to read them, and what they must be after some
// records. Without a model of the store's own they are those of a multi-value map.

import { inspect, isDeepStrictEqual } from "node:util";
import type { Store, WALRecord } from "../types.ts";
import { findPrefixes, type StoreEntry, StoreModel } from "./store_model.ts";

/** Reads everything a store contains: of a multi-value map each key with each of its values. */
export type ReadContents<S, C = Iterable<StoreEntry>> = (store: S) => C | Promise<C>;

/**
 * Makes what `contents` must return for a store that was given these records: all records up to
 * some LSN, in order, without checkpoints; none for an empty store.
 */
export type ContentsModel<C> = (records: readonly WALRecord[]) => C;

/** What must be given besides: a model, if the contents are not those of a multi-value map. */
export type NeedsModel<C> = [C] extends [Iterable<StoreEntry>] ? unknown : { readonly model: ContentsModel<C> };

/** What a store contained at some moment. */
export interface FoundContents {
  /** How they differ from those after these records, in words; null if they are the same. */
  differenceAfter(records: readonly WALRecord[]): string | null;
  /** The LSNs after which records in LSN order leave these contents; 0 for an empty store. */
  prefixesOf(records: readonly WALRecord[]): number[];
}

/** Reads what a store contains now; null if there is no way to. */
export type FindContents<S> = (store: S) => Promise<FoundContents | null>;

/** @throws {TypeError} if there is a model and nothing to compare with it. */
export function contentsFinder<S extends Store, C>(
  read: ReadContents<S, C> | undefined,
  model: ContentsModel<C> | undefined,
): FindContents<S> {
  if (read === undefined) {
    if (model !== undefined) throw new TypeError("A model needs `contents`, which it is compared with");
    return () => Promise.resolve(null);
  }
  if (model === undefined) return async (store) => foundPairs(await read(store));
  return async (store) => new ModelledContents(plain(await read(store)), model);
}

/** @throws {TypeError} if these are no pairs. */
function foundPairs(contents: unknown): FoundContents {
  const isIterable = typeof (contents as { [Symbol.iterator]?: unknown } | null)?.[Symbol.iterator] === "function";
  const entries = isIterable ? [...contents as Iterable<StoreEntry>] : [];
  const isPair = (entry: unknown) => Array.isArray(entry) && entry.length >= 4 && typeof entry[0] === "bigint";
  if (!isIterable || !entries.every(isPair)) {
    const found = show(isIterable ? entries.find((entry) => !isPair(entry)) : contents);
    throw new TypeError(
      `contents() must give [keyHigh, keyLow, valueHigh, valueLow] of each pair, and gave ${found}; other stores need a model`,
    );
  }
  return {
    differenceAfter: (records) => StoreModel.after(records).difference(entries),
    prefixesOf: (records) => findPrefixes(records, entries),
  };
}

/** Contents of a store that has a model of its own. */
class ModelledContents<C> implements FoundContents {
  readonly #found: unknown;
  readonly #model: ContentsModel<C>;

  constructor(found: unknown, model: ContentsModel<C>) {
    this.#found = found;
    this.#model = model;
  }

  differenceAfter(records: readonly WALRecord[]): string | null {
    const wanted = plain(this.#model(records));
    return isDeepStrictEqual(this.#found, wanted) ? null : differenceOf(this.#found, wanted, "the contents");
  }

  prefixesOf(records: readonly WALRecord[]): number[] {
    const lsns: number[] = [];
    for (let count = 0; count <= records.length; count++) {
      const wanted = plain(this.#model(records.slice(0, count)));
      if (isDeepStrictEqual(this.#found, wanted)) lsns.push(count === 0 ? 0 : records[count - 1]!.lsn);
    }
    return lsns;
  }
}

/** An iterator as an array. Anything else as a copy that the store does not change any more. */
function plain(contents: unknown): unknown {
  if (contents === null || typeof contents !== "object") return contents;
  if (Symbol.iterator in contents && "next" in contents) return [...contents as Iterable<unknown>];
  try {
    return structuredClone(contents);
  } catch {
    return contents; // with functions, say; it is compared at once
  }
}

/** Where two values differ first. Maps, arrays and plain objects are looked into. */
function differenceOf(found: unknown, wanted: unknown, name: string): string {
  if (found instanceof Map && wanted instanceof Map) {
    for (const key of new Set([...wanted.keys(), ...found.keys()])) {
      if (!found.has(key) || !wanted.has(key)) {
        const [side, what] = found.has(key) ? [found, "is there, and should not be"] : [wanted, "is missing"];
        return `${name} at ${show(key)}: ${show(side.get(key))} ${what}`;
      }
      if (!isDeepStrictEqual(found.get(key), wanted.get(key))) {
        return differenceOf(found.get(key), wanted.get(key), `${name} at ${show(key)}`);
      }
    }
  }
  return `${name} are ${show(found)} and should be ${show(wanted)}`;
}

const MOST_SHOWN = 200;

function show(value: unknown): string {
  const text = inspect(value, { depth: 4, breakLength: Infinity, maxArrayLength: 20 });
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}
