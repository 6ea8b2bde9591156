// One runtime's part of a soak: histories of new seeds until the time is up, and a line of JSON for
// each report.
//
//   scripts/soak_worker.ts <minutes> <first seed> <step from seed to seed>

import process from "node:process";
import { CROWDED, makeHistory } from "../tests/support/history.ts";
import { HistoryFailure, runHistory } from "../tests/support/history_run.ts";
import { report, shortest } from "../tests/support/history_shrink.ts";
import { Tally } from "../tests/support/history_tally.ts";

const REPORT_EVERY_MS = 5000;

const [minutes, first, step] = process.argv.slice(2).map(Number);
const tally = new Tally();
const startedAt = Date.now();
let reportedAt = startedAt;

function say(failure: string | null = null): void {
  const { histories, steps, crashes, opens } = tally;
  const hazards = Object.fromEntries(tally.hazards);
  console.log(JSON.stringify({ histories, steps, crashes, opens, hazards, failure }));
}

for (let count = 0; Date.now() - startedAt < minutes! * 60_000; count++) {
  const seed = first! + step! * count + (count % 4 === 3 ? CROWDED : 0);
  const history = makeHistory(seed);
  try {
    await runHistory(history, tally);
  } catch (error) {
    say(
      error instanceof HistoryFailure ? report(await shortest(error), history.steps.length) : `seed ${seed}: ${error}`,
    );
    process.exit(1);
  }
  if (Date.now() - reportedAt > REPORT_EVERY_MS) {
    reportedAt = Date.now();
    say();
  }
}
say();
