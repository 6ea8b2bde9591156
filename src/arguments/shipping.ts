// What callers hand to a shipper or a follower: targets, clients and options, each read once.

import type { LSN, RecoveryReport } from "../types.ts";
import { takeConsumer, type TakenConsumer } from "./consumer.ts";
import { checkDelayMs, checkInteger, checkLsn, LONGEST_TIMER_MS, show } from "./numbers.ts";
import { checkObject, checkOptionNames, checkWellFormed } from "./objects.ts";
import { checkRunLogId } from "./runs.ts";
import type { ApplicableStore, ConsumeOptions } from "../types.ts";

const DEFAULT_IN_FLIGHT = 32;
const MOST_IN_FLIGHT = 1024;
const DEFAULT_TIMEOUT_MS = 5000;
const MOST_TABLE_NAME_BYTES = 63;

const encoder = new TextEncoder();

/** How a log is shipped. */
export interface ShipOptions {
  /**
   * The most messages that are on their way at once, 1 to 1024. Each is kept in memory until the
   * target has confirmed it.
   *
   * @default {32}
   */
  inFlight?: number | undefined;
  /**
   * Where to begin if the target has no record: after this LSN, 0 to 2^53 − 1. Followers then
   * need a store that has everything up to it. For a log that has released records, give
   * `wal.tail - 1`.
   *
   * @default {0}
   */
  startAfter?: LSN | undefined;
  /**
   * How long an answer may take, in milliseconds. After that the call fails with a `WALShipError`
   * of fault `"unreachable"`.
   *
   * @default {5000}
   */
  timeoutMs?: number | undefined;
}

/** How a store follows a log. */
export interface FollowFromOptions extends Pick<ConsumeOptions, "signal" | "batchSize" | "pollIntervalMs" | "onError"> {
  /**
   * The recovery report of a log whose LSNs the store may have: a backup of the followed log, or
   * the log that the followed one was copied from. Both share the LSNs up to `origin.lastLsn`.
   */
  copy?: Pick<RecoveryReport, "logId" | "origin"> | undefined;
  /**
   * How long an answer may take, in milliseconds, as in `ShipOptions`.
   *
   * @default {5000}
   */
  timeoutMs?: number | undefined;
}

/** Options with every default in its place. */
export interface TakenShipOptions {
  readonly inFlight: number;
  readonly startAfter: LSN | undefined;
  readonly timeoutMs: number;
}

/** @throws {TypeError} or {RangeError} if an option cannot be used. */
export function takeShipOptions(options: ShipOptions): TakenShipOptions {
  checkOptionNames(options, ["inFlight", "startAfter", "timeoutMs"]);
  const { inFlight = DEFAULT_IN_FLIGHT, startAfter, timeoutMs } = options;
  checkInteger(inFlight, "inFlight", 1, MOST_IN_FLIGHT);
  if (startAfter !== undefined) checkLsn(startAfter, "startAfter");
  return { inFlight, startAfter, timeoutMs: takeTimeout(timeoutMs) };
}

/** What `followFrom()` was given. */
export interface TakenFollower {
  readonly consumer: TakenConsumer;
  readonly copy: FollowFromOptions["copy"];
  readonly timeoutMs: number;
}

/** @throws {TypeError} or {RangeError} if one of them cannot be used. */
export function takeFollower(store: ApplicableStore, options: FollowFromOptions): TakenFollower {
  checkOptionNames(options, ["signal", "batchSize", "pollIntervalMs", "onError", "copy", "timeoutMs"]);
  const { signal, batchSize, pollIntervalMs, onError, copy, timeoutMs } = options;
  const consumer = takeConsumer(store, { signal, batchSize, pollIntervalMs, onError });
  return { consumer, copy: copy === undefined ? copy : takeCopy(copy), timeoutMs: takeTimeout(timeoutMs) };
}

function takeCopy(copy: NonNullable<FollowFromOptions["copy"]>): NonNullable<FollowFromOptions["copy"]> {
  checkObject(copy, "copy");
  const { logId, origin } = copy;
  checkRunLogId(logId);
  if (origin === null) return { logId, origin };
  checkObject(origin, "copy.origin");
  const { logId: originId, lastLsn } = origin;
  checkRunLogId(originId);
  checkLsn(lastLsn, "copy.origin.lastLsn");
  return { logId, origin: { logId: originId, lastLsn } };
}

function takeTimeout(timeoutMs: number = DEFAULT_TIMEOUT_MS): number {
  checkDelayMs(timeoutMs, "timeoutMs");
  if (timeoutMs === 0) throw new RangeError("Cannot use 0 as timeoutMs: no server answers in no time");
  return Math.min(timeoutMs, LONGEST_TIMER_MS);
}

/** Reads a name of a target. @throws {TypeError} or {RangeError} if it is no text, or empty. */
function checkName(value: string, name: string): void {
  if (typeof value === "string" && value !== "") return checkWellFormed(value, name);
  throw new TypeError(`Cannot use ${show(value)} as ${name}: it must be a string that is not empty`);
}

/** Reads the name of a stream. @throws {TypeError} or {RangeError} if no stream has such a name. */
export function checkStreamName(value: string): void {
  checkName(value, "stream");
  if (!/[\s.*>/\\]/.test(value)) return;
  throw new RangeError(`Cannot use ${show(value)} as stream: a stream's name has no space and none of . * > / \\`);
}

/** Reads a subject. @throws {TypeError} or {RangeError} if no message has such a subject. */
export function checkSubject(value: string): void {
  checkName(value, "subject");
  const isWord = (word: string) => !/^[*>]?$|\s/.test(word);
  if (value.split(".").every(isWord)) return;
  throw new RangeError(
    `Cannot use ${show(value)} as subject: it must be words with dots between them, none of them * or >`,
  );
}

/**
 * Reads the name of a table or a schema. The server cuts longer ones without an error.
 *
 * @throws {TypeError} or {RangeError} if it cannot be used.
 */
export function checkTableName(value: string, name: string): void {
  checkName(value, name);
  if (!value.includes("\0") && encoder.encode(value).length <= MOST_TABLE_NAME_BYTES) return;
  throw new RangeError(
    `Cannot use ${show(value)} as ${name}: it must have at most ${MOST_TABLE_NAME_BYTES} bytes of UTF-8, and no zero`,
  );
}

/** Checks that a client has a method. @throws {TypeError} */
export function checkClient(value: object, name: string, method: string): void {
  checkObject(value, name);
  if (typeof Reflect.get(value, method) === "function") return;
  throw new TypeError(`Cannot use the value of ${name}: it has no method ${method}()`);
}
