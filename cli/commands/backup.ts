// cidwal backup: a copy of a log that may be open elsewhere, up to an LSN or a time.

import { type BackupOptions, type Follower, type LSN, WAL, WALLaggedError } from "../../mod.ts";
import type { Given } from "../arguments.ts";
import { type Command, operand } from "../command.ts";
import { CommandError, Exit } from "../exit_codes.ts";
import { breathe, checkStopped } from "../interrupt.ts";
import { stdout } from "../output.ts";
import { MODE, modeOf } from "../selection.ts";
import { counted, visible } from "../terminal.ts";
import { textOfNanos } from "../times.ts";

async function run(given: Given): Promise<Exit> {
  const path = operand(given, 0, "FILE");
  const to = operand(given, 1, "NEW");
  const end = given.lsnOrTime("through");
  using follower = WAL.follow(path, modeOf(given));
  const through = end === undefined ? undefined : "lsn" in end ? end.lsn : newestAt(follower, end.nanos);
  if (through !== undefined && through < follower.tail && follower.tail > 1) {
    throw new CommandError(Exit.Data, `LSN ${through} is released: the log starts at LSN ${follower.tail}`);
  }
  const { first, last } = await copied(follower, to, through === undefined ? {} : { through });
  checkStopped();
  if (!given.has("quiet")) {
    const records = last - first + 1;
    const lsns = records === 0 ? "" : `, LSN ${first} to ${last}`;
    stdout.text(`Copied ${counted(records, "record")}${lsns}, to ${visible(to)}\n`);
  }
  stdout.end();
  return Exit.Done;
}

/** How often a copy is begun that the writer overtakes. */
const MOST_ATTEMPTS = 20;

/** Copies, and begins again if the writer has used a slot again that was still to be copied. */
async function copied(follower: Follower, to: string, options: BackupOptions): Promise<{ first: LSN; last: LSN }> {
  for (let attempt = 1;; attempt++) {
    try {
      return follower.backup(to, options);
    } catch (error) {
      if (!(error instanceof WALLaggedError) || attempt === MOST_ATTEMPTS) throw error;
      await breathe();
    }
  }
}

/** The newest record that is not later than a time. */
function newestAt(follower: Follower, nanos: bigint): number {
  const { last } = follower.verify({ until: nanos });
  if (last >= follower.tail || follower.tail === 1) return last;
  throw new CommandError(Exit.Data, `the log no longer has what it had at ${textOfNanos(nanos)}`);
}

/** `cidwal backup`. */
export const backup: Command = {
  name: "backup",
  summary: "copy a log to a new file, also while it is written",
  operands: ["FILE", "NEW"],
  options: {
    through: { value: "LSN|TIME", help: "the last record, or the time after which records are left out" },
    ...MODE,
    quiet: { help: "do not say what was copied" },
  },
  notes: [
    "The copy is a closed log with an id of its own, there whole or not at all. A batch that --through cuts is left out.",
  ],
  run,
};
