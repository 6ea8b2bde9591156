// What the log publishes on its channels of `node:diagnostics_channel`.

import type { LSN, RecoveryReport } from "./types.ts";

/**
 * What each message has. The log publishes on these channels of `node:diagnostics_channel`:
 *
 * | channel               | message                        |
 * | --------------------- | ------------------------------ |
 * | `cidstore:wal:open`     | {@linkcode WALOpenMessage}     |
 * | `cidstore:wal:commit`   | {@linkcode WALCommitMessage}   |
 * | `cidstore:wal:header`   | {@linkcode WALHeaderMessage}   |
 * | `cidstore:wal:full`     | {@linkcode WALFullMessage}     |
 * | `cidstore:wal:consumer` | {@linkcode WALConsumerMessage} |
 * | `cidstore:wal:poison`   | {@linkcode WALPoisonMessage}   |
 * | `cidstore:wal:close`    | {@linkcode WALCloseMessage}    |
 *
 * A message is made only if its channel has a subscriber. Subscribers are called in a microtask
 * soon after, in the order of the events, and never within a call of the log. So they may call the
 * log, and what they throw does not reach it: the runtime reports an uncaught exception.
 *
 * @example
 * ```ts
 * import { subscribe } from "node:diagnostics_channel";
 * import { WAL, type WALCommitMessage } from "@cidstore/wal";
 *
 * subscribe("cidstore:wal:commit", (message) => {
 *   const { records, bytes } = message as WALCommitMessage;
 *   console.log(records, bytes); // 1 64
 * });
 * await using wal = WAL.open(null);
 * await wal.logInsert(1, 2, 3, 4);
 * ```
 */
export interface WALMessage {
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The log's id, as `WAL.logId`. `""` if the log has never been open. */
  readonly logId: string;
}

/** A log was opened, or could not be. */
export interface WALOpenMessage extends WALMessage {
  /** What `open()` found; null if it failed. */
  readonly recovery: RecoveryReport | null;
  /** What `open()` threw; null if it did not fail. */
  readonly error: unknown;
  /** How long it took. */
  readonly durationMs: number;
}

/**
 * Records have become durable, by a sync of a group or by `resize()`. Each record of an opening
 * that becomes durable is in one message, in LSN order.
 */
export interface WALCommitMessage extends WALMessage {
  /** The first record. */
  readonly firstLsn: LSN;
  /** The last record. */
  readonly lastLsn: LSN;
  /** How many records. */
  readonly records: number;
  /** Their size, 64 bytes for each. The medium may have written whole pages. */
  readonly bytes: number;
  /** How long the sync took. */
  readonly durationMs: number;
  /** Whether it held the JavaScript thread. */
  readonly mode: "inline" | "offload";
}

/** A header was written and synced. */
export interface WALHeaderMessage extends WALMessage {
  /** The tail in the header. */
  readonly tail: LSN;
  /** The durable LSN in the header. */
  readonly durable: LSN;
  /** True if it is the last one of an opening, which marks the log clean. */
  readonly clean: boolean;
  /** How long writing and syncing took. */
  readonly durationMs: number;
}

/** The ring is full, or a backup has still to read the slot that an append needs. */
export interface WALFullMessage extends WALMessage {
  /**
   * - `"begins"`: an append waits for room, and no other one does.
   * - `"ends"`: no append waits any more.
   * - `"refuses"`: an append was refused with `WALFullError`, at once or after a wait.
   */
  readonly event: "begins" | "ends" | "refuses";
  /** How many records the append wants to write; 0 with `"ends"`. */
  readonly wanted: number;
  /** The oldest LSN kept. */
  readonly tail: LSN;
  /** The next LSN to write. */
  readonly head: LSN;
  /** Records the ring can hold. */
  readonly capacity: number;
  /** With `"ends"`: how long appends have waited since `"begins"`. Otherwise 0. */
  readonly durationMs: number;
}

/** A consumer has another state. */
export interface WALConsumerMessage extends WALMessage {
  /** Its name; `""` for the unnamed consumer. */
  readonly consumer: string;
  /**
   * - `"begins"`: a consumer begins.
   * - `"retries"`: its store failed, and `onError` is asked what to do.
   * - `"skips"`: it leaves out records that its store cannot apply.
   * - `"stops"`: it was stopped, or the log was closed.
   * - `"lost"`: it lagged too far, and the log has given it up.
   * - `"fails"`: it ended with an error, or was refused.
   */
  readonly event: "begins" | "retries" | "skips" | "stops" | "lost" | "fails";
  /** With `"retries"`, `"skips"` and `"fails"`: what went wrong. Otherwise null. */
  readonly error: unknown;
  /** How many times in a row the store has failed. */
  readonly attempts: number;
  /** With `"skips"`: the records. Otherwise empty. */
  readonly skippedLsns: readonly LSN[];
}

/** The log has failed, and only reopening helps. */
export interface WALPoisonMessage extends WALMessage {
  /** What callers get from now on. */
  readonly error: Error;
  /** Up to here, records are durable. */
  readonly durable: LSN;
}

/** A log was closed. */
export interface WALCloseMessage extends WALMessage {
  /** True if everything is durable and the log is marked clean. */
  readonly clean: boolean;
  /** Up to here, records are durable. */
  readonly durable: LSN;
  /** Why the log could not be closed cleanly; null if it was. */
  readonly error: Error | null;
  /** How long it took. */
  readonly durationMs: number;
}
