// The format's tables in docs/format.md and in src/format/layout.ts, compared with the constants
// that the code uses.

import { readFileSync } from "node:fs";
import { assert, assertEquals } from "@std/assert";
import * as layout from "../src/format/layout.ts";
import { isApplicationOpcode, isOpcode, OPERATIONS } from "../src/format/operations.ts";
import { OpType, type WALRunFault } from "../src/types.ts";
import { test } from "./support/test.ts";

const doc = readFileSync(new URL("../docs/format.md", import.meta.url), "utf8");
const source = readFileSync(new URL("../src/format/layout.ts", import.meta.url), "utf8");

interface Field {
  readonly offset: number;
  readonly type: string;
  readonly field: string;
}

/** The rows of the table under a heading. */
function fieldsOfDoc(heading: string): Field[] {
  const section = doc.split(`\n## ${heading}\n`)[1]!.split("\n## ")[0]!;
  const rows = section.split("\n").filter((line) => /^\|\s+\d+ \|/.test(line));
  const cells = rows.map((row) => row.split("|").map((cell) => cell.trim()));
  return cells.filter((cell) => /^u\d/.test(cell[2]!)).map(([, offset, type = "", field = ""]) => ({
    offset: Number(offset),
    type,
    field,
  }));
}

/** The rows of the table in the comment of layout.ts under a first line. */
function fieldsOfSource(firstLine: string): Field[] {
  const section = source.split(`// ${firstLine}`)[1]!.split("//\n")[0]!;
  const fields = section.matchAll(/^\/\/ +(\d+) {2}(u\d+(?: ×\d+| …)?) +(\w+)/gm);
  return [...fields].map(([, offset, type = "", field = ""]) => ({
    offset: Number(offset),
    type: type.replace("×", "× "),
    field,
  }));
}

function constantOf(prefix: string, field: string): number | undefined {
  const name = prefix + field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase() + "_AT";
  return (layout as unknown as Record<string, number | undefined>)[name];
}

const TYPE_BYTES: Readonly<Record<string, number>> = {
  "u8": 1,
  "u16": 2,
  "u32": 4,
  "u64": 8,
  "u8 × 8": 8,
  "u8 × 12": layout.SET_ID_BYTES,
  "u8 × 16": 16,
  "u8 × 6": 6,
  "u8 × 40": layout.MOST_NAME_BYTES,
  "u8 × 1024": layout.MOST_CONSUMERS * layout.CONSUMER_BYTES,
  "u8 …": layout.HEADER_CRC_AT - layout.HEADER_SPARE_AT,
};

function checkTable(heading: string, firstLine: string, prefix: string, bytes: number): void {
  const fields = fieldsOfDoc(heading);
  assert(fields.length > 6, `the table of ${heading} is found`);
  assertEquals(fieldsOfSource(firstLine), fields, `layout.ts and format.md agree on ${heading}`);
  let offset = 0;
  for (const field of fields) {
    assertEquals(field.offset, offset, `${field.field} follows the field before it`);
    const constant = field.field === "magic" ? 0 : constantOf(prefix, field.field);
    assertEquals(constant, field.offset, `the constant of ${field.field}`);
    offset += TYPE_BYTES[field.type]!;
  }
  assertEquals(offset, bytes, `${heading} is complete`);
}

test("docs/format.md describes the header that layout.ts defines", () => {
  checkTable("Header copy", "Header copy: 4096 bytes.", "HEADER_", layout.HEADER_BYTES);
});

test("docs/format.md describes the consumer entry that layout.ts defines", () => {
  checkTable("Consumer entry", "Consumer entry: 64 bytes.", "CONSUMER_", layout.CONSUMER_BYTES);
});

test("docs/format.md describes the record that layout.ts defines", () => {
  checkTable("Record", "Record: 64 bytes", "", layout.RECORD_BYTES);
});

test("docs/format.md describes the header of a run that layout.ts defines", () => {
  checkTable("Run header", "Run header: 64 bytes", "RUN_", layout.RUN_HEADER_BYTES);
  const magic = layout.RUN_MAGIC.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
  assert(doc.includes(`\`${magic}\``));
});

test("docs/format.md describes the live file that layout.ts defines", () => {
  checkTable("Live file", "Live file: 64 bytes", "LIVE_", layout.LIVE_BYTES);
  const magic = layout.LIVE_MAGIC.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
  assert(doc.includes(`\`${magic}\``));
});

test("docs/format.md names every fault of a run", () => {
  const rows = [...doc.split("## Reading a run")[1]!.split("\n## ")[0]!.matchAll(/^\|.*\| `(\w+)` +\|$/gm)];
  const faults: WALRunFault[] = ["short", "magic", "header", "version", "header", "log", "short", "long"];
  assertEquals(rows.map(([, fault]) => fault), [...faults, "record", "gap", "version", "batch"]);
});

test("docs/format.md describes the file and the magic number", () => {
  for (const offset of [...layout.HEADER_AT, layout.RING_AT]) {
    assert(new RegExp(`^\\|\\s+${offset} \\|`, "m").test(doc));
  }
  const magic = layout.MAGIC.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
  assert(doc.includes(`\`${magic}\``));
});

test("docs/format.md names every opcode", () => {
  const table = doc.slice(doc.indexOf("opcode | operation"), doc.indexOf("**Checksum.**"));
  const rows = [...table.matchAll(/^\|\s+(\d+)(?: to (\d+))? \| (\w+)\s+\|/gm)];
  const own = rows.filter(([, , last]) => last === undefined);
  const named = own.map(([, opcode, , name = ""]) => [name.charAt(0).toUpperCase() + name.slice(1), Number(opcode)]);
  assertEquals(Object.fromEntries(named), { ...OpType });
  assertEquals(
    OPERATIONS.map(({ opType, name }) => [name, opType]),
    own.map(([, opcode, , name]) => [name!, +opcode!]),
  );
  for (let opcode = 0; opcode < 256; opcode++) {
    const [, , last, name] = rows.find(([, from, to = from]) => opcode >= +from! && opcode <= +to!) ?? [];
    assertEquals([isOpcode(opcode), isApplicationOpcode(opcode)], [name !== undefined, last !== undefined]);
  }
});
