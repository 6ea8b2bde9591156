// Turns of the event loop: shared fairly, over in time, and no reason for a process to stay or to
// end.

import { assert, assertEquals } from "@std/assert";
import { CountedTurn, LoopTurn, TURN_BUDGET_MS } from "../ffi/turn.ts";
import { projectUrl, runSnippet } from "./support/child.ts";
import { test } from "./support/test.ts";

/** Ends the turn that other tests have begun. */
async function freshTurn(): Promise<LoopTurn> {
  const turn = new LoopTurn();
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    turn.isOver(performance.now());
    await turn.end();
  }
  return turn;
}

test("LoopTurn is over once the loop has held the event loop for its budget, and not after others had theirs", async () => {
  const turn = await freshTurn();
  const startMs = performance.now();
  assertEquals(turn.isOver(startMs), false);
  assertEquals(turn.isOver(startMs + 0.2), false);
  assertEquals(turn.isOver(startMs + TURN_BUDGET_MS + 0.1), true);
  assertEquals(turn.isOver(startMs + 0.2, TURN_BUDGET_MS), true, "the next step would take too long");
  await turn.end();
  assertEquals(turn.isOver(startMs + 100, 10 * TURN_BUDGET_MS), false, "a step that is longer is taken at once");
  assertEquals(turn.isOver(startMs + 100.2), false);
});

test("LoopTurn shares a turn's budget among loops", async () => {
  const one = await freshTurn();
  const other = new LoopTurn();
  const startMs = performance.now();
  for (const turn of [one, other]) assertEquals(turn.isOver(startMs), false);
  for (const turn of [one, other]) assertEquals(turn.isOver(startMs + 0.6 * TURN_BUDGET_MS), true);
});

test("CountedTurn is over after the same number of looks each time, whatever the time", async () => {
  const turn = new CountedTurn();
  const looks = async () => {
    let count = 1;
    while (!turn.isOver()) assert(++count < 1000);
    await turn.end();
    return count;
  };
  const first = await looks();
  assert(first > 1);
  assertEquals([await looks(), await looks()], [first, first]);
});

test("LoopTurn keeps its process alive until it is over, and no longer", async () => {
  const source = `
    import { LoopTurn } from ${JSON.stringify(projectUrl("ffi/turn.ts"))};
    const work = () => {
      const startMs = performance.now();
      while (performance.now() - startMs < 2);
    };
    // Nothing but the turns keeps the process alive: no promise of a module is pending.
    (async () => {
      const turn = new LoopTurn();
      for (let i = 0; i < 50; i++) {
        turn.isOver(performance.now());
        work();
        await turn.end();
      }
      turn.isOver(performance.now());
      console.log("OVER");
    })();
  `;
  const { code, stdout, stderr } = await runSnippet(source);
  assertEquals([code, stdout], [0, "OVER\n"], stderr);
});
