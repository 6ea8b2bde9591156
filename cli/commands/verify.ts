// cidwal verify: is the log whole? The verdict is the one that opening the log would come to.

import type { Given } from "../arguments.ts";
import { type Command, operand } from "../command.ts";
import { Exit } from "../exit_codes.ts";
import { stdout } from "../output.ts";
import { Progress } from "../progress.ts";
import { type RawLog, readHeaderPair, readRawLog } from "../raw_log.ts";
import { counted, grouped, lookOf, type Style, styled, visible } from "../terminal.ts";
import type { HeaderPair } from "../../src/format/header.ts";
import { lossOf } from "../../src/format/ring.ts";
import type { Loss } from "../../mod.ts";

/** What is wrong with a log, and what is not. */
interface Verdict {
  readonly verdict: "clean" | "torn" | "damaged" | "not a log";
  /** A sentence about it. */
  readonly why: string;
  readonly closed: boolean;
  readonly tail: number;
  readonly head: number;
  readonly records: number;
  readonly torn: readonly { readonly lsn: number; readonly offset: number }[];
  readonly losses: readonly Loss[];
}

const NOTHING = { closed: false, tail: 0, head: 0, records: 0, torn: [], losses: [] };

const NO_FILE: Verdict = {
  ...NOTHING,
  verdict: "not a log",
  why: "no file with room for the headers of a log",
};

const EXITS: Readonly<Record<Verdict["verdict"], Exit>> = {
  clean: Exit.Done,
  torn: Exit.Torn,
  damaged: Exit.Damaged,
  "not a log": Exit.NotALog,
};

const STYLES: Readonly<Record<Verdict["verdict"], Style>> = {
  clean: "green",
  torn: "yellow",
  damaged: "red",
  "not a log": "red",
};

async function run(given: Given): Promise<Exit> {
  const path = operand(given, 0, "FILE");
  const pair = readHeaderPair(path);
  // Another program's file may be far longer than a log.
  const verdict = notOurs(pair) ?? await verdictOf(path, given.has("quiet"));
  if (given.has("json")) stdout.text(`${JSON.stringify({ path, ...verdict })}\n`);
  else if (!given.has("quiet")) describe(path, verdict, given.has("no-color"));
  stdout.end();
  return EXITS[verdict.verdict];
}

async function verdictOf(path: string, isQuiet: boolean): Promise<Verdict> {
  using progress = new Progress("verifying", isQuiet);
  using log = await readRawLog(path, (share) => progress.update(share));
  return log === null ? NO_FILE : verdictOn(log);
}

function verdictOn(log: RawLog): Verdict {
  const { verdict, pair, capacity } = log;
  if (verdict === null) {
    const why = `both header copies are damaged (${pair.copies.join(", ")})`;
    return { ...NOTHING, verdict: "damaged", why };
  }
  const { clean, tail, damaged, unsupported, debris, torn, phantoms } = verdict;
  const { head } = log;
  const losses = damaged.map(({ first, last }) => lossOf(first, last, capacity));
  const found = { closed: clean, tail, head, records: head - tail, losses };
  const about = {
    ...found,
    torn: debris.map((slot) => log.slotAt(slot)).map(({ lsn, offset }) => ({ lsn, offset })),
  };
  if (unsupported !== 0) {
    return { ...about, verdict: "not a log", why: `a later version of this library wrote LSN ${unsupported}` };
  }
  if (log.isCut) return { ...about, verdict: "damaged", why: `the file was cut to ${log.fileBytes} bytes` };
  if (losses.length > 0) {
    const count = losses.reduce((sum, { firstLsn, lastLsn }) => sum + lastLsn - firstLsn + 1, 0);
    return { ...about, verdict: "damaged", why: `${counted(count, "acknowledged record")} cannot be read` };
  }
  const copy = pair.copies.findIndex((copy) => typeof copy === "string");
  const header = copy < 0 ? "" : `; header copy ${"AB"[copy]} is damaged, and the other copy is whole`;
  if (log.unreadable.length > 0) {
    const places = `${counted(log.unreadable.length, "sector")} without records of the log cannot be read`;
    return { ...about, verdict: "damaged", why: `${places}, the first at byte ${log.unreadable[0]}` };
  }
  if (debris.length > 0) {
    const why = `${counted(torn, "torn record")} and ${
      counted(phantoms, "unacknowledged record")
    } after the end, which opening erases`;
    return { ...about, verdict: "torn", why: why + header };
  }
  return {
    ...about,
    verdict: "clean",
    why: `${clean ? "closed cleanly" : "not closed, as one that is open"}${header}`,
  };
}

/** The verdict on a file that is no log of this version, by its header copies; null on others. */
function notOurs(pair: HeaderPair | null): Verdict | null {
  if (pair === null) return NO_FILE;
  if (pair.copies.every((copy) => copy === "magic")) {
    return { ...NOTHING, verdict: "not a log", why: "it does not begin as a log of this library" };
  }
  if (pair.copies.every((copy) => copy === "version")) {
    return { ...NOTHING, verdict: "not a log", why: "its format is of another version" };
  }
  return null;
}

/** The most places that are listed for people; JSON has all. */
const MOST_PLACES = 100;

function describe(path: string, found: Verdict, noColor: boolean): void {
  const look = lookOf("stdout", noColor);
  const { verdict, why, records, tail, head, losses, torn } = found;
  stdout.text(`${visible(path)}: ${styled(look, STYLES[verdict], verdict)}: ${why}\n`);
  if (verdict !== "not a log" && head > 0) {
    stdout.text(`${counted(records, "record")}${records === 0 ? "" : `, LSN ${tail} to ${head - 1}`}\n`);
  }
  const places = [
    ...losses.map(({ firstLsn, lastLsn, offset }) =>
      `damaged  LSN ${firstLsn}${lastLsn > firstLsn ? ` to ${lastLsn}` : ""} at byte ${offset}`
    ),
    ...torn.map(({ lsn, offset }) => `torn     ${lsn === 0 ? "bytes" : `LSN ${lsn}`} at byte ${offset}`),
  ];
  for (const line of places.slice(0, MOST_PLACES)) stdout.text(`  ${line}\n`);
  if (places.length > MOST_PLACES) stdout.text(`  and ${grouped(places.length - MOST_PLACES)} more: see --json\n`);
}

/** `cidwal verify`. */
export const verify: Command = {
  name: "verify",
  summary: "say whether a log is whole, by text and by exit code",
  operands: ["FILE"],
  options: {
    json: { help: "the verdict as one line of JSON, with all places" },
    quiet: { help: "say nothing: only the exit code tells" },
    "no-color": { help: "no colours" },
  },
  notes: [
    "Exit codes: 0 clean, 1 torn tail, 2 damage, 3 not a log of this version.",
    "A torn tail is what a crash leaves after the last acknowledged record. Opening the log erases it.",
  ],
  run,
};
