// One consumer of an opening, running or not: starts it, stops it, and knows how it ended.

import { clearTimeout, setTimeout } from "node:timers";
import type { TakenConsumer } from "../arguments/consumer.ts";
import { LONGEST_TIMER_MS } from "../arguments/numbers.ts";
import type { Counts } from "../engine/counts.ts";
import type { EngineParts } from "../engine/parts.ts";
import { WALClosedError, WALConsumerLostError } from "../errors.ts";
import type { LSN } from "../types.ts";
import { Consumer } from "./consumer.ts";
import { Feed, type Reach } from "./feed.ts";
import { givePositionBack } from "./position.ts";

/** Runs the consumers of one name, one after the other. */
export class Runner {
  readonly feed: Feed;
  readonly #counts: Counts;
  readonly #ended: () => void;
  #running: Promise<void> | null = null;
  #stop = new AbortController();
  /** The store of the running consumer. */
  store: object | null = null;

  /** @param ended called when a consumer has ended. */
  constructor(name: string, log: EngineParts, reach: Reach, ended: () => void) {
    this.feed = new Feed(name, log, reach);
    this.#counts = log.health.counts;
    this.#ended = ended;
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Starts a consumer. @param given checked values, read from the caller's objects. */
  start(given: TakenConsumer): Promise<void> {
    this.#running = Promise.resolve(); // for code of the caller, which #run() may call at once
    const running = this.#run(given);
    // The consumer has ended already if the caller's signal throws.
    if (this.#running !== null) this.#running = running;
    return running;
  }

  async #run(given: TakenConsumer): Promise<void> {
    const { feed } = this;
    const stop = this.#stop = new AbortController();
    const abort = () => stop.abort();
    let ending = (): unknown => new WALClosedError("wait for the consumer", "it was stopped");
    this.store = given.storeItself;
    try {
      if (given.signal?.aborted) stop.abort();
      given.signal?.addEventListener("abort", abort);
      await new Consumer(feed, given, stop.signal).run();
      if (stop.signal.reason instanceof WALConsumerLostError) throw stop.signal.reason;
      feed.watch.stops();
    } catch (error) {
      ending = () => error;
      this.#counts.error(error);
      feed.watch.dies(error);
      // Callers that wait for the store get the error. An unhandled rejection would report it once
      // more.
      if (!feed.milestones.isEmpty) this.#running?.catch(() => {});
      throw error;
    } finally {
      feed.milestones.rejectAll(ending);
      this.#running = this.store = null;
      givePositionBack(given.storeItself, feed);
      this.#ended();
      given.signal?.removeEventListener("abort", abort);
    }
  }

  /** Resolves when the store has everything up to an LSN. The consumer must be running. */
  whenApplied(lsn: LSN): Promise<void> {
    const { standing, milestones } = this.feed;
    return standing.isRegistered && lsn <= standing.applied ? Promise.resolve() : milestones.wait(lsn);
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

  /** Stops the running consumer. @param reason an error with which it ends; undefined for none. */
  stop(reason?: WALConsumerLostError): void {
    this.#stop.abort(reason);
  }

  /** Resolves when the running consumer has ended, or the time is up. */
  async whenEnded(timeoutMs: number): Promise<void> {
    if (this.#running === null) return;
    const ended = this.#running.catch(() => {});
    if (timeoutMs > LONGEST_TIMER_MS) return await ended;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    await Promise.race([ended, late]);
    clearTimeout(timer);
  }
}
