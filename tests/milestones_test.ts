import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Milestones } from "../src/consume/milestones.ts";
import { settle, Watched } from "./support/commit_target.ts";
import { test } from "./support/test.ts";

test("Milestones resolve when they are reached, in any order, and reject when the position will not move any more", async () => {
  const milestones = new Milestones();
  const waits = [5, 2, 9, 5].map((lsn) => new Watched(milestones.wait(lsn)));
  milestones.reached(1);
  milestones.reached(5);
  await settle();
  assertEquals(waits.map(({ state }) => state), ["resolved", "resolved", "pending", "resolved"]);
  const error = new Error("over");
  milestones.rejectAll(() => error);
  milestones.reached(100);
  await settle();
  assertEquals([waits[2]!.state, waits[2]!.error], ["rejected", error]);
});

test("Milestones agree with a plain list, over any calls", async () => {
  const step = fc.record({ wait: fc.boolean(), lsn: fc.integer({ min: 1, max: 50 }) });
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const milestones = new Milestones();
    const order: number[] = [];
    const expected: number[] = [];
    let waiting: { readonly id: number; readonly lsn: number }[] = [];
    for (const [id, { wait, lsn }] of steps.entries()) {
      if (wait) {
        milestones.wait(lsn).then(() => order.push(id));
        waiting.push({ id, lsn });
        continue;
      }
      milestones.reached(lsn);
      const there = waiting.filter((one) => one.lsn <= lsn).toSorted((a, b) => a.lsn - b.lsn);
      waiting = waiting.filter((one) => one.lsn > lsn);
      expected.push(...there.map((one) => one.id));
    }
    await settle();
    assertEquals(order, expected);
  }));
});

test("Milestones forget what was reached", async () => {
  const milestones = new Milestones();
  let resolved = 0;
  for (let lsn = 1; lsn <= 5000; lsn++) milestones.wait(lsn).then(() => resolved++);
  for (let lsn = 1; lsn <= 4999; lsn++) milestones.reached(lsn);
  await settle();
  assertEquals(resolved, 4999);
  const last = new Watched(milestones.wait(2));
  milestones.reached(5000);
  await settle();
  assertEquals([resolved, last.state], [5000, "resolved"]);
});
