// cidwal salvage: what can be proved of a damaged log, as a log again.

import { WAL } from "../../mod.ts";
import type { Given } from "../arguments.ts";
import { type Command, operand } from "../command.ts";
import { CommandError, Exit, UsageError } from "../exit_codes.ts";
import { confirmed } from "../input.ts";
import { checkStopped } from "../interrupt.ts";
import { say, stdout } from "../output.ts";
import { type RawLog, readRawLog } from "../raw_log.ts";
import { type Salvaged, salvageTo } from "../salvage_copy.ts";
import { grouped, lsnsAre, visible } from "../terminal.ts";

async function run(given: Given): Promise<Exit> {
  const path = operand(given, 0, "FILE");
  const to = given.text("to");
  if ((to === undefined) !== given.has("in-place")) throw new UsageError("give either --to NEW or --in-place");
  if (to !== undefined && given.has("yes")) throw new UsageError("--yes belongs to --in-place");
  const log = await readRawLog(path);
  if (log === null) {
    throw new CommandError(Exit.Data, `${JSON.stringify(path)} is no file with room for the headers of a log`);
  }
  using _closing = log;
  if (to === undefined && !await inPlace(path, log, given)) return Exit.Declined;
  if (to !== undefined) {
    report(await salvageTo(log, to), given, `is in ${visible(to)}; ${visible(path)} is as it was`);
  }
  stdout.end();
  return Exit.Done;
}

/** @returns false if the user does not want it. */
async function inPlace(path: string, log: RawLog, given: Given): Promise<boolean> {
  if (!isDamaged(log)) {
    if (!given.has("quiet")) stdout.text(`Nothing is damaged in ${visible(path)}\n`);
    return true;
  }
  if (!given.has("yes")) {
    const { verdict } = log;
    for (const { first, last } of verdict?.damaged ?? []) say(`${lsnsAre(first, last)} damaged`);
    const question = `Replace ${visible(path)} by what can be proved, and keep it as ${visible(path)}.damaged-…?`;
    if (!await confirmed(question)) {
      say("Nothing was changed");
      return false;
    }
  }
  checkStopped();
  using wal = WAL.open(path, { create: false, recovery: "salvage" });
  const { recovery } = wal;
  const kept = recovery.damagedFile === null ? "" : `; the damaged file is ${visible(recovery.damagedFile)}`;
  report(recovery, given, `is in ${visible(path)}${kept}`);
  return true;
}

function isDamaged({ verdict, isCut, unreadable }: RawLog): boolean {
  return verdict === null || verdict.damaged.length > 0 || isCut || unreadable.length > 0;
}

function report({ losses, firstLsn, lastLsn }: Salvaged, given: Given, where: string): void {
  if (given.has("quiet")) return;
  const records = lastLsn - firstLsn + 1;
  for (const { firstLsn, lastLsn, offset } of losses) {
    stdout.text(`${lsnsAre(firstLsn, lastLsn)} lost, from byte ${offset} on\n`);
  }
  const lost = losses.reduce((sum, { firstLsn, lastLsn }) => sum + lastLsn - firstLsn + 1, 0);
  const kept = records === 0 ? "A log without records" : `LSN ${firstLsn} to ${lastLsn}`;
  const without = lost === 0 ? ", nothing is lost" : `, ${grouped(lost)} of them lost`;
  stdout.text(`${kept}${records === 0 ? "" : without}: the log ${where}\n`);
}

/** `cidwal salvage`. */
export const salvage: Command = {
  name: "salvage",
  summary: "make a log of what can be proved of a damaged one",
  operands: ["FILE"],
  options: {
    to: { value: "NEW", help: "write a new file, and leave FILE as it is" },
    "in-place": { help: "put the new file in FILE's place; FILE is kept as FILE.damaged-<nanoseconds>" },
    yes: { help: "with --in-place: do not ask" },
    quiet: { help: "do not say what is lost" },
  },
  notes: [
    "Batches are kept or given up as a whole. In a lost record's place is a checkpoint that confirms nothing.",
    "--in-place takes the log's lock, so no writer may have the log open. Exits with 1 if the answer is no.",
  ],
  run,
};
