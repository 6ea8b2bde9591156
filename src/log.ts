// One opening of a log: builds its parts, and closes them in order. A `WAL` outlives its openings.

import type { Turn } from "../ffi/turn.ts";
import type { CheckedOptions } from "./arguments/options.ts";
import { Consumers } from "./consume/consumers.ts";
import { Appender } from "./engine/appender.ts";
import { Counts } from "./engine/counts.ts";
import { Events } from "./engine/events.ts";
import { FileCheck } from "./engine/file_check.ts";
import { cutRecordsOf } from "./engine/gathering.ts";
import { type CommitTarget, GroupCommit } from "./engine/group_commit.ts";
import { HeaderKeeper } from "./engine/header_keeper.ts";
import { Health } from "./engine/health.ts";
import { Holds } from "./engine/holds.ts";
import type { HybridClock } from "./engine/hybrid_clock.ts";
import type { EngineParts } from "./engine/parts.ts";
import { Positions } from "./engine/positions.ts";
import { type Publisher, publisherOf } from "./engine/publisher.ts";
import { Retention } from "./engine/retention.ts";
import { RingMemory } from "./engine/ring_memory.ts";
import { WaitingRoom } from "./engine/waiting_room.ts";
import type { WallClock } from "./engine/wall_clock.ts";
import { WALClosedError } from "./errors.ts";
import type { Slots } from "./format/record.ts";
import { Backups } from "./recovery/backups.ts";
import type { OpenedLog } from "./recovery/open.ts";
import type { RecoveryReport } from "./types.ts";

/** The parts of one opening. */
export class Log implements EngineParts {
  readonly path: string | null;
  readonly recovery: RecoveryReport;
  readonly openWarnings: readonly string[];
  sizeWarning: string | null;
  readonly positions: Positions;
  readonly health: Health;
  readonly holds: Holds;
  readonly memory: RingMemory;
  readonly slots: Slots;
  readonly clock: HybridClock;
  readonly wall: WallClock;
  readonly header: HeaderKeeper;
  readonly commit: GroupCommit;
  readonly consumers: Consumers;
  readonly room: WaitingRoom;
  readonly appender: Appender;
  readonly retention: Retention;
  readonly backups: Backups;
  /** Null if followers are not told of commits. */
  readonly publisher: Publisher | null;
  readonly makeTurn: () => Turn;
  readonly #monotonic: (() => number) | null;

  /** @param wall the clock whose hybrid time goes on from the log's highest time. */
  constructor(opened: OpenedLog, options: CheckedOptions, wall: WallClock) {
    const { region, slots, writer, verdict, report, warnings, sizeWarning } = opened;
    this.path = region.path;
    this.recovery = report;
    this.openWarnings = warnings;
    this.sizeWarning = sizeWarning;
    this.slots = slots;
    this.makeTurn = options.makeTurn;
    this.#monotonic = options.monotonic;
    const clock = this.clock = wall.hybrid;
    this.wall = wall;
    clock.observe(verdict.timeNanos, verdict.timeSeq);
    wall.refresh();
    const positions = this.positions = new Positions({
      head: verdict.head,
      tail: verdict.tail,
      settledTail: writer.settledTail,
      checkpointed: verdict.checkpoint,
      capacity: slots.count,
    });
    const counts = new Counts(report.losses.length + (report.headerDamaged ? 1 : 0), verdict.head);
    const events = new Events(() => ({ path: region.path, logId: writer.latest.lineage.logId }));
    const health = this.health = new Health(region.path, positions, counts, events);
    const holds = this.holds = new Holds(verdict.consumers);
    const file = new FileCheck(region, health, () => this.nowMs());
    const seal = () => {
      if (positions.sealed === positions.last) return;
      file.check(); // to seal is to store into the file
      this.appender.seal();
    };
    const memory = this.memory = new RingMemory(region, slots, positions, health, file, seal);
    const schedule = () => this.commit.schedule();
    this.header = new HeaderKeeper(
      writer,
      memory,
      positions,
      holds,
      health,
      clock,
      options.idleHeaderDelayMs,
      schedule,
    );
    const cutRecords = cutRecordsOf(region.syncsRangeAside);
    this.commit = new GroupCommit(commitTargetOf(this), positions, options.flush, cutRecords, options.makeTurn());
    const consumers = this.consumers = new Consumers(this);
    this.room = new WaitingRoom(this, consumers, options.fullTimeoutMs);
    // A running consumer waits for the new records, even if their caller does not.
    this.appender = new Appender(this, slots, options, () => consumers.isRunning && schedule());
    this.retention = new Retention(this, slots, consumers);
    this.backups = new Backups(this);
    this.publisher = options.followers ? publisherOf(this, options.storage()) : null;
    health.onFailure((poison) => this.commit.end(poison));
    health.onFailure((poison) => this.room.rejectAll(poison));
    health.onFailure((poison) => consumers.fail(poison));
  }

  nowMs(): number {
    return this.#monotonic === null ? this.wall.ms : this.#monotonic();
  }

  /**
   * Gives up the file, after everything is durable and the header says so, or after a failure.
   * No-op if the log is closed.
   */
  close(): void {
    const { health, positions, commit } = this;
    if (!health.isOpen) return;
    const startMs = this.nowMs();
    const closed = new WALClosedError("append");
    this.room.rejectAll(closed); // first, so that none is appended after the last sync
    try {
      if (health.poison === null) this.#closeCleanly();
      if (health.poison !== null && positions.last > positions.durable) throw health.poison;
    } finally {
      commit.end(closed);
      this.header.end();
      this.publisher?.close();
      health.end();
      this.consumers.end();
      this.memory.region.close();
      const error = health.poison;
      const { durable } = positions;
      health.events.closed({ clean: error === null, durable, error, durationMs: this.nowMs() - startMs });
    }
  }

  #closeCleanly(): void {
    try {
      this.commit.flush();
      this.header.writeClean();
    } catch (error) {
      this.health.fail(error);
    }
  }
}

/** What group commit asks of the other parts. */
function commitTargetOf(log: Log): CommitTarget {
  return {
    syncRecords: (first, last) => log.memory.sync(first, last),
    syncRecordsAsync: (first, last) => log.memory.syncAsync(first, last),
    headerWanted: () => log.header.isDue(log.room.length > 0),
    syncHeader: () => log.header.write(),
    syncHeaderAsync: () => log.header.writeAsync(),
    nowMs: () => log.nowMs(),
    committed: (first, last, ms, mode) => log.health.events.committed(first, last, ms, mode),
    advanced: () => {
      log.retention.registry.giveUpLaggards();
      log.room.admit();
      log.header.noteWhenIdle();
      log.consumers.hurry();
      log.publisher?.publish();
    },
    failed: (error) => log.health.fail(error),
  };
}
