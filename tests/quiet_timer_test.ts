import { assertEquals } from "@std/assert";
import { QuietTimer } from "../src/engine/quiet_timer.ts";
import { turn } from "./support/simulation.ts";
import { test } from "./support/test.ts";

const HOUR_MS = 3_600_000;

test("QuietTimer calls back once its time is up, and may be set again from there", async () => {
  const timer = new QuietTimer();
  let calls = 0;
  await new Promise<void>((resolve) => {
    const count = () => ++calls < 3 ? timer.set(calls, count) : resolve();
    timer.set(0, count);
    assertEquals([timer.isSet, calls], [true, 0]);
  });
  assertEquals([timer.isSet, calls], [false, 3]);
});

test("QuietTimer calls nobody back after clear(), though its time was up, nor for a time that was set then", async () => {
  const timer = new QuietTimer();
  let calls = 0;
  timer.set(0, () => calls++);
  timer.clear();
  assertEquals(timer.isSet, false);
  timer.clear();
  timer.set(0, () => calls++);
  timer.clear();
  timer.set(HOUR_MS, () => calls++);
  await turn();
  assertEquals([timer.isSet, calls], [true, 0]);
  timer.clear();
  await turn();
  assertEquals([timer.isSet, calls], [false, 0]);
});
