// cidwal dump: the records of a log, or every slot of its file.

import { WAL } from "../../mod.ts";
import type { Given } from "../arguments.ts";
import { type Command, kindOf, operand } from "../command.ts";
import { CommandError, Exit, UsageError } from "../exit_codes.ts";
import { breathe } from "../interrupt.ts";
import { stdout } from "../output.ts";
import { readRawLog } from "../raw_log.ts";
import { slotFormat } from "../raw_text.ts";
import { readRecords, sayGap } from "../reading.ts";
import { recordFormat } from "../record_text.ts";
import { FILTER, filterOf, LIMIT, LOOKS, MODE, modeOf, RANGE, rangeOf } from "../selection.ts";
import { lookOf } from "../terminal.ts";

async function run(given: Given): Promise<Exit> {
  return given.has("raw") ? await dumpSlots(given) : await dumpRecords(given);
}

async function dumpRecords(given: Given): Promise<Exit> {
  const path = operand(given, 0, "FILE");
  const range = rangeOf(given);
  const filter = filterOf(given);
  const kind = kindOf(given);
  const limit = given.count("limit") ?? Infinity;
  using follower = WAL.follow(path, modeOf(given));
  const format = recordFormat(kind, lookOf("stdout", given.has("no-color")), follower.head);
  stdout.text(format.heading);
  let [count, isDamaged] = [0, false];
  await readRecords(follower, range, {
    record(cursor) {
      if (!filter.takes(cursor)) return true;
      stdout.text(format.line(cursor));
      return ++count < limit;
    },
    gap(gap) {
      stdout.flush();
      if (!given.has("quiet")) sayGap(gap);
      isDamaged ||= gap.why === "damaged";
    },
  });
  stdout.end();
  return isDamaged ? Exit.Data : Exit.Done;
}

async function dumpSlots(given: Given): Promise<Exit> {
  const path = operand(given, 0, "FILE");
  const excluded = ["since", "until", "durable"].find((name) => given.has(name));
  if (excluded !== undefined) throw new UsageError(`--raw and --${excluded} exclude each other`);
  const { from = 0, to = Infinity } = rangeOf(given);
  const filter = filterOf(given);
  const limit = given.count("limit") ?? Infinity;
  const kind = kindOf(given);
  const log = await readRawLog(path);
  if (log === null) {
    throw new CommandError(Exit.Data, `${JSON.stringify(path)} is no file with room for the headers of a log`);
  }
  using _closing = log;
  const format = slotFormat(kind, lookOf("stdout", given.has("no-color")), log);
  stdout.text(format.heading);
  const takesAll = filter.takesAll && from === 0 && to === Infinity;
  let count = 0;
  for (let slot = 0; slot < log.capacity && count < limit; slot++) {
    const about = log.slotAt(slot);
    const isIn = takesAll ||
      (about.lsn >= from && about.lsn <= to && (filter.takesAll || filter.takes(log.recordAt(slot))));
    if (isIn) {
      stdout.text(format.line(about));
      count++;
    }
    if (stdout.tookPiece()) await breathe();
  }
  stdout.text(format.end());
  stdout.end();
  return Exit.Done;
}

/** `cidwal dump`. */
export const dump: Command = {
  name: "dump",
  summary: "print the records of a log, or every slot of its file",
  operands: ["FILE"],
  options: {
    raw: { help: "every slot with its byte offset and state, also what is damaged, torn, stale or unwritten" },
    ...RANGE,
    ...LIMIT,
    ...FILTER,
    ...MODE,
    ...LOOKS,
    quiet: { help: "do not say on standard error what cannot be read" },
  },
  notes: [
    "Goes on after records that are damaged, and then exits with 65.",
    "The signs ┌ │ └ before operations mark batches.",
  ],
  run,
};
