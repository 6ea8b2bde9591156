import { assertEquals } from "@std/assert";
import { Histogram } from "../src/engine/histogram.ts";
import { test } from "./support/test.ts";

test("Histogram counts each duration once, below its bound and not below the one before", () => {
  const histogram = new Histogram();
  const { boundsMs } = histogram.snapshot();
  for (const bound of boundsMs) histogram.add(bound);
  for (const bound of boundsMs) histogram.add(bound * 0.999);
  histogram.add(0);
  histogram.add(1e9);
  const { counts, count, maxMs } = histogram.snapshot();
  assertEquals(counts, [2, ...Array(boundsMs.length - 1).fill(2), 2]);
  assertEquals([count, maxMs], [2 * boundsMs.length + 2, 1e9]);
  assertEquals(boundsMs, [...boundsMs].sort((a, b) => a - b));
});

test("Histogram.snapshot() stays as it is", () => {
  const histogram = new Histogram();
  const before = histogram.snapshot();
  histogram.add(1);
  assertEquals([before.count, before.counts.every((count) => count === 0), histogram.snapshot().totalMs], [0, true, 1]);
});
