// The figures of an open log, read from its parts.

import type { Consumers } from "./consume/consumers.ts";
import type { WallClock } from "./engine/wall_clock.ts";
import type { EngineParts } from "./engine/parts.ts";
import type { Publisher } from "./engine/publisher.ts";
import { createdMsOf } from "./format/header.ts";
import { NANOS_PER_MS } from "./format/layout.ts";
import { consumerName, type Hold } from "./engine/holds.ts";
import type { LatencyHistogram, LSN, RegisteredConsumerStats, WALStats } from "./types.ts";

/**
 * If the average of `SUSPECT_SYNCS` syncs is less than this, the medium probably loses its data
 * without power.
 */
const SUSPECT_SYNC_MS = 0.005;
const SUSPECT_SYNCS = 32;
/**
 * A warning says how far the log's time is ahead of the clock, if that is more than this. Usual
 * corrections of a clock are smaller.
 */
const LEAST_AHEAD_MS = 60_000;

/** What the figures are read from. */
export interface StatisticsParts extends EngineParts {
  readonly consumers: Consumers;
  /** What an operator should know of this opening. */
  readonly openWarnings: readonly string[];
  readonly sizeWarning: string | null;
  readonly publisher: Publisher | null;
}

/** The figures of this moment. The caller has just read the wall clock. */
export function statisticsOf(log: StatisticsParts): WALStats {
  log.health.mustBeOpen("take statistics");
  const isThere = isFileThere(log);
  const { positions, commit, header, health, room, consumers } = log;
  const { region } = log.memory;
  const { head, tail, capacity, length } = positions;
  const { counts } = health;
  const syncLatency = commit.pace.latency.snapshot();
  return {
    path: region.path,
    logId: header.lineage.logId,
    origin: header.lineage.origin,
    createdMs: createdMsOf(header.latest),
    fileSystem: region.fileSystem.name,
    durableMedium: region.fileSystem.durable,
    warnings: warningsOf(log, syncLatency),
    sizeBytes: region.memory.sizeBytes,
    capacity,
    length,
    fillRatio: length / capacity,
    head,
    tail,
    durable: positions.durable,
    applied: positions.applied,
    appended: head - positions.firstLsn,
    records: counts.records(head),
    syncs: commit.pace.syncs,
    headerSyncs: header.syncs,
    recordsPerSync: commit.pace.syncs === 0 ? 0 : commit.pace.records / commit.pace.syncs,
    syncLatency,
    flushMode: commit.pace.mode,
    waiting: room.length,
    waits: counts.waits.snapshot(),
    truncations: counts.truncations,
    replays: counts.replays,
    checksumFailures: counts.checksumFailures,
    errors: counts.errors,
    oldestUnconsumedAgeMs: isThere ? ageMs(log, positions.applied + 1) : 0,
    consuming: consumers.isRunning,
    consumer: consumers.latest.feed.watch.stats(),
    consumers: log.holds.all.map((hold) => consumerStats(log, hold, isThere)),
    poisoned: health.poison !== null,
  };
}

/** False if the file is gone. Figures do not fail; the next append or read does. */
function isFileThere({ memory }: StatisticsParts): boolean {
  try {
    memory.file.check();
    return true;
  } catch {
    return false;
  }
}

function consumerStats(log: StatisticsParts, hold: Hold, isThere: boolean): RegisteredConsumerStats {
  const { name, applied, confirmed, isLost, bounds } = hold;
  return {
    ...log.consumers.runner(name).feed.watch.stats(),
    name,
    applied,
    position: confirmed,
    lagRecords: log.positions.last - applied,
    lagMs: isThere ? ageMs(log, applied + 1) : 0,
    running: log.consumers.runs(name),
    lost: isLost,
    maxLagRecords: bounds.maxLagRecords || Infinity,
    keepRecords: bounds.keepRecords,
  };
}

/** The age of a record, or of the oldest one if it is released; 0 if there is none. */
function ageMs({ positions, memory, slots, wall }: StatisticsParts, lsn: LSN): number {
  const oldest = Math.max(lsn, positions.tail);
  if (oldest >= positions.head) return 0;
  let slot: number;
  try {
    slot = memory.verified(oldest);
  } catch {
    return 0; // figures do not fail
  }
  return Math.max(0, Number(wall.nanos - slots.timeNanosAt(slot)) / 1e6);
}

function warningsOf(log: StatisticsParts, { count, totalMs }: LatencyHistogram): readonly string[] {
  const { region } = log.memory;
  const { positions, holds, consumers } = log;
  const warnings = [
    ...region.warnings,
    ...log.openWarnings,
    ...log.sizeWarning === null ? [] : [log.sizeWarning],
    ...log.publisher?.warning == null ? [] : [log.publisher.warning],
    ...consumers.warnings((name) => positions.last - (holds.get(name)?.applied ?? positions.applied)),
    ...holds.all.flatMap((hold) => holdWarnings(log, hold)),
  ];
  const isSuspect = region.fileSystem.durable && count >= SUSPECT_SYNCS && totalMs / count < SUSPECT_SYNC_MS;
  if (isSuspect) {
    const us = Math.round(totalMs / count * 1000);
    warnings.push(`A sync takes ${us} µs on average: the medium may confirm what it has not written`);
  }
  return [...warnings, ...consumers.storeWarnings, ...clockWarningsOf(log.wall)];
}

/** What is wrong with a registered consumer, whoever runs it. */
function holdWarnings({ positions, consumers }: StatisticsParts, { name, isLost, applied, confirmed }: Hold): string[] {
  const { tail, last, length, capacity } = positions;
  if (isLost) {
    return [
      `The log has given up ${consumerName(name)} at LSN ${confirmed}, because it was too far behind: ` +
      `fill its store again, up to LSN ${tail - 1} or later, or drop the consumer`,
    ];
  }
  const isInTheWay = name !== "" && !consumers.runs(name) && confirmed < tail + length / 2 && length > capacity / 2;
  if (!isInTheWay) return [];
  return [
    `The ring is more than half full, and ${consumerName(name)} does not run: ` +
    `${last - applied} record(s) are not in its store`,
  ];
}

/** What is wrong between the log's time and the wall clock. */
function clockWarningsOf({ hybrid, ms, nanos, unconfirmedMs }: WallClock): readonly string[] {
  const logMs = Number(hybrid.nanos / NANOS_PER_MS);
  const aheadMs = Math.floor(Number(hybrid.nanos - nanos) / 1e6);
  const warnings = [];
  if (ms > 0 && aheadMs > LEAST_AHEAD_MS) {
    warnings.push(
      `The log's time, ${new Date(logMs).toISOString()}, is ${aheadMs} ms ahead of the clock: ` +
        "new records take this time and are told apart by its sequence number until the clock gets there",
    );
  }
  if (unconfirmedMs > 0) {
    warnings.push(
      `The clock has jumped ahead by ${Math.round(unconfirmedMs)} ms, which no other clock confirms: ` +
        "the log's time stands still until the clock is back, or the log is closed and opened again",
    );
  }
  return warnings;
}
