// The file format, version 1: its tables, offsets and sizes. Nothing else in the source knows a
// byte's place.
//
// File: little-endian whatever the machine; offsets do not depend on the page size.
//   offset  what
//        0  header copy A, one block of 4096 bytes
//     4096  header copy B, one block of 4096 bytes
//     8192  zeros, never written
//    16384  record slots of 64 bytes; the slot of a record is (LSN − 1) mod capacity
//
// Header copy: 4096 bytes. The valid copy with the higher write counter counts.
//   offset  type    field         meaning
//        0  u8 ×8   magic         89 43 49 44 57 41 4C 0A ("\x89CIDWAL\n")
//        8  u32     version       format version, 1
//       12  u32     recordBytes   64
//       16  u64     capacity      slots
//       24  u8 ×16  logId         random; seeds the checksum of every record
//       40  u64     writeCounter  raised by each header write
//       48  u64     tail          LSN of the oldest record kept
//       56  u64     durable       watermark: an LSN that was durable when this was written
//       64  u64     checkpoint    LSN up to which the store has everything
//       72  u64     timeNanos     highest hybrid time given out, nanoseconds
//       80  u32     timeSeq       … and its sequence number
//       84  u32     state         bit 0: closed cleanly; bit 1: recovery is erasing debris
//       88  u64     cleanHead     next LSN at the clean close; 0 while open
//       96  u64     created       when the log was made, nanoseconds since 1970; 0: unknown
//      104  u32     openerPid     process that wrote this copy
//      108  u32     padding       zeros
//      112  u8 ×16  originId      id of the log that this one was copied from; zeros: none
//      128  u64     originLsn     last LSN that both logs share
//      136  u8 ×16  publicId      the id that stores save after a fork; zeros: the log id
//      152  u8 ×16  forkId        the id that they saved before
//      168  u64     forkLsn       last LSN that both histories share
//      176  u8 ×12  setId         the set of shards that the log is one of
//      188  u16     shards        how many shards the set has; 0: the log is no shard
//      190  u16     shard         which of them the log is, from 0
//      192  u8 ×1024 consumers    16 entries of 64 bytes, one for each registered consumer
//     1216  u8 …    spare         zeros
//     4092  u32     crc           CRC-32C of bytes 0 to 4091
//
// Consumer entry: 64 bytes.
//   offset  type    field         meaning
//        0  u8      state         0 free, 1 holds records, 2 lost
//        1  u8      nameBytes     bytes of the name; 0: the unnamed consumer
//        2  u8 ×6   padding       zeros
//        8  u64     lsn           LSN up to which its store has everything durably
//       16  u32     maxLagRecords how far behind it may be before it is lost; 0: no limit
//       20  u32     keepRecords   how many records before `lsn` the log keeps as well
//       24  u8 ×40  name          UTF-8, then zeros
//
// Record: 64 bytes, 64-byte aligned, so it never straddles a sector.
//   offset  type    field         meaning
//        0  u32     crc           CRC-32C of bytes 4 to 63, seeded with the log id
//        4  u8      versionOp     top 2 bits version (0 past, 1 now, 2 next), low 6 bits opcode
//        5  u8      flags         bit 0: the batch goes on in the next record; the others are 0
//        6  u16     timeShard
//        8  u64     lsn
//       16  u64     timeNanos
//       24  u32     timeSeq
//       28  u32     distance      LSN minus the highest LSN that was durable then; at least 1
//       32  u64     keyHigh
//       40  u64     keyLow
//       48  u64     valueHigh
//       56  u64     valueLow      of a checkpoint: the LSN up to which the store has everything
//
// Run header: 64 bytes, then the records of the run, one after another.
//   offset  type    field         meaning
//        0  u8 ×8   magic         89 43 49 44 52 55 4E 0A ("\x89CIDRUN\n")
//        8  u32     version       format version of runs, 1
//       12  u32     recordBytes   64
//       16  u8 ×16  logId         public id of the log; seeds the checksum of every record
//       32  u64     firstLsn      LSN of the first record
//       40  u32     count         records, at least 1
//       44  u8 ×16  reserved      zeros
//       60  u32     crc           CRC-32C of bytes 0 to 59
//
// Live file: 64 bytes in a file beside the log, `<path>.live`.
//   offset  type    field         meaning
//        0  u8 ×8   magic         89 43 49 44 4C 49 56 0A ("\x89CIDLIV\n")
//        8  u8 ×16  logId         the id that seeds the checksum of every record
//       24  u64     writeCounter  of the newest header
//       32  u32     headerCrc     … and its checksum
//       36  u32     padding       zeros
//       40  u64     head          next LSN to write
//       48  u64     durable       highest durable LSN
//       56  u32     reserved      zeros
//       60  u32     crc           CRC-32C of bytes 0 to 59

/** The format version that this code reads and writes. */
export const FORMAT_VERSION = 1;

/** Times are nanoseconds; wall clocks and `Date` count in milliseconds. */
export const NANOS_PER_MS = 1_000_000n;

/** Bytes of a header copy. */
export const HEADER_BYTES = 4096;
/** Offset of each header copy. */
export const HEADER_AT: readonly [number, number] = [0, 4096];
/** "\x89CIDWAL\n": the high bit and the newline show a file that went through a text channel. */
export const MAGIC: readonly number[] = [0x89, 0x43, 0x49, 0x44, 0x57, 0x41, 0x4c, 0x0a];

export const HEADER_VERSION_AT = 8;
export const HEADER_RECORD_BYTES_AT = 12;
export const HEADER_CAPACITY_AT = 16;
export const HEADER_LOG_ID_AT = 24;
export const LOG_ID_BYTES = 16;
export const HEADER_WRITE_COUNTER_AT = 40;
export const HEADER_TAIL_AT = 48;
export const HEADER_DURABLE_AT = 56;
export const HEADER_CHECKPOINT_AT = 64;
export const HEADER_TIME_NANOS_AT = 72;
export const HEADER_TIME_SEQ_AT = 80;
export const HEADER_STATE_AT = 84;
export const HEADER_CLEAN_HEAD_AT = 88;
export const HEADER_CREATED_AT = 96;
export const HEADER_OPENER_PID_AT = 104;
export const HEADER_PADDING_AT = 108;
export const HEADER_ORIGIN_ID_AT = 112;
export const HEADER_ORIGIN_LSN_AT = 128;
export const HEADER_PUBLIC_ID_AT = 136;
export const HEADER_FORK_ID_AT = 152;
export const HEADER_FORK_LSN_AT = 168;
export const HEADER_SET_ID_AT = 176;
export const SET_ID_BYTES = 12;
export const HEADER_SHARDS_AT = 188;
export const HEADER_SHARD_AT = 190;
export const HEADER_CONSUMERS_AT = 192;
export const HEADER_SPARE_AT = 1216;
export const HEADER_CRC_AT = 4092;

/** `state` bit: the log was closed cleanly. */
export const STATE_CLEAN = 1;
/** `state` bit: recovery is erasing what lies after the end. */
export const STATE_ERASING = 2;

/** Entries in the table of consumers. */
export const MOST_CONSUMERS = 16;
/** Bytes of an entry. */
export const CONSUMER_BYTES = 64;
export const CONSUMER_STATE_AT = 0;
export const CONSUMER_NAME_BYTES_AT = 1;
export const CONSUMER_PADDING_AT = 2;
export const CONSUMER_LSN_AT = 8;
export const CONSUMER_MAX_LAG_RECORDS_AT = 16;
export const CONSUMER_KEEP_RECORDS_AT = 20;
export const CONSUMER_NAME_AT = 24;
/** The longest name of a consumer, in UTF-8. */
export const MOST_NAME_BYTES = 40;

/** Offset of the first slot. */
export const RING_AT = 16384;
/** Bytes of a record, and of its slot. */
export const RECORD_BYTES = 64;

export const CRC_AT = 0;
export const VERSION_OP_AT = 4;
export const FLAGS_AT = 5;
export const TIME_SHARD_AT = 6;
export const LSN_AT = 8;
export const TIME_NANOS_AT = 16;
export const TIME_SEQ_AT = 24;
export const DISTANCE_AT = 28;
export const KEY_HIGH_AT = 32;
export const KEY_LOW_AT = 40;
export const VALUE_HIGH_AT = 48;
export const VALUE_LOW_AT = 56;

/** The version of the records that this code reads and writes: "now". */
export const RECORD_VERSION = 1;
/** `flags` bit: the batch goes on in the next record. */
export const FLAG_BATCH_GOES_ON = 1;
/** The version is in the bits of `versionOp` from this one on. */
export const VERSION_SHIFT = 6;
/** The opcode is in these bits of `versionOp`. */
export const OPCODE_MASK = 0x3f;
/**
 * Of `versionOp` and `flags` as one number: the version, and all flags that no record of this
 * version has.
 */
export const VERSION_AND_UNKNOWN_FLAGS = 0xfec0;

/** The format version of runs that this code reads and writes. */
export const RUN_VERSION = 1;
/** Bytes of a run's header, a multiple of 64, so that the records are aligned. */
export const RUN_HEADER_BYTES = 64;
/** "\x89CIDRUN\n". */
export const RUN_MAGIC: readonly number[] = [0x89, 0x43, 0x49, 0x44, 0x52, 0x55, 0x4e, 0x0a];

export const RUN_VERSION_AT = 8;
export const RUN_RECORD_BYTES_AT = 12;
export const RUN_LOG_ID_AT = 16;
export const RUN_FIRST_LSN_AT = 32;
export const RUN_COUNT_AT = 40;
export const RUN_RESERVED_AT = 44;
export const RUN_CRC_AT = 60;

/** Bytes of a live file. */
export const LIVE_BYTES = 64;
/** "\x89CIDLIV\n". */
export const LIVE_MAGIC: readonly number[] = [0x89, 0x43, 0x49, 0x44, 0x4c, 0x49, 0x56, 0x0a];

export const LIVE_LOG_ID_AT = 8;
export const LIVE_WRITE_COUNTER_AT = 24;
export const LIVE_HEADER_CRC_AT = 32;
export const LIVE_PADDING_AT = 36;
export const LIVE_HEAD_AT = 40;
export const LIVE_DURABLE_AT = 48;
export const LIVE_RESERVED_AT = 56;
export const LIVE_CRC_AT = 60;

/** The smallest file: 64 KiB, which is 768 slots. */
export const MINIMUM_FILE_BYTES = 65536;
/** The size of a file unless asked for otherwise: 64 MiB. */
export const DEFAULT_FILE_BYTES: number = 64 * 1024 * 1024;
/** File sizes are multiples of this, the greatest page size of the platforms we support. */
export const FILE_GRANULE_BYTES = 16384;
/** The distance field holds 32 bits, so a ring has fewer slots. */
export const MAX_CAPACITY = 0xffffffff;
