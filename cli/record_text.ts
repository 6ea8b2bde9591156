// Records as text: lines for people, JSON lines, CSV.

import { OpType } from "../mod.ts";
import { isApplicationOpcode, operationOf } from "../src/format/operations.ts";
import { atLeft, atRight, type Look, type Style, styled, width } from "./terminal.ts";
import { textOfNanos } from "./times.ts";

/** What is written of a record. A cursor is such a record. */
export interface Shown {
  readonly lsn: number;
  readonly opType: number;
  readonly timeNanos: bigint;
  readonly timeSeq: number;
  readonly timeShard: number;
  readonly keyHigh: bigint;
  readonly keyLow: bigint;
  readonly valueHigh: bigint;
  readonly valueLow: bigint;
  readonly batchGoesOn: boolean;
}

/** Two halves as 32 hex digits. */
export function hexOf(high: bigint, low: bigint): string {
  return high.toString(16).padStart(16, "0") + low.toString(16).padStart(16, "0");
}

/** What an operation is called: by name, or by number if it is the application's. */
export function opName(opType: number): string {
  if (isApplicationOpcode(opType)) return String(opType);
  return operationOf(opType)?.name ?? `?${opType}`;
}

/** The fields of a record for JSON. A checkpoint has the LSN that it confirms. */
export function fieldsOf(record: Shown): Record<string, unknown> {
  const { lsn, opType, timeNanos, timeSeq, timeShard, batchGoesOn } = record;
  const pair = opType === OpType.Checkpoint
    ? { confirms: Number(record.valueLow) }
    : opType === OpType.Delete
    ? { key: hexOf(record.keyHigh, record.keyLow) }
    : { key: hexOf(record.keyHigh, record.keyLow), value: hexOf(record.valueHigh, record.valueLow) };
  const op = isApplicationOpcode(opType) ? opType : opName(opType);
  return { lsn, time: textOfNanos(timeNanos), seq: timeSeq, shard: timeShard, op, ...pair, batchGoesOn };
}

/** The columns of CSV. */
export const CSV_COLUMNS: readonly string[] = ["lsn", "time", "seq", "shard", "op", "key", "value", "batchGoesOn"];

/** How records are written. */
export interface RecordFormat {
  /** What comes before the first record. */
  readonly heading: string;
  /** A record with its line break. */
  line(record: Shown): string;
}

const JSON_LINES: RecordFormat = {
  heading: "",
  line: (record) => `${JSON.stringify(fieldsOf(record))}\n`,
};

const CSV: RecordFormat = {
  heading: `${CSV_COLUMNS.join(",")}\n`,
  line(record) {
    const { key = "", value = "", confirms, ...others } = fieldsOf(record);
    const cells: Record<string, unknown> = { ...others, key, value: confirms ?? value };
    return `${CSV_COLUMNS.map((name) => cells[name]).join(",")}\n`;
  },
};

/** The format that was asked for. */
export function recordFormat(kind: "json" | "csv" | "text", look: Look, widestLsn: number): RecordFormat {
  if (kind === "json") return JSON_LINES;
  return kind === "csv" ? CSV : textFormat(look, widestLsn);
}

const OP_STYLES: Readonly<Partial<Record<number, Style>>> = {
  [OpType.Insert]: "green",
  [OpType.Delete]: "red",
  [OpType.DeleteValue]: "red",
  [OpType.Replace]: "yellow",
  [OpType.Checkpoint]: "dim",
};

/** Columns of each part of a line, with a space after it. */
const OP_COLUMNS = "deleteValue".length;
const TIME_COLUMNS = "2026-11-29T21:30:00.123456789Z".length;
const SHORT_TIME_COLUMNS = "21:30:00.123".length;
const ID_COLUMNS = 32;
const LEAST_ID_COLUMNS = 7;

/**
 * Lines for people, with as much as fits: narrow terminals get the time without its date or no
 * time, and the ends of keys and values. The sign before an operation shows where batches begin
 * and end.
 */
function textFormat(look: Look, widestLsn: number): RecordFormat {
  const lsnColumns = Math.max(3, String(widestLsn).length);
  const seqColumns = 5;
  const isWide = look.columns >= lsnColumns + TIME_COLUMNS + seqColumns + OP_COLUMNS + 2 * ID_COLUMNS + 8;
  const idsBeside = (timeColumns: number) =>
    Math.floor((look.columns - (lsnColumns + timeColumns + OP_COLUMNS + 2 + 4) - 1) / 2);
  const hasTime = isWide || idsBeside(SHORT_TIME_COLUMNS) >= LEAST_ID_COLUMNS;
  const timeColumns = isWide ? TIME_COLUMNS : hasTime ? SHORT_TIME_COLUMNS : 0;
  const idColumns = isWide ? ID_COLUMNS : Math.max(LEAST_ID_COLUMNS, Math.min(ID_COLUMNS, idsBeside(timeColumns)));
  const id = (high: bigint, low: bigint) => shortened(hexOf(high, low), idColumns);
  const join = (parts: readonly string[]) => `${parts.join(" ").trimEnd()}\n`;
  const head = [
    atRight("LSN", lsnColumns),
    ...hasTime ? [atLeft("time", timeColumns)] : [],
    ...isWide ? [atRight("seq", seqColumns)] : [],
    atLeft("  operation", OP_COLUMNS + 2),
    atLeft("key", idColumns),
    "value",
  ];
  let isInBatch = false;
  return {
    heading: styled(look, "bold", join(head).trimEnd()) + "\n",
    line({ lsn, opType, timeNanos, timeSeq, timeShard, keyHigh, keyLow, valueHigh, valueLow, batchGoesOn }) {
      const sign = isInBatch ? batchGoesOn ? "│" : "└" : batchGoesOn ? "┌" : " ";
      isInBatch = batchGoesOn;
      const time = textOfNanos(timeNanos);
      const seq = timeShard === 0 ? `${timeSeq}` : `${timeSeq}/${timeShard}`;
      const style = OP_STYLES[opType] ?? "cyan";
      const isCheckpoint = opType === OpType.Checkpoint;
      return join([
        atRight(String(lsn), lsnColumns),
        ...hasTime ? [styled(look, "dim", isWide ? time : time.slice(11, 23))] : [],
        ...isWide ? [atRight(seq, seqColumns)] : [],
        `${sign} ${styled(look, style, atLeft(opName(opType), OP_COLUMNS))}`,
        isCheckpoint ? atLeft(valueLow === 0n ? "nothing" : `through LSN ${valueLow}`, idColumns) : id(keyHigh, keyLow),
        isCheckpoint || opType === OpType.Delete ? "" : id(valueHigh, valueLow),
      ]);
    },
  };
}

/** The ends of a text. */
function shortened(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  const last = Math.floor((columns - 1) / 2);
  return `${text.slice(0, columns - 1 - last)}…${text.slice(text.length - last)}`;
}
