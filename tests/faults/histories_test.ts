// Fault: everything at once, again and again, in random order: power loss, kills, torn and
//   reordered writes, failing syncs, crashes within recovery, rot, wraps, full rings, up to three
//   consumers that are dropped, lost, or skip, stores that fail or crash, a clock that goes back, a
//   log that is resized (H1–H11, H26–H29, H31, H32, H34, H56, H57, H59–H62, H80).
// Promise: what was acknowledged survives, and recovery finds a gapless prefix in whole batches.
//   Nothing that was discarded comes back. A store gets durable records only, and each once if it
//   saves its LSN. The log keeps what it lacks, over crashes too, unless its consumer is lost and
//   told so. Time goes on (G1–G6, G10, G11, G13).
// Method: seeded histories of random steps against a plain array. A failure prints its seed and
//   the shortest history found. Each history's system calls and verdicts are hashed and compared
//   with tests/golden, because a change that only moves code must leave them as they are.
//   `UPDATE_GOLDEN=1 WHOLE=1` in the environment writes the file anew after a change of what the
//   log does. Without WHOLE, each runtime takes a part of the histories.
//   `deno task test --seed N tests/faults/histories_test.ts`, or `SEED=N` in the environment, runs
//   the history of one seed again.

import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import process from "node:process";
import { CROWDED, makeHistory } from "../support/history.ts";
import { HistoryFailure, runHistory } from "../support/history_run.ts";
import { report, shortest } from "../support/history_shrink.ts";
import { Tally } from "../support/history_tally.ts";
import { runtime } from "../support/runtime.ts";
import { isMine } from "../support/share.ts";
import { test } from "../support/test.ts";

const GROUPS = 12;
const HISTORIES_PER_GROUP = 100;
const SEED = process.env["SEED"];

/** Engines differ in how many microtasks an `await` takes, so each has its own. */
const ENGINE = runtime === "bun" ? "javascriptcore" : "v8";
const GOLDEN = new URL(`../golden/histories-${ENGINE}.json`, import.meta.url);
const WRITES_GOLDEN = process.env["UPDATE_GOLDEN"] !== undefined;

/** The hash of each group of histories, by its first seed. */
function readGolden(): Record<string, string> {
  return fs.existsSync(GOLDEN) ? JSON.parse(fs.readFileSync(GOLDEN, "utf8")) : {};
}

/** Compares a group's hash with the one that is kept, or keeps it. */
function checkGolden(first: number, hash: string): void {
  const golden = readGolden();
  if (WRITES_GOLDEN) fs.writeFileSync(GOLDEN, `${JSON.stringify({ ...golden, [first]: hash }, null, 2)}\n`);
  else assertEquals(hash, golden[first], `the system calls or verdicts of seeds from ${first} on have changed`);
}

/** Runs the histories of these seeds; the first that fails is made short and reported. */
async function check(first: number, count: number, tally: Tally): Promise<void> {
  for (let seed = first; seed < first + count; seed++) {
    const history = makeHistory(seed);
    try {
      await runHistory(history, tally);
    } catch (error) {
      if (!(error instanceof HistoryFailure)) throw error;
      throw new Error(report(await shortest(error), history.steps.length), { cause: error });
    }
  }
}

if (SEED !== undefined) {
  test(`WAL keeps its promises in the history of seed ${SEED}`, () => check(Number(SEED), 1, new Tally()));
} else {
  const whole = new Tally();
  for (let group = 0; group < GROUPS; group++) {
    if (!isMine(group)) continue;
    const first = 1 + group * HISTORIES_PER_GROUP;
    test(`WAL keeps its promises in random histories, seeds ${first} to ${first + HISTORIES_PER_GROUP - 1}`, async () => {
      const hash = createHash("sha256");
      const group = new Tally((line) => hash.update(`${line}\n`));
      await check(first, HISTORIES_PER_GROUP, group);
      whole.add(group);
      checkGolden(first, hash.digest("hex"));
    });
  }

  test("WAL keeps its promises beside consumers that crowd its ring, in random histories", async () => {
    const crowded = new Tally();
    await check(CROWDED + 1, HISTORIES_PER_GROUP, crowded);
    for (const hazard of ["H60", "H80"]) assert((crowded.hazards.get(hazard) ?? 0) > HISTORIES_PER_GROUP, hazard);
  });

  test("makeHistory() makes random histories that meet each hazard that they are about", () => {
    const about = [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 26, 27, 28, 29, 31, 32, 34, 56, 57, 59, 60, 61, 62, 80]
      .map((number) => `H${number}`);
    const missed = about.filter((hazard) => (whole.hazards.get(hazard) ?? 0) === 0);
    assert(missed.length === 0, `never met: ${missed.join(", ")} in ${whole.histories} histories`);
  });
}
