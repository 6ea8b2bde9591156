// The promises of the log, and the hazards that threaten them: what happens, and which tests would
// fail if the log did not keep its promises. `fault_document.ts` writes them into docs/faults.md.

/** What the log promises, by number; docs/guarantees.md says more of each. */
export const PROMISES = {
  G1: "What was acknowledged survives power loss.",
  G2:
    "What recovery returns is a gapless prefix of what was appended: in order, nothing torn, stale, foreign or invented.",
  G3: "A batch is recovered whole or not at all, and applied whole or not at all.",
  G4: "What a recovery discarded never comes back, over any number of crashes.",
  G5: "Damage to acknowledged data is told apart from a torn tail: a typed error, and the file stays as it is.",
  G6: "A failed sync is final until the log is reopened, and a reopening makes durable what it accepts.",
  G7: "One writer.",
  G8: "No SIGBUS for want of space: it is really there before the map is used.",
  G9: "After `close()` nothing can touch freed memory.",
  G10: "Hybrid time never goes backwards within a log.",
  G11:
    "The store gets durable records only, in order; the tail moves only after the store has them, and slots are reused only after it.",
  G12: "Creation is whole or not at all; of two header copies the newest valid one counts.",
  G13: "A full ring is explicit: appends wait, reject or throw, and nothing is overwritten.",
  G14: "The runtime's sandbox holds; a log is its owner's alone, and no link is followed at creation.",
  G15: "Bad input throws before a byte is written.",
  G16: "The event loop is not held by the disk.",
  G19: "A follower shows whole batches of durable records as they were appended, and never writes.",
  G20: "What is shipped arrives exactly once and in order, or is refused with a typed error.",
  G21:
    "Records of one key are in the log of its shard, in order. A set of shards is whole, or is refused with a typed error.",
} as const;

/** A way in which a log in a mapped ring file can break a promise. */
export interface Hazard {
  readonly id: `H${number}`;
  readonly title: string;
  /** What happens, in a sentence or two. */
  readonly what: string;
  readonly threatens: readonly (keyof typeof PROMISES)[];
  /** Names of tests by their file below tests/. Of a name with cases, one stands for all. */
  readonly tests: Readonly<Record<string, readonly string[]>>;
  /** What the tests leave out; for a hazard without a test it starts with "Not run here". */
  readonly note?: string;
}

export const HAZARDS: readonly Hazard[] = [
  {
    id: "H1",
    title: "Write-back in any order",
    what:
      "The kernel writes dirty pages at any time and in any order. A later record, or the header, can reach the medium before an earlier record.",
    threatens: ["G1", "G2"],
    tests: {
      "crash_test.ts": [
        "WAL recovers after a crash at any call: groups across a page border",
      ],
      "faults/torn_write_test.ts": [
        "WAL recovers the longest prefix whatever subset of eight unsynced records reached the medium",
      ],
      "faults/lost_sync_test.ts": [
        "WAL has every page of a group on the medium when it acknowledges it, inline",
      ],
      "faults/header_test.ts": [
        "WAL trusts neither a header that lags nor one that has overtaken the data",
      ],
      "faults/histories_test.ts": [
        "WAL keeps its promises in random histories, seeds 1 to 100",
      ],
    },
  },
  {
    id: "H2",
    title: "Torn record",
    what: "A power cut leaves a record half written.",
    threatens: ["G2"],
    tests: {
      "faults/torn_write_test.ts": [
        "WAL never takes a record that is cut at any byte, over an earlier lap",
      ],
      "crash_test.ts": [
        "WAL recovers after a crash at any call: appends one after another",
      ],
    },
  },
  {
    id: "H3",
    title: "Stale lap",
    what: "Where the log ends, a slot still holds a whole record of an earlier lap, or of another log.",
    threatens: ["G2"],
    tests: {
      "faults/stale_lap_test.ts": [
        "WAL ends where it ended in every slot of three laps, whatever stale records follow",
        "WAL never takes a record of another log, in the place and with the LSN of its own",
      ],
    },
  },
  {
    id: "H4",
    title: "Phantom successor",
    what:
      "Record n is lost, and record n + 1 is whole. After recovery a new record n is written, and the old record n + 1 seems to follow it.",
    threatens: ["G4"],
    tests: {
      "faults/phantom_test.ts": [
        "WAL does not bring back records after a hole after appending before them, 6 in pieces of 64",
        "WAL does not bring back what a recovery discarded when that recovery crashes at any of its calls",
      ],
    },
  },
  {
    id: "H5",
    title: "Append after a torn tail",
    what: "New acknowledged records lie after a gap, where the next recovery cannot reach them.",
    threatens: ["G1", "G4"],
    tests: {
      "faults/phantom_test.ts": [
        "WAL finds what was acknowledged after a recovery that cut, over five crashes in a row",
      ],
      "faults/page_cache_test.ts": [
        "WAL acknowledges nothing after a hole in chains of kills, appends and power cuts",
      ],
      "faults/failed_recovery_sync_test.ts": [
        "WAL erases again what a recovery has erased in memory only, as its sync failed",
      ],
    },
  },
  {
    id: "H6",
    title: "Rot taken for a torn tail",
    what: "A damaged record is taken for the end of the log, so the acknowledged records after it are lost in silence.",
    threatens: ["G5"],
    tests: {
      "faults/bit_rot_test.ts": [
        "WAL refuses a closed log with any one bit of a record turned over",
        "WAL loses nothing to one bit turned over in a crashed log but what no later record or header proves",
        "WAL notes in each group what was durable before it: the watermark moves",
      ],
      "recovery_test.ts": [
        "recover() reports damage to any record that a later one remembers as durable, and to no other",
      ],
      "faults/fuzz_test.ts": [
        "open() notices sectors wiped, swapped, stale, and files cut, or what is left is a prefix",
      ],
    },
    note: "The last group before a crash is proved only if the log was idle before the crash.",
  },
  {
    id: "H7",
    title: "Partial batch",
    what: "A crash leaves a part of a batch on the medium. Or a copy ends within a batch.",
    threatens: ["G3"],
    tests: {
      "faults/batch_test.ts": [
        "WAL recovers whole batches only, cut at each record, in the ring",
        "WAL never completes a batch that was cut with records that are appended after the crash",
      ],
      "faults/backup_test.ts": [
        "backup() through any LSN is what the log had then in whole batches, and goes on from there",
      ],
      "recovery_test.ts": [
        "recover() drops an unfinished batch, cut after each of its records, and erases its records",
      ],
    },
  },
  {
    id: "H8",
    title: "Full taken for empty",
    what: "Head and tail share a slot in a full ring as in an empty one.",
    threatens: ["G2", "G13"],
    tests: {
      "faults/full_ring_test.ts": [
        "WAL holds exactly its capacity and is as full after each reopening, starting at LSN 1",
      ],
      "recovery_test.ts": [
        "recover() tells a full ring from an empty one",
      ],
    },
  },
  {
    id: "H9",
    title: "Bad creation or header",
    what:
      "A crash during creation leaves a short file, or a header copy is torn or damaged. A link planted at the temporary name leads creation to another file.",
    threatens: ["G12", "G14"],
    tests: {
      "create_crash_test.ts": [
        "Storage.open() leaves nothing or a whole file when power is lost at any call, with any subset of what was not synced",
      ],
      "faults/header_test.ts": [
        "WAL opens a crashed log with any one byte of either header copy damaged, and loses nothing",
        "WAL has a whole header copy on the medium at any call, whatever subset of the unsynced pieces arrived",
      ],
      "faults/planted_link_test.ts": [
        "open() does not follow a symbolic link at the log's temporary name",
      ],
      "faults/fuzz_test.ts": [
        "open() stands hostile headers and records under right checksums",
      ],
    },
  },
  {
    id: "H10",
    title: "Success after a failed sync",
    what: "After a failed sync the kernel marks the pages clean, so the next sync succeeds without their data.",
    threatens: ["G6"],
    tests: {
      "faults/failed_sync_test.ts": [
        "WAL acknowledges nothing after a failed sync, and loses nothing before it: batches",
      ],
      "faults/late_failure_test.ts": [
        "WAL.flush() confirms nothing while an asynchronous sync's failure is on its way to the log",
      ],
      "faults/libc_test.ts": [
        "flush() during a pending sync acknowledges that group, and a late failure is final all the same",
      ],
    },
  },
  {
    id: "H11",
    title: "Page cache and disk disagree",
    what: "After a kill or a failed sync the page cache shows records that the medium does not have.",
    threatens: ["G1", "G6"],
    tests: {
      "faults/page_cache_test.ts": [
        "WAL has made durable what it recovered from the page cache of a killed process when open() returns",
        "WAL dirties again what a failed sync has marked clean: nothing recovered is lost with power",
      ],
      "faults/kill_test.ts": [
        "WAL keeps its promises through 200 kills in a row on tmpfs",
      ],
      "faults/failed_recovery_sync_test.ts": [
        "WAL overwrites a header copy only once the other copy is on the medium, whatever the cache says",
      ],
    },
  },
  {
    id: "H12",
    title: "Sync that reports success wrongly",
    what:
      "A sync returns success although the data did not reach the medium. Some network file systems and drives do this.",
    threatens: ["G1", "G5"],
    tests: {
      "faults/lost_sync_test.ts": [
        "WAL never returns a wrong record after a sync that lied, and refuses what a witness proves to be lost",
      ],
      "ffi_disk_test.ts": [
        "open() judges a file system by its name",
      ],
    },
    note: "Network file systems are refused. A local disk that lies is noticed afterwards, not prevented.",
  },
  {
    id: "H13",
    title: "macOS sync that stops at the drive's cache",
    what: "On macOS `msync` and `fsync` return when the data is in the drive's cache, which power loss empties.",
    threatens: ["G1"],
    tests: {},
    note: "Not run here: macOS only. `ffi/system/macos.ts` asks for `F_FULLFSYNC`.",
  },
  {
    id: "H14",
    title: "Cheap sync that is no sync",
    what: "A file system such as tmpfs ignores syncs, or a drive answers them without writing.",
    threatens: ["G1"],
    tests: {
      "ffi_disk_test.ts": [
        "open() says that tmpfs does not last",
      ],
      "faults/lost_sync_test.ts": [
        "WAL never returns a wrong record after a sync that lied, and refuses what a witness proves to be lost",
      ],
    },
    note: "Syncs that are too fast to be true are a warning in `stats().warnings`.",
  },
  {
    id: "H15",
    title: "Metadata in the sync path",
    what: "Blocks that were promised and never written make their first sync commit the file system's journal too.",
    threatens: ["G8"],
    tests: {
      "faults/unwritten_test.ts": [
        "open() writes every block of a new log, a page at a time, and syncs it before it has its name",
        "flush() writes the pages of its records and no other, in the first lap as in the second",
      ],
    },
    note: "The benchmarks compare the times of the first and the second lap.",
  },
  {
    id: "H16",
    title: "Write-protect faults",
    what:
      "After each sync the kernel write-protects the pages again. The next store into a page faults, and can wait for write-back.",
    threatens: ["G16"],
    tests: {
      "counts_test.ts": [
        "logInsert() calls of one turn cost one sync, of the pages they lie in (inline)",
      ],
    },
    note: "The benchmarks measure the delay itself.",
  },
  {
    id: "H17",
    title: "Blocked event loop",
    what:
      "Syncs on the JavaScript thread, and loops that await nothing but the log, keep timers and sockets waiting. A group that waits for the event loop is synced too late.",
    threatens: ["G16"],
    tests: {
      "group_commit_test.ts": [
        "GroupCommit waits for turns no longer than a sync takes, however many callers they bring",
        "GroupCommit lets a lone writer wait for one turn when the others have gone, and then for none",
        "GroupCommit lets timers run while inline commits follow one another",
        "GroupCommit leaves the thread when adaptive syncs are slow, and comes back when they are fast",
      ],
      "faults/held_event_loop_test.ts": [
        "logInsert() lets timers run while a writer works between appends that it awaits",
      ],
    },
    note: "The benchmarks measure the delay itself.",
  },
  {
    id: "H18",
    title: "SIGBUS on a full disk",
    what:
      "A store into a page without a block, or a load from a sector that cannot be read, is a SIGBUS. No JavaScript can catch it.",
    threatens: ["G8"],
    tests: {
      "faults/disk_full_test.ts": [
        "WAL.open() on a full ext4 is WALSpaceError and leaves nothing, or makes a log that works",
      ],
      "faults/unwritten_test.ts": [
        "open() writes every block of a new log, a page at a time, and syncs it before it has its name",
      ],
      "faults/unreadable_sector_test.ts": [
        "WAL.open() rejects a log whose medium ends within it, and salvage opens what is left",
      ],
    },
    note: "Loop devices need root. Without root these tests are skipped and say so.",
  },
  {
    id: "H19",
    title: "SIGBUS on a short file",
    what:
      "Another program cuts the file, or its medium ends within it. A touch of the mapping past the end is a SIGBUS.",
    threatens: ["G8"],
    tests: {
      "faults/header_test.ts": [
        "WAL refuses a file that was cut below what its header says",
      ],
      "faults/gone_test.ts": [
        "lsnAt(), encodeRun() and backup() through an LSN notice a cut of a moment ago before they touch the file",
        "WAL notices that its file was cut while it was idle before it touches the file",
      ],
      "faults/unreadable_sector_test.ts": [
        "WAL.open() rejects a log with pages that cannot be read, and salvage opens everything around them",
      ],
    },
    note: "A cut between the log's check of the file and its store still ends the process.",
  },
  {
    id: "H20",
    title: "Copy-on-write file systems",
    what:
      "A copy-on-write file system needs new space for each overwrite, so preallocated space does not protect a ring.",
    threatens: ["G8"],
    tests: {
      "ffi_disk_test.ts": [
        "open() sets the no-copy-on-write attribute on btrfs, and refuses a file without it",
      ],
      "faults/disk_full_test.ts": [
        "WAL on btrfs goes round and round on a disk that is full, is killed, and goes on",
      ],
    },
    note: "Loop devices need root. Without root these tests are skipped and say so.",
  },
  {
    id: "H21",
    title: "File systems without shared maps",
    what: "Some file systems map a file without showing in the mapping what was written to the file.",
    threatens: ["G8"],
    tests: {
      "ffi_mapped_file_test.ts": [
        "open() refuses a file system that shows other bytes in the mapping",
      ],
    },
  },
  {
    id: "H22",
    title: "Two openers",
    what: "Two openings write one ring: of one thread, of two threads, or of two processes.",
    threatens: ["G7"],
    tests: {
      "faults/openers_test.ts": [
        "open() is refused in the same thread until the log is closed, and the open log goes on",
        "open() is refused while another process has the log; SIGKILL frees it, SIGSTOP does not",
      ],
      "faults/salvage_openers_test.ts": [
        "salvage() loses nothing when another opener comes at any of its system calls and closes it",
        "salvage() by eight processes at once is done by one of them, and no acknowledged record is lost",
      ],
    },
  },
  {
    id: "H23",
    title: "View that outlives the map",
    what: "JavaScript touches a view of the mapping after the file was unmapped.",
    threatens: ["G9"],
    tests: {
      "faults/detached_test.ts": [
        "Region.close() detaches every view before the memory goes",
      ],
      "faults/use_after_close_test.ts": [
        "WAL that is closed, its cursors, iterators and records are safe under garbage collection",
      ],
      "faults/leak_test.ts": [
        "WAL leaks no descriptor, mapping or memory over 2000 openings and closings",
      ],
    },
  },
  {
    id: "H24",
    title: "FFI details",
    what:
      "An errno belongs to another thread, an error value is mistaken for an address, or a constant differs between systems.",
    threatens: ["G8"],
    tests: {
      "ffi_libc_test.ts": [
        "verifyLibc() refuses a library whose answers do not fit the table",
        "mmap() fails with all bits set and leaves its error number",
      ],
      "faults/libc_test.ts": [
        "flush() that fails during a pending sync rejects all, whatever becomes of the pending one",
      ],
      "faults/strace_test.ts": [
        "WAL keeps its promises under strace's inject=fsync:error=EIO:when=1 on a new log, inline",
      ],
    },
  },
  {
    id: "H25",
    title: "Stray writes",
    what: "A wrong index, or a bit that turns over in memory, damages records of an open log.",
    threatens: ["G2"],
    tests: {
      "faults/bit_rot_test.ts": [
        "replay(), records(), cursor() and the consumer never hand out a record whose bits have turned over in a live log",
      ],
    },
  },
  {
    id: "H26",
    title: "Applied before durable",
    what: "The store gets a record that power loss then takes from the log.",
    threatens: ["G11"],
    tests: {
      "faults/consumer_crash_test.ts": [
        "consumeAsync() hands out no record before its sync has ended, however long that takes",
      ],
    },
  },
  {
    id: "H27",
    title: "Confirmed before applied",
    what: "The tail moves, and then the store fails or its process dies before the store has the records.",
    threatens: ["G11"],
    tests: {
      "faults/consumer_crash_test.ts": [
        "consumeAsync() repeats nothing it must not and skips nothing when a crash hits any call of the store, store plain",
        "consumeAsync() makes the store durable before the tail moves, over more than a lap",
      ],
      "faults/failed_store_sync_test.ts": [
        "consumeAsync() with a new store hands out again what an earlier store lost in a failed sync()",
        "stop() after a failed sync() releases nothing that the store lost",
      ],
    },
  },
  {
    id: "H28",
    title: "Applied LSN apart from the data",
    what: "The store saves its data and its LSN apart. After a crash between the two it skips or repeats records.",
    threatens: ["G11"],
    tests: {
      "faults/consumer_crash_test.ts": [
        "consumeAsync() repeats nothing it must not and skips nothing when power fails at any call of the disk, store exact",
        "CrashingStore that saves its LSN apart from its data is noticed by the checks of this file",
      ],
      "faults/checkpoint_store_test.ts": [
        "consumeAsync() refuses a store that lacks records which were confirmed and released",
      ],
      "joined_runs_test.ts": [
        "consumeAsync() applies all runs of a transaction again when SQLiteStore refuses a record",
        "consumeAsync() applies everything again when the commit fails, also one that somebody else has caused",
      ],
    },
  },
  {
    id: "H29",
    title: "Reuse before the new tail is durable",
    what: "Slots are overwritten while a header on the medium still counts their records.",
    threatens: ["G1", "G11"],
    tests: {
      "faults/tail_reuse_test.ts": [
        "WAL never writes over a slot that the durable header still counts: truncate() and appends",
        "WAL keeps whole batches and all that was durable when the newer header copy is lost: batches, truncate() in the middle of one",
        "WAL.open() refuses a log whose only header counts records that were overwritten, and salvage lists them",
      ],
    },
  },
  {
    id: "H30",
    title: "Bad truncate position",
    what: "`truncate()` gets a position that is stale, repeated, or past what is durable.",
    threatens: ["G15"],
    tests: {
      "faults/full_ring_test.ts": [
        "truncate() refuses what is not durable and what is no LSN, and takes what is past",
        "truncate() frees exactly what it names, one record at a time, around the ring",
      ],
    },
  },
  {
    id: "H31",
    title: "Full ring with a stuck consumer",
    what:
      "Appends fill the ring while the consumer hangs, or the store itself appends and waits for itself. Or a consumer fails, and appends wait for ever: for what it has let go of, or for what it holds.",
    threatens: ["G13"],
    tests: {
      "faults/full_ring_test.ts": [
        "logInsert() waits no longer than it was told when the consumer is stuck",
        "logInsert() from within the store rejects in a full ring rather than wait for itself",
        "checkpoint() finds room in a full ring by letting go of what it confirms",
      ],
      "faults/waiting_append_test.ts": [
        "logInsert() settles when letting in another append has just poisoned the log",
        "logInsert() settles when the file goes while lost consumers make room for it",
        "logInsert() from what a store call left running waits for room as any other append does",
        "logInsert() waits for no room that a consumer has made which then failed",
        "logInsert() waits for no room that a consumer has made by beginning, though its sync() fails",
      ],
      "named_consumers_test.ts": [
        "keepRecords makes room also beside a stopped consumer that lacks newer records",
        "logInsert() is refused in a full ring where a stopped consumer lacks the end of a batch",
      ],
    },
  },
  {
    id: "H32",
    title: "Clock that goes back",
    what: "The wall clock goes back between records, or between openings.",
    threatens: ["G10"],
    tests: {
      "faults/clock_test.ts": [
        "WAL's time ascends from record to record whatever the clock does",
        "WAL's time goes on after everything was released: the header remembers it",
        "salvage() of a log goes on after the last record that it keeps, also after the damage",
        "WAL's time never goes back in random histories of clocks, given times, crashes, salvage and backups",
      ],
    },
  },
  {
    id: "H33",
    title: "Order of places in place of LSNs",
    what: "Whole records lie in wrong slots, and the order of the slots is taken for the order of the log.",
    threatens: ["G2"],
    tests: {
      "faults/stale_lap_test.ts": [
        "WAL takes no record for another in a ring whose slots are rotated by a lap or less",
      ],
      "faults/bit_rot_test.ts": [
        "WAL takes no record out of its place when sectors of a crashed log are swapped, copied or wiped",
      ],
    },
  },
  {
    id: "H34",
    title: "Copy while writing",
    what: "A copy that is made while the log is written mixes old and new blocks.",
    threatens: ["G2", "G5"],
    tests: {
      "faults/backup_test.ts": [
        "backup() writes everything durable and nothing else, at any moment, also over the end of the ring",
        "WAL refuses a copy that was read while the log was written, or takes a prefix from it; never a wrong record",
      ],
      "backup_async_test.ts": [
        "backupAsync() holds what was there at the call, whatever is appended and released meanwhile",
        "close() during backupAsync() rejects it with WALClosedError, and leaves no file and nothing open",
      ],
    },
  },
  {
    id: "H35",
    title: "Large folios",
    what: "The page cache holds large folios of the file, so each sync of 64 bytes writes up to a megabyte.",
    threatens: ["G16"],
    tests: {
      "ffi_disk_test.ts": [
        "Region.sync() of 64 bytes writes 8 KiB or less to ext4, to a new, a reopened and a copied file",
        "Region.release() from the kernel reads back on ext4 what lay in large folios, and little else",
      ],
      "faults/unwritten_test.ts": [
        "open() writes every block of a new log, a page at a time, and syncs it before it has its name",
      ],
    },
    note: "Loop devices need root. Without root these tests are skipped and say so.",
  },
  {
    id: "H36",
    title: "Lost file",
    what:
      "The file is deleted, replaced or cut while the log is open. Stores and syncs into the mapping go on succeeding.",
    threatens: ["G1", "G8"],
    tests: {
      "faults/gone_test.ts": [
        "WAL acknowledges nothing once its file is deleted",
        "close() of a log whose file went while it was idle does not mark another's file clean",
      ],
    },
  },
  {
    id: "H37",
    title: "Copy-on-write overwrites in new space",
    what:
      "On btrfs a log that is full of written blocks still gets a SIGBUS on a full disk, and each commit of 64 bytes writes many blocks.",
    threatens: ["G8"],
    tests: {
      "ffi_disk_test.ts": [
        "open() sets the no-copy-on-write attribute on btrfs, and refuses a file without it",
      ],
      "faults/disk_full_test.ts": [
        "WAL on btrfs goes round and round on a disk that is full, is killed, and goes on",
      ],
    },
    note: "Loop devices need root. Without root these tests are skipped and say so.",
  },
  {
    id: "H38",
    title: "Position without a lineage",
    what: "A log is restored from a copy or made anew. An LSN that a store has saved then names another record.",
    threatens: ["G11"],
    tests: {
      "faults/lineage_test.ts": [
        "consumeAsync() of a log that was restored from a backup refuses a store that has more, before, when and after it grows past its LSN",
        "consumeAsync() of a log that was put back as a copy of the closed file refuses a store at each try of a supervisor while producers go on",
        "consumeAsync() of a log that was deleted and made anew refuses the store in every later opening, closed or crashed",
        "consumeAsync() of a log that salvage made takes its store, and refuses one that has what it could not keep",
        "consumeAsync() that crashes at any call of a fork leaves a log that forks again or has forked; the store stays refused",
        "consumeAsync() of a log on a disk that was restored from a backup refuses its SQLiteStore in every opening",
        "consumeAsync() is refused a store while a consumer of another log fills it",
      ],
      "faults/backup_test.ts": [
        "backup() through an LSN makes a log that refuses stores which have more, and gives others the rest",
      ],
      "stores_sqlite_test.ts": [
        "SQLiteStore.applyBatch() refuses a run of another log that starts at or below its LSN",
        "SQLiteStore saves LSN and log id in the transaction of the data",
      ],
    },
    note:
      "The log cannot tell a file that was put back by `cp`, grew, and was closed before its store was consumed. Use `backup()`.",
  },
  {
    id: "H39",
    title: "Caller's code inside an append",
    what:
      "A getter, an iterator, a Proxy or the wall clock runs inside an append. It calls the log that is appending, or takes away the bytes of a key.",
    threatens: ["G1", "G2", "G3"],
    tests: {
      "faults/callers_code_test.ts": [
        "logInsertSync() writes into no slot that is taken, whatever the caller's code does while it is read",
        "WAL reads each value of a caller once: times, items, batches, options, ranges, stores",
        "logInsert() that waits for room writes what its call read, even if the caller changes that later",
        "WAL refuses bytes that the caller's code takes away before they are read, and writes nothing",
      ],
      "bytes_test.ts": [
        "logInsert() writes the bytes of its call, whatever becomes of them later",
      ],
    },
    note: "A file system of the caller's own (`storage`) is trusted.",
  },
  {
    id: "H40",
    title: 'Stale header that says "closed"',
    what:
      "An old header copy comes back after the log has gone on. It says that the log was closed, with fewer records.",
    threatens: ["G1", "G5"],
    tests: {
      "faults/stale_header_test.ts": [
        "recover() loses nothing in silence with any header copy of before, unless lost records took the slot where it stops",
        "WAL.open() refuses a log whose header says that it was closed 800 records ago: both copies are old",
        "recover() does not believe a clean mark that is refuted in any free slot, in any lap, by a torn record",
      ],
    },
    note:
      'Two old copies are not noticed where lost and erased records took the slot at which the walk stops. With `verify: "ends"` they are not noticed where such records took 4,096 slots from the old head on.',
  },
  {
    id: "H41",
    title: "Failed inspection taken for a lost file",
    what: "The log cannot ask for its file's state for a while, and takes the file for lost.",
    threatens: ["G1", "G8"],
    tests: {
      "faults/path_inspection_test.ts": [
        "WAL goes on, and warns, while the inspection of its path fails with EACCES",
        "WAL goes on while its directory is closed for a while, inspected by statx",
        "WAL notices that its file was deleted though the path cannot be inspected",
      ],
    },
    note: "The next inspection that succeeds notices a file that replaced the log meanwhile.",
  },
  {
    id: "H42",
    title: "Name whose meaning changes",
    what:
      "The log's path leads to another file later. The working directory changes, a link is turned, or a file system is mounted.",
    threatens: ["G1", "G2"],
    tests: {
      "faults/path_meaning_test.ts": [
        'WAL opens the log that "log" meant when it was given, whatever the directory is since',
        "WAL opens the same log again though the symbolic links that led to it were turned",
        "stats() warns when a file system was mounted over the log's directory",
      ],
    },
    note: "Another log at the path of one that was closed is a warning.",
  },
  {
    id: "H43",
    title: "One wrong clock",
    what: "One reading of a wrong clock moves the log's time years ahead, where it stays.",
    threatens: ["G10"],
    tests: {
      "faults/clock_test.ts": [
        "WAL is left in no other century by one wrong clock, however many records meet it",
        "stats() says by how much the log's time is ahead of the clock, in each opening, until the clock gets there",
        "WAL.open() of a log that was closed for a week, or longer, takes the clock's time",
      ],
    },
    note:
      "The first reading of an opening is followed. Deno's monotonic clock stands still while a Linux machine sleeps.",
  },
  {
    id: "H44",
    title: "Yield that is none",
    what: "A loop gives way to timers, but not to sockets. A server in the process does not answer.",
    threatens: ["G16"],
    tests: {
      "faults/sockets_test.ts": [
        "WAL lets a server answer while a writer awaits each append, inline",
        "WAL lets a server answer while a writer appends and something else keeps the event loop awake",
        "WAL lets a server answer while a synchronous store is given a backlog, native",
        "WAL lets a server answer while a store that takes runs is given a backlog, node",
      ],
      "faults/held_event_loop_test.ts": [
        "consumeAsync() lets timers run within a run that a synchronous store is given",
      ],
    },
    note:
      "A sync on the thread, and a call to a store, hold the event loop for as long as they take. The benchmarks measure the delay itself.",
  },
  {
    id: "H45",
    title: "Same process again",
    what: "A program is loaded again in its process, or a worker is terminated, while its log is open and locked.",
    threatens: ["G7"],
    tests: {
      "faults/reload_test.ts": [
        "WAL.open() of a program under `deno run --watch` opens the log that it did not close before it was restarted",
        "WAL.open() of a program under `bun --hot` takes over the log of its evaluation before, which does not get it back",
        "WALLockedError tells a test that follows one that threw why the log is locked; in Deno the next file opens it",
        "WAL.open() opens a log that a terminated worker on V8 had open, without its process ending",
        "WALLockedError says why a log is locked that a terminated Bun worker had open",
        "open() takes nothing over from this evaluation of the module, nor from one of another URL",
      ],
    },
    note: "A worker that Bun terminates keeps its descriptors, and with them the lock.",
  },
  {
    id: "H46",
    title: "Dead consumer that is silent",
    what: "The consumer fails, is refused, or hangs. Appends go on being acknowledged, and nobody is told.",
    threatens: ["G11", "G13"],
    tests: {
      "faults/dead_consumer_test.ts": [
        "stats() warns at once when a consumer has failed with records left, until they are applied",
        "whenApplied() rejects with the error of the last consumer, which failed, until another one starts",
        "WALFullError has the failed consumer's error as its cause, for waiting and for later appends",
        "stats() and WALFullError report a call to the store that does not return, with a warning after a second",
        "consumeAsync() ends when the log is closed while insert() does not return, and ignores what the call does later",
        "consumeAsync() calls a store only after a call of an earlier log has ended",
      ],
    },
  },
  {
    id: "H47",
    title: "Signal in place of an error",
    what: "The system sends a signal where an error was expected, as for a file longer than the process may write.",
    threatens: ["G8", "G12"],
    tests: {
      "faults/signal_test.ts": [
        "WAL.open() of a new log longer than this process may write is WALSpaceError, and leaves nothing",
        "WAL goes round and round in a log that is longer than this process may write, and refuses to copy it",
        "examples/*.ts and scripts/*.ts end by themselves when nobody reads what they print",
      ],
    },
  },
  {
    id: "H48",
    title: "Answer that is not checked",
    what: "The foreign function interface returns something that is no function and no memory, and the log uses it.",
    threatens: ["G8"],
    tests: {
      "faults/ffi_answers_test.ts": [
        "WAL.open() without a JIT is WALPlatformError with the first reason as cause; a log in memory works",
        "WAL.open() on a Node without its FFI is WALPlatformError that names the Node to take; a log in memory works",
        "WAL.open() on a runtime that lacks JavaScript of the log's is WALPlatformError, in memory too",
        "WAL.open() takes no global of another runtime's name for that runtime",
        "openLibc() tries each name of the library, and says of all why not",
        "openLibc() names a function that the library does not have",
      ],
    },
  },
  {
    id: "H49",
    title: "Derived name that is too long",
    what: "The name of a temporary or a kept file is too long for the file system, although the log's own name is not.",
    threatens: ["G5", "G12"],
    tests: {
      "faults/long_name_test.ts": [
        "WAL makes, salvages and backs up a log whose name has 200 to 255 bytes, of n",
        "WAL makes, salvages and backs up a log with a long name in a temporary directory",
        "WAL names the name that is too long: the log's, a directory's, the backup's",
      ],
    },
  },
  {
    id: "H50",
    title: "File seen through another name",
    what:
      "A file has several names, by hard links or by a crash during creation, or its path is not the one that was meant.",
    threatens: ["G2", "G15"],
    tests: {
      "faults/other_names_test.ts": [
        "open() leaves the temporary file of a living creator alone",
        "stats() warns of a log with hard links for as long as it has them, looked at by statx",
        "WAL refuses a path that can only be a mistake, and says what to give instead",
        "open() on a read-only file system says what to do, and a copy opens",
      ],
    },
    note: "A reflink and a bind mount cannot be told from the log.",
  },
  {
    id: "H51",
    title: "Values that are not their own",
    what:
      "Records with equal fields compare as different values, a copy of a record loses its fields, or its bytes say something else than its halves.",
    threatens: ["G2"],
    tests: {
      "stored_record_test.ts": [
        "WALRecord is the same value before and after an append, and however it is read",
        "WALRecord is another value when one field differs",
        "structuredClone() and postMessage() refuse a record, alone or in anything else, and take what toObject() gives",
        "console.log() shows a record's fields, and not its internal words",
      ],
      "record_bytes_test.ts": [
        "WALRecord.key and WALRecord.value have each byte of their halves at its place, big-endian",
        "copyKey() and copyValue() give what the halves say, for each value of each byte",
        "copyKey() and copyValue() refuse what cannot take 16 bytes, and write no byte",
      ],
      "store_bytes_test.ts": [
        "MemoryStore reads back each byte of a key and of a value at its place",
        "SQLiteStore reads back each byte of a key and of a value at its place",
      ],
    },
  },
  {
    id: "H52",
    title: "Pages that go back to the engine",
    what:
      "The engine collects the WebAssembly memory that a file is mapped in, or ends its worker, and gives the pages to others, who store into the file.",
    threatens: ["G2", "G9"],
    tests: {
      "faults/given_back_test.ts": [
        "Region.close() leaves no way to the file, through the memory either",
        "Region that was dropped keeps its memory, so that no file changes",
        "WAL in workers that are terminated leaves its memory to others, and no file changes",
        "WAL keeps every byte of 1000 logs that are open at once, closed or dropped, under garbage collection",
      ],
      "ffi_libc_test.ts": [
        "verifyLibc() refuses a library whose answers do not fit the table",
      ],
      "file_memory_test.ts": [
        "FileMemory.recycle() gives the memory to a later file, with zeros and with the codec's part",
        "FileMemory holds zeros where the memory of a closed log in memory is used again",
        "FileMemory.toMap() begins the file at a page, wherever the memory lies, and has all of its last page",
      ],
      "codec_test.ts": [
        "MemoryCodec leaves a memory alone that was detached, because another file may be there",
      ],
    },
    note:
      "JavaScriptCore does both with the file still mapped; V8 unmaps it. In Bun's workers no file is mapped into a WebAssembly memory. `bun test --isolate` frees the memory of a dropped log with its file's globals, which cannot be prevented.",
  },
  {
    id: "H53",
    title: "Bytes that are no key",
    what:
      "Bytes given as a key, a value or a batch have another length or type, or share their memory. Or they are written in another order than halves are.",
    threatens: ["G2", "G15"],
    tests: {
      "bytes_test.ts": [
        "logInsert() refuses what is no Uint8Array of 16 bytes, says why, and writes nothing",
        "batchInsert() and batchDelete() refuse what is no packed batch, say why, and write nothing",
        "WAL writes the same records for bytes, for items in bytes and for packed batches as for halves",
      ],
    },
  },
  {
    id: "H54",
    title: "Records without their checksum yet",
    what:
      "An append stores its fields, and the checksum comes later. Before that the process is killed, a sync starts, somebody reads, or a later record gets its own.",
    threatens: ["G1", "G2"],
    tests: {
      "faults/unsealed_test.ts": [
        "logInsertSync() survives a kill at once with all before it, and no sealed record follows an unsealed one",
        "logInsert() has its checksum when its burst is over, whether or not anything was synced",
        "flush() makes durable what the same burst has appended, in any mix",
        "replay() reads what the same burst has appended, in any mix",
      ],
      "faults/gone_test.ts": [
        "flush() and replay() notice that the file was cut after an append of the same burst, before they seal it",
      ],
      "faults/lost_sync_test.ts": [
        "WAL acknowledges each half of a cut group only when that half is on the medium, at every crash",
      ],
    },
  },
  {
    id: "H55",
    title: "Run that is damaged on its way",
    what:
      "A run of records is cut, changed, mixed up with another one, or sent to the follower of another log. Or it is made of a part of a batch.",
    threatens: ["G2", "G3"],
    tests: {
      "faults/runs_test.ts": [
        "decodeRun() refuses a run with any flipped bit, and says where",
        "decodeRun() refuses a run of any other length",
        "decodeRun() refuses a run of another log: log",
        "decodeRun() decodes no splice of runs, unless it is a run that was encoded",
        "readRun() of docs/format.md and decodeRun() say the same of random splices",
      ],
      "runs_test.ts": [
        "WAL.encodeRun() takes durable records only, and whole batches",
        "decodeRun() of WAL.encodeRun() is what records() gives, in whole batches, as the reader of docs/format.md finds it",
      ],
    },
    note:
      "A run does not show that it begins with a batch, nor which run came before it. Whoever reads several compares their LSNs.",
  },
  {
    id: "H56",
    title: "Batch of several operations",
    what:
      "An update deletes the old record and inserts the new one, and only one of them happens. Or an item of a batch does what its caller did not mean: it lacks its value, or has one that its operation does not take.",
    threatens: ["G3", "G15"],
    tests: {
      "batch_test.ts": [
        "batch() writes the records of single calls, whatever operations, forms and iterables it is given",
        "batch() is one batch: recovered whole or not at all, with runs of each length",
        "batch() goes to the store in one run, and to a store without applyBatch() record by record",
        "batch() refuses a batch with an item that is none, says which and why, and writes nothing",
        "batch() clears the value of a delete, whatever its memory held before",
      ],
      "faults/batch_test.ts": [
        "WAL recovers whole batches only, cut at each record, mixed, over the end of the ring",
      ],
    },
  },
  {
    id: "H57",
    title: "Another file under a log in use",
    what:
      "A resize puts a new file in the log's place. It crashes or fails halfway, other openers come, and calls, readers, syncs and a consumer are under way in the old file.",
    threatens: ["G1", "G2", "G7", "G9", "G12"],
    tests: {
      "faults/resize_test.ts": [
        "resize() from 65536 to 98304 bytes leaves the old log or the new one after a crash at any call, names in any order",
        "resize() throws a typed error when a call fails once, and the log goes on",
        "resize() keeps every other opener out, at each of its system calls",
        "resize() goes on when a log whose name differs in case is opened or resized at any of its system calls",
        "WAL.open() finds the resized log or is refused, when a resize comes at any of its own system calls",
        "resize() loses nothing when its process is killed at any time, again and again",
      ],
      "resize_test.ts": [
        "resize() makes durable what was appended, and acknowledges all who wait for that",
        "resize() with syncs of records and header under way in the old file, which end with an error",
        "resize() goes on under a consumer: each record once, in order, in runs and one by one",
        "backupAsync() goes on over resizes, with the records that were released meanwhile",
      ],
      "faults/histories_test.ts": [
        "WAL keeps its promises in random histories, seeds 1 to 100",
      ],
    },
    note:
      "If the new file is in place, and neither it nor the old one can be made durable there, the log is poisoned, because power loss may leave either. Both have all that was acknowledged.",
  },
  {
    id: "H58",
    title: "Records that a store does not know",
    what:
      "A log has replaces or records of the application. Its store has no method for them, adds the value of a replace to the others, or skips what it does not know.",
    threatens: ["G11"],
    tests: {
      "operations_test.ts": [
        "consumeAsync() ends with WALOperationError at a record for replace(), which the store lacks",
        "consumeAsync() ends with WALOperationError at a record for apply(), which the store lacks",
        "MemoryStore applies replaces, and refuses a record of the application without skipping it",
        "SQLiteStore applies replaces, and refuses a record of the application without skipping it",
      ],
      "testing_kit_test.ts": [
        "storeConformance() fails KeepsReplaced",
        "storeConformance() fails SkipsOperations",
      ],
    },
    note: "A store with applyBatch() must itself throw at what it does not know. storeConformance() tries that.",
  },
  {
    id: "H59",
    title: "A hold that is forgotten",
    what:
      "A consumer is registered, and does not run. After a crash nobody knows it, or takes it for further than it is, and another one has its records released. Or a record is released that a stopped consumer lacks, or one whose store has not said yet what it has.",
    threatens: ["G11"],
    tests: {
      "beginning_consumers_test.ts": [
        "consume() has the log keep all records until the consumer begins, whatever others release",
        "consume() has the log keep the records after those with which a lost store was filled again",
        "a consumer that ends before it begins keeps nothing any more",
      ],
      "faults/histories_test.ts": [
        "makeHistory() makes random histories that meet each hazard that they are about",
      ],
      "faults/holds_test.ts": [
        "WAL releases nothing that a registered consumer lacks, in random lives with crashes at any call",
        "consume() has both header copies name a new consumer before its first record, and dropConsumer() none",
      ],
      "named_consumers_test.ts": [
        "a consumer that is not running holds its records after a restart, and after a crash too",
        "the unnamed consumer holds its records from its start on, also if it was alone before a crash",
        "a consumer whose store has gone back holds what the store lacks, after a crash too",
        "a record is released when all consumers have it, and a stopped one holds what it lacks",
        "truncate() and checkpoint() may not pass a named consumer, running or not",
      ],
      "salvage_test.ts": [
        "salvage() keeps what checkpoints after the damage say, so that no later recovery takes it for news",
      ],
    },
  },
  {
    id: "H60",
    title: "A consumer that is given up, and not told",
    what:
      "The log gives up a consumer that is too far behind. A crash forgets that, after slots of its records were used again. Or the consumer goes on, or its store is taken for whole later.",
    threatens: ["G11", "G13"],
    tests: {
      "faults/histories_test.ts": [
        "makeHistory() makes random histories that meet each hazard that they are about",
      ],
      "faults/holds_test.ts": [
        "WAL says on the medium that a consumer is lost before it uses a slot of its records again",
        "WAL says that a consumer is lost before it writes a checkpoint that does not count it",
        "WAL refuses a store that lacks what a dropped consumer let go of",
        "WAL releases nothing that a registered consumer lacks, in random lives with crashes at any call",
      ],
      "named_consumers_test.ts": [
        "keepRecords holds while its consumer can still let go of records",
        "a consumer that is too far behind is lost, and the ring is not full",
        "logInsert() goes on where a consumer with a limit hangs within the batch that it needs",
        "a lost consumer that runs ends with WALConsumerLostError",
        "logInsert() waits for the commit of what lost consumers do not hold any more, flush: offload",
        "a lost consumer is accepted when its store was filled again",
        "consumeAsync() ends with WALConsumerLostError when the consumer is given up while its store is asked for its LSN",
      ],
    },
  },
  {
    id: "H61",
    title: "Checkpoints that wake each other",
    what:
      "Each consumer writes a checkpoint for what it has applied. The checkpoint wakes the other consumer, which writes one too, for ever, on an idle log.",
    threatens: ["G16"],
    tests: {
      "faults/holds_test.ts": ["the checkpoints of several consumers do not wake each other for ever"],
      "named_consumers_test.ts": ["an idle log with several consumers writes no records and no headers"],
    },
  },
  {
    id: "H62",
    title: "A table of consumers that no writer makes",
    what:
      "A header with a good checksum has consumers that cannot be: ahead of what is durable, behind the tail, two of a name, a name that is no text.",
    threatens: ["G5", "G11"],
    tests: {
      "format_reader_test.ts": [
        "docs/format.md makes a reader that agrees with recovery on forged (headers) logs",
      ],
    },
  },
  {
    id: "H63",
    title: "Something else at the live file's path",
    what:
      "The path of the live file is known in advance. A link, a pipe, a directory or somebody's file is there, or the sandbox denies it, or it is deleted or replaced while it is used. Or the system does not tell of each write of it.",
    threatens: ["G14", "G19"],
    tests: {
      "faults/follow_live_file_test.ts": [
        "WAL.open() with followers leaves a symbolic link at the live file's path alone, and goes on",
        "WAL.open() with followers goes on when the sandbox denies the live file, and so does a follower",
        "Follower believes no live file that is a link, is another user's, or is copied from another log",
        "WAL.follow() needs permission to read the log, and no other",
      ],
      "follow_live_test.ts": [
        "Follower goes on when the live file is deleted or replaced, and uses the next one",
        "Follower notices a record although the doorbell rings only once in a few milliseconds, as on Bun",
        "Follower hears the next writer, whether it comes soon or late",
      ],
    },
  },
  {
    id: "H64",
    title: "A record that is stored while it is read",
    what: "A follower copies a slot while the writer stores a record there, so the copy has words of two records.",
    threatens: ["G19"],
    tests: {
      "faults/follow_torn_test.ts": [
        "Follower shows no mixture of two records, whatever words of a slot its copy has of each",
      ],
      "faults/follow_processes_test.ts": [
        "Follower reads what a writer on deno writes over many laps",
      ],
    },
    note: "A mixture whose checksum of 32 bits is right by chance would be shown.",
  },
  {
    id: "H65",
    title: "Headers and live files that are torn or stale",
    what:
      "A follower reads a header or a live file while it is stored, or a live file that a dead writer has left. It takes records for durable that are not.",
    threatens: ["G19"],
    tests: {
      "faults/follow_torn_test.ts": [
        "Follower reads on while the writer stores a header, and while both copies are torn for a moment",
      ],
      "follow_live_test.ts": [
        "Follower knows the newest group from the live file, and only for the header that it names",
      ],
      "follow_test.ts": [
        "WAL.follow() shows durable records only, as far as the file proves that",
      ],
    },
  },
  {
    id: "H66",
    title: "A follower that is lapped",
    what:
      "The log waits for no follower. It releases records that a follower has still to read, and stores others into their slots.",
    threatens: ["G19"],
    tests: {
      "follow_test.ts": [
        "cursor() of a follower throws WALLaggedError once the writer has overwritten its next record",
        "records() of a follower goes on over many laps, and reads released records as long as they are there",
      ],
      "faults/follow_torn_test.ts": [
        "Follower tells overwritten records from damaged ones, at each record",
        "Follower that is lapped within a run names all records that its caller lacks",
      ],
      "follow_consume_test.ts": [
        "consumeAsync() of a follower ends with the errors of the log, of the store, and of a store that does not fit",
      ],
    },
  },
  {
    id: "H67",
    title: "Another file or another history under a follower",
    what:
      "The log is resized, salvaged, put back from a copy, made anew, deleted, or reopened after a crash of its writer, while a follower reads it.",
    threatens: ["G19"],
    tests: {
      "follow_test.ts": [
        "WAL.follow() goes on after a resize, in the larger and in the smaller file",
        "WAL.follow() notices that its file was deleted, cut, or replaced by another log",
        "WAL.follow() goes on in a backup that is put in place, if that has all that was read",
        "WAL.follow() throws WALRewoundError when an older state of the file is put back",
      ],
      "faults/follow_processes_test.ts": [
        "Follower goes on when its writer is killed again and again, and started anew",
        "Follower that is killed leaves nothing behind, and keeps no writer out",
        "Follower and its writer on deno go on, whichever is killed, over many laps",
      ],
      "faults/follow_replaced_test.ts": [
        "Follower goes on while the log is resized, larger and smaller, again and again",
        "Follower goes on in the salvaged log, whose lost records keep their LSNs",
        "Follower ends when a salvaged log takes the place that lacks what it has read",
        "Follower ends when a copy with another history takes the log's place",
        "Follower goes on in a copy with another history, if it has read only what both have",
      ],
    },
    note:
      "If the newest record that was read is overwritten by the time the follower looks, an older file with another history shows only by its ids.",
  },
  {
    id: "H68",
    title: "An unknown outcome",
    what:
      "A message to a target, or the answer, is lost or late. Sending it again would double records, and going on would leave a gap.",
    threatens: ["G20"],
    tests: {
      "faults/shipping_test.ts": [
        "shipTo() ships each record once over a broker that loses and delays, seeds 1 to 300",
        "followFrom() feeds a store once from a broker that repeats, fails and loses its end, seeds 1 to 20",
      ],
      "faults/ship_messages_test.ts": [
        "shipTo() uses the bytes of a message again once it is confirmed, unless it was sent twice",
      ],
      "faults/ship_kill_test.ts": [
        "shipTo() and followFrom() over JetStream give each follower the writer's store, though everything is killed",
        "shipTo() and followFrom() over PostgreSQL give each follower the writer's store, though everything is killed",
      ],
      "faults/ship_cluster_test.ts": [
        "shipTo() and followFrom() go on when the leader of a replicated stream was killed",
      ],
      "ship_jetstream_test.ts": [
        "shipTo() and followFrom() go on when the server was killed and comes back",
        "shipTo() loses nothing when the server's disk is full",
      ],
    },
  },
  {
    id: "H69",
    title: "A confirmation that does not last",
    what:
      "A broker confirms before it syncs, and a power cut takes what it confirmed. It then gives the same places to other messages.",
    threatens: ["G1", "G20"],
    tests: {
      "faults/ship_messages_test.ts": [
        "shipTo() tells as durable only what the target has confirmed",
      ],
      "faults/shipping_test.ts": [
        "shipTo() ships again what a broker has confirmed and lost, seeds 1 to 300",
        "followFrom() feeds a store once from a broker that repeats, fails and loses its end, seeds 1 to 20",
      ],
      "ship_jetstream_test.ts": [
        "shipTo() ships a tail again that the server had confirmed and has lost",
        "shipTo() is refused if the log has released what the server has lost",
        "followFrom() goes on with a stream that has lost its end and got it again",
        "shipTo() warns of what a stream may lose, and refuses one that keeps nothing",
      ],
    },
    note: "If the log has released what the broker has lost, the consumer ends with WALStoreError, and followers wait.",
  },
  {
    id: "H70",
    title: "Two shippers",
    what:
      "A process that ships was replaced and lives on, or a message of it comes late. Its messages get between those of its successor.",
    threatens: ["G20"],
    tests: {
      "faults/shipping_test.ts": [
        "shipTo() ships each record once over a broker that loses and delays, seeds 1 to 300",
        "shipTo() ships again what a broker has confirmed and lost, seeds 1 to 300",
      ],
      "ship_jetstream_test.ts": [
        "shipTo() is told that another shipper has taken over",
        "shipTo() has the server refuse a late message of an old shipper, although its place fits",
      ],
      "faults/ship_messages_test.ts": [
        "shipTo() does not ask for ever a target that refuses what it shows as its end",
        "shipTo() sends no run after a claim if the end has changed while it claimed",
      ],
    },
  },
  {
    id: "H71",
    title: "Messages that do not belong together",
    what:
      "A target has messages of another log, of a fork, with a gap, damaged or foreign ones, or lacks those that a store needs. A store is of another log.",
    threatens: ["G20"],
    tests: {
      "ship_jetstream_test.ts": [
        "followFrom() stops before a message in the stream that is a fork",
        "followFrom() refuses messages in another order",
        "followFrom() skips a message that is in the stream twice, byte for byte",
        "followFrom() is told that the messages that it needs were removed",
        "shipTo() refuses a log of another lineage, and names the way back",
        "followFrom() refuses a store of another log, and takes one that a backup has filled",
      ],
      "faults/ship_messages_test.ts": [
        "followFrom() stops before a message that is not the log's next one, and says why",
      ],
    },
  },
  {
    id: "H72",
    title: "A set of shards that is half made",
    what:
      "The machine or the process dies while the logs of a set are made. Some are there, and some are not, and records may go into those that are.",
    threatens: ["G12", "G21"],
    tests: {
      "faults/shards_test.ts": [
        "openShards() finishes a set whose making was cut at any call, and opens no shard before",
        "openShards() finishes no set with the wrong number of shards, or with `create: false`",
        "openShards() leaves no file open if one of the shards cannot be opened",
      ],
    },
  },
  {
    id: "H73",
    title: "A shard that is lost or exchanged",
    what:
      "The file of a shard is deleted, is that of another shard or of another set, or is no shard. The caller asks for another number of shards than there are.",
    threatens: ["G1", "G7", "G21"],
    tests: {
      "faults/shards_test.ts": [
        "openShards() refuses a set that lacks a shard, and makes none in its place",
        "openShards() refuses another number of shards, and files that are not the shards of their places",
      ],
    },
    note:
      "A process that opens one shard alone has nothing to compare its set with, so it takes the same shard of another set with as many shards.",
  },
  {
    id: "H74",
    title: "A key in the wrong shard",
    what:
      "A later version computes another shard, the caller's code changes a key while it is logged, or a batch has keys of several shards. Then records of one key lie in two logs, and have no order.",
    threatens: ["G21"],
    tests: {
      "shards_test.ts": [
        "shardOf() never changes: these keys are of these shards",
        "shardOf() is MurmurHash3 of the key's bytes modulo the shards, in bytes and in halves",
        "Shards has the methods of WAL that append, and each does what WAL's does",
      ],
      "faults/shards_test.ts": [
        "openShards() puts each key into the log of its shard, whatever the caller's code does meanwhile",
        "openShards() refuses a batch that spans shards, and a key whose shard is not open here",
      ],
    },
    note: "Whoever appends to the log of a shard directly, by log(shard), is not checked.",
  },
  {
    id: "H75",
    title: "One shard fails",
    what:
      "A sync, a store or the closing of one shard fails, and the others are given up with it, or it goes unnoticed.",
    threatens: ["G1", "G6", "G11"],
    tests: {
      "faults/shards_test.ts": [
        "flush() of shards makes all durable that can be, and one that fails harms no other",
        "consume() of shards goes on in the others when one store fails, and each store has its own log",
      ],
    },
  },
  {
    id: "H76",
    title: "Statements that race",
    what:
      "Two shippers write into a table at once, or one of them writes where another has been. Rows then come twice, leave a gap, or fork.",
    threatens: ["G20"],
    tests: {
      "ship_postgres_test.ts": [
        "shipTo() has the server refuse what does not come directly after the last message",
        "shipTo() is told that another shipper has taken over",
        "shipTo() refuses a table that could not refuse repeats, and one of something else",
      ],
    },
  },
  {
    id: "H77",
    title: "A commit that does not last",
    what:
      "A server commits without a sync, or is restored, or a standby without the last rows takes its place. What it confirmed is gone.",
    threatens: ["G1", "G20"],
    tests: {
      "faults/ship_failover_test.ts": [
        "shipTo() ships again what an asynchronous standby lacks, and followFrom() goes on",
        "shipTo() is refused if the log has released what an asynchronous standby lacks",
        "shipTo() does not call durable what a synchronous standby lacks, and loses nothing",
      ],
      "ship_postgres_test.ts": [
        "shipTo() waits for the server's sync although synchronous_commit is off",
        "shipTo() ships a tail again that the server had confirmed and has lost, and followFrom() goes on",
        "shipTo() is refused if the log has released what the server has lost",
        "shipTo() and followFrom() try again when the server has cancelled a statement",
        "shipTo() warns of what a server may lose",
      ],
    },
  },
  {
    id: "H78",
    title: "A statement with several messages",
    what:
      "A statement that stores several messages is refused, lost or late. A part of them counts as stored, or those behind it are stored without it.",
    threatens: ["G20"],
    tests: {
      "faults/shipping_test.ts": [
        "shipTo() ships each record once to a table whose server loses, delays and forgets, seeds 1 to 150",
        "followFrom() feeds a store once from a table whose server fails and loses its end, seeds 1 to 8",
      ],
      "ship_postgres_test.ts": [
        "shipTo() settles what a statement has done whose answer came too late",
        "shipTo() and followFrom() go on when the server was killed and comes back",
        "shipTo() loses nothing when the server's disk is full",
      ],
    },
  },
  {
    id: "H79",
    title: "A table that was changed by hand",
    what:
      "Rows of a table were removed, changed, damaged or put there by something else, or its columns say other than its messages.",
    threatens: ["G20"],
    tests: {
      "ship_postgres_test.ts": [
        "followFrom() believes the messages, and not the columns beside them",
        "followFrom() stops before a row that is a fork",
        "followFrom() refuses rows in another order, and is told that those that it needs were removed",
        "shipTo() and followFrom() are told that there is no table, that it was emptied or dropped",
      ],
    },
  },
  {
    id: "H80",
    title: "A record that is skipped",
    what:
      'A store cannot apply a record, and `onError` answers `"skip"`. Others are left out with it, or nobody is told, or whoever waits for it waits for ever. Or the record is confirmed, and the log refuses the store.',
    threatens: ["G11", "G13"],
    tests: {
      "skip_test.ts": [
        '"skip" leaves out the record that a store without applyBatch() cannot apply, and no other',
        '"skip" narrows a run down to the batch that a store with applyBatch() cannot apply',
        "the LSN of a store does not pass a skipped record before the store has a later one",
        "whenApplied() counts a skipped record also after the consumer has confirmed what comes before",
        "consumeAsync() ends when it has skipped all that the ring holds, so that no append waits for ever",
        "consumeAsync() gives up a consumer with a limit that has skipped all that the ring holds",
        "logInsert() waits for no consumer with a limit that has skipped from the middle of a batch on",
        "dropConsumer() forgets what the consumer has skipped",
        "consumeAsync() confirms no record that a failed sync() has lost before a skipped one",
        "consumeAsync() confirms no skipped record that has only a checkpoint after it since a failed sync()",
      ],
    },
  },
  {
    id: "H81",
    title: "A tool that misleads",
    what:
      "An operator acts on what `cidwal` says. It calls a damaged log whole, or a live one damaged. Its filters show too much, its copies cut batches. Or it writes where it is only to look, or copies what a writer overwrites meanwhile.",
    threatens: ["G3", "G5"],
    tests: {
      "cidwal_read_test.ts": [
        "cli/main.ts verify tells a clean log, a torn tail, damage and other files apart by its exit code",
        "cli/main.ts dump prints the records that a range, a filter and a limit take",
        "cli/main.ts reads a log that another process writes as fast as it can",
        "cli/main.ts writes nothing to a log that is open elsewhere, whatever the command",
      ],
      "cidwal_copy_test.ts": [
        "cli/main.ts export leaves out batches that the range, the limit or damage cuts, and says so",
        "cli/main.ts import refuses a run that is damaged, a full log and one that is open",
        "cli/main.ts salvage --to writes a new log, and leaves the damaged file as it is",
        "cli/main.ts salvage --in-place asks first, and keeps the damaged file",
      ],
      "cidwal_raw_test.ts": [
        "salvageTo() leaves no file if a writer releases what it copies",
      ],
    },
  },
  {
    id: "H82",
    title: "Damage that looks like the end",
    what:
      "A log has crashed, and its header is older than many records. A follower takes the first one of them that is damaged for the log's end, and shows or copies less than is durable.",
    threatens: ["G5", "G19"],
    tests: {
      "follow_test.ts": [
        "WAL.follow() takes no damaged record of a log that crashed for the log's end",
      ],
    },
    note: "Damage more than 16 times as long as what is left behind it may be taken for the end.",
  },
  {
    id: "H83",
    title: "A recovery elsewhere",
    what:
      "Workers recover shards before this thread opens them. They change a shard that the opening refuses, what they found is lost, or a later opening reports it once more.",
    threatens: ["G5", "G21"],
    tests: {
      "shards_async_test.ts": [
        "openShardsAsync() finds in workers what openShards() finds, and the next opening is clean",
        "openShardsAsync() recovers in workers only what is opened here, and nothing that it refuses",
        "openShardsAsync() leaves to this thread what workers cannot be given, or could not open",
        "openShardsAsync() rejects for a damaged shard, and salvages it in a worker with its report",
      ],
    },
  },
];
