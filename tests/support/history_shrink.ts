// Makes a failing history short: leaves out what the failure does not need, again and again.
//
// Zeller, Hildebrandt: "Simplifying and isolating failure-inducing input" (IEEE TSE 2002), with complements only.

import { BrokenPromiseError } from "../../testing.ts";
import type { Step } from "./history.ts";
import { HistoryFailure, runHistory } from "./history_run.ts";

/** Runs at most, so that a failure is reported in seconds. */
const MOST_RUNS = 600;

/** The shortest history found that fails in the same way. */
export async function shrink(failure: HistoryFailure): Promise<HistoryFailure> {
  let best = failure;
  let runs = 0;
  const attempt = async (steps: readonly Step[]): Promise<boolean> => {
    if (runs++ >= MOST_RUNS) return false;
    try {
      await runHistory({ ...best.history, steps });
      return false;
    } catch (error) {
      if (!(error instanceof HistoryFailure) || kindOf(error) !== kindOf(failure)) return false;
      best = error;
      return true;
    }
  };
  await attempt(best.history.steps.slice(0, best.at + 1));
  for (let size = Math.ceil(best.history.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < best.history.steps.length;) {
      const { steps } = best.history;
      if (!await attempt([...steps.slice(0, start), ...steps.slice(start + size)])) start += size;
    }
  }
  for (let i = 0; i < best.history.steps.length; i++) {
    for (const simpler of simplerSteps(best.history.steps[i]!)) {
      if (await attempt(best.history.steps.with(i, simpler))) break;
    }
  }
  return best;
}

/** Which promise broke, or which error came: the message up to its first number. */
function kindOf({ cause, message }: HistoryFailure): string {
  return cause instanceof BrokenPromiseError ? cause.promise : message.replace(/\d.*/s, "");
}

function simplerSteps(step: Step): Step[] {
  if ("count" in step && step.count > 1) {
    return [1, 2, Math.ceil(step.count / 2)].filter((count) => count < step.count).map((count) => ({ ...step, count }));
  }
  if (step.do === "crash") return [{ ...step, again: false, keep: "none" }, { ...step, again: false }];
  return [];
}

/** What to print: what broke, how to run it again, the shortest way there, and the calls of that run. */
export function report(failure: HistoryFailure, length: number): string {
  const { history, at } = failure;
  const { seed, steps, ...rest } = history;
  return [
    `seed ${seed}: ${failure.message}`,
    `again:    deno task test --seed ${seed} tests/faults/histories_test.ts`,
    `shortest: ${steps.length} of ${length} steps, failed at step ${at} with ${JSON.stringify(rest)}`,
    ...steps.map((step, i) => `  ${i === at ? ">" : " "} ${JSON.stringify(step)}`),
    failure.trace,
  ].join("\n");
}
