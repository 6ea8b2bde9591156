// The model of many writers and followers: records are conserved, and the page has its figures.

import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { type Fleet, type FleetRun, runFleet } from "../bench/scale/fleet.ts";
import { makePage, runScenarios } from "../bench/scale/fleet_report.ts";
import { Random } from "../testing.ts";
import { test } from "./support/test.ts";

/** Throws unless every record is somewhere, once. Sums of many parts are not exact. */
function assertConserved(run: FleetRun, followersEach: number, ringRecords: number): void {
  const same = (one: number, other: number, what: string) =>
    assert(Math.abs(one - other) <= 1e-6 * Math.max(1, run.wanted * followersEach), `${what}: ${one} and ${other}`);
  same(run.logged, run.inRings + run.shipped + run.lost, "logged = in rings + shipped + lost");
  same(followersEach * run.shipped, run.applied + run.behind, "shipped to each follower = applied + behind");
  assert(run.logged <= run.wanted * (1 + 1e-9), "nothing is logged that nobody wanted to log");
  if (run.told === 0) same(run.logged, run.wanted, "all is logged where nobody was told");
  if (run.told === 0) assertEquals(run.lost, 0);
  let told = 0;
  for (const sample of run.samples) {
    assert(sample.fullest <= 1 + 1e-9, `no ring holds more than it can, at ${sample.second} s: ${sample.fullest}`);
    assert(sample.told >= told, "who was told stays told");
    told = sample.told;
  }
  assert(run.peakFill * ringRecords <= ringRecords * (1 + 1e-9));
}

test("runFleet() conserves records in every scenario of docs/scale.md, whose tables are what it gives", () => {
  const runs = runScenarios();
  for (const [name, run] of runs) {
    assert(run.wanted > 0, name);
    assertConserved(run, 10, name.includes("128") ? 2_096_896 : 1_048_320);
  }
  const page = readFileSync(new URL("../docs/scale.md", import.meta.url), "utf8");
  assertEquals(page, makePage(page, runs), "otherwise run bench/scale/fleet_report.ts");
});

test("runFleet() conserves records in random fleets, and gives the same for the same seed", () => {
  const random = new Random(14);
  let [told, lost] = [0, 0];
  for (let run = 0; run < 60; run++) {
    const fleet: Fleet = {
      seed: run,
      writers: random.between(1, 12),
      followersEach: random.between(1, 5),
      ratePerWriter: random.between(1, 1000),
      ringRecords: random.between(1000, 1_000_000),
      shipRate: random.between(100, 5000),
      brokerIn: random.between(100, 20_000),
      brokerOut: random.between(100, 50_000),
      applyRate: random.between(100, 5000),
      outageAt: 100,
      outageSeconds: random.between(0, 2000),
      seconds: 4000,
      stepSeconds: random.pick([1, 5, 20]),
      whenFull: random.pick(["wait", "lose"]),
    };
    const result = runFleet(fleet);
    assertConserved(result, fleet.followersEach, fleet.ringRecords);
    assertEquals(runFleet(fleet).applied, result.applied);
    if (result.told > 0) told++;
    if (result.lost > 0) lost++;
  }
  assert(told > 10 && lost > 5, `${told} runs told their writers, ${lost} lost records`);
});

test("runFleet() is what a calculation by hand says of one writer", () => {
  const fleet: Fleet = {
    seed: 1,
    writers: 1,
    followersEach: 2,
    ratePerWriter: 100,
    ringRecords: 1e9,
    shipRate: 1000,
    brokerIn: 1e9,
    brokerOut: 1e9,
    applyRate: 1e9,
    outageAt: 100,
    outageSeconds: 1000,
    seconds: 3000,
    stepSeconds: 1,
    whenFull: "wait",
  };
  const run = runFleet(fleet);
  const rate = run.wanted / 3000;
  // A backlog of 1000 s, worked off by what the shipper does beyond the writer's rate.
  const drained = 1000 * rate / (1000 - rate);
  assert(Math.abs(run.shippedAgainSeconds - drained) <= 2, `${run.shippedAgainSeconds} s, by hand ${drained} s`);
  assert(Math.abs(run.peakLagSeconds - 1000) <= 2);
  assert(Math.abs(run.peakFill * 1e9 - 1000 * rate) <= 2 * rate);
  // A ring that lasts for half of the outage tells its writer, and refuses the other half.
  const half = runFleet({ ...fleet, ringRecords: 500 * rate });
  assert(half.told === 1 && Math.abs(half.wanted - half.logged - 500 * rate) <= 2 * rate);
});
