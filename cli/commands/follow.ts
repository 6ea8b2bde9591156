// cidwal follow: prints records as they are appended, as `tail -f` prints lines.

import { type Follower, type FollowOptions, WAL, type WALRecord } from "../../mod.ts";
import type { Given } from "../arguments.ts";
import { type Command, kindOf, operand } from "../command.ts";
import { Exit } from "../exit_codes.ts";
import { checkStopped, rest, stopSignal } from "../interrupt.ts";
import { stdout } from "../output.ts";
import { readRecords, sayGap } from "../reading.ts";
import { recordFormat } from "../record_text.ts";
import { FILTER, filterOf, LIMIT, LOOKS, MODE, modeOf } from "../selection.ts";
import { lookOf } from "../terminal.ts";

/** Records that are shown first, unless it is said where to begin. */
const SHOWN_FIRST = 10;
/** The longest time between two looks at the log, in milliseconds. */
const BETWEEN_LOOKS_MS = 50;

async function run(given: Given): Promise<Exit> {
  const path = operand(given, 0, "FILE");
  const filter = filterOf(given);
  const kind = kindOf(given);
  const limit = given.count("limit") ?? Infinity;
  let since = given.time("since");
  let from = given.count("from");
  using follower = WAL.follow(path, modeOf(given));
  using waiting = new Waiting(path, modeOf(given));
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
    if (count < limit) await waiting.until(from ?? nextLsn(follower, given));
  }
  return Exit.Done;
}

/** The first record that a follower may not have found yet. */
function nextLsn({ durable, head }: Follower, given: Given): number {
  return given.has("durable") ? durable + 1 : head;
}

/**
 * Waits for records. A follower of its own does, which the writer wakes if it was opened with
 * `followers: true`. What it meets beside records is left to whoever reads them.
 */
class Waiting implements Disposable {
  readonly #path: string;
  readonly #options: FollowOptions;
  #records: AsyncGenerator<WALRecord, undefined, undefined> | null = null;
  #close: () => void = () => {};
  /** The newest record that it has met. */
  #met = 0;

  constructor(path: string, options: FollowOptions) {
    this.#path = path;
    this.#options = { ...options, pollIntervalMs: BETWEEN_LOOKS_MS, signal: stopSignal };
  }

  /** Resolves when there is a record with this LSN or a later one, or perhaps something else. */
  async until(lsn: number): Promise<void> {
    try {
      this.#records ??= this.#recordsFrom(lsn);
      // Whoever reads may not have learned yet that what is met here is durable.
      if (this.#met >= lsn) await rest(BETWEEN_LOOKS_MS);
      while (this.#met < lsn) this.#met = (await this.#records.next()).value?.lsn ?? lsn;
    } catch {
      this.#close();
      this.#records = null;
      await rest(BETWEEN_LOOKS_MS);
    }
    checkStopped();
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  #recordsFrom(from: number): AsyncGenerator<WALRecord, undefined, undefined> {
    const follower = WAL.follow(this.#path, { ...this.#options, from });
    this.#close = () => follower.close();
    return follower[Symbol.asyncIterator]();
  }
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
