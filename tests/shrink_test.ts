import { assertEquals } from "@std/assert";
import { leavingOut, shrink, type Simpler, simplifying } from "../src/testing/shrink.ts";
import { test } from "./support/test.ts";

/** Tries lists of numbers; those that fail are kept, and all are counted. */
function trying(fails: (parts: readonly number[]) => boolean) {
  const tried: (readonly number[])[] = [];
  const attempt = (parts: readonly number[]) => {
    tried.push(parts);
    return Promise.resolve(fails(parts) ? parts : null);
  };
  return { tried, attempt };
}

/** The lists with some parts left out. */
function* plans(parts: readonly number[]): Simpler<readonly number[]> {
  yield* leavingOut(parts);
}

test("shrink() leaves the parts that the failure needs, wherever they are", async () => {
  const parts = Array.from({ length: 40 }, (_, i) => i);
  for (const needed of [[0], [39], [0, 39], [3, 4, 30], [17]]) {
    const { attempt } = trying((list) => needed.every((part) => list.includes(part)));
    assertEquals(await shrink(plans(parts), attempt, () => true), needed);
  }
});

test("shrink() finds nothing if every part is needed, and stops when its time is over", async () => {
  const parts = [1, 2, 3, 4];
  const all = trying((list) => list.length === 4);
  assertEquals(await shrink(plans(parts), all.attempt, () => true), null);
  const some = trying(() => true);
  let left = 1;
  assertEquals(await shrink(plans(parts), some.attempt, () => left-- > 0), [3, 4]);
  assertEquals(some.tried.length, 1);
});

test("simplifying() takes the first simpler form of each part that still fails", async () => {
  const { attempt } = trying((list) => list[0]! >= 3 && list.length === 2);
  const simpler = (part: number) => [1, 3, 4].filter((form) => form < part);
  assertEquals(await shrink(simplifying([9, 9], simpler), attempt, () => true), [3, 1]);
});
