// Makes a failing history short, and reports it.

import { leavingOut, shrink, type Simpler, simplifying } from "../../src/testing/shrink.ts";
import { BrokenPromiseError } from "../../testing.ts";
import type { Step } from "./history.ts";
import { HistoryFailure, runHistory } from "./history_run.ts";

/** Runs at most, so that a failure is reported in seconds. */
const MOST_RUNS = 600;

/** The shortest history found that fails in the same way. */
export async function shortest(failure: HistoryFailure): Promise<HistoryFailure> {
  let runs = 0;
  const attempt = async (steps: readonly Step[]) => {
    try {
      await runHistory({ ...failure.history, steps });
      return null;
    } catch (error) {
      return error instanceof HistoryFailure && kindOf(error) === kindOf(failure) ? error : null;
    }
  };
  return await shrink(simplerHistories(failure), attempt, () => runs++ < MOST_RUNS) ?? failure;
}

function* simplerHistories({ history, at }: HistoryFailure): Simpler<readonly Step[]> {
  const untilFailure = history.steps.slice(0, at + 1);
  const steps = (yield untilFailure) ? untilFailure : history.steps;
  yield* simplifying(yield* leavingOut(steps), simplerSteps);
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

/** What to print: what broke, how to run it again, the shortest steps, and their system calls. */
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
