import { assertEquals } from "@std/assert";
import { Milestones } from "../src/milestones.ts";
import { settle, Watched } from "./support/commit_target.ts";
import { test } from "./support/test.ts";

test("Milestones resolve when they are reached, in any order, and reject when nobody moves any more", async () => {
  const milestones = new Milestones();
  const waits = [5, 2, 9, 5].map((lsn) => new Watched(milestones.wait(lsn)));
  milestones.reached(1);
  milestones.reached(5);
  await settle();
  assertEquals(waits.map(({ state }) => state), ["resolved", "resolved", "pending", "resolved"]);
  const error = new Error("over");
  milestones.rejectAll(error);
  milestones.reached(100);
  await settle();
  assertEquals([waits[2]!.state, waits[2]!.error], ["rejected", error]);
});
