// cidwal follow: prints records as they are appended, as `tail -f` prints lines.

import { WAL } from "../../mod.ts";
import type { Given } from "../arguments.ts";
import { type Command, kindOf, operand } from "../command.ts";
import { Exit } from "../exit_codes.ts";
import { rest } from "../interrupt.ts";
import { stdout } from "../output.ts";
import { readRecords, sayGap } from "../reading.ts";
import { recordFormat } from "../record_text.ts";
import { FILTER, filterOf, LIMIT, LOOKS, MODE, modeOf } from "../selection.ts";
import { lookOf } from "../terminal.ts";

/** Records that are shown first, unless it is said where to begin. */
const SHOWN_FIRST = 10;
/** Milliseconds between two looks at the log. */
const BETWEEN_LOOKS_MS = 50;

async function run(given: Given): Promise<Exit> {
  const path = operand(given, 0, "FILE");
  const filter = filterOf(given);
  const kind = kindOf(given);
  const limit = given.count("limit") ?? Infinity;
  let since = given.time("since");
  let from = given.count("from");
  using follower = WAL.follow(path, modeOf(given));
  if (from === undefined && since === undefined) from = Math.max(follower.tail, follower.head - SHOWN_FIRST);
  const format = recordFormat(kind, lookOf("stdout", given.has("no-color")), follower.head);
  stdout.text(format.heading);
  for (let count = 0; count < limit;) {
    await readRecords(follower, { from, since, until: undefined }, {
      record(cursor) {
        from = cursor.lsn + 1;
        since = undefined;
        if (!filter.takes(cursor)) return true;
        stdout.text(format.line(cursor));
        return ++count < limit;
      },
      gap(gap) {
        stdout.flush();
        from = gap.last + 1;
        if (!given.has("quiet")) sayGap(gap);
      },
    });
    stdout.flush();
    if (count < limit) await rest(BETWEEN_LOOKS_MS);
  }
  return Exit.Done;
}

/** `cidwal follow`. */
export const follow: Command = {
  name: "follow",
  summary: "print records as they are appended, until Ctrl-C",
  operands: ["FILE"],
  options: {
    from: { value: "LSN", help: `the first record; otherwise the last ${SHOWN_FIRST} come first` },
    since: { value: "TIME", help: "begin with this time: 2026-11-29T21:30:00Z, or 90s, 5m, 2h, 1d ago" },
    ...LIMIT,
    ...FILTER,
    ...MODE,
    ...LOOKS,
    quiet: { help: "do not say on standard error what cannot be read" },
  },
  notes: [
    "Records that the log releases before they are read are told on standard error, and following goes on.",
  ],
  run,
};
