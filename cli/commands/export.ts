// cidwal export: records for another log or another program, in whole batches.

import { type Cursor, type Follower, WAL } from "../../mod.ts";
import type { Given } from "../arguments.ts";
import { type Command, kindOf, operand } from "../command.ts";
import { Exit, UsageError } from "../exit_codes.ts";
import { breathe } from "../interrupt.ts";
import { newFile, type Output, say, stdout } from "../output.ts";
import { RunPacker } from "../packed_runs.ts";
import { capture, readRecords, sayGap } from "../reading.ts";
import { recordFormat, type Shown } from "../record_text.ts";
import { FILTER, type Filter, filterOf, LIMIT, MODE, modeOf, RANGE, rangeOf, type TimedRange } from "../selection.ts";
import { lsnsAre } from "../terminal.ts";

async function run(given: Given): Promise<Exit> {
  const path = operand(given, 0, "FILE");
  const range = rangeOf(given);
  const filter = filterOf(given);
  const limit = given.count("limit") ?? Infinity;
  const kind = kindOf(given);
  const isPacked = given.has("packed");
  if (isPacked && kind !== "text") throw new UsageError(`--packed and --${kind} exclude each other`);
  if (isPacked && !filter.takesAll) throw new UsageError("--packed takes all records: --op and --key leave gaps");
  const to = given.text("output");
  using follower = WAL.follow(path, modeOf(given));
  using output = to === undefined ? stdout : newFile(to);
  const write = isPacked ? packedWriter(follower, output) : textWriter(kind === "csv" ? "csv" : "json", output);
  const batches = new Batches(filter, limit, write.record);
  let isDamaged = false;
  await batches.begin(follower, range);
  await readRecords(follower, range, {
    record: (cursor) => batches.add(cursor),
    gap(gap) {
      if (!given.has("quiet")) sayGap(gap);
      isDamaged ||= gap.why === "damaged";
      batches.gap(gap.why === "damaged");
    },
  });
  batches.end();
  write.end();
  await breathe();
  output.end();
  if (!given.has("quiet")) batches.leftOut.forEach(say);
  return isDamaged ? Exit.Data : Exit.Done;
}

/** Where records go. */
interface Writer {
  readonly record: (record: Shown) => void;
  readonly end: () => void;
}

function textWriter(kind: "json" | "csv", output: Output): Writer {
  const format = recordFormat(kind, { columns: Infinity, color: false }, 0);
  output.text(format.heading);
  return { record: (record) => output.text(format.line(record)), end: () => {} };
}

function packedWriter(follower: Follower, output: Output): Writer {
  const packer = new RunPacker(follower.logId, (bytes) => output.bytes(bytes));
  return { record: (record) => packer.add(record), end: () => packer.end() };
}

/** Puts records together to batches, and passes on whole ones only. */
class Batches {
  readonly #filter: Filter;
  readonly #write: (record: Shown) => void;
  #left: number;
  #batch: Shown[] = [];
  /** The first record of a batch whose beginning is missing. */
  #cutFrom: number | null = null;
  #isCut = false;
  /** What was left out, a sentence each. */
  readonly leftOut: string[] = [];

  constructor(filter: Filter, limit: number, write: (record: Shown) => void) {
    this.#filter = filter;
    this.#left = limit;
    this.#write = write;
  }

  /** Finds out whether the range begins inside a batch. */
  async begin(follower: Follower, range: TimedRange): Promise<void> {
    let first = 0;
    await readRecords(follower, range, {
      record(cursor) {
        first = cursor.lsn;
        return false;
      },
      gap: () => {},
    });
    if (first <= follower.tail) return;
    await readRecords(follower, { from: first - 1, to: first - 1, since: undefined, until: undefined }, {
      record: (cursor) => {
        this.#isCut = cursor.batchGoesOn;
        return true;
      },
      gap: ({ why }) => {
        this.#isCut = why === "damaged";
      },
    });
  }

  /** @returns false if there may be no more. */
  add(cursor: Cursor): boolean {
    const { batchGoesOn } = cursor;
    if (this.#isCut) {
      this.#cutFrom ??= cursor.lsn;
      if (!batchGoesOn) this.#leaveOut(this.#cutFrom, cursor.lsn, "a part of a batch that may have begun earlier");
      this.#isCut = batchGoesOn;
      return true;
    }
    if (!batchGoesOn && this.#batch.length === 0) {
      if (this.#filter.takes(cursor)) {
        this.#write(cursor);
        this.#left--;
      }
      return this.#left > 0;
    }
    this.#batch.push(capture(cursor));
    return batchGoesOn || this.#writeBatch();
  }

  /** Records are missing. @param isInBatch true if their batch may go on after them. */
  gap(isInBatch: boolean): void {
    this.#leaveBatchOut("a part of a damaged batch");
    this.#isCut = isInBatch;
    this.#cutFrom = null;
  }

  /** There are no more records. */
  end(): void {
    this.#leaveBatchOut("a part of a batch that goes on after the range");
  }

  #writeBatch(): boolean {
    const kept = this.#batch.filter((record) => this.#filter.takes(record));
    if (kept.length > this.#left) {
      this.#leaveBatchOut("a batch that is longer than --limit allows");
      return false;
    }
    kept.forEach((record, index) => this.#write({ ...record, batchGoesOn: index < kept.length - 1 }));
    this.#left -= kept.length;
    this.#batch = [];
    return this.#left > 0;
  }

  #leaveBatchOut(why: string): void {
    const [first, last] = [this.#batch[0], this.#batch.at(-1)];
    if (first !== undefined && last !== undefined) this.#leaveOut(first.lsn, last.lsn, why);
    this.#batch = [];
  }

  #leaveOut(first: number, last: number, why: string): void {
    this.leftOut.push(`cidwal: ${lsnsAre(first, last)} left out, as ${why}`);
    this.#cutFrom = null;
  }
}

/** `cidwal export`. */
export const exportRecords: Command = {
  name: "export",
  summary: "write records for import or for other programs, in whole batches",
  operands: ["FILE"],
  options: {
    output: { value: "NEW", help: "a new file, there whole or not at all; otherwise standard output" },
    json: { help: "JSON, one line for each record; the default" },
    csv: { help: "CSV, with a heading" },
    packed: { help: "packed runs, which decodeRun() reads and which verify themselves" },
    ...RANGE,
    ...LIMIT,
    ...FILTER,
    ...MODE,
    quiet: { help: "do not say on standard error what is left out" },
  },
  notes: [
    "A batch that the range or --limit cuts is left out as a whole. With --op and --key, the rest of a batch is one batch.",
    "Goes on after records that are damaged, without their batches, and then exits with 65.",
  ],
  run,
};
