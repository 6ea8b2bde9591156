// Follows the log of follow_writer.ts and checks each record: for tests, and as a program that is
// killed. Its arguments: the path, from which LSN and to which one. It prints how far it is.

import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { WAL, WALLaggedError, type WALRecord } from "../../mod.ts";

/** Checks a record, and that it comes after the one before. */
export function check(record: WALRecord, last: number): void {
  const { lsn, keyHigh, keyLow, valueHigh, valueLow } = record;
  const said = [lsn, Number(keyHigh), Number(valueHigh) / 3];
  assertEquals(said, [last + 1, last + 1, last + 1]);
  assert(Number(valueLow) <= lsn && lsn < Number(valueLow) + Number(keyLow), "a record is in its batch");
}

/**
 * Follows a log up to an LSN.
 *
 * @param note is called with each LSN.
 * @returns how many records were read, and how often it was lapped.
 */
export async function followTo(
  path: string,
  end: number,
  from: number,
  note: (lsn: number) => void = () => {},
): Promise<{ read: number; laps: number }> {
  const tally = { read: 0, laps: 0 };
  for (let next = from; next <= end;) {
    using follower = WAL.follow(path, { from: next, pollIntervalMs: 10 });
    try {
      for await (const record of follower) {
        check(record, next - 1);
        note(next);
        next++;
        tally.read++;
        if (next > end) break;
      }
    } catch (error) {
      if (!(error instanceof WALLaggedError)) throw error;
      assertEquals(error.firstLsn, next);
      tally.laps++;
      next = error.lastLsn + 1;
    }
  }
  return tally;
}

if (import.meta.main) {
  const [path, from, end] = process.argv.slice(2);
  const { read, laps } = await followTo(path!, Number(end), Number(from), (lsn) => {
    if (lsn % 500 === 0) console.log(`at ${lsn}`);
  });
  console.log(`at ${end}, ${read} read, lapped ${laps} times`);
}
