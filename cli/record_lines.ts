// Lines as records: what `import` reads of JSON lines and CSV. Each mistake names its line.

import { type ApplicationOpType, type BatchItem, type HybridTimeInput, OpType } from "../mod.ts";
import { isApplicationOpcode, operationOf } from "../src/format/operations.ts";
import { hexToBytes } from "../src/keys.ts";
import { keyHex } from "./arguments.ts";
import { CommandError, Exit } from "./exit_codes.ts";
import { CSV_COLUMNS } from "./record_text.ts";
import { opcodeNamed } from "./selection.ts";
import { nanosOfISO } from "./times.ts";

/** A record to be appended; null in place of an item for a checkpoint, which is left out. */
export interface ImportedRecord {
  readonly item: BatchItem | null;
  readonly time: HybridTimeInput | undefined;
  readonly batchGoesOn: boolean;
}

/** A mistake in what is imported. */
export class ImportError extends CommandError {
  override name = "ImportError";
  /** The line, from 1; of packed runs the record. */
  readonly place: number;

  constructor(what: "line" | "record", place: number, why: string, options?: ErrorOptions) {
    super(Exit.Data, `${what} ${place}: ${why}`, options);
    this.place = place;
  }
}

/** Reads lines, one after another. */
export interface LineReader {
  /** @param line is not blank. @returns null for a heading. */
  read(line: string, number: number): ImportedRecord | null;
}

/** The fields that a line may have; those of a checkpoint too. */
const FIELDS = new Set([...CSV_COLUMNS, "confirms"]);

/** Reads JSON lines. */
export const JSON_READER: LineReader = {
  read(line, number) {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new ImportError("line", number, "it is no JSON");
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new ImportError("line", number, "it is no JSON object");
    }
    return recordOf(new Map(Object.entries(value)), number);
  },
};

/** Reads CSV. The first line names the columns. */
export function csvReader(): LineReader {
  let columns: readonly string[] | null = null;
  return {
    read(line, number) {
      const cells = line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
      if (columns === null) {
        columns = headingOf(cells, number);
        return null;
      }
      if (cells.length !== columns.length) {
        throw new ImportError("line", number, `it has ${cells.length} cells, and the heading has ${columns.length}`);
      }
      const given = columns.map((name, index) => [name, cells[index]] as const).filter(([, cell]) => cell !== "");
      return recordOf(new Map(given.map(([name, cell]) => [name, typed(name, cell!)])), number);
    },
  };
}

function headingOf(cells: readonly string[], number: number): readonly string[] {
  const unknown = cells.find((name) => !CSV_COLUMNS.includes(name));
  if (unknown !== undefined) throw new ImportError("line", number, `there is no column ${JSON.stringify(unknown)}`);
  if (new Set(cells).size < cells.length) throw new ImportError("line", number, "a column is there twice");
  if (!cells.includes("op")) throw new ImportError("line", number, "the heading has no column op");
  return cells;
}

/** A cell as JSON has it. */
function typed(name: string, cell: string): unknown {
  if (name === "batchGoesOn") return cell === "true" ? true : cell === "false" ? false : cell;
  const isNumber = name === "lsn" || name === "seq" || name === "shard";
  return isNumber && /^\d{1,16}$/.test(cell) ? Number(cell) : cell;
}

function recordOf(fields: ReadonlyMap<string, unknown>, number: number): ImportedRecord {
  const refuse = (why: string): never => {
    throw new ImportError("line", number, why);
  };
  for (const name of fields.keys()) if (!FIELDS.has(name)) refuse(`there is no field ${JSON.stringify(name)}`);
  const op = fields.get("op");
  const opcode = typeof op === "string" || typeof op === "number" ? opcodeNamed(String(op)) : null;
  if (opcode === null) return refuse(op === undefined ? "it has no op" : `op ${JSON.stringify(op)} is no operation`);
  const batchGoesOn = fields.get("batchGoesOn") ?? false;
  if (typeof batchGoesOn !== "boolean") return refuse("batchGoesOn is neither true nor false");
  const id = (name: string): Uint8Array => {
    const given = fields.get(name);
    const hex = typeof given === "string" ? keyHex(given) : null;
    if (hex === null) {
      return refuse(
        given === undefined ? `it has no ${name}` : `${name} ${JSON.stringify(given)} is not 32 hex digits`,
      );
    }
    return hexToBytes(hex);
  };
  const time = timeOf(fields, refuse);
  if (opcode === OpType.Checkpoint) return { item: null, time, batchGoesOn };
  const key = id("key");
  if (operationOf(opcode)!.hasValue) return { item: itemOf(opcode, key, id("value")), time, batchGoesOn };
  if (fields.has("value")) refuse("a delete has no value");
  return { item: { type: "delete", key }, time, batchGoesOn };
}

/** The item of a batch that logs such a record. */
export function itemOf(opcode: number, key: Uint8Array, value: Uint8Array): BatchItem {
  if (isApplicationOpcode(opcode)) return { type: "operation", code: opcode as ApplicationOpType, key, value };
  const { name } = operationOf(opcode)!;
  return name === "delete" ? { type: name, key } : { type: name as "insert" | "replace" | "deleteValue", key, value };
}

function timeOf(fields: ReadonlyMap<string, unknown>, refuse: (why: string) => never): HybridTimeInput | undefined {
  const text = fields.get("time");
  const part = (name: string, most: number): number => {
    const value = fields.get(name) ?? 0;
    const isPart = typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most;
    return isPart ? value : refuse(`${name} ${JSON.stringify(value)} is no integer from 0 to ${most}`);
  };
  const [seq, shard] = [part("seq", 0xffffffff), part("shard", 0xffff)];
  if (text === undefined) return undefined;
  const nanos = typeof text === "string" ? nanosOfISO(text) : null;
  if (nanos === null) return refuse(`time ${JSON.stringify(text)} is no time such as 2026-11-29T21:30:00.123456789Z`);
  return [nanos, seq, shard];
}
