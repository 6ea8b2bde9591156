/**
 * A write-ahead log for stores of content identifiers. Keys and values have 128 bits, and records
 * have 64 bytes in a preallocated, memory-mapped ring file. Records become durable by group commit,
 * are replayed after a crash, and are applied to a store by a consumer.
 *
 * @example
 * ```ts
 * import { consume, WAL } from "@cidstore/wal";
 *
 * await using wal = WAL.open(null); // a path, or null for memory
 * await wal.logInsert(0x0123n, 0x4567n, 0x89abn, 0xcdefn); // durable
 *
 * const consumption = consume(wal, {
 *   insert: (keyHigh, keyLow, valueHigh, valueLow) => {
 *     console.log(keyHigh, keyLow, valueHigh, valueLow); // 291n 17767n 35243n 52719n
 *   },
 *   delete: () => {},
 *   deleteValue: () => {},
 * });
 * await wal.whenApplied(); // rejects with the store's error if the consumer fails
 * await consumption.stop();
 * ```
 *
 * @module
 */

export { WALAssertionError } from "./src/assert.ts";
export { consume, type Consumption } from "./src/consumption.ts";
export type { Cursor } from "./src/read/cursor.ts";
export type { Follower } from "./src/follow/follower.ts";
export {
  WALClosedError,
  WALConsumerLostError,
  WALConsumingError,
  WALCorruptError,
  WALError,
  type WALErrorCode,
  WALFileGoneError,
  WALFileSystemError,
  WALFormatError,
  WALFullError,
  WALIOError,
  WALLaggedError,
  WALLockedError,
  WALNotFoundError,
  WALOperationError,
  WALPermissionError,
  WALPlatformError,
  WALRewoundError,
  WALSpaceError,
  WALStoreError,
  WALSyncError,
  WALTooSmallError,
  WALTruncatedError,
} from "./src/errors.ts";
export type {
  WALCloseMessage,
  WALCommitMessage,
  WALConsumerMessage,
  WALFullMessage,
  WALHeaderMessage,
  WALMessage,
  WALOpenMessage,
  WALPoisonMessage,
} from "./src/messages.ts";
export { OpType } from "./src/types.ts";
export type {
  ApplicableStore,
  ApplicationOpType,
  AppliedRun,
  BackupOptions,
  BatchItem,
  BatchStore,
  ConsumeErrorAnswer,
  ConsumeErrorContext,
  ConsumeOptions,
  ConsumerStats,
  DeleteItem,
  EncodedRun,
  FollowerConsumeOptions,
  FollowerStats,
  FollowOptions,
  HybridTime,
  HybridTimeInput,
  InsertBytes,
  InsertItem,
  InspectedConsumer,
  LatencyHistogram,
  LogInspection,
  LogOrigin,
  Loss,
  LSN,
  OperationName,
  RecordRange,
  RecordStore,
  RecoveryReport,
  RegisteredConsumerStats,
  Store,
  U64,
  WALOptions,
  WALRecord,
  WALRecordFields,
  WALStats,
  WhenAppliedOptions,
} from "./src/types.ts";
export { WAL } from "./src/wal.ts";
export { FileMemory } from "./ffi/file_memory.ts";
export type { LiveFile } from "./ffi/live_file.ts";
export { REFRESH_BYTES, RegionError } from "./ffi/region.ts";
export type {
  FileSystemInfo,
  OpenRequest,
  Region,
  RegionFailure,
  RegionFailureDetails,
  Storage,
} from "./ffi/region.ts";
