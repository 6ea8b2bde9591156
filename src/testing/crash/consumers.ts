// The consumers of one store in one life, one after the other, as if the application stopped and
// started them.

import { immediate } from "../../../ffi/turn.ts";
import { WALConsumerLostError, WALError, WALStoreError } from "../../errors.ts";
import { BrokenPromiseError, textOf } from "../broken_promise.ts";
import type { Random } from "../random.ts";
import { giveUp, type StoreLife, type StoreState } from "./fed_store.ts";
import type { WatchedStore } from "./watched_store.ts";

/** With several stores, the chance that a consumer is stopped for longer. */
const REST_CHANCE = 0.4;
/** The chance that it is dropped then, if its store can be filled again. */
const DROP_CHANCE = 0.3;
const MOST_REST_STEPS = 60;
/** How long a consumer is stopped while nothing happens: others may wait for it. */
const MOST_IDLE_TURNS = 20;

/** Runs the consumers that feed a store during one life. */
export class Consumers {
  readonly #state: StoreState;
  readonly #life: StoreLife;
  readonly #watched: WatchedStore;
  /** Decides about longer stops; null if there are none, because there is one store only. */
  readonly #random: Random | null;
  #session = new AbortController();
  /** The promise of the consumer that runs. */
  #feeding: Promise<void> | null = null;
  #isResting = false;
  /** Resolves when a longer stop ends. */
  #woken = Promise.withResolvers<void>();
  #mayRest = true;
  /** True for a store that was filled again, and has had no consumer since. */
  #isFilled = false;
  #hasEnded = false;

  constructor(state: StoreState, life: StoreLife, watched: WatchedStore) {
    const { isAlone, plan: { random } } = life;
    this.#state = state;
    this.#life = life;
    this.#watched = watched;
    this.#random = isAlone ? null : random.fork(`consumers ${state.subject.name}, ${random.uint32()}`);
  }

  /** True while one runs. */
  get isRunning(): boolean {
    return this.#feeding !== null;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** True if the log keeps what the store lacks. */
  get isHeld(): boolean {
    const { name } = this.#state.subject;
    return this.#life.log.stats().consumers.some((other) => other.name === name && !other.lost);
  }

  /** True if the store was given up, and the log does not keep what it lacks yet. */
  get isBehind(): boolean {
    return (this.#state.account.isGivenUp || this.#isFilled) && !this.isHeld;
  }

  /** Runs consumers until `end()` or the crash. */
  async run(): Promise<void> {
    const { steps, log } = this.#life;
    const { account } = this.#state;
    while (!this.#hasEnded && !steps.hasCrashed) {
      if (!log.isOpen) {
        await immediate();
        continue;
      }
      if (this.#random !== null && this.#mayRest && this.isHeld) await this.#restMaybe(this.#random);
      if (account.isGivenUp) {
        await this.#refill();
        continue;
      }
      try {
        await (this.#feeding ?? this.#feed());
        this.#isFilled = false;
      } catch (error) {
        steps.check();
        if (error instanceof WALConsumerLostError) giveUp(this.#state);
        // Others may have gone on while the store was filled, and nothing was kept for it.
        else if (error instanceof WALStoreError && this.#isFilled) account.isGivenUp = true;
        else throw explained(error);
      } finally {
        this.#feeding = null;
      }
    }
  }

  #feed(): Promise<void> {
    const { log, plan: { batchSize } } = this.#life;
    const { name, maxLagRecords, keepRecords } = this.#state.subject;
    this.#session = new AbortController();
    this.#watched.begin();
    return this.#feeding = log.consumeAsync(this.#watched.store, {
      name,
      maxLagRecords,
      keepRecords,
      batchSize,
      // The history must depend on steps only, and not on time.
      pollIntervalMs: Infinity,
      signal: this.#session.signal,
    });
  }

  /** Now and then, no consumer runs for some steps. */
  async #restMaybe(random: Random): Promise<void> {
    if (!random.chance(REST_CHANCE)) return;
    const { steps, log } = this.#life;
    const { name, text, reseed } = this.#state.subject;
    steps.note(`        the consumer of ${text} is stopped`);
    this.#isResting = true;
    this.#woken = Promise.withResolvers();
    if (reseed !== undefined && random.chance(DROP_CHANCE)) log.dropConsumer(name);
    const end = steps.count + random.between(1, MOST_REST_STEPS);
    for (let idle = 0; this.#isResting && steps.count < end && idle < MOST_IDLE_TURNS; idle++) {
      const before = steps.count;
      await Promise.race([immediate(), this.#woken.promise]);
      if (steps.count > before) idle = 0;
    }
    this.wake();
  }

  /** Ends a longer stop at once. */
  wake(): void {
    const { steps, log } = this.#life;
    if (!this.#isResting || steps.isOver || !log.isOpen) return;
    this.#isResting = false;
    this.#woken.resolve(); // run() must wait for the consumer before it is stopped again
    steps.note(`        the consumer of ${this.#state.subject.text} starts again`);
    if (!this.#state.account.isGivenUp) this.#feed().catch(() => {}); // run() waits for it
  }

  /** Stops no consumer for longer any more. */
  stayAwake(): void {
    this.#mayRest = false;
    this.wake();
  }

  /** An append of about so many records is to come. Only a consumer that runs makes room for it. */
  makeRoom(records: number): void {
    const { log } = this.#life;
    if (this.#isResting && log.length + records > log.capacity / 4) this.wake();
  }

  /** Has a store filled that the log has given up. */
  async #refill(): Promise<void> {
    const { log, model } = this.#life;
    const { account, subject: { reseed } } = this.#state;
    if (reseed === undefined) {
      throw new TypeError("The log has given up the consumer, and no `reseed` fills the store again");
    }
    model.adopt(log);
    // What some store has had already: the log refuses a store that has later ones.
    const through = model.lastData(Math.max(model.released, account.offered, log.tail - 1));
    if (through === 0) account.isGivenUp = false; // the store has nothing, and the log has everything
    else await this.#watched.reseed(reseed, through);
    this.#isFilled = true;
  }

  /**
   * Stops the consumer, and another one goes on. Appends that wait for room reject when a consumer
   * ends, so a consumer is stopped only while there is plenty of room.
   */
  stop(): void {
    const { log } = this.#life;
    if (log.isOpen && log.length < log.capacity / 4 && log.stats().waiting === 0) this.#session.abort();
  }

  /** Stops the consumer; there is no next one. */
  end(): void {
    this.#hasEnded = true;
    this.#session.abort();
  }
}

/** What a consumer's failure means for the promises. */
function explained(error: unknown): unknown {
  if (error instanceof BrokenPromiseError) return error;
  if (error instanceof WALStoreError) {
    return new BrokenPromiseError("G11", `the log and the store do not fit together (H27): ${error.message}`);
  }
  if (error instanceof WALError && error.code !== "SQLITE") return error;
  return new BrokenPromiseError("G11", `the store threw: ${textOf(error)}`, "", { cause: error });
}
