// A broker that forgets, repeats and answers late, and does the same for the same seed.
//
// Like a server, it stores a message only after the place that the message names. Unlike a good
// one, it confirms before it syncs: a crash takes any part of what it has not synced.

import { WALShipError } from "../../src/errors.ts";
import {
  type Bounds,
  MovedOn,
  type Outgoing,
  type Source,
  type StoredMessage,
  type Target,
} from "../../src/ship/ports.ts";
import type { Random } from "../../testing.ts";

/** How often things go wrong: one time in so many. 0 for never. */
export interface Odds {
  /** A request is lost. */
  readonly lost: number;
  /** A request comes after its sender has given up. */
  readonly late: number;
  /** An answer is lost. */
  readonly unanswered: number;
  /** The broker crashes before a request. */
  readonly crash: number;
  /** A message is delivered twice. */
  readonly repeat: number;
}

export const NO_FAULTS: Odds = { lost: 0, late: 0, unanswered: 0, crash: 0, repeat: 0 };

/** A broker with one stream. */
export class SimulatedBroker {
  messages: (StoredMessage & { readonly shipper: string })[] = [];
  /** The place after which the next message comes. */
  place = 0;
  /** Messages up to this place survive a crash. */
  synced = 0;
  odds: Odds;
  crashes = 0;
  readonly #random: Random;
  /** Requests whose senders have given up. */
  #late: (() => void)[] = [];

  constructor(random: Random, odds: Odds) {
    this.#random = random;
    this.odds = odds;
  }

  #happens(odds: number): boolean {
    return odds > 0 && this.#random.below(odds) === 0;
  }

  /** Loses a part of what is not synced. */
  crash(): void {
    this.place -= this.#random.below(this.place - this.synced + 1);
    this.messages = this.messages.filter(({ place }) => place <= this.place);
    this.synced = this.place;
    this.crashes++;
  }

  /** Late requests arrive. */
  deliverLate(): void {
    for (const arrive of this.#late.splice(0)) arrive();
  }

  async #turns(): Promise<void> {
    for (let turns = this.#random.below(4); turns > 0; turns--) await Promise.resolve();
  }

  async #fail(): Promise<void> {
    await this.#turns();
    if (this.#happens(this.odds.crash)) this.crash();
    if (this.#happens(4)) this.deliverLate();
    if (this.#happens(this.odds.lost)) throw unreachable();
  }

  #store({ after, shipper, run, bytes }: Outgoing): void {
    const last = this.messages.at(-1);
    if (after !== this.place) throw new MovedOn(`the last place is ${this.place}`);
    if (run !== null && (last === undefined || last.shipper !== shipper)) {
      throw new MovedOn("another shipper wrote last");
    }
    this.messages.push({ place: ++this.place, bytes: bytes.slice(), shipper });
  }

  /** Stores messages, all or none. They arrive in the order in which they are sent. */
  async append(...messages: readonly Outgoing[]): Promise<void> {
    // Decided at once, because requests arrive in the order in which they were sent.
    const isLate = this.#happens(this.odds.late);
    if (isLate) this.#late.push(() => this.#tryStore(messages));
    const failure = isLate || this.#happens(this.odds.lost) ? unreachable() : this.#tryStore(messages);
    if (this.#happens(3)) this.synced = this.place;
    await this.#turns(); // the answers come in any order
    if (this.#happens(this.odds.crash)) this.crash();
    if (failure !== null) throw failure;
    if (this.#happens(this.odds.unanswered)) throw unreachable();
  }

  #tryStore(messages: readonly Outgoing[]): Error | null {
    const before = this.place;
    try {
      for (const message of messages) this.#store(message);
      return null;
    } catch (error) {
      this.messages.splice(this.messages.length - (this.place - before));
      this.place = before;
      return error as Error;
    }
  }

  /** As a shipper sees it. */
  target(maxBytes = 1 << 20): Target {
    return {
      maxBytes,
      warnings: () => Promise.resolve([]),
      append: (message) => this.append(message),
      bounds: () => this.#bounds(),
      read: async (place) => {
        await this.#fail();
        return this.messages.find((message) => message.place === place) ?? null;
      },
    };
  }

  async #bounds(): Promise<Bounds> {
    await this.#fail();
    return { first: this.messages[0]?.place ?? this.place + 1, last: this.place };
  }

  /** As a follower sees it. */
  source(): Source {
    return {
      bounds: () => this.#bounds(),
      at: async (place) => {
        await this.#fail();
        return this.messages.find((message) => message.place >= place) ?? null;
      },
      read: (place, signal) => this.#read(place, signal),
    };
  }

  async *#read(from: number, signal: AbortSignal): AsyncGenerator<StoredMessage | null> {
    for (let place = from; !signal.aborted;) {
      await this.#fail();
      const message = this.messages.find((message) => message.place === place);
      if (message === undefined) {
        // A crash may have taken the place. Then nothing comes there for a while.
        await new Promise((resolve) => setImmediate(resolve));
        yield null;
        continue;
      }
      place++;
      yield message;
      if (this.#happens(this.odds.repeat)) yield message;
    }
  }
}

function unreachable(): WALShipError {
  return new WALShipError("unreachable", "Cannot reach the simulated broker");
}
