// Publishes what happens to a log on channels of `node:diagnostics_channel`.
//
// A subscriber is the caller's code. So it runs in a microtask, where the log is consistent, and
// nothing of the log is on the stack that it could unwind by throwing.

import { type Channel, channel } from "node:diagnostics_channel";
import type { Header } from "../format/header.ts";
import { RECORD_BYTES } from "../format/layout.ts";
import type {
  WALCloseMessage,
  WALCommitMessage,
  WALConsumerMessage,
  WALFullMessage,
  WALHeaderMessage,
  WALMessage,
  WALOpenMessage,
  WALPoisonMessage,
} from "../messages.ts";
import type { LSN } from "../types.ts";

// Kept here, because a channel that nobody keeps is another one after a collection.
const opens = channel("cidstore:wal:open");
const commits = channel("cidstore:wal:commit");
const headers = channel("cidstore:wal:header");
const fulls = channel("cidstore:wal:full");
const consumers = channel("cidstore:wal:consumer");
const poisons = channel("cidstore:wal:poison");
const closes = channel("cidstore:wal:close");

function publish<Message extends WALMessage>(to: Channel, message: Message): void {
  queueMicrotask(() => to.publish(message));
}

/** What a message says beside its log. */
type Fields<Message> = Omit<Message, keyof WALMessage>;

/** Tells that a log was opened, or could not be. */
export function publishOpening(make: () => WALOpenMessage): void {
  if (opens.hasSubscribers) publish(opens, make());
}

/** The events of one open log. Without subscribers, each method does nothing. */
export class Events {
  readonly #log: () => WALMessage;

  /** @param log which log it is, now. */
  constructor(log: () => WALMessage) {
    this.#log = log;
  }

  /** Records have become durable. */
  committed(firstLsn: LSN, lastLsn: LSN, durationMs: number, mode: WALCommitMessage["mode"]): void {
    if (!commits.hasSubscribers) return;
    const records = lastLsn - firstLsn + 1;
    const bytes = records * RECORD_BYTES;
    publish<WALCommitMessage>(commits, { ...this.#log(), firstLsn, lastLsn, records, bytes, durationMs, mode });
  }

  /** A header is about to be written. @returns when; null if nobody wants to know. */
  headerStarts(): number | null {
    return headers.hasSubscribers ? performance.now() : null;
  }

  /** A header was written. @param startMs what `headerStarts()` returned. */
  headerEnds(startMs: number | null, { tail, durable, cleanHead }: Header): void {
    if (startMs === null) return;
    const fields = { tail, durable, clean: cleanHead !== 0, durationMs: performance.now() - startMs };
    publish<WALHeaderMessage>(headers, { ...this.#log(), ...fields });
  }

  /** Appends wait for room, or none does any more, or one was refused. */
  full(make: () => Fields<WALFullMessage>): void {
    if (fulls.hasSubscribers) publish<WALFullMessage>(fulls, { ...this.#log(), ...make() });
  }

  /** A consumer has another state. */
  consumer(
    consumer: string,
    event: WALConsumerMessage["event"],
    error: unknown,
    attempts: number,
    skippedLsns: readonly LSN[] = [],
  ): void {
    if (!consumers.hasSubscribers) return;
    publish<WALConsumerMessage>(consumers, { ...this.#log(), consumer, event, error, attempts, skippedLsns });
  }

  /** The log has failed. */
  poisoned(error: Error, durable: LSN): void {
    if (poisons.hasSubscribers) publish<WALPoisonMessage>(poisons, { ...this.#log(), error, durable });
  }

  /** The log was closed. */
  closed(fields: Fields<WALCloseMessage>): void {
    if (closes.hasSubscribers) publish<WALCloseMessage>(closes, { ...this.#log(), ...fields });
  }
}
