// Small faults for the library, each of which the suites must notice.

/** One change of a file; what is looked for must occur exactly once. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A fault. */
export interface Mutant {
  readonly name: string;
  /** The hazard that it brings about; the file of the test that notices it names this one. */
  readonly hazard: string;
  readonly edits: readonly Edit[];
  /** Test files that ought to notice it, the likeliest first. */
  readonly tests: readonly string[];
  /** One of the few that CI tries. */
  readonly quick?: boolean;
}

const faults = (...names: string[]) => names.map((name) => `tests/faults/${name}_test.ts`);
const edit = (file: string, find: string, replace: string): Edit[] => [{ file, find, replace }];

export const MUTANTS: readonly Mutant[] = [
  {
    name: "recovery trusts the header's durable LSN and looks no further",
    hazard: "H1",
    edits: edit(
      "src/recovery/recovery.ts",
      "let walked = walk(slots, tail, tail + slots.count)",
      "let walked = walk(slots, tail, Math.max(tail, header.durable + 1))",
    ),
    tests: faults("header", "torn_write"),
    quick: true,
  },
  {
    name: "phantoms are not erased",
    hazard: "H4",
    edits: edit("src/recovery/repair.ts", "  erase(region, slots, verdict.debris);", ""),
    tests: faults("phantom", "histories"),
    quick: true,
  },
  {
    name: "phantoms are erased, but the erasure is not synced",
    hazard: "H4",
    edits: edit("src/recovery/repair.ts", "region.sync(offsetOf(lowest)", "void region; Math.max(offsetOf(lowest)"),
    tests: faults("phantom", "histories"),
  },
  {
    name: "the rest of a cut batch is not erased",
    hazard: "H7",
    edits: edit(
      "src/recovery/recovery.ts",
      "let beyond = readBeyond(slots, tail, walked.head)",
      "let beyond = readBeyond(slots, tail, walked.end)",
    ),
    tests: faults("batch", "phantom", "histories"),
  },
  {
    name: "nothing is synced when a group commits inline",
    hazard: "H1",
    edits: edit(
      "src/engine/ring_memory.ts",
      "rangesOf(first, last, this.#slots.count)) this.region.sync(offset, length);",
      "rangesOf(first, last, this.#slots.count)) void [offset, length];",
    ),
    tests: faults("lost_sync", "histories"),
    quick: true,
  },
  {
    name: "only the first page of a group is synced",
    hazard: "H1",
    edits: edit(
      "src/engine/ring_memory.ts",
      "this.region.sync(offset, length);",
      "this.region.sync(offset, Math.min(length, 64));",
    ),
    tests: faults("lost_sync", "histories"),
  },
  {
    name: "only the first page of a group is synced off the thread",
    hazard: "H1",
    edits: edit(
      "src/engine/ring_memory.ts",
      "await region.syncAsync(offset, length);",
      "await region.syncAsync(offset, Math.min(length, 64));",
    ),
    tests: faults("lost_sync", "histories"),
  },
  {
    name: "of a group that goes over the end of the ring only the first half is synced",
    hazard: "H1",
    edits: edit(
      "src/engine/ring_memory.ts",
      "rangesOf(first, last, this.#slots.count)) this.region.sync(",
      "rangesOf(first, last, this.#slots.count).slice(0, 1)) this.region.sync(",
    ),
    tests: faults("lost_sync", "histories"),
  },
  {
    name: "a group off the thread is acknowledged before its sync",
    hazard: "H1",
    edits: edit(
      "src/engine/group_commit.ts",
      "    this.#again = false;\n    this.#gathering.syncStarted();",
      "    this.#again = false;\n    flight.group?.resolve();\n    this.#gathering.syncStarted();",
    ),
    tests: faults("lost_sync", "histories"),
  },
  {
    name: "an inline group is acknowledged before its sync",
    hazard: "H10",
    edits: edit(
      "src/engine/group_commit.ts",
      "      if (last >= first) this.#syncInline(first, last, startMs);",
      "      this.#open?.resolve();\n      if (last >= first) this.#syncInline(first, last, startMs);",
    ),
    tests: faults("failed_sync", "histories"),
  },
  {
    name: "what is stored while a sync runs counts as durable when it ends",
    hazard: "H1",
    edits: edit(
      "src/engine/group_commit.ts",
      'this.#account(this.#target.nowMs() - startMs, first, last, "offload");',
      'this.#account(this.#target.nowMs() - startMs, first, this.#positions.head - 1, "offload");',
    ),
    tests: faults("lost_sync", "histories"),
  },
  {
    name: "the second half of a cut group is acknowledged with the first",
    hazard: "H1",
    edits: edit(
      "src/engine/group_commit.ts",
      "    flight.group?.resolve();\n    if (synced !== null)",
      "    flight.group?.resolve();\n    next?.group?.resolve();\n    if (synced !== null)",
    ),
    tests: faults("lost_sync"),
  },
  {
    name: "whenDurable() takes a sync in flight for one that is over",
    hazard: "H10",
    edits: edit(
      "src/engine/group_commit.ts",
      "return (flight.group ??= new Group()).shared;",
      "return Promise.resolve();",
    ),
    tests: ["tests/group_commit_test.ts", ...faults("late_failure")],
  },
  {
    name: "whenDurable() takes a sync in flight for one of every record",
    hazard: "H10",
    edits: edit("src/engine/group_commit.ts", "if (flight !== null && lsn <= flight.last)", "if (flight !== null)"),
    tests: ["tests/group_commit_test.ts"],
  },
  {
    name: "a group waits for more callers for as long as each turn brings one",
    hazard: "H17",
    edits: edit("src/engine/latecomers.ts", " || nowMs - this.#sinceMs > this.#syncMs()", ""),
    tests: ["tests/group_commit_test.ts"],
  },
  {
    name: "a lone writer waits for a turn before each sync",
    hazard: "H17",
    edits: edit(
      "src/engine/latecomers.ts",
      "if (this.callers >= this.#expected)",
      "if (this.callers > this.#expected)",
    ),
    tests: ["tests/group_commit_test.ts"],
  },
  {
    name: "a failed sync is tried again",
    hazard: "H10",
    edits: edit(
      "ffi/file/mapped_file.ts",
      "} else mapping.sync(range.offset, range.lengthBytes);",
      "} else {\n        try {\n          mapping.sync(range.offset, range.lengthBytes);\n        } catch {\n          mapping.sync(range.offset, range.lengthBytes);\n        }\n      }",
    ),
    tests: faults("failed_sync", "histories"),
    quick: true,
  },
  {
    name: "the region forgets that a sync failed",
    hazard: "H10",
    edits: edit("ffi/file/mapped_file.ts", "return this.#failure ??= asSyncError(", "return asSyncError("),
    tests: faults("late_failure"),
  },
  {
    name: "a sync beside a pending one takes the same descriptor",
    hazard: "H10",
    edits: edit("ffi/file/mapped_file.ts", "if (this.#isPending && mapping.syncsRangeAside) {", "if (false) {"),
    tests: faults("late_failure", "failed_sync", "libc", "histories"),
  },
  {
    name: "appends go on after a failed sync",
    hazard: "H10",
    edits: edit("src/engine/health.ts", "    if (this.#poison !== null) throw this.#poison;\n", ""),
    tests: faults("failed_sync", "libc"),
  },
  {
    name: "a new file may be longer than the process may write",
    hazard: "H47",
    edits: edit("ffi/file/creation.ts", "    checkLimit(system, file);\n", ""),
    tests: faults("signal"),
  },
  {
    name: "a temporary name is longer than the log's",
    hazard: "H49",
    edits: edit(
      "ffi/file/creation.ts",
      "/.cidstore-wal-${which}-${hash}`;",
      "/.${name}.wal-${which}-${hash}`;",
    ),
    tests: faults("long_name"),
  },
  {
    name: "a damaged file's name is not cut",
    hazard: "H49",
    edits: edit("src/recovery/replacement.ts", "if (left < 0) break;", ""),
    tests: faults("long_name"),
  },
  {
    name: "hard links are not counted",
    hazard: "H50",
    edits: edit("ffi/file/file_at_path.ts", "if (links > 1) {", "if (links > 2) {"),
    tests: faults("other_names"),
  },
  {
    name: "the temporary name that a crash left is taken for a snapshot",
    hazard: "H50",
    edits: edit(
      "ffi/file/opening.ts",
      "status.links > 1 && dropOtherNames(system, this.permissions, real, status)",
      "false",
    ),
    tests: faults("other_names"),
  },
  {
    name: "the directory is not synced after a creation",
    hazard: "H9",
    edits: edit("ffi/file/creation.ts", "    yield directorySync(system, directory);\n", ""),
    tests: ["tests/create_crash_test.ts"],
  },
  {
    name: "a new file is not synced before it gets its name",
    hazard: "H9",
    edits: edit("ffi/file/creation.ts", "yield { now: () => system.fsync(fd)", "yield { now: () => {}"),
    tests: ["tests/create_crash_test.ts"],
  },
  {
    name: "a record of an earlier lap is accepted",
    hazard: "H3",
    edits: edit(
      "src/format/slot_fields.ts",
      "return this.words[word + 2] === (lsn | 0) && this.words[word + 3] === ((lsn / TWO_TO_32) | 0);",
      "return word >= 0 && lsn >= 0;",
    ),
    tests: faults("stale_lap", "bit_rot", "histories"),
  },
  {
    name: "a record's place is taken for its LSN modulo the ring",
    hazard: "H33",
    edits: edit(
      "src/format/slot_fields.ts",
      "return this.words[word + 2] === (lsn | 0) && ",
      "return ((this.words[word + 2] ^ lsn) & 255) === 0 && ",
    ),
    tests: faults("stale_lap", "full_ring", "histories"),
  },
  {
    name: "checksums are not seeded with the log's id",
    hazard: "H3",
    edits: edit("src/format/record.ts", "return updateCrc32c(INITIAL_STATE, logId);", "return INITIAL_STATE;"),
    tests: faults("stale_lap"),
  },
  {
    name: "checksums are not compared",
    hazard: "H2",
    edits: edit(
      "src/format/codec.ts",
      "const good = this.#exports.verify(this.#place(offset), count, lsn);",
      "this.#exports.seal(this.#place(offset), count);\nconst good = this.#exports.verify(this.#place(offset), count, lsn);",
    ),
    tests: faults("torn_write", "bit_rot"),
    quick: true,
  },
  {
    name: "checksums of runs are not compared",
    hazard: "H25",
    edits: edit(
      "src/format/codec.ts",
      "return { good, whole:",
      "if (count > 1) return { good: count, whole: count, hasCheckpoint: false };\nreturn { good, whole:",
    ),
    tests: faults("bit_rot", "fuzz"),
  },
  {
    name: "each record of a long batch ends it",
    hazard: "H7",
    edits: edit(
      "src/format/record.ts",
      "const kindGoingOn = kind | (FLAG_BATCH_GOES_ON << 8);",
      "const kindGoingOn = kind;",
    ),
    tests: faults("batch", "histories"),
  },
  {
    name: "all records of a long batch have the first one's distance",
    hazard: "H6",
    edits: edit(
      "src/format/codec.ts",
      "this.#exports.encode(at, count, itemBytes, kind, lastKind, lsn, nanosLow, nanosHigh, seq, distance);",
      `this.#exports.encode(at, count, itemBytes, kind, lastKind, lsn, nanosLow, nanosHigh, seq, distance);
       const words = new Int32Array(this.#bytes.buffer);
       for (let i = 0; i < count; i++) words[at / 4 + i * 16 + 7] = distance;
       this.seal(offset, count);`,
    ),
    tests: faults("bit_rot", "histories"),
  },
  {
    name: "of a long log that was closed only the oldest records are verified",
    hazard: "H6",
    edits: edit("src/recovery/recovery.ts", ", { first: head - END_RECORDS, last: head - 1 }];", "];"),
    tests: faults("bit_rot"),
  },
  {
    name: "the slot after a clean head is read before it is known to be readable",
    hazard: "H18",
    edits: edit("src/recovery/open.ts", "if (cleanHead !== 0) read(refutingRange(header, verify));", ""),
    tests: faults("unreadable_sector"),
  },
  {
    name: "what is looked at in place is not made readable before",
    hazard: "H18",
    edits: edit("src/engine/ring_memory.ts", "this.makeReadable(first, end - 1);", ""),
    tests: faults("unreadable_sector"),
  },
  {
    name: "the tail moves to a record that does not verify",
    hazard: "H25",
    edits: edit(
      "src/engine/ring_memory.ts",
      "if (this.#slots.verify(slot, lsn) !== SlotState.Record) throw damage(this, lsn);",
      "",
    ),
    tests: faults("bit_rot"),
  },
  {
    name: "a record is not verified when it is read",
    hazard: "H25",
    edits: edit(
      "src/read/copies.ts",
      "if (good < count) throw damage(source, lsn + good);",
      "",
    ),
    tests: faults("bit_rot"),
  },
  {
    name: "a batch is recovered in part",
    hazard: "H7",
    edits: edit("src/recovery/recovery.ts", "if (run.whole > 0) head = lsn + run.whole;", "head = lsn + run.good;"),
    tests: faults("batch", "histories"),
    quick: true,
  },
  {
    name: "the tail moves into the middle of a batch",
    hazard: "H7",
    edits: edit(
      "src/engine/ring_memory.ts",
      "while (last >= tail && slots.batchGoesOn(memory.verified(last))) last--;",
      "",
    ),
    tests: faults("batch", "histories"),
  },
  {
    name: "slots are used again before the new tail is durable",
    hazard: "H29",
    edits: edit(
      "src/engine/positions.ts",
      "return this.oldestUnread < this.settledTail ? this.oldestUnread : this.settledTail;",
      "return Math.min(this.tail, this.oldestUnread);",
    ),
    tests: faults("tail_reuse", "histories"),
    quick: true,
  },
  {
    name: "slots are used again when one header copy of two has the new tail",
    hazard: "H29",
    edits: edit(
      "src/engine/header_writer.ts",
      "= this.#latest;\n    this.#nextSettledTail = latest.tail;",
      "= this.#latest;\n    this.#nextSettledTail = positions.tail;",
    ),
    tests: faults("tail_reuse"),
  },
  {
    name: "an old header's tail is believed though its slots were used again",
    hazard: "H29",
    edits: edit("src/recovery/recovery.ts", "if (overwritten >= tail) {", "if (false) {"),
    tests: faults("tail_reuse"),
  },
  {
    name: "an old header that says the log was closed is refuted by the next record only",
    hazard: "H40",
    edits: edit(
      "src/recovery/recovery.ts",
      "if (slots.lsnAt(slotOf(lsn, slots.count)) >= cleanHead) return false;",
      "if (hasRecord(slots, lsn)) return false;",
    ),
    tests: faults("stale_header"),
    quick: true,
  },
  {
    name: "an old header that says the log was closed is refuted by its own head's slot only",
    hazard: "H40",
    edits: edit("src/recovery/recovery.ts", "const count = verify === false ? 1", "const count = verify !== null ? 1"),
    tests: faults("stale_header"),
  },
  {
    name: "the consumer reads records that are not durable",
    hazard: "H26",
    edits: [
      ...edit(
        "src/consume/consumer.ts",
        "if (this.#log.positions.durable < this.#next) {",
        "if (this.#log.positions.head <= this.#next) {",
      ),
      ...edit(
        "src/consume/feed.ts",
        "const { durable } = this.positions;\n    let last",
        "const durable = this.positions.last;\n    let last",
      ),
    ],
    tests: faults("consumer_crash", "histories"),
  },
  {
    name: "the tail moves before the store has the records",
    hazard: "H27",
    edits: edit(
      "src/consume/consumer.ts",
      "const run = this.#log.readRun(this.#next, this.#skips.records ?? this.#pace.records);",
      "const run = this.#log.readRun(this.#next, this.#skips.records ?? this.#pace.records);\n      await this.#log.confirm(run[run.length - 1].lsn, false);",
    ),
    tests: faults("consumer_crash", "histories"),
  },
  {
    name: "the tail moves before the store has synced",
    hazard: "H27",
    edits: edit(
      "src/consume/consumer.ts",
      "await this.#dialogue.call(() => this.#dialogue.answer(this.#store.sync!()));",
      "",
    ),
    tests: faults("consumer_crash", "histories"),
  },
  {
    name: "the consumer does not ask the store what it has",
    hazard: "H28",
    edits: edit("src/consume/consumer.ts", "applied = Math.max(position.lsn, log.positions.tail - 1);", ""),
    tests: faults("consumer_crash", "histories"),
  },
  {
    name: "a store of another log is taken as soon as the log has grown past its LSN",
    hazard: "H38",
    edits: edit("src/consume/position.ts", "if (lsn > shared) {", "if (lsn > shared && lsn > durable) {"),
    tests: faults("lineage"),
    quick: true,
  },
  {
    name: "a store without an id is taken as soon as the log has grown past its LSN",
    hazard: "H38",
    edits: edit("src/consume/position.ts", "if (lsn > reachable) {", "if (lsn > durable) {"),
    tests: faults("lineage"),
  },
  {
    name: "a log that was put back keeps its id when its store shows it",
    hazard: "H38",
    edits: edit(
      "src/consume/consumer.ts",
      "if (position.logId === log.lineage.logId && position.lsn > log.reachable) log.fork();",
      "",
    ),
    tests: faults("lineage"),
  },
  {
    name: "a fork is written to one header copy of two",
    hazard: "H38",
    edits: edit(
      "src/consume/feed.ts",
      "writeBoth(header, { lineage });",
      "header.write({ lineage });",
    ),
    tests: faults("lineage"),
  },
  {
    name: "a log forks again and again",
    hazard: "H38",
    edits: edit(
      "src/consume/feed.ts",
      "if (this.#reach.hasForked || health.poison !== null) return;",
      "if (health.poison !== null) return;",
    ),
    tests: faults("lineage"),
  },
  {
    name: "a copy shares all LSNs with its log, those after the copy too",
    hazard: "H38",
    edits: edit("src/recovery/image.ts", "lastLsn: head - 1 }", "lastLsn: Number.MAX_SAFE_INTEGER }"),
    tests: faults("lineage"),
  },
  {
    name: "SQLiteStore saves the LSN without the log's id",
    hazard: "H38",
    edits: edit("src/stores/sqlite.ts", "run?.logId ?? null", "null"),
    tests: faults("lineage"),
  },
  {
    name: "two logs are consumed into one store at a time",
    hazard: "H38",
    edits: edit("src/consume/position.ts", "other.isOpen && !isSameFile(other, log)", "false"),
    tests: faults("lineage"),
  },
  {
    name: "SQLiteStore skips the records of another log",
    hazard: "H38",
    edits: edit("src/stores/sqlite.ts", "checkRunLog(records, run, saved, tables.appliedLog);", ""),
    tests: faults("lineage"),
  },
  {
    name: "a copy shares nothing with its log",
    hazard: "H38",
    edits: edit("src/recovery/image.ts", "lastLsn: head - 1 }", "lastLsn: 0 }"),
    tests: faults("lineage"),
  },
  {
    name: "the event loop is given up by setImmediate alone",
    hazard: "H44",
    edits: edit("ffi/turn.ts", 'runtime === "deno" ? new Poll() : null', "null as Poll | null"),
    tests: faults("sockets"),
  },
  {
    name: "a consumer gives way only between runs",
    hazard: "H44",
    edits: edit(
      "src/consume/consumer.ts",
      "if (!this.#pace.mustGiveWayAfter(run.done - from)) continue;",
      "if (!this.#pace.mustGiveWayAfter(run.done - from) || run.done > 0) continue;",
    ),
    tests: faults("sockets"),
  },
  {
    name: "a run that took long is followed by one as long",
    hazard: "H44",
    edits: edit("src/consume/run_size.ts", "if (heldMs > TURN_BUDGET_MS) this.#shrink(eachMs);", ""),
    tests: faults("sockets"),
  },
  {
    name: "the watermark stays at zero",
    hazard: "H6",
    edits: edit("src/engine/appender.ts", "const distance = lsn - positions.durable;", "const distance = lsn;"),
    tests: faults("bit_rot"),
  },
  {
    name: "damage below a watermark is taken for a torn tail",
    hazard: "H6",
    edits: edit(
      "src/recovery/recovery.ts",
      "if (proved >= walked.head) collectDamage(",
      "if (proved < 0) collectDamage(",
    ),
    tests: faults("bit_rot"),
    quick: true,
  },
  {
    name: "a good record after a bad one is taken for damage",
    hazard: "H1",
    edits: edit(
      "src/recovery/recovery.ts",
      "header.cleanHead - 1, beyond.watermark)",
      "header.cleanHead - 1, beyond.highest)",
    ),
    tests: faults("torn_write", "histories"),
  },
  {
    name: "an idle log does not note what is durable",
    hazard: "H6",
    edits: edit("src/engine/header_keeper.ts", "      this.#isRequested = true;\n", ""),
    tests: faults("bit_rot"),
  },
  {
    name: "both header copies are overwritten at once",
    hazard: "H9",
    edits: edit(
      "src/engine/header_writer.ts",
      "    writeHeader(this.#region.memory.bytes(), copy, this.#latest);",
      "    writeHeader(this.#region.memory.bytes(), copy, this.#latest);\n    writeHeader(this.#region.memory.bytes(), copy === 0 ? 1 : 0, this.#latest);",
    ),
    tests: faults("header", "histories"),
  },
  {
    name: "always the same header copy is written",
    hazard: "H9",
    edits: edit(
      "src/engine/header_writer.ts",
      "const copy = this.#latestCopy === 0 ? 1 : 0;",
      "const copy = this.#latestCopy;",
    ),
    tests: faults("header", "histories"),
  },
  {
    name: "a header's checksum is not compared",
    hazard: "H9",
    edits: edit(
      "src/format/header.ts",
      'if (!hasChecksum(bytes, copy)) return "checksum";',
      "",
    ),
    tests: faults("header"),
  },
  {
    name: "close() marks the log clean before its records are durable",
    hazard: "H1",
    edits: [
      ...edit(
        "src/log.ts",
        "      this.commit.flush();\n      this.header.writeClean();",
        "      this.header.writeClean();\n      this.commit.flush();",
      ),
      ...edit(
        "src/engine/header_keeper.ts",
        '      assert(durable === head - 1, "a log is marked clean when all of it is durable");\n',
        "",
      ),
    ],
    tests: [...faults("header"), "tests/crash_test.ts"],
  },
  {
    name: "recovery's header is written before the data that it speaks of",
    hazard: "H1",
    edits: edit(
      "src/recovery/repair.ts",
      "  dirtyAndSync(region, slots, Math.max(verdict.tail, verdict.proved + 1), verdict.head - 1);",
      "  writer.write(positions);\n  dirtyAndSync(region, slots, Math.max(verdict.tail, verdict.proved + 1), verdict.head - 1);",
    ),
    tests: faults("page_cache", "histories"),
  },
  {
    name: "what recovery accepts is not synced",
    hazard: "H11",
    edits: edit(
      "src/recovery/repair.ts",
      "  dirtyAndSync(region, slots, Math.max(verdict.tail, verdict.proved + 1), verdict.head - 1);",
      "",
    ),
    tests: faults("page_cache", "histories"),
  },
  {
    name: "what recovery accepts is synced, but not made dirty again",
    hazard: "H11",
    edits: edit(
      "src/recovery/repair.ts",
      '    region.pageIn(offset, length, "store");\n    const words',
      "    const words",
    ),
    tests: faults("page_cache", "histories"),
  },
  {
    name: "a file that was cut is not noticed at open",
    hazard: "H19",
    edits: edit(
      "src/recovery/open.ts",
      "const isCut = fileBytesOf(header.capacity) > memory.sizeBytes;",
      "const isCut = false;",
    ),
    tests: faults("header", "gone"),
  },
  {
    name: "an open file that was deleted or replaced is not noticed",
    hazard: "H36",
    edits: edit(
      "ffi/file/mapped_file.ts",
      "if (!this.#place.isThere()) throw gone(this.path);",
      "this.#place.isThere();",
    ),
    tests: faults("gone"),
  },
  {
    name: "a relative path is resolved at each opening",
    hazard: "H42",
    edits: edit("src/arguments/paths.ts", "return absolutePath(path);", "return path;"),
    tests: faults("path_meaning"),
  },
  {
    name: "symbolic links are followed anew at each opening",
    hazard: "H42",
    edits: edit("src/wal.ts", "const path = this.#realPath ?? this.#path;", "const path = this.#path;"),
    tests: faults("path_meaning"),
  },
  {
    name: "an error that Bun returns is taken for a library",
    hazard: "H48",
    edits: edit("ffi/libc/bun.ts", "if (answer instanceof Error) throw answer;", ""),
    tests: faults("ffi_answers"),
  },
  {
    name: "a global of Bun's name makes any runtime Bun",
    hazard: "H48",
    edits: edit("ffi/runtime.ts", 'deno !== undefined ? "deno" :', '"Bun" in globalThis ? "bun" :'),
    tests: faults("ffi_answers"),
  },
  {
    name: "a runtime that lacks JavaScript of the log's is found out by a TypeError",
    hazard: "H48",
    edits: edit("ffi/file_memory.ts", 'if (!("withResolvers" in Promise)) {', "if (false) {"),
    tests: faults("ffi_answers"),
  },
  {
    name: "only the first name of the C library is tried",
    hazard: "H48",
    edits: edit(
      "ffi/libc/libc.ts",
      "for (const library of on.libraries) {",
      "for (const library of on.libraries.slice(0, 1)) {",
    ),
    tests: faults("ffi_answers"),
  },
  {
    name: "an inspection that fails is taken for a file that is gone",
    hazard: "H41",
    edits: edit("ffi/file/file_at_path.ts", "return !isAbsence(error) && this.#isHeld();", "return false;"),
    tests: faults("path_inspection"),
  },
  {
    name: "a file without a name is not noticed in a closed directory",
    hazard: "H41",
    edits: edit(
      "ffi/file/file_at_path.ts",
      "return links > 0 && sizeBytes === this.#opened.sizeBytes;",
      "return true;",
    ),
    tests: faults("path_inspection"),
  },
  {
    name: "the lock is not taken",
    hazard: "H22",
    edits: edit("ffi/file/opening.ts", "if (!system.lock(fd)) throw locked(path, this.#ownerOf(fd));", ""),
    tests: faults("openers"),
  },
  {
    name: "salvage gives up the damaged file's lock before the new one is in its place",
    hazard: "H22",
    edits: edit(
      "ffi/file/mapped_file.ts",
      "    return this.#parts.replace(",
      "    this.#system.unlock(this.#parts.lockedFd);\n    return this.#parts.replace(",
    ),
    tests: faults("salvage_openers"),
  },
  {
    name: "salvage gives up the new file's lock before it is open",
    hazard: "H22",
    edits: edit(
      "ffi/file/opening.ts",
      "const region = fd === null ? null : this.#finish(",
      "if (fd !== null) this.system.unlock(fd);\n    const region = fd === null ? null : this.#finish(",
    ),
    tests: faults("salvage_openers"),
  },
  {
    name: "an opener does not look whether what it locked is still the log",
    hazard: "H22",
    edits: [
      {
        file: "ffi/file/opening.ts",
        find: "if (!watched.is(status.device, status.inode, status.sizeBytes)) {",
        replace: "if (false) {",
      },
      {
        file: "ffi/file/opening.ts",
        find: "if (mapped.inode !== status.inode || mapped.device !== status.device) {",
        replace: "if (false) {",
      },
    ],
    tests: faults("salvage_openers"),
  },
  {
    name: "the memory of a closed log is not detached",
    hazard: "H23",
    edits: edit("ffi/file/mapped_file.ts", "    this.memory.detach();", ""),
    tests: faults("detached"),
  },
  {
    name: "a file stays mapped in the memory of a closed log",
    hazard: "H52",
    edits: edit(
      "ffi/system/posix_mapping.ts",
      "    this.#map(this.#address, c.MAP_PRIVATE | c.MAP_FIXED | this.on.MAP_ANON, -1);\n",
      "",
    ),
    tests: faults("given_back"),
  },
  {
    name: "the codec of a closed log works on, in the memory of another",
    hazard: "H52",
    edits: edit("src/format/codec.ts", "    assert(this.#bytes.length > 0,", "    assert(true,"),
    tests: ["tests/codec_test.ts"],
  },
  {
    name: "the memory that a file is mapped in is collected with its log",
    hazard: "H52",
    edits: edit("ffi/system/posix_mapping.ts", "  mapped.add(memory);\n", ""),
    tests: faults("given_back"),
  },
  {
    name: "the memory of a closed log in memory keeps its bytes for the next file",
    hazard: "H52",
    edits: edit("ffi/memory.ts", "      if (sizeBytes <= MOST_CLEARED) memory.bytes().fill(0);\n", ""),
    tests: ["tests/file_memory_test.ts"],
  },
  {
    name: "the memory of a closed log is mapped over and not detached",
    hazard: "H52",
    edits: edit("ffi/file_memory.ts", "    else this.memory.grow(0);", "    else void this.memory;"),
    tests: faults("detached"),
  },
  {
    name: "the wall clock is followed wherever it jumps",
    hazard: "H43",
    edits: edit("src/engine/wall_clock.ts", "    if (this.#unconfirmedMs > 0) return;\n", ""),
    tests: faults("clock"),
    quick: true,
  },
  {
    name: "the time that a log was closed counts as a jump",
    hazard: "H43",
    edits: edit("src/wal.ts", "    this.#wall.restart();\n", ""),
    tests: faults("clock"),
  },
  {
    name: "a log whose time is ahead of the clock does not say so",
    hazard: "H43",
    edits: edit("src/statistics.ts", "aheadMs > LEAST_AHEAD_MS", "aheadMs > Infinity"),
    tests: faults("clock"),
  },
  {
    name: "a batch's memory is another's too while it is read",
    hazard: "H39",
    edits: edit("src/arguments/items.ts", "  if (isLarge) largeSpare = null;\n  else spare = null;\n", ""),
    tests: faults("callers_code"),
  },
  {
    name: "a batch is as long as a Proxy says",
    hazard: "H39",
    edits: edit("src/arguments/items.ts", "Math.max(0, Math.trunc(Number(items.length)) || 0)", "items.length"),
    tests: faults("callers_code"),
  },
  {
    name: "a given time is read again when it is written",
    hazard: "H39",
    edits: edit("src/arguments/numbers.ts", "return [nanos, seq, shard];", "return time as unknown as HybridTime;"),
    tests: faults("callers_code"),
  },
  {
    name: "the wall clock is read after an append was prepared",
    hazard: "H39",
    edits: [
      ...edit(
        "src/wal.ts",
        "    if (time === undefined) {\n      this.#wall.readIfDue();",
        "    if (time === undefined) {",
      ),
      ...edit(
        "src/engine/appender.ts",
        "    if (time === undefined) {\n",
        "    if (time === undefined) {\n      this.#parts.wall.readIfDue();\n",
      ),
    ],
    tests: faults("callers_code"),
    quick: true,
  },
  {
    name: "truncate() confirms before it has read what it needs",
    hazard: "H39",
    edits: edit(
      "src/engine/retention.ts",
      "      const release = this.#releases.releasable(confirmedThroughPos);\n      this.#releases.note(confirmation);",
      "      this.#releases.note(confirmation);\n      const release = this.#releases.releasable(confirmedThroughPos);",
    ),
    tests: faults("callers_code"),
  },
  {
    name: "the clock does not go on from the log's time",
    hazard: "H32",
    edits: edit("src/log.ts", "    clock.observe(verdict.timeNanos, verdict.timeSeq);", ""),
    tests: faults("clock", "histories"),
  },
  {
    name: "the header does not note the time",
    hazard: "H32",
    edits: edit(
      "src/engine/header_keeper.ts",
      "const { nanos: timeNanos, seq: timeSeq } = this.#clock;",
      "const [timeNanos, timeSeq] = [0n, 0];",
    ),
    tests: faults("clock"),
  },
  {
    name: "a salvaged log goes on from the time before the damage",
    hazard: "H32",
    edits: edit(
      "src/recovery/salvage.ts",
      "  if (last >= 0) observe(clock, slots, state.tail + last);",
      "  if (last < 0) observe(clock, slots, state.tail + last);",
    ),
    tests: faults("clock"),
  },
  {
    name: "a full ring takes one record more",
    hazard: "H8",
    edits: [
      ...edit(
        "src/engine/positions.ts",
        "return this.head + count <= this.freeBefore + this.capacity;",
        "return this.head + count <= this.freeBefore + this.capacity + 1;",
      ),
      ...edit(
        "src/engine/appender.ts",
        "if (end > positions.tail + positions.capacity && !retention",
        "if (end > positions.tail + positions.capacity + 1 && !retention",
      ),
    ],
    tests: faults("full_ring"),
  },
  {
    name: "recovery takes a full ring for one with a free slot",
    hazard: "H8",
    edits: edit(
      "src/recovery/recovery.ts",
      "let walked = walk(slots, tail, tail + slots.count)",
      "let walked = walk(slots, tail, tail + slots.count - 1)",
    ),
    tests: faults("full_ring", "histories"),
  },
  {
    name: "truncate() releases records that are not durable",
    hazard: "H30",
    edits: edit(
      "src/engine/retention.ts",
      'this.#checkConfirmable(confirmedThroughPos, positions.durable, "durable");',
      "",
    ),
    tests: faults("full_ring"),
  },
  {
    name: "an append that waits for room is never turned away",
    hazard: "H31",
    edits: edit("src/engine/waiting_line.ts", "const expire = () => {", "const expire = () => {\n      return;"),
    tests: faults("full_ring"),
  },
  {
    name: "a log that is open when its program is unloaded is not closed",
    hazard: "H45",
    edits: edit("src/open_logs.ts", 'addEventListener?.("unload",', 'addEventListener?.("never",'),
    tests: faults("reload"),
  },
  {
    name: "the lock is on what is mapped, and outlasts its thread",
    hazard: "H45",
    edits: edit("ffi/file/opening.ts", "fd: mappedFd,\n      spareFd: fd,", "fd,\n      spareFd: mappedFd,"),
    tests: faults("reload"),
  },
  {
    name: "a log is taken over from a module of another URL",
    hazard: "H45",
    edits: edit("src/open_logs.ts", "entry.url === import.meta.url && ", ""),
    tests: faults("reload"),
  },
  {
    name: "whenApplied() does not say what the consumer failed with",
    hazard: "H46",
    edits: edit("src/consume/consumer_watch.ts", 'if (this.#state === "failed") return this.#lastError;', ""),
    tests: faults("dead_consumer"),
  },
  {
    name: "a consumer outlasts its log in a call to the store",
    hazard: "H46",
    edits: edit("src/consume/runner.ts", "    this.feed.answers.end();\n", ""),
    tests: faults("dead_consumer"),
  },
  {
    name: "a store is called while an abandoned call to it runs",
    hazard: "H46",
    edits: edit(
      "src/consume/store_answers.ts",
      "return earlier && this.waitFor(earlier);",
      "return earlier && undefined;",
    ),
    tests: faults("dead_consumer"),
  },
  {
    name: "a symbolic link is followed at creation",
    hazard: "H9",
    edits: edit("ffi/system/posix.ts", "fs.constants.O_RDWR | fs.constants.O_NOFOLLOW", "fs.constants.O_RDWR"),
    tests: faults("planted_link"),
  },
  {
    name: "a new log can be read by everybody",
    hazard: "H9",
    edits: edit("ffi/system/posix.ts", "fs.constants.O_CREAT, 0o600)", "fs.constants.O_CREAT, 0o644)"),
    tests: faults("planted_link"),
  },
  {
    name: "whether a batch goes on makes two records of it different values",
    hazard: "H51",
    edits: edit("src/read/stored_record.ts", "const ALL_BUT_FLAGS = ~0xff00;", "const ALL_BUT_FLAGS = ~0;"),
    tests: ["tests/stored_record_test.ts"],
  },
  {
    name: "a record can be cloned, without its fields",
    hazard: "H51",
    edits: edit("src/read/stored_record.ts", "  readonly toClone: () => void = cloneWhatToObjectReturns;\n", ""),
    tests: ["tests/stored_record_test.ts"],
  },
  {
    name: "the bytes of a key are those of its words in memory, least significant first",
    hazard: "H51",
    edits: edit(
      "src/format/big_endian.ts",
      "into[at] = word >>> 24;\n  into[at + 1] = word >>> 16;",
      "into[at + 1] = word >>> 24;\n  into[at] = word >>> 16;",
    ),
    tests: ["tests/record_bytes_test.ts"],
  },
  {
    name: "a record's bytes begin with the lower half of its value",
    hazard: "H51",
    edits: edit(
      "src/read/stored_record.ts",
      "storeHalves(into, at, this.word13, this.word12, this.word15, this.word14);",
      "storeHalves(into, at, this.word15, this.word14, this.word13, this.word12);",
    ),
    tests: ["tests/record_bytes_test.ts"],
  },
  {
    name: "a cursor's bytes begin with the lower half",
    hazard: "H51",
    edits: edit(
      "src/format/slot_fields.ts",
      "storeHalves(into, at, highUpper, highLower, lowUpper, lowLower);",
      "storeHalves(into, at, lowUpper, lowLower, highUpper, highLower);",
    ),
    tests: ["tests/record_bytes_test.ts"],
  },
  {
    name: "a copy of a key may begin where the array has less room than 16 bytes",
    hazard: "H51",
    edits: edit("src/arguments/target.ts", "at <= into.length - ID_BYTES) return;", "at < into.length) return;"),
    tests: ["tests/record_bytes_test.ts"],
  },
  {
    name: "a store takes a record's value for its key",
    hazard: "H51",
    edits: edit("src/stores/pair.ts", "record.copyKey(this.bytes, 0);", "record.copyValue(this.bytes, 0);"),
    tests: ["tests/store_bytes_test.ts"],
  },
  {
    name: "a consumer goes on after runs that were taken back, when a run fails",
    hazard: "H28",
    edits: edit(
      "src/consume/consumer.ts",
      "        while (pace.mustGiveWay()) await pace.giveWay();\n",
      "        this.#next = transaction.last + 1;\n",
    ),
    tests: ["tests/joined_runs_test.ts"],
  },
  {
    name: "a consumer goes on after runs that were taken back, when somebody else commits them",
    hazard: "H28",
    edits: edit("src/stores/sqlite_joined.ts", "if (this.#failure !== null) throw this.#failure;", ""),
    tests: ["tests/joined_runs_test.ts"],
  },
  {
    name: "slots that a backup has still to read are used again",
    hazard: "H34",
    edits: edit(
      "src/engine/positions.ts",
      "return this.oldestUnread < this.settledTail ? this.oldestUnread : this.settledTail;",
      "return this.settledTail;",
    ),
    tests: ["tests/backup_async_test.ts"],
  },
  {
    name: "backup() copies records that are not durable",
    hazard: "H34",
    edits: edit(
      "src/recovery/backups.ts",
      "if (through >= durable) return { ...state, head: durable + 1 };",
      "if (through >= durable) return { ...state, head: positions.head };",
    ),
    tests: faults("backup", "histories"),
  },
  {
    name: "backup() through an LSN divides a batch",
    hazard: "H7",
    edits: edit("src/recovery/backups.ts", "const last = lastWhole(memory, through);", "const last = through;"),
    tests: faults("backup"),
  },
  {
    name: "a copy through an LSN takes a store that has more",
    hazard: "H38",
    edits: edit(
      "src/recovery/image.ts",
      "lastLsn: head - 1 }",
      "lastLsn: header.durable }",
    ),
    tests: faults("backup", "lineage"),
  },
  {
    name: "backup() copies records that it has not verified",
    hazard: "H34",
    edits: edit("src/read/copies.ts", "    check?.(source, slots, slot, lsn, count);\n", ""),
    tests: ["tests/backup_test.ts", ...faults("backup")],
  },
  {
    name: "the blocks of a new file are promised, but not written",
    hazard: "H15",
    edits: edit("ffi/file/creation.ts", "while (offset < sizeBytes) {", "while (offset < 0) {"),
    tests: faults("unwritten"),
  },
  {
    name: "a new file is zeroed in large pieces",
    hazard: "H35",
    edits: edit("ffi/file/creation.ts", "const BLOCK_BYTES = 4096;", "const BLOCK_BYTES = 65536;"),
    tests: faults("unwritten"),
  },
  {
    name: "bytes are checked before the clock is read",
    hazard: "H39",
    edits: edit(
      "src/wal.ts",
      "    const taken = this.#takeTime(third as HybridTimeInput);\n    checkPairBytes(key, second);\n",
      "    checkPairBytes(key, second);\n    const taken = this.#takeTime(third as HybridTimeInput);\n",
    ),
    tests: faults("callers_code"),
  },
  {
    name: "the length of a key is asked for before the type of its value",
    hazard: "H39",
    edits: edit(
      "src/arguments/bytes.ts",
      '  if (!isBytes(value) || !isFixed(value)) refuse(value, "value", item);\n  if (!isOfLength(key)) refuse(key, "key", item);',
      '  if (!isOfLength(key)) refuse(key, "key", item);\n  if (!isBytes(value) || !isFixed(value)) refuse(value, "value", item);',
    ),
    tests: faults("callers_code"),
  },
  {
    name: "an append that waits keeps the caller's bytes",
    hazard: "H39",
    edits: edit(
      "src/wal.ts",
      'const value = typeof valueHigh === "object" ? copyOf(valueHigh) : valueHigh;',
      "const value = valueHigh;",
    ),
    tests: ["tests/bytes_test.ts"],
  },
  {
    name: "bytes are as long as they say",
    hazard: "H53",
    edits: edit(
      "src/arguments/bytes.ts",
      'return typeof bytes[ID_BYTES - 1] === "number" && bytes[ID_BYTES] === undefined;',
      "return bytes.length === ID_BYTES;",
    ),
    tests: ["tests/bytes_test.ts"],
  },
  {
    name: "a packed batch whose memory is gone is an empty batch",
    hazard: "H53",
    edits: edit("src/arguments/bytes.ts", "if (length === 0 && isDetached(packed)) {", "if (false) {"),
    tests: ["tests/bytes_test.ts"],
  },
  {
    name: "a byte of a key is read twice, and another one never",
    hazard: "H53",
    edits: edit("src/format/record.ts", "  words[word] = (bytes[4]! << 24)", "  words[word] = (bytes[5]! << 24)"),
    tests: ["tests/bytes_test.ts"],
  },
  {
    name: "bytes in shared memory are written",
    hazard: "H53",
    edits: edit(
      "src/arguments/bytes.ts",
      "buffer instanceof ArrayBuffer && !buffer.resizable",
      "!(buffer as ArrayBuffer).resizable",
    ),
    tests: ["tests/bytes_test.ts"],
  },
  {
    name: "a sync starts before what it makes durable is sealed",
    hazard: "H54",
    edits: edit("src/engine/ring_memory.ts", "    this.#seal();\n    try {\n      for", "    try {\n      for"),
    tests: faults("unsealed"),
  },
  {
    name: "readers see records that are not sealed",
    hazard: "H54",
    edits: edit(
      "src/engine/ring_memory.ts",
      "    this.#seal();\n    try {\n      // Recent",
      "    try {\n      // Recent",
    ),
    tests: faults("unsealed"),
  },
  {
    name: "figures are taken of a record that is not sealed",
    hazard: "H54",
    edits: edit("src/engine/ring_memory.ts", "    this.#seal();\n    const isKnown", "    const isKnown"),
    tests: faults("unsealed"),
  },
  {
    name: "a synchronous append seals only itself",
    hazard: "H54",
    edits: edit("src/engine/appender.ts", "if (this.#positions.sealed < lsn - 1) return this.seal();", ""),
    tests: faults("unsealed"),
  },
  {
    name: "a synchronous append waits for its checksum",
    hazard: "H54",
    edits: edit("src/engine/appender.ts", "if (survives) this.#sealThrough(lsn, slot);", ""),
    tests: faults("unsealed"),
  },
  {
    name: "a batch is sealed before what was appended earlier",
    hazard: "H54",
    edits: edit("src/engine/appender.ts", "    this.seal();\n    if (time", "    if (time"),
    tests: faults("unsealed"),
  },
  {
    name: "nothing is sealed over the end of the ring",
    hazard: "H54",
    edits: edit("src/engine/appender.ts", "slots.seal(slot + slots.count, -slot);", ""),
    tests: faults("unsealed"),
  },
  {
    name: "a burst leaves its records unsealed",
    hazard: "H54",
    edits: edit("src/engine/appender.ts", "    try {\n      this.seal();\n    }", "    try {\n    }"),
    tests: faults("unsealed"),
  },
  {
    name: "a sync off the thread starts before what it makes durable is sealed",
    hazard: "H54",
    edits: edit(
      "src/engine/ring_memory.ts",
      "    this.#seal();\n    const { region } = this;",
      "    const { region } = this;",
    ),
    tests: faults("lost_sync"),
  },
  {
    name: "a file is not checked before its records are sealed for a sync",
    hazard: "H54",
    edits: edit("src/log.ts", "      file.check(); // to seal is to store into the file\n", ""),
    tests: faults("gone"),
  },
  {
    name: "a log that has failed is sealed at the end of the burst",
    hazard: "H54",
    edits: edit("src/engine/appender.ts", "    if (!health.isGood) return; // the file may be gone\n", ""),
    tests: faults("gone"),
  },
  {
    name: "decodeRun() does not look whether the last batch is complete",
    hazard: "H55",
    edits: edit("src/runs.ts", "  if (whole < count) {", "  if (whole > count) {"),
    tests: faults("runs"),
  },
  {
    name: "decodeRun() takes the run of any log",
    hazard: "H55",
    edits: edit("src/runs.ts", "  if (run.logId !== logId) {", "  if (run.logId.length !== logId.length) {"),
    tests: faults("runs"),
  },
  {
    name: "decodeRun() ignores what follows the last record",
    hazard: "H55",
    edits: edit("src/runs.ts", "  if (copy.length !== end) {", "  if (copy.length < end) {"),
    tests: faults("runs"),
  },
  {
    name: "decodeRun() does not verify the header",
    hazard: "H55",
    edits: edit(
      "src/format/run_header.ts",
      "if (view.getInt32(RUN_CRC_AT, true) !== checksum(bytes)) return",
      "if (view.byteLength === 0) return",
    ),
    tests: faults("runs"),
  },
  {
    name: "a run past the last LSN is not refused",
    hazard: "H55",
    edits: edit(
      "src/format/run_header.ts",
      "const lastLsn = firstLsn + (count - 1);",
      "const lastLsn = firstLsn + count - 1;",
    ),
    tests: faults("runs"),
  },
  {
    name: "a batch of several operations ends at each change of operation",
    hazard: "H56",
    edits: [
      ...edit(
        "src/engine/appender.ts",
        "const run = Math.min(end - lsn, RUN_RECORDS, capacity - slot, 1 + clock.timesLeft);",
        `let run = Math.min(end - lsn, RUN_RECORDS, capacity - slot, 1 + clock.timesLeft);
         const opcodeOf = (i: number) => items.bytes[i * items.itemBytes];
         for (let i = 1; i < run && items.opType === 0; i++) if (opcodeOf(done + i) !== opcodeOf(done)) run = i;`,
      ),
      ...edit(
        "src/engine/appender.ts",
        "endsBatch: lsn + run === end };",
        "endsBatch: items.opType === 0 || lsn + run === end };",
      ),
    ],
    tests: [...faults("batch", "histories"), "tests/batch_test.ts"],
    quick: true,
  },
  {
    name: "an item of a batch may have a value that its operation does not take",
    hazard: "H56",
    edits: edit("src/arguments/items.ts", "if (!hasValue && (value", "if (index < 0 && (value"),
    tests: ["tests/batch_test.ts"],
  },
  {
    name: "a delete within a batch has the value of an earlier batch",
    hazard: "H56",
    edits: edit(
      "src/arguments/items.ts",
      "    view.setFloat64(valueAt, 0);\n    view.setFloat64(valueAt + 8, 0);\n",
      "",
    ),
    tests: ["tests/batch_test.ts", ...faults("histories")],
  },
  {
    name: "an item of a batch may be a checkpoint",
    hazard: "H56",
    edits: edit("src/format/operations.ts", "OPERATIONS.filter(({ method }) => method !== null)", "OPERATIONS"),
    tests: ["tests/batch_test.ts"],
  },
  {
    name: "an item's key is read a second time after its check",
    hazard: "H39",
    edits: edit(
      "src/arguments/items.ts",
      "setId(view, keyAt, key as Uint8Array);",
      "setId(view, keyAt, (item as ItemFields).key as Uint8Array);",
    ),
    tests: faults("callers_code"),
  },
  {
    name: "a resize copies only what is durable",
    hazard: "H57",
    edits: edit(
      "src/recovery/resizing.ts",
      "positions.oldestNeeded, positions.head, read",
      "positions.oldestNeeded, positions.durable + 1, read",
    ),
    tests: ["tests/resize_test.ts"],
  },
  {
    name: "a resize forgets what a backup has still to read",
    hazard: "H57",
    edits: edit(
      "src/engine/positions.ts",
      "return this.oldestUnread < this.tail ? this.oldestUnread : this.tail;",
      "return this.tail;",
    ),
    tests: ["tests/resize_test.ts"],
  },
  {
    name: "a resize leaves the head in its old slot",
    hazard: "H57",
    edits: edit("src/recovery/resizing.ts", "  appender.ringChanged();\n", "  void appender;\n"),
    tests: ["tests/resize_test.ts"],
  },
  {
    name: "a cursor stays in its old slot over a resize",
    hazard: "H57",
    edits: edit(
      "src/read/cursor.ts",
      "    if (this.#slots.count !== this.#count) this.#findSlot();\n    const slot",
      "    const slot",
    ),
    tests: ["tests/resize_test.ts"],
  },
  {
    name: "a sync of the old file that fails late poisons the resized log",
    hazard: "H57",
    edits: edit("src/engine/ring_memory.ts", "      if (this.region === region) throw error;", "      throw error;"),
    tests: ["tests/resize_test.ts"],
  },
  {
    name: "a header of the old file that fails late poisons the resized log",
    hazard: "H57",
    edits: edit(
      "src/engine/header_writer.ts",
      "      if (this.#region === region) throw error; //",
      "      throw error; //",
    ),
    tests: ["tests/resize_test.ts"],
  },
  {
    name: "a resize that fails late leaves the new file in place",
    hazard: "H57",
    edits: [
      ...edit("ffi/file/opening.ts", "      old.putBack?.();\n", ""),
      ...edit("ffi/file/creation.ts", "      if (isReplaced) file.replaces?.putBack?.();\n", ""),
    ],
    tests: faults("resize"),
  },
  {
    name: "a resize that fails unlocks the new file before the old one is back",
    hazard: "H57",
    edits: edit(
      "ffi/file/opening.ts",
      "      old.putBack?.();\n",
      "      this.#undo.unwind();\n      old.putBack?.();\n",
    ),
    tests: faults("resize"),
  },
  {
    name: "a resize whose last sync fails unlocks the new file before the old one is back",
    hazard: "H57",
    edits: edit(
      "ffi/file/creation.ts",
      "      if (isReplaced) file.replaces?.putBack?.();\n",
      "      undo.unwind();\n      if (isReplaced) file.replaces?.putBack?.();\n",
    ),
    tests: faults("resize"),
  },
  {
    name: "a resize takes the old file back, though nobody knows which one power loss would leave",
    hazard: "H57",
    edits: edit(
      "ffi/file/opening.ts",
      "      // Power loss may leave either file at the path.\n      throw gone(path, cause);",
      "      return;",
    ),
    tests: faults("resize"),
  },
  {
    name: "a resize gives up the old log's lock before the new one is in its place",
    hazard: "H57",
    edits: edit(
      "ffi/file/opening.ts",
      "      const region = this.#replace({ ...old,",
      "      system.unlock(fd);\n      const region = this.#replace({ ...old,",
    ),
    tests: faults("resize"),
    quick: true,
  },
  {
    name: "a resize of a log with a hard link leaves two logs of one id",
    hazard: "H57",
    edits: edit("ffi/file/opening.ts", "      if (links > 1) throw this.#linked(links);\n", "      void links;\n"),
    tests: ["tests/resize_test.ts"],
  },
  {
    name: "an opening leaves the hidden files of a resize that died",
    hazard: "H57",
    edits: edit("ffi/file/opening.ts", '    if (origin === "found") dropStrays(system, this.permissions, real);\n', ""),
    tests: faults("resize", "other_names"),
  },
  {
    name: "an opening removes the hidden file of a living creator",
    hazard: "H50",
    edits: edit("ffi/file/strays.ts", "return system.lock(fd) && claimTemporary", "return claimTemporary"),
    tests: faults("other_names"),
  },
  {
    name: "an opening takes the old file of another log's resize for a stray",
    hazard: "H57",
    edits: edit(
      "ffi/file/strays.ts",
      "dropUnlocked(system, name));",
      "(name === temporaryPath(path) ? dropUnlocked : dropName)(system, name));",
    ),
    tests: faults("resize"),
  },
  {
    name: "a batch that is larger than the ring since a resize waits for ever",
    hazard: "H57",
    edits: edit("src/engine/waiting_room.ts", " || count > positions.capacity", ""),
    tests: ["tests/resize_test.ts"],
  },
  {
    name: "a record that the store cannot apply is skipped",
    hazard: "H58",
    edits: edit("src/arguments/consumer.ts", "?? REFUSALS[name]]", "?? (name in REFUSALS ? () => {} : undefined)]"),
    tests: ["tests/operations_test.ts"],
  },
  {
    name: "onError may retry a record that the store cannot apply",
    hazard: "H58",
    edits: edit("src/consume/dialogue.ts", " || isFinal(error)", ""),
    tests: ["tests/operations_test.ts"],
  },
  {
    name: "the library's stores skip records of the application",
    hazard: "H58",
    edits: edit("src/arguments/stores.ts", "  if (!isApplicationOpcode(opType)) return;", "  if (opType > 0) return;"),
    tests: ["tests/operations_test.ts"],
  },
  {
    name: "MemoryStore takes a replace for an insert",
    hazard: "H58",
    edits: edit(
      "src/stores/memory.ts",
      "        pairs.delete(pair.take(record));\n        pairs.insert(pair);",
      "        pairs.insert(pair.take(record));",
    ),
    tests: ["tests/operations_test.ts", "tests/stores_memory_test.ts"],
  },
  {
    name: "SQLiteStore takes a replace for an insert",
    hazard: "H58",
    edits: edit("src/stores/sqlite_tables.ts", "    this.#statements.deleteOthers.run(key, value);\n", ""),
    tests: ["tests/operations_test.ts", "tests/stores_sqlite_test.ts"],
  },
  {
    name: "a replace is logged as an insert",
    hazard: "H58",
    edits: edit(
      "src/wal.ts",
      "    return this.#append(OpType.Replace, key, second, third, valueLow, time);",
      "    return this.#append(OpType.Insert, key, second, third, valueLow, time);",
    ),
    tests: ["tests/operations_test.ts"],
  },
  {
    name: "the suite takes a store that skips records of the application",
    hazard: "H58",
    edits: edit("src/testing/conformance/cases.ts", "        if (!isKnown) {", "        if (!isKnown && code < 32) {"),
    tests: ["tests/testing_kit_test.ts"],
  },
  {
    name: "the kit believes an appliedLsn() that is behind what the store was given",
    hazard: "H28",
    edits: edit("src/testing/crash/final_check.ts", "    if (lsn < last) {", "    if (lsn < 0) {"),
    tests: ["tests/kit_answers_test.ts"],
  },
  {
    name: "the kit believes an appliedLsn() that is ahead of what the store was given",
    hazard: "H28",
    edits: edit("src/testing/store_account.ts", "    if (lsn > this.#offered) {", "    if (lsn === Infinity) {"),
    tests: ["tests/kit_answers_test.ts"],
  },
  {
    name: "the kit takes an appliedLsn() that goes back behind what was durable",
    hazard: "H28",
    edits: edit(
      "src/testing/store_account.ts",
      "    return lsn < this.#durable ? `${said}, though ${lost}` : null;",
      "    return lsn < 0 ? `${said}, though ${lost}` : null;",
    ),
    tests: ["tests/testing_kit_test.ts"],
  },
  {
    name: "the kit takes a store that has half a run when it is opened again",
    hazard: "H28",
    edits: edit("src/testing/store_account.ts", "    if (isWithin(lsn, run)) throw halfRun(lsn, run);\n", ""),
    tests: ["tests/testing_kit_test.ts"],
  },
  {
    name: "the kit does not look into a store that is opened again",
    hazard: "H28",
    edits: edit(
      "src/testing/store_account.ts",
      "    if (found !== null) this.#checkContents(found, run, lsn);\n",
      "    void this.#checkContents;\n",
    ),
    tests: ["tests/testing_kit_test.ts"],
  },
  {
    name: "the kit does not ask of which log an LSN is when a store is opened again",
    hazard: "H38",
    edits: edit(
      "src/testing/store_account.ts",
      '      if (fault !== null) throw new BrokenPromiseError("G11", `when it is opened again, ${fault}`);\n',
      "      void fault;\n",
    ),
    tests: ["tests/testing_kit_test.ts"],
  },
  {
    name: "the kit takes any answer of appliedLog()",
    hazard: "H38",
    edits: edit(
      "src/testing/store_account.ts",
      '    if (typeof said === "string" && said === log) return null;',
      '    if (typeof said === "string") return null;',
    ),
    tests: ["tests/testing_kit_test.ts"],
  },
  {
    name: "the kit does not look whether a run that failed has left something",
    hazard: "H28",
    edits: edit("src/testing/crash/watched_store.ts", "        await failed?.();\n", "        void failed;\n"),
    tests: ["tests/testing_kit_test.ts"],
  },
  {
    name: "the kit kills no store between the changes of two files",
    hazard: "H28",
    edits: edit("src/testing/crash/watched_store.ts", "      if (isTorn) home.tear(torn!.old);\n", ""),
    tests: ["tests/kit_steps_test.ts"],
  },
  {
    name: "the suite crashes no store within its writes",
    hazard: "H28",
    edits: edit("src/testing/conformance/cases.ts", "  trial.mortal.arm(fault);\n", ""),
    tests: ["tests/kit_answers_test.ts"],
  },
  {
    name: "the suite gives no run twice",
    hazard: "H28",
    edits: edit(
      "src/testing/conformance/cases.ts",
      "          if (from === trial.last) continue;",
      "          if (from <= trial.last) continue;",
    ),
    tests: ["tests/kit_answers_test.ts"],
  },
  {
    name: "the kill kit verifies nothing that was acknowledged",
    hazard: "H27",
    edits: edit("src/testing/kill/kit.ts", "verify([...acknowledged], round)", "verify([], round)"),
    tests: ["tests/kill_kit_test.ts"],
  },
  {
    name: "the kill kit takes a failure of verify() for success",
    hazard: "H27",
    edits: edit(
      "src/testing/kill/kit.ts",
      "    throw new BrokenPromiseError(promise, `${when}: ${finding}`, where, { cause });\n",
      "    void [promise, when, finding, where];\n",
    ),
    tests: ["tests/kill_kit_test.ts"],
  },
  {
    name: "the kill kit takes a program that cannot go on for a wrong option",
    hazard: "H27",
    edits: edit("src/testing/kill/kit.ts", "  if (round > 1 && code !== 0) {", "  if (round > 1 && code === 0) {"),
    tests: ["tests/kill_kit_test.ts"],
  },
  {
    name: "the kill kit is content with a program that acknowledges nothing",
    hazard: "H27",
    edits: edit("src/testing/kill/kit.ts", "  if (acknowledged.length === 0) {", "  if (plan.rounds === 0) {"),
    tests: ["tests/kill_kit_test.ts"],
  },
  {
    name: "the kill kit does not notice what lives on of a program that it has killed",
    hazard: "H27",
    edits: edit(
      "src/testing/kill/kit.ts",
      "    await timer.race(program.closed, () => new TypeError(outlives(program)));\n",
      "    void outlives;\n",
    ),
    tests: ["tests/kill_kit_test.ts"],
  },
  {
    name: "the kill kit ends a program by a signal that it can catch",
    hazard: "H27",
    edits: edit("src/testing/kill/program.ts", 'this.#process.kill("SIGKILL");', 'this.#process.kill("SIGTERM");'),
    tests: ["tests/kill_kit_test.ts"],
  },
  {
    name: "the kill kit forgets what was acknowledged in earlier rounds",
    hazard: "H27",
    edits: edit(
      "src/testing/kill/kit.ts",
      "      const round: KillRound = { round: number,",
      "      acknowledged.length = 0;\n      const round: KillRound = { round: number,",
    ),
    tests: ["tests/kill_kit_test.ts"],
  },
  {
    name: "a shipper sends again without asking the target what it has",
    hazard: "H68",
    edits: edit("src/ship/outbox.ts", "    this.#drop(end);\n", ""),
    tests: faults("shipping"),
    quick: true,
  },
  {
    name: "a shipper forgets what is on its way when an answer is lost",
    hazard: "H68",
    edits: edit(
      "src/ship/outbox.ts",
      "    for (const unconfirmed of this.#queue) this.#send(unconfirmed);\n  }\n\n  /** Takes the target over",
      "    this.#queue = [];\n  }\n\n  /** Takes the target over",
    ),
    tests: faults("shipping"),
  },
  {
    name: "a shipper does not notice that confirmed messages are gone",
    hazard: "H69",
    edits: edit(
      "src/ship/outbox.ts",
      "    if (place < this.#storedPlace) throw this.#lost(end);\n    if (owner !== this.#name) throw this.#fenced(end);\n    if (isSameRun(run, this.#stored)) return;\n",
      "    if (owner !== this.#name) return;\n    if (isSameRun(run, this.#stored)) return;\n",
    ),
    tests: faults("shipping"),
  },
  {
    name: "a claim does not look at what came before it",
    hazard: "H70",
    edits: edit(
      "src/ship/outbox.ts",
      "        end = await readEnd(this.#target);\n        this.#checkBeginning(end);\n",
      "        end = await readEnd(this.#target);\n",
    ),
    tests: faults("ship_messages"),
  },
  {
    name: "the server checks the place of a message only",
    hazard: "H70",
    edits: edit(
      "src/ship/jetstream_target.ts",
      ", lastSubjectSequence: isClaim ? 0 : after }",
      ", lastSubjectSequence: isClaim ? 0 : undefined as never }",
    ),
    tests: ["tests/ship_jetstream_test.ts"],
  },
  {
    name: "a shipper that was replaced goes on",
    hazard: "H70",
    edits: edit("src/ship/outbox.ts", "    if (owner !== this.#name) throw this.#fenced(end);\n", ""),
    tests: faults("shipping"),
  },
  {
    name: "a follower takes a message that does not follow the one before it",
    hazard: "H71",
    edits: edit(
      "src/ship/fetch.ts",
      "if (before === null ? run.firstLsn > next : run.firstLsn !== before.lastLsn + 1) {",
      "if (before === null && run.firstLsn > next) {",
    ),
    tests: faults("ship_messages"),
  },
  {
    name: "a follower does not look at the message before its first one",
    hazard: "H71",
    edits: edit("src/ship/place.ts", "  await checkBefore(source, found, oldest.place);\n", "  void checkBefore;\n"),
    tests: faults("ship_messages"),
  },
  {
    name: "a follower takes another log's messages",
    hazard: "H71",
    edits: edit(
      "src/ship/fetch.ts",
      "  if (shipment.logId === logId) return shipment;\n",
      '    if (logId !== "") return shipment;\n',
    ),
    tests: faults("ship_messages"),
  },
  {
    name: "a shipper takes another log's records",
    hazard: "H71",
    edits: edit("src/ship/shipper.ts", "    this.#checkLog(outbox, logId);\n", ""),
    tests: faults("ship_messages"),
  },
  {
    name: "a new consumer is not in a header before it is relied on",
    hazard: "H59",
    edits: edit("src/engine/registry.ts", "    if (!this.#isWritten(name, applied, bounds)) writeBoth(header);\n", ""),
    tests: faults("holds"),
    quick: true,
  },
  {
    name: "a consumer is in one header copy of two",
    hazard: "H59",
    edits: edit(
      "src/engine/registry.ts",
      "if (!this.#isWritten(name, applied, bounds)) writeBoth(header);",
      "if (!this.#isWritten(name, applied, bounds)) header.write();",
    ),
    tests: faults("holds"),
  },
  {
    name: "the unnamed consumer is not in a header while it is alone",
    hazard: "H59",
    edits: edit(
      "src/engine/registry.ts",
      "if (!this.#isWritten(",
      'if ((name !== "" || holds.all.length > 1) && !this.#isWritten(',
    ),
    tests: ["tests/named_consumers_test.ts"],
  },
  {
    name: "a checkpoint after the header counts for a store that has gone back",
    hazard: "H59",
    edits: edit("src/engine/registry.ts", "checkpointed <= Math.max(applied, latest.checkpoint) &&", ""),
    tests: ["tests/named_consumers_test.ts"],
  },
  {
    name: "a salvaged log takes its old checkpoints for news",
    hazard: "H59",
    edits: edit("src/recovery/salvage.ts", "{ ...state, head, checkpoint, ", "{ ...state, head, "),
    tests: ["tests/salvage_test.ts"],
  },
  {
    name: "recovery forgets the consumers",
    hazard: "H59",
    edits: edit("src/recovery/recovery.ts", "  return header.consumers.map(", "  return [].map("),
    tests: faults("holds"),
  },
  {
    name: "a consumer that is behind does not count when records are released",
    hazard: "H59",
    edits: edit(
      "src/engine/holds.ts",
      "if (hold.confirmed < confirmed) confirmed = hold.confirmed;",
      "confirmed = hold.confirmed;",
    ),
    tests: faults("holds"),
  },
  {
    name: "truncate() passes a consumer with a name",
    hazard: "H59",
    edits: edit(
      "src/engine/retention.ts",
      'filter(({ name }) => name !== "" || this.#maker.runs(name))',
      "filter(() => false)",
    ),
    tests: faults("holds"),
  },
  {
    name: "a dropped consumer is still in the headers",
    hazard: "H59",
    edits: edit("src/engine/registry.ts", "    writeBoth(header);\n    room.admit();", "    room.admit();"),
    tests: faults("holds"),
  },
  {
    name: "a lost consumer is not told",
    hazard: "H60",
    edits: edit(
      "src/consume/consumers.ts",
      "    this.#runners.get(name)?.stop(new WALConsumerLostError(name, confirmed, this.#log.positions.tail));\n",
      "    void [WALConsumerLostError, confirmed];\n",
    ),
    tests: ["tests/named_consumers_test.ts"],
  },
  {
    name: "a consumer that is given up while it starts is taken for one that holds records",
    hazard: "H60",
    edits: edit("src/consume/consumer.ts", "(this.#signal.aborted || lacksReleased", "(lacksReleased"),
    tests: ["tests/named_consumers_test.ts"],
  },
  {
    name: "a store that lacks released records is taken for whole",
    hazard: "H60",
    edits: edit("src/consume/position.ts", "return lsn < checkpointed && lsn < tail - 1;", "return false;"),
    tests: [...faults("holds"), "tests/named_consumers_test.ts"],
  },
  {
    name: "the last consumer to be dropped leaves records that a new one does not get",
    hazard: "H59",
    edits: edit("src/engine/registry.ts", "releaseHeld(positions.confirmed)", "releaseHeld()"),
    tests: ["tests/named_consumers_test.ts"],
  },
  {
    name: "whenApplied() waits for ever after a skip",
    hazard: "H80",
    edits: edit(
      "src/consume/consumer.ts",
      "    this.#next = through + 1;\n    this.#log.noteApplied(through, false);\n",
      "    this.#next = through + 1;\n",
    ),
    tests: ["tests/skip_test.ts"],
  },
  {
    name: "a skipped record is confirmed before the store has a later one",
    hazard: "H80",
    edits: edit("src/consume/skips.ts", "this.#first === null ? applied : this.#first - 1", "applied"),
    tests: ["tests/skip_test.ts"],
  },
  {
    name: "skipping leaves out a whole run",
    hazard: "H80",
    edits: edit("src/consume/consumer.ts", "this.#skips.records === 1 ?", "this.#skips.records !== 0 ?"),
    tests: ["tests/skip_test.ts"],
  },
  {
    name: "appends wait for a consumer that has skipped all that the ring holds",
    hazard: "H80",
    edits: edit("src/consume/standing.ts", "return hold.confirmed < last && hold.releasable < tail;", "return false;"),
    tests: ["tests/skip_test.ts"],
  },
  {
    name: "a dropped consumer's runner stays",
    hazard: "H80",
    edits: edit(
      "src/consume/consumers.ts",
      "    this.#runners.delete(name);\n    if (this.#latest",
      "    if (this.#latest",
    ),
    tests: ["tests/skip_test.ts"],
  },
  {
    name: "each consumer writes a checkpoint for what another one has confirmed",
    hazard: "H61",
    edits: edit(
      "src/engine/retention.ts",
      "const isNews = through >= lsn && confirmation.given > positions.checkpointed;",
      "const isNews = through > 0;",
    ),
    tests: faults("holds"),
  },
  {
    name: "a consumer may be ahead of what is durable",
    hazard: "H62",
    edits: edit("src/format/consumer_table.ts", "lsn <= durable && (isLost", "(isLost"),
    tests: ["tests/format_reader_test.ts"],
  },
  {
    name: "two consumers may have one name",
    hazard: "H62",
    edits: edit("src/format/consumer_table.ts", " || entries.some((entry) => entry.name === name)", ""),
    tests: ["tests/format_reader_test.ts"],
  },
  {
    name: "a shard is opened before all shards of its set are made",
    hazard: "H72",
    edits: edit("src/shards/shard_files.ts", "if (!isWhole && isUnused(header))", "if (!isWhole && only === null)"),
    tests: faults("shards"),
  },
  {
    name: "a set is finished although one of its shards was used",
    hazard: "H73",
    edits: edit("src/shards/shard_files.ts", "isUsed ||= !isUnused(header);", ""),
    tests: faults("shards"),
  },
  {
    name: "a shard of another set is taken for one's own",
    hazard: "H73",
    edits: edit("src/shards/shard_files.ts", "if (!isSame(setId, known.setId))", "if (false as boolean)"),
    tests: faults("shards"),
  },
  {
    name: "a shard is opened in the place of another",
    hazard: "H73",
    edits: edit("src/shards/shard_files.ts", "if (found !== shard)", "if (false as boolean)"),
    tests: faults("shards"),
  },
  {
    name: "a backup of a shard is no shard",
    hazard: "H73",
    edits: edit(
      "src/recovery/image.ts",
      "place === undefined ? { capacity, created } : { capacity, created, place }",
      "(void place, { capacity, created })",
    ),
    tests: faults("shards"),
  },
  {
    name: "a key's bytes are not copied before their shard is computed",
    hazard: "H74",
    edits: edit("src/shards.ts", "if (!isU64(key) && isKey(key)) given[0] = copyOf(key);", "void copyOf, key;"),
    tests: faults("shards"),
  },
  {
    name: "a batch goes to the shard of its first key",
    hazard: "H74",
    edits: edit("src/shards.ts", "if (other === shard) continue;", "if (other >= 0) continue;"),
    tests: faults("shards"),
  },
  {
    name: "flush() of shards stops at the first that fails",
    hazard: "H75",
    edits: edit("src/shards.ts", "        errors.push(error);\n", "        throw error;\n"),
    tests: faults("shards"),
  },
];
