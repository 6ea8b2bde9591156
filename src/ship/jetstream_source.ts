// A stream as a source. A consumer without acknowledgements delivers the messages, because the
// follower's store knows its own place.

import { WALShipError } from "../errors.ts";
import { JetStreamCalls, storedMessage } from "./jetstream_calls.ts";
import type { FetchedMessages, JetStream, PullConsumer } from "./jetstream_types.ts";
import type { Bounds, Source, StoredMessage } from "./ports.ts";
import { within } from "./time_limit.ts";

/** The server's error code. */
const CONSUMER_NOT_FOUND = 10014;
/** Messages that are asked for at once. */
const MESSAGES = 32;
/** How long to wait for them; the least that the client takes. */
const EXPIRES_MS = 1000;
/** After this time the server forgets a consumer that nobody uses. */
const INACTIVE_NANOS = 60e9;

/** A stream that a follower reads. */
export class JetStreamSource implements Source {
  readonly #calls: JetStreamCalls;

  constructor(source: JetStream, timeoutMs: number) {
    this.#calls = new JetStreamCalls(source, timeoutMs);
  }

  bounds(): Promise<Bounds> {
    return this.#calls.bounds();
  }

  async at(place: number): Promise<StoredMessage | null> {
    const { stream } = this.#calls.target;
    // The server knows more questions than the client's types.
    const query = { seq: place, next_by_subj: ">" };
    const message = await this.#calls.manage(({ streams }) => streams.getMessage(stream, query));
    return message === null ? null : storedMessage(message);
  }

  async *read(place: number, signal: AbortSignal): AsyncGenerator<StoredMessage | null> {
    const { stream, jetstream } = this.#calls.target;
    const { name } = await this.#calls.manage(({ consumers }) =>
      consumers.add(stream, {
        deliver_policy: "by_start_sequence",
        opt_start_seq: place,
        ack_policy: "none",
        inactive_threshold: INACTIVE_NANOS,
        mem_storage: true,
      })
    );
    try {
      const consumer = await this.#calls.answer(() => jetstream.consumers.get(stream, name));
      while (!signal.aborted) {
        let isIdle = true;
        for await (const message of this.#fetch(consumer, signal)) {
          isIdle = false;
          yield message;
        }
        if (!isIdle || signal.aborted) continue;
        await this.#calls.answer(() => consumer.info());
        yield null;
      }
    } catch (error) {
      // The server has lost the consumer, as in a restart or a long pause, so reading begins anew.
      if (!hasLostConsumer(error)) throw error;
    } finally {
      this.#calls.manage(({ consumers }) => consumers.delete(stream, name)).catch(() => {});
    }
  }

  async *#fetch(consumer: PullConsumer, signal: AbortSignal): AsyncGenerator<StoredMessage> {
    let messages: FetchedMessages | null = null;
    const stop = () => messages?.stop();
    signal.addEventListener("abort", stop);
    try {
      messages = await this.#calls.answer(() => consumer.fetch({ max_messages: MESSAGES, expires: EXPIRES_MS }));
      if (signal.aborted) messages.stop();
      // The client waits for a lost connection as long as it takes, and tells nobody.
      const limitMs = Math.max(this.#calls.timeoutMs, 2 * EXPIRES_MS);
      const arriving = messages[Symbol.asyncIterator]();
      while (true) {
        const next = await within(limitMs, () => arriving.next());
        if (next.done) return;
        yield storedMessage(next.value);
      }
    } catch (error) {
      await this.#calls.answer(async () => {
        await consumer.info(); // which rejects if the stream or the consumer is gone
        throw error;
      });
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
    }
  }
}

function hasLostConsumer(error: unknown): boolean {
  return error instanceof WALShipError && (error.cause as { readonly code?: unknown })?.code === CONSUMER_NOT_FOUND;
}
