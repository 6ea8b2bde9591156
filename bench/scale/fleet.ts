// A model of many logs that ship to one broker, and of many followers: how their queues grow and
// shrink.
//
// It is a fluid model: in each step of time, records flow from the writers into their rings, from
// the rings into the broker, and from the broker to the followers, each flow limited by a rate. It
// counts records, not messages, so it says nothing about the delay of a single one.
//
// bench/scale/fleet_report.ts has the figures that go in.

import { Random } from "../../testing.ts";

/** What is simulated. Rates are records a second; times are seconds. */
export interface Fleet {
  readonly seed: number;
  readonly writers: number;
  /** How many followers apply the records of each writer. */
  readonly followersEach: number;
  /** What a writer logs on average; each has a rate of its own around it. */
  readonly ratePerWriter: number;
  /** Records that the ring of a writer holds. */
  readonly ringRecords: number;
  /** The most that one log ships. */
  readonly shipRate: number;
  /** The most that the broker takes in, over all logs. */
  readonly brokerIn: number;
  /** The most that the broker gives out, over all followers. */
  readonly brokerOut: number;
  /** The most that one follower applies. */
  readonly applyRate: number;
  /** When the broker stops, and for how long. */
  readonly outageAt: number;
  readonly outageSeconds: number;
  /** How long the simulation goes on, and its step. */
  readonly seconds: number;
  readonly stepSeconds: number;
  /** What a full ring does: appends wait for the shipper, or the shipper is given up as lost. */
  readonly whenFull: "wait" | "lose";
}

/** The state at the end of a step, over all writers. */
export interface Sample {
  readonly second: number;
  /** Records in the rings, that the broker does not have. */
  readonly inRings: number;
  /** The fill of the fullest ring, 0 to 1. */
  readonly fullest: number;
  /** Records that the broker has, and a follower lacks, summed over the followers. */
  readonly behind: number;
  /** Age of the oldest record that the broker lacks. */
  readonly shipLagSeconds: number;
  /** Age of the oldest record that some follower lacks. */
  readonly lagSeconds: number;
  /** Writers that were told that their ring is full, or whose consumer was lost, so far. */
  readonly told: number;
}

/** What came of it. */
export interface FleetRun {
  readonly samples: readonly Sample[];
  /** Records that writers wanted to log. */
  readonly wanted: number;
  /** Records that were logged. The others were refused, and their writers told. */
  readonly logged: number;
  readonly inRings: number;
  /** Records that the broker took in. */
  readonly shipped: number;
  /** Records of a ring that was given up before the broker had them. */
  readonly lost: number;
  /** Applied, summed over all followers. */
  readonly applied: number;
  /** Records in the broker that followers lack, summed over the followers. */
  readonly behind: number;
  /** From the end of the outage until each ring holds a step's records or less; or Infinity. */
  readonly shippedAgainSeconds: number;
  /** From the end of the outage until no follower is more than a step behind; or Infinity. */
  readonly caughtUpSeconds: number;
  /** The fill of the fullest ring at any time. */
  readonly peakFill: number;
  /** Age of the oldest record that some follower lacked, at any time. */
  readonly peakLagSeconds: number;
  /** Writers that were told. */
  readonly told: number;
}

/** A writer: what it logs, and how far each of its records is. */
interface Writer {
  readonly rate: number;
  logged: number;
  shipped: number;
  lost: number;
  isTold: boolean;
  isLost: boolean;
  /** How much each of its followers has. They are alike, so one number stands for all. */
  applied: number;
}

/** Runs a fleet. The same seed gives the same run. */
export function runFleet(fleet: Fleet): FleetRun {
  const { followersEach, ringRecords, outageAt, outageSeconds, stepSeconds } = fleet;
  const writers = makeWriters(fleet);
  const samples: Sample[] = [];
  const outageEnds = outageAt + outageSeconds;
  const steps = Math.round(fleet.seconds / stepSeconds);
  let wanted = 0;
  for (let step = 1; step <= steps; step++) {
    const second = step * stepSeconds;
    for (const writer of writers) {
      wanted += writer.rate * stepSeconds;
      append(writer, fleet);
    }
    const fullest = Math.max(...writers.map(inRing)) / ringRecords; // before anything is shipped
    if (second <= outageAt || second > outageEnds) {
      share(writers, fleet.brokerIn * stepSeconds, fleet.shipRate * stepSeconds, inRing, "shipped");
      share(writers, fleet.brokerOut / followersEach * stepSeconds, fleet.applyRate * stepSeconds, behind, "applied");
    }
    samples.push({ ...sampleOf(writers, second, fleet), fullest });
  }
  const sum = (of: (writer: Writer) => number) => writers.reduce((total, writer) => total + of(writer), 0);
  const after = (isOver: (sample: Sample) => boolean) =>
    (samples.find((sample) => sample.second > outageEnds && isOver(sample))?.second ?? Infinity) - outageEnds;
  return {
    samples,
    wanted,
    logged: sum(({ logged }) => logged),
    inRings: sum(inRing),
    shipped: sum(({ shipped }) => shipped),
    lost: sum(({ lost }) => lost),
    applied: followersEach * sum(({ applied }) => applied),
    behind: followersEach * sum(behind),
    shippedAgainSeconds: after(({ shipLagSeconds }) => shipLagSeconds <= stepSeconds),
    caughtUpSeconds: after(({ lagSeconds }) => lagSeconds <= stepSeconds),
    peakFill: Math.max(...samples.map(({ fullest }) => fullest)),
    peakLagSeconds: Math.max(...samples.map(({ lagSeconds }) => lagSeconds)),
    told: writers.filter(({ isTold }) => isTold).length,
  };
}

/** What a writer logs in a step. A ring that is full takes no more, or its shipper is lost. */
function append(writer: Writer, { ringRecords, stepSeconds, whenFull }: Fleet): void {
  const records = writer.rate * stepSeconds;
  const room = ringRecords - inRing(writer);
  if (records > room) writer.isTold = true;
  if (records > room && whenFull === "wait") {
    writer.logged += room;
    return;
  }
  // As with `maxLagRecords`: what the broker lacks is gone for its followers.
  if (records > room) writer.isLost = true;
  writer.logged += records;
  if (writer.isLost) writer.lost += inRing(writer);
}

/**
 * Moves records of all writers, each as far as it can go. What is scarce is shared evenly: whoever
 * needs less than its part leaves the rest to the others.
 *
 * @param total the most for all together.
 * @param each the most for one.
 */
function share(
  writers: readonly Writer[],
  total: number,
  each: number,
  needOf: (writer: Writer) => number,
  to: "shipped" | "applied",
): void {
  let open = writers.map((writer) => ({ writer, need: Math.min(each, needOf(writer)) }));
  let left = total;
  while (open.length > 0) {
    const part = left / open.length;
    const satisfied = open.filter(({ need }) => need <= part);
    for (const { writer, need } of satisfied) {
      writer[to] += need;
      left -= need;
    }
    if (satisfied.length > 0) open = open.filter(({ need }) => need > part);
    else {
      for (const { writer } of open) writer[to] += part;
      return;
    }
  }
}

function sampleOf(
  writers: readonly Writer[],
  second: number,
  { followersEach }: Fleet,
): Omit<Sample, "fullest"> {
  const sample = { second, inRings: 0, behind: 0, shipLagSeconds: 0, lagSeconds: 0, told: 0 };
  for (const writer of writers) {
    const [waiting, lacking] = [inRing(writer), behind(writer)];
    sample.inRings += waiting;
    sample.behind += followersEach * lacking;
    sample.shipLagSeconds = Math.max(sample.shipLagSeconds, waiting / writer.rate);
    sample.lagSeconds = Math.max(sample.lagSeconds, (waiting + lacking) / writer.rate);
    if (writer.isTold) sample.told++;
  }
  return sample;
}

function makeWriters({ seed, writers, ratePerWriter }: Fleet): Writer[] {
  const random = new Random(seed);
  // From half of the average to one and a half of it.
  return Array.from({ length: writers }, () => ({
    rate: ratePerWriter * (0.5 + random.below(1001) / 1000),
    logged: 0,
    shipped: 0,
    lost: 0,
    isTold: false,
    isLost: false,
    applied: 0,
  }));
}

/** Records in the ring, which the broker lacks. */
function inRing({ logged, shipped, lost }: Writer): number {
  return logged - shipped - lost;
}

/** Records in the broker, which a follower lacks. */
function behind({ shipped, applied }: Writer): number {
  return shipped - applied;
}
