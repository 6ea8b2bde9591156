// The consumers of one opening, one at a time: who starts them, who stops them, who waits for them.

import { clearTimeout, setTimeout } from "node:timers";
import type { TakenConsumer } from "../arguments/consumer.ts";
import { LONGEST_TIMER_MS } from "../arguments/numbers.ts";
import type { EngineParts } from "../engine/parts.ts";
import type { RoomMaker } from "../engine/waiting_room.ts";
import { WALClosedError, WALConsumingError } from "../errors.ts";
import type { LSN } from "../types.ts";
import { Consumer } from "./consumer.ts";
import { Feed } from "./feed.ts";
import { givePositionBack } from "./position.ts";
import { isInStoreCall } from "./store_call.ts";

/** Starts and stops the consumers of one open log. */
export class Consumers implements RoomMaker {
  readonly feed: Feed;
  readonly #log: EngineParts;
  /** The running consumer. */
  #running: Promise<void> | null = null;
  #stop = new AbortController();

  constructor(log: EngineParts) {
    this.#log = log;
    this.feed = new Feed(log);
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  isInStoreCall(): boolean {
    return isInStoreCall(this.feed);
  }

  hurry(): void {
    this.feed.alarm.ring("durable");
  }

  blame(): { why: string; cause: ErrorOptions } {
    return this.feed.watch.blame();
  }

  /** Starts a consumer. @param given checked values, read from the caller's objects. */
  consume(given: TakenConsumer): Promise<void> {
    try {
      this.#log.health.mustBeGood("consume");
      if (this.#running !== null) throw new WALConsumingError();
    } catch (error) {
      return this.refuse(error);
    }
    this.#running = Promise.resolve(); // for code of the caller, which #run() may call at once
    const running = this.#run(given);
    // The consumer has ended already if the caller's signal throws.
    if (this.#running !== null) this.#running = running;
    return running;
  }

  /** Notes that a consumer does not begin because of an error. */
  refuse(error: unknown): Promise<never> {
    if (this.#running === null) this.feed.watch.dies(error);
    this.#log.health.counts.error(error);
    return Promise.reject(error);
  }

  async #run(given: TakenConsumer): Promise<void> {
    const { feed } = this;
    const stop = this.#stop = new AbortController();
    const abort = () => stop.abort();
    let ending = (): unknown => new WALClosedError("wait for the consumer", "it was stopped");
    try {
      if (given.signal?.aborted) stop.abort();
      given.signal?.addEventListener("abort", abort);
      await new Consumer(feed, given, stop.signal).run();
      feed.watch.stops();
    } catch (error) {
      ending = () => error;
      this.#log.health.counts.error(error);
      feed.watch.dies(error);
      // Callers that wait for the store get the error. An unhandled rejection would report it once
      // more.
      if (!feed.milestones.isEmpty) this.#running?.catch(() => {});
      throw error;
    } finally {
      feed.milestones.rejectAll(ending);
      this.#running = null;
      givePositionBack(given.storeItself, feed);
      if (this.#log.health.isOpen) this.#log.room.turnAllAway();
      given.signal?.removeEventListener("abort", abort);
    }
  }

  /** Resolves when the store has everything up to an LSN; by default, the newest one. */
  whenApplied(lsn: LSN = this.#log.positions.last): Promise<void> {
    const { positions, health } = this.#log;
    try {
      health.mustBeGood("wait for the consumer");
      positions.mustHave(lsn);
      if (lsn <= positions.applied) return Promise.resolve();
      if (this.isInStoreCall()) throw new WALClosedError("wait for the consumer", "its store would wait for itself");
      if (this.#running === null) throw this.feed.watch.absence();
    } catch (error) {
      return Promise.reject(health.counts.error(error));
    }
    return this.feed.milestones.wait(lsn);
  }

  /**
   * Stops the consumer and waits until it has ended. Its error goes to the caller of `consume()`.
   */
  async stop(timeoutMs: number): Promise<void> {
    this.#stop.abort();
    // If the store itself calls this, the consumer can end only after the store returns.
    if (this.#running === null || this.isInStoreCall()) return;
    const ended = this.#running.catch(() => {});
    if (timeoutMs > LONGEST_TIMER_MS) return await ended;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    await Promise.race([ended, late]);
    clearTimeout(timer);
  }

  /** Rejects all waiting callers, because the log has failed. */
  fail(poison: unknown): void {
    this.feed.milestones.rejectAll(() => poison);
    this.feed.alarm.ring("durable");
  }

  /** Rejects all waiting callers, because the opening ends. */
  end(): void {
    this.feed.milestones.rejectAll(() => new WALClosedError("wait for the consumer"));
    this.feed.alarm.ring("stopped");
    this.feed.answers.end();
  }
}
