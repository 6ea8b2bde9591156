// Slots as text: what `dump --raw` prints.

import { fieldsOf, hexOf, opName } from "./record_text.ts";
import type { RawLog, RawSlot } from "./raw_log.ts";
import { atLeft, atRight, counted, grouped, type Look, rows, type Style, styled, visible } from "./terminal.ts";
import { textOfNanos } from "./times.ts";
import { createdMsOf, type Header } from "../src/format/header.ts";
import { HEADER_AT } from "../src/format/layout.ts";
import { offsetOf } from "../src/format/ring.ts";
import { OpType } from "../mod.ts";

/** How slots are written. */
export interface SlotFormat {
  readonly heading: string;
  line(slot: RawSlot): string;
  /** What is left to write after the last slot. */
  end(): string;
}

/** True if a slot has a record whose fields can be shown. */
function hasFields({ state }: RawSlot): boolean {
  return state === "record" || state === "stale" || state === "phantom";
}

/** The format that was asked for. JSON and CSV have a line for every slot. */
export function slotFormat(kind: "json" | "csv" | "text", look: Look, log: RawLog): SlotFormat {
  if (kind === "json") {
    return {
      heading: "",
      line: (slot) => `${JSON.stringify({ ...slot, ...hasFields(slot) ? fieldsOf(log.recordAt(slot.slot)) : {} })}\n`,
      end: () => "",
    };
  }
  if (kind === "csv") {
    const columns = ["slot", "offset", "state", "lsn", "time", "seq", "shard", "op", "key", "value", "batchGoesOn"];
    return {
      heading: `${columns.join(",")}\n`,
      line(slot) {
        const { confirms, ...fields } = hasFields(slot) ? fieldsOf(log.recordAt(slot.slot)) : { confirms: undefined };
        const cells: Record<string, unknown> = {
          ...slot,
          ...fields,
          ...confirms === undefined ? {} : { value: confirms },
        };
        return `${columns.map((name) => cells[name] ?? "").join(",")}\n`;
      },
      end: () => "",
    };
  }
  return new SlotLines(look, log);
}

const STYLES: Readonly<Record<RawSlot["state"], Style>> = {
  record: "green",
  damaged: "red",
  torn: "yellow",
  phantom: "yellow",
  stale: "dim",
  rotten: "dim",
  unwritten: "dim",
  "later version": "cyan",
};

const STATE_COLUMNS = "later version".length;

/** Lines for people. Slots without bytes that follow each other are one line. */
class SlotLines implements SlotFormat {
  readonly heading: string;
  readonly #look: Look;
  readonly #log: RawLog;
  readonly #offsetColumns: number;
  readonly #lsnColumns: number;
  readonly #isWide: boolean;
  /** The first of the unwritten slots that were seen last, and how many. */
  #unwritten = { slot: 0, count: 0 };

  constructor(look: Look, log: RawLog) {
    this.#look = look;
    this.#log = log;
    this.#offsetColumns = Math.max(6, String(offsetOf(log.capacity)).length);
    this.#lsnColumns = Math.max(3, String(log.head).length);
    this.#isWide = look.columns >= this.#offsetColumns + STATE_COLUMNS + this.#lsnColumns + 2 + 31 + 12 + 66;
    const columns = [
      atRight("offset", this.#offsetColumns),
      atLeft("state", STATE_COLUMNS),
      atRight("LSN", this.#lsnColumns),
    ];
    this.heading = `${headers(look, log)}\n${styled(look, "bold", `${columns.join(" ")}  record`)}\n`;
  }

  line(about: RawSlot): string {
    if (about.state === "unwritten") {
      const goesOn = this.#unwritten.count > 0 && this.#unwritten.slot + this.#unwritten.count === about.slot;
      const before = goesOn ? "" : this.end();
      this.#unwritten = goesOn
        ? { ...this.#unwritten, count: this.#unwritten.count + 1 }
        : { slot: about.slot, count: 1 };
      return before;
    }
    const lsn = about.lsn === 0 ? "" : String(about.lsn);
    return this.end() + this.#columns(about.offset, about.state, lsn, hasFields(about) ? this.#record(about.slot) : "");
  }

  end(): string {
    const { slot, count } = this.#unwritten;
    this.#unwritten = { slot: 0, count: 0 };
    if (count === 0) return "";
    return this.#columns(offsetOf(slot), "unwritten", "", count === 1 ? "" : `${grouped(count)} slots`);
  }

  #columns(offset: number, state: RawSlot["state"], lsn: string, text: string): string {
    const styledState = styled(this.#look, STYLES[state], atLeft(state, STATE_COLUMNS));
    return `${
      `${atRight(String(offset), this.#offsetColumns)} ${styledState} ${atRight(lsn, this.#lsnColumns)}  ${text}`
        .trimEnd()
    }\n`;
  }

  #record(slot: number): string {
    const { opType, timeNanos, keyHigh, keyLow, valueHigh, valueLow, batchGoesOn } = this.#log.recordAt(slot);
    const name = opName(opType) + (batchGoesOn ? " +" : "");
    if (!this.#isWide) return name;
    const time = styled(this.#look, "dim", textOfNanos(timeNanos));
    if (opType === OpType.Checkpoint) return `${time} ${atLeft(name, 13)} through LSN ${valueLow}`;
    const value = opType === OpType.Delete ? "" : ` ${hexOf(valueHigh, valueLow)}`;
    return `${time} ${atLeft(name, 13)} ${hexOf(keyHigh, keyLow)}${value}`;
  }
}

/** Both header copies, and what recovery would find. */
function headers(look: Look, { path, fileBytes, pair, verdict, head, unreadable }: RawLog): string {
  const list = [
    { name: "file", value: visible(path) },
    { name: "size", value: `${grouped(fileBytes)} bytes` },
    ...pair.copies.map((copy, index) => ({
      name: `header ${"AB"[index]}`,
      value: `at byte ${HEADER_AT[index as 0 | 1]}: ${
        typeof copy === "string" ? `not valid (${copy})` : headerText(copy)
      }`,
    })),
  ];
  if (verdict !== null) {
    const damaged = verdict.damaged.reduce((sum, { first, last }) => sum + last - first + 1, 0);
    list.push({
      name: "opening",
      value: `would find ${counted(head - verdict.tail, "record")} from LSN ${verdict.tail} on, ` +
        `${damaged} damaged, ${verdict.torn} torn, ${verdict.phantoms} phantom`,
    });
  }
  if (unreadable.length > 0) {
    list.push({ name: "unreadable", value: `${counted(unreadable.length, "sector")}, as zeros here` });
  }
  return rows(look, list);
}

function headerText(header: Header): string {
  const { writeCounter, tail, durable, checkpoint, cleanHead, openerPid, capacity, lineage, erasing } = header;
  const created = createdMsOf(header);
  return [
    `write ${writeCounter}`,
    `tail ${tail}`,
    `durable ${durable}`,
    `checkpoint ${checkpoint}`,
    cleanHead === 0 ? "open" : `closed, head ${cleanHead}`,
    ...erasing ? ["erasing"] : [],
    `process ${openerPid}`,
    `${grouped(capacity)} slots`,
    `log ${lineage.logId}`,
    ...created === null ? [] : [`made ${new Date(created).toISOString()}`],
  ].join(", ");
}
