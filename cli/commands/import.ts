// cidwal import: appends what `export` wrote, with its operations, times and batches.

import { type BatchItem, type HybridTimeInput, WAL, WALError, WALFullError } from "../../mod.ts";
import { RUN_MAGIC } from "../../src/format/layout.ts";
import type { Given } from "../arguments.ts";
import { type Command, operand } from "../command.ts";
import { CommandError, Exit, exitFor, UsageError } from "../exit_codes.ts";
import { Lines, readInput } from "../input.ts";
import { breathe } from "../interrupt.ts";
import { stdout } from "../output.ts";
import { RunReader } from "../packed_runs.ts";
import { csvReader, type ImportedRecord, ImportError, JSON_READER, type LineReader } from "../record_lines.ts";
import { counted } from "../terminal.ts";

/** Batches between two moments at which signals are let in. */
const BATCHES_AT_ONCE = 1024;
/** Records after which all are made durable, so that a crash does not take much. */
const RECORDS_AT_ONCE = 65_536;

/** `"lines"`: JSON lines or CSV, as the first line tells that is not blank. */
type Kind = "json" | "csv" | "packed" | "lines";

async function run(given: Given): Promise<Exit> {
  const path = operand(given, 0, "LOG");
  const kinds = (["json", "csv", "packed"] as const).filter((name) => given.has(name));
  if (kinds.length > 1) throw new UsageError(`--${kinds[0]} and --${kinds[1]} exclude each other`);
  const size = given.bytes("size");
  using log = new ImportedLog(path, size, given.has("new-times"));
  let parser: Parser | null = null;
  try {
    for await (const piece of readInput(given.operands[1])) {
      if (piece.length === 0) continue;
      parser ??= new Parser(kinds[0] ?? (piece[0] === RUN_MAGIC[0] ? "packed" : "lines"), log);
      await parser.take(piece);
    }
    parser?.end();
    log.end();
  } catch (error) {
    throw withProgress(error, log);
  }
  if (!given.has("quiet")) stdout.text(`${log.summary()}\n`);
  stdout.end();
  return Exit.Done;
}

/** An error that also says what was imported before it. */
function withProgress(error: unknown, log: ImportedLog): unknown {
  if (!(error instanceof Error) || log.records === 0) return error;
  if (!(error instanceof CommandError || error instanceof WALError)) return error;
  const message = error.message === "" ? log.summary() : `${error.message}. ${log.summary()} before that`;
  return new CommandError(exitFor(error), message, { cause: error });
}

/** Reads one input. */
class Parser {
  readonly #log: ImportedLog;
  readonly #runs: RunReader | null;
  /** Null until the first line tells the format. */
  #reader: LineReader | null;
  readonly #lines = new Lines();
  #place = 0;

  constructor(kind: Kind, log: ImportedLog) {
    this.#log = log;
    this.#runs = kind === "packed" ? new RunReader() : null;
    this.#reader = kind === "json" ? JSON_READER : kind === "csv" ? csvReader() : null;
  }

  async take(piece: Uint8Array): Promise<void> {
    if (this.#runs !== null) {
      for (const record of this.#runs.take(piece)) {
        this.#log.add(record, "record", ++this.#place);
        if (this.#place % BATCHES_AT_ONCE === 0) await breathe();
      }
      return;
    }
    for (const line of this.#lines.take(piece)) {
      this.#line(line);
      if (this.#place % BATCHES_AT_ONCE === 0) await breathe();
    }
    if (this.#lines.isTooLong) throw new ImportError("line", this.#place + 1, "it is too long");
  }

  end(): void {
    this.#runs?.end();
    this.#lines.end().forEach((line) => this.#line(line));
  }

  #line(line: string): void {
    this.#place++;
    if (line.includes("\ufffd")) throw new ImportError("line", this.#place, "it is no UTF-8, or has U+FFFD in it");
    const start = line.trimStart();
    if (start === "") return;
    this.#reader ??= start.startsWith("{") ? JSON_READER : csvReader();
    const record = this.#reader.read(line, this.#place);
    if (record !== null) this.#log.add(record, "line", this.#place);
  }
}

/** The log that is imported into. It is opened when the first batch is complete. */
class ImportedLog implements Disposable {
  readonly #path: string;
  readonly #size: number | undefined;
  readonly #newTimes: boolean;
  #wal: WAL | null = null;
  #items: BatchItem[] = [];
  #time: HybridTimeInput | undefined;
  /** Where the batch began, and in what. */
  #first = 0;
  #what: "line" | "record" = "line";
  #isOpen = false;
  #firstLsn = 0;
  #lastLsn = 0;
  #batches = 0;
  #checkpoints = 0;
  #unflushed = 0;

  constructor(path: string, size: number | undefined, newTimes: boolean) {
    this.#path = path;
    this.#size = size;
    this.#newTimes = newTimes;
  }

  /** Records that were appended. */
  get records(): number {
    return this.#lastLsn === 0 ? 0 : this.#lastLsn - this.#firstLsn + 1;
  }

  /** Adds a record, and appends the batch that it ends. */
  add({ item, time, batchGoesOn }: ImportedRecord, what: "line" | "record", place: number): void {
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#what = what;
      this.#first = place;
      this.#items = [];
      this.#time = undefined;
    }
    if (item === null) this.#checkpoints++;
    else {
      if (this.#items.length === 0) this.#time = this.#newTimes ? undefined : time;
      else if (!this.#newTimes) this.#checkTime(time, what, place);
      this.#items.push(item);
    }
    if (!batchGoesOn) this.#append();
  }

  /** Makes everything durable. @throws {ImportError} if the last batch is not complete. */
  end(): void {
    if (this.#isOpen) {
      throw new ImportError(this.#what, this.#first, "the batch that begins here is not complete, and is left out");
    }
    this.#opened().flush();
  }

  summary(): string {
    const { records } = this;
    const lsns = records === 0 ? "" : `, LSN ${this.#firstLsn} to ${this.#lastLsn}`;
    const skipped = this.#checkpoints === 0 ? "" : `, without ${counted(this.#checkpoints, "checkpoint")}`;
    return `Imported ${counted(records, "record")} in ${counted(this.#batches, "batch")}${lsns}${skipped}`;
  }

  [Symbol.dispose](): void {
    this.#wal?.close();
  }

  /** The records of a batch have times that follow each other by sequence number. */
  #checkTime(time: HybridTimeInput | undefined, what: "line" | "record", place: number): void {
    if (time === undefined) return;
    const [nanos, seq, shard] = this.#time ?? [0n, 0, 0];
    const sum = seq + this.#items.length;
    const carries = sum > 0xffffffff;
    const isNext = this.#time !== undefined && BigInt(time[0]) === BigInt(nanos) + (carries ? 1n : 0n) &&
      time[1] === (carries ? sum - 2 ** 32 : sum) && time[2] === shard;
    if (isNext) return;
    throw new ImportError(what, place, "its time does not follow the one before it in its batch; see --new-times");
  }

  #append(): void {
    this.#isOpen = false;
    if (this.#items.length === 0) return;
    const wal = this.#opened();
    try {
      this.#lastLsn = wal.batchSync(this.#items, this.#time);
    } catch (error) {
      throw this.#refusal(error);
    }
    if (this.#firstLsn === 0) this.#firstLsn = this.#lastLsn - this.#items.length + 1;
    this.#batches++;
    this.#unflushed += this.#items.length;
    if (this.#unflushed < RECORDS_AT_ONCE) return;
    wal.flush();
    this.#unflushed = 0;
  }

  #opened(): WAL {
    this.#wal ??= WAL.open(this.#path, this.#size === undefined ? {} : { size: this.#size });
    return this.#wal;
  }

  /** The error for a batch that the log refuses. */
  #refusal(error: unknown): unknown {
    if (error instanceof WALFullError) {
      const why = `the log is full, it holds ${error.capacity} records; a new log may be larger, by --size`;
      return new CommandError(exitFor(error), `${this.#what} ${this.#first}: ${why}`, { cause: error });
    }
    if (!(error instanceof RangeError)) return error;
    const hint = error.message.includes("as time") ? "; see --new-times" : "";
    return new ImportError(this.#what, this.#first, error.message + hint, { cause: error });
  }
}

/** `cidwal import`. */
export const importRecords: Command = {
  name: "import",
  summary: "append what export wrote to a log, or to a new one",
  operands: ["LOG", "[INPUT]"],
  options: {
    json: { help: "the input is JSON lines; otherwise its beginning tells the format" },
    csv: { help: "the input is CSV" },
    packed: { help: "the input is packed runs" },
    "new-times": { help: "give records times of now, not those of the input" },
    size: { value: "BYTES", help: "the size of a log that is made, as in 64MiB" },
    quiet: { help: "do not say what was imported" },
  },
  notes: [
    "Reads standard input without INPUT. Takes the log's lock, so no writer may have the log open.",
    "Each batch is appended whole or not at all. At an error, the batches before it stay, and the message names the line.",
    "Checkpoints are left out: they name LSNs of the other log.",
  ],
  run,
};
