// The consumers of one opening, one of each name: who starts them, who waits for them, who is to
// blame for a full ring.

import type { TakenConsumer } from "../arguments/consumer.ts";
import type { EngineParts } from "../engine/parts.ts";
import type { Hold } from "../engine/holds.ts";
import type { Blame, RoomMaker } from "../engine/waiting_room.ts";
import { WALClosedError, WALConsumerLostError, WALConsumingError } from "../errors.ts";
import type { LSN } from "../types.ts";
import type { Reach } from "./feed.ts";
import { Runner } from "./runner.ts";
import { isInCallOf, isInStoreCall } from "./store_call.ts";

/** Starts and stops the consumers of one open log. */
export class Consumers implements RoomMaker {
  readonly #log: EngineParts;
  /** Those that run or are registered, the unnamed one, and the latest. */
  readonly #runners = new Map<string, Runner>();
  readonly #reach: Reach = { handedOut: 0, hasForked: false };
  /** The one that was started or refused last. */
  #latest: Runner;

  constructor(log: EngineParts) {
    this.#log = log;
    this.#latest = this.#keep("");
  }

  /** True while any consumer runs. */
  get isRunning(): boolean {
    return this.#running.length > 0;
  }

  /** The one that runs, or else the one that was started or refused last. */
  get latest(): Runner {
    return this.#latest.isRunning ? this.#latest : this.#running[0] ?? this.#latest;
  }

  get #running(): readonly Runner[] {
    return [...this.#runners.values()].filter(({ isRunning }) => isRunning);
  }

  /** What an operator should know of failures. @param left how many records a store lacks. */
  warnings(left: (name: string) => number): string[] {
    return [...this.#runners.values()].flatMap(({ feed }) => feed.watch.warnings(left(feed.standing.name)));
  }

  /** What an operator should know of the stores. */
  get storeWarnings(): string[] {
    return [...this.#runners.values()].flatMap(({ feed: { storeWarning } }) => storeWarning ?? []);
  }

  runs(name: string): boolean {
    return this.#runners.get(name)?.isRunning ?? false;
  }

  isInStoreCall(): boolean {
    return isInStoreCall(this.#log);
  }

  hurry(): void {
    for (const { feed } of this.#runners.values()) feed.alarm.ring("durable");
  }

  canRelease(through: LSN): boolean {
    const { holds, positions: { tail, durable } } = this.#log;
    if (through < tail) return true;
    if (holds.areLost) return through > durable;
    const blockers = holds.inTheWay(through);
    const runs = ({ name }: Hold) => this.runs(name);
    const haveLimits = blockers.some(({ bounds }) => bounds.maxLagRecords > 0);
    if (haveLimits) return through > durable || blockers.some(runs);
    return this.isRunning && blockers.every(runs);
  }

  blame(through: LSN): Blame {
    const blockers = this.#log.holds.inTheWay(through);
    const hold = blockers.find(({ name }) => !this.runs(name)) ?? blockers[0];
    if (hold === undefined) return { ...this.latest.feed.watch.blame(), holder: null };
    const lagRecords = this.#log.positions.last - hold.applied;
    const holder = { consumer: hold.name, lagRecords };
    const { why, cause } = this.runner(hold.name).feed.watch.blame();
    if (hold.name === "" && blockers.length === 1) return { why, cause, holder };
    const more = blockers.length === 1 ? "" : `, and ${blockers.length - 1} more consumer(s) hold records`;
    const what = lagRecords === 0 || hold !== this.#log.holds.get(hold.name)
      ? `holds the records from LSN ${hold.releasable + 1} on`
      : `lacks ${lagRecords} record(s) from LSN ${hold.applied + 1} on`;
    return { why: `${why}, and ${what}${more}`, cause, holder };
  }

  gaveUp({ name, confirmed }: Hold): void {
    this.#log.health.events.consumer(name, "lost", null, 0);
    this.#runners.get(name)?.stop(new WALConsumerLostError(name, confirmed, this.#log.positions.tail));
  }

  /** Starts a consumer. @param given checked values, read from the caller's objects. */
  consume(given: TakenConsumer): Promise<void> {
    const { name, storeItself } = given;
    try {
      this.#log.health.mustBeGood("consume");
      if (this.runs(name)) throw new WALConsumingError(name, "is running already; await its stop() first");
      const other = this.#running.find(({ store }) => store === storeItself);
      if (other !== undefined) throw new WALConsumingError(other.feed.standing.name, "is filling the store already");
    } catch (error) {
      return this.refuse(error, name);
    }
    this.#latest = this.#keep(name);
    this.#log.retention.registry.expect(name, given.bounds);
    return this.#latest.start(given);
  }

  /** Notes that a consumer does not begin because of an error. */
  refuse(error: unknown, name: string = ""): Promise<never> {
    if (!this.runs(name)) {
      this.#latest = this.#keep(name);
      this.#latest.feed.watch.dies(error);
    }
    this.#log.health.counts.error(error);
    return Promise.reject(error);
  }

  /**
   * Gives up a consumer's hold, durably.
   *
   * @returns false if no such consumer is registered.
   */
  drop(name: string): boolean {
    this.#log.health.mustBeGood("drop a consumer");
    if (this.runs(name)) throw new WALConsumingError(name, "is running; stop it first", "drop a consumer");
    if (!this.#log.retention.registry.drop(name)) return false;
    this.#runners.delete(name);
    if (this.#latest.feed.standing.name === name) this.#latest = this.#keep("");
    return true;
  }

  /**
   * Resolves when a store has everything up to an LSN.
   *
   * @param lsn the newest record if left out.
   * @param name whose store; undefined for those of all consumers that run.
   */
  whenApplied(lsn: LSN = this.#log.positions.last, name: string | undefined): Promise<void> {
    const { positions, health, holds } = this.#log;
    try {
      health.mustBeGood("wait for the consumer");
      positions.mustHave(lsn);
      const awaited = name === undefined
        ? this.#running
        : this.#running.filter(({ feed }) => feed.standing.name === name);
      const applied = name === undefined ? positions.applied : holds.get(name)?.applied ?? -1;
      // One that starts for the first time counts too, although it holds no records yet.
      if (lsn <= applied && awaited.every(({ feed }) => feed.standing.isRegistered)) return Promise.resolve();
      if (awaited.some(({ feed }) => isInCallOf(feed))) {
        throw new WALClosedError("wait for the consumer", "its store would wait for itself");
      }
      if (awaited.length === 0) throw this.runner(name ?? this.#latest.feed.standing.name).feed.watch.absence();
      const waits = awaited.map((runner) => runner.whenApplied(lsn));
      return waits.length === 1 ? waits[0]! : Promise.all(waits).then(() => {});
    } catch (error) {
      return Promise.reject(health.counts.error(error));
    }
  }

  /**
   * Stops all consumers and waits until they have ended. Their errors go to the callers of
   * `consume()`.
   */
  async stop(timeoutMs: number): Promise<void> {
    for (const runner of this.#runners.values()) runner.stop();
    // A consumer whose store calls this can end only after the store returns.
    const others = this.#running.filter(({ feed }) => !isInCallOf(feed));
    if (others.length === 1) return await others[0]!.whenEnded(timeoutMs);
    await Promise.all(others.map((runner) => runner.whenEnded(timeoutMs)));
  }

  /** Rejects all waiting callers, because the log has failed. */
  fail(poison: unknown): void {
    for (const runner of this.#runners.values()) runner.fail(poison);
  }

  /** Rejects all waiting callers, because the opening ends. */
  end(): void {
    for (const runner of this.#runners.values()) runner.end();
  }

  /** The runner of a name; one that nobody else knows if no such consumer was started. */
  runner(name: string): Runner {
    return this.#runners.get(name) ?? new Runner(name, this.#log, this.#reach, () => {
      this.#log.retention.ended(name);
      if (this.#log.health.isOpen) this.#log.room.turnAwayIfStuck();
    });
  }

  /** Keeps the runner of a name, and forgets those that nobody asks for any more. */
  #keep(name: string): Runner {
    const kept = this.runner(name);
    for (const [other, { isRunning }] of this.#runners) {
      if (other !== "" && !isRunning && this.#log.holds.get(other) === undefined) this.#runners.delete(other);
    }
    this.#runners.set(name, kept);
    return kept;
  }
}
