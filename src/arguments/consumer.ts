// What a caller of `consumeAsync()` hands in: a store and options, each read once and checked.

import { WALOperationError } from "../errors.ts";
import { APPLYING_METHODS } from "../format/operations.ts";
import type { ApplicableStore, ConsumeOptions, Store, WALRecord, WhenAppliedOptions } from "../types.ts";
import { type EncodedRuns, encodedRunsOf } from "./encoded_runs.ts";
import { type JoinedRuns, joinedRunsOf } from "./joined_runs.ts";
import { nameBytes } from "../format/consumer_table.ts";
import { MOST_NAME_BYTES } from "../format/layout.ts";
import { checkOptionNames, checkWellFormed } from "./objects.ts";
import { checkDelayMs, checkInteger, MAX_U32, show } from "./numbers.ts";

const DEFAULT_BATCH_SIZE = 1024;
const MOST_BATCH_SIZE = 1 << 20;
const DEFAULT_POLL_MS = 100;
/** The longest poll interval that may be given as a bare number, in seconds. */
const MOST_POLL_SECONDS = 60;

/** A store and options, with every default in its place. */
export interface TakenConsumer {
  readonly store: StoreMethods;
  /** A transaction of the store for many runs; undefined if it offers none. */
  readonly joinedRuns: JoinedRuns | undefined;
  /** Takes runs as bytes; undefined if the store does not offer that. */
  readonly encodedRuns: EncodedRuns | undefined;
  /** The store as an identity only. Its properties are not read again. */
  readonly storeItself: object;
  readonly signal: AbortSignal | undefined;
  readonly batchSize: number;
  readonly pollIntervalMs: number;
  readonly onError: ConsumeOptions["onError"];
  /** `""` for the unnamed consumer. */
  readonly name: string;
  readonly bounds: { readonly maxLagRecords: number; readonly keepRecords: number };
}

const OPTION_NAMES: readonly (keyof ConsumeOptions)[] = [
  "signal",
  "batchSize",
  "pollIntervalMs",
  "onError",
  "name",
  "maxLagRecords",
  "keepRecords",
];

/** A store's methods, bound to it. */
export type StoreMethods = { readonly [Name in MethodName]: Store[Name] | undefined };
type MethodName = Exclude<keyof Store, "declaredAsStore">;

/** A store's methods, in the order in which they are read. */
const METHODS: readonly MethodName[] = [...APPLYING_METHODS, "applyBatch", "appliedLsn", "appliedLog", "sync"];

/** What a consumer calls in place of methods that a store may lack. */
const REFUSALS: { readonly [Name in MethodName]?: Store[Name] } = {
  replace: (_kh, _kl, _vh, _vl, record) => refuseRecord(record, "replace"),
  apply: (record) => refuseRecord(record, "apply"),
};

/**
 * @param options a number is a poll interval in seconds.
 * @throws {TypeError} or {RangeError} if one of them cannot be used.
 */
export function takeConsumer(store: ApplicableStore, options: ConsumeOptions | number): TakenConsumer {
  const { methods, ...offers } = takeMethods(store as Store);
  const given = typeof options === "number" ? { pollIntervalMs: secondsToMs(options) } : options;
  if (given === null || typeof given !== "object") {
    throw new TypeError("Cannot consume the log: options must be an object or a number of seconds");
  }
  checkOptionNames(given, OPTION_NAMES);
  const { signal, batchSize = DEFAULT_BATCH_SIZE, pollIntervalMs = DEFAULT_POLL_MS, onError } = given;
  const { name = "", maxLagRecords = Infinity, keepRecords = 0 } = given;
  checkInteger(batchSize, "batchSize", 1, MOST_BATCH_SIZE);
  checkDelayMs(pollIntervalMs, "pollIntervalMs");
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("Cannot consume the log: signal must be an AbortSignal");
  }
  if (onError !== undefined && typeof onError !== "function") {
    throw new TypeError("Cannot consume the log: onError must be a function");
  }
  checkConsumerName(name);
  if (maxLagRecords !== Infinity) checkInteger(maxLagRecords, "maxLagRecords", 1, MAX_U32);
  checkInteger(keepRecords, "keepRecords", 0, MAX_U32);
  const bounds = { maxLagRecords: maxLagRecords === Infinity ? 0 : maxLagRecords, keepRecords };
  return { store: methods, ...offers, storeItself: store, signal, batchSize, pollIntervalMs, onError, name, bounds };
}

/**
 * The name in the options of `whenApplied()`; undefined if there is none.
 *
 * @throws {TypeError} or {RangeError} if it cannot be used.
 */
export function takeConsumerName(options: WhenAppliedOptions): string | undefined {
  checkOptionNames(options, ["name"]);
  const { name } = options;
  if (name !== undefined) checkConsumerName(name);
  return name;
}

/**
 * Checks a consumer's name; `""` is that of the unnamed consumer.
 *
 * @throws {TypeError} or {RangeError} if it cannot be used.
 */
export function checkConsumerName(name: unknown): asserts name is string {
  if (typeof name !== "string") throw new TypeError(`Cannot use ${show(name)} as name: it must be a string`);
  checkWellFormed(name, "name");
  if (nameBytes(name) !== null) return;
  throw new RangeError(
    `Cannot use ${show(name)} as name: a consumer's name has at most ${MOST_NAME_BYTES} bytes of UTF-8`,
  );
}

/**
 * Converts a bare number of seconds. A number above the limit was probably meant as milliseconds.
 */
export function secondsToMs(seconds: number): number {
  if (seconds >= 0 && seconds <= MOST_POLL_SECONDS) return seconds * 1000;
  const hint = seconds > MOST_POLL_SECONDS ? `; use { pollIntervalMs: ${seconds} } for milliseconds` : "";
  throw new RangeError(
    `Cannot poll every ${seconds} seconds: a number is seconds, from 0 to ${MOST_POLL_SECONDS}${hint}`,
  );
}

type Taken = Pick<TakenConsumer, "joinedRuns" | "encodedRuns"> & { readonly methods: StoreMethods };

function takeMethods(store: Store): Taken {
  if (store === null || typeof store !== "object") {
    throw new TypeError("Cannot consume the log: the store must be an object");
  }
  const given = Object.fromEntries(METHODS.map((name) => [name, takeMethod(store, name)])) as StoreMethods;
  for (const name of APPLYING_METHODS) {
    if (given[name] === undefined && given.applyBatch === undefined && !(name in REFUSALS)) {
      throw new TypeError(`Cannot consume the log: the store has neither ${name}() nor applyBatch()`);
    }
  }
  const bound = METHODS.map((name) => [name, given[name]?.bind(store as never) ?? REFUSALS[name]]);
  const { applyBatch } = given;
  return {
    methods: Object.fromEntries(bound) as StoreMethods,
    joinedRuns: joinedRunsOf(store, applyBatch),
    encodedRuns: encodedRunsOf(store, applyBatch),
  };
}

function refuseRecord({ lsn, opType }: WALRecord, name: MethodName): never {
  throw new WALOperationError(lsn, opType, `the store has neither ${name}() nor applyBatch()`);
}

function takeMethod(store: Store, name: MethodName): unknown {
  const method: unknown = store[name];
  if (method === undefined || typeof method === "function") return method;
  throw new TypeError(`Cannot consume the log: the store's ${name} must be a function`);
}
