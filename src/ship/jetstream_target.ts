// A stream as a target: a message is stored only if the stream's last message is the expected one.

import { WALShipError } from "../errors.ts";
import { JetStreamCalls, storedMessage } from "./jetstream_calls.ts";
import type { JetStream, NatsConnection, StreamInfo } from "./jetstream_types.ts";
import type { Bounds, Outgoing, StoredMessage, Target } from "./ports.ts";

/** What a server takes by default, for a connection that has not met its server. */
const DEFAULT_MAX_PAYLOAD = 1 << 20;
/** Bytes that the expectations take in the headers of a message, and more. */
const HEADER_BYTES = 512;
/** The first version with `sync_interval: always`. */
const FIRST_SYNCING: readonly number[] = [2, 10, 20];

/** A stream that a shipper writes. */
export class JetStreamTarget implements Target {
  readonly #calls: JetStreamCalls;
  #maxMessage = Infinity;

  constructor(target: JetStream, timeoutMs: number) {
    this.#calls = new JetStreamCalls(target, timeoutMs);
  }

  get maxBytes(): number {
    const { max_payload = DEFAULT_MAX_PAYLOAD } = this.#calls.target.connection.info ?? {};
    return Math.min(max_payload, this.#maxMessage) - HEADER_BYTES;
  }

  async warnings(): Promise<readonly string[]> {
    const { stream, connection, subject } = this.#calls.target;
    const { config } = await this.#calls.manage(({ streams }) => streams.info(stream));
    if (config.retention !== "limits") {
      throw new WALShipError(
        "unsuitable",
        `Cannot ship to stream ${stream}: its retention is ${config.retention}, so messages vanish before all ` +
          'followers have them; use retention "limits"',
      );
    }
    if (config.no_ack) {
      throw new WALShipError(
        "unsuitable",
        `Cannot ship to stream ${stream}: it confirms nothing, because no_ack is set`,
      );
    }
    const { subjects = [] } = config;
    // A shipper's name is one word.
    if (!subjects.some((pattern) => isOf(`${subject}.shipper`, pattern))) {
      throw new WALShipError(
        "unsuitable",
        `Cannot ship to stream ${stream}: it does not store messages of ${subject}.*; its subjects are ` +
          (subjects.join(", ") || "none"),
      );
    }
    this.#maxMessage = config.max_msg_size > 0 ? config.max_msg_size : Infinity;
    return [...connectionWarnings(connection), ...warningsOf(config, connection.info?.version ?? "")];
  }

  bounds(): Promise<Bounds> {
    return this.#calls.bounds();
  }

  async read(place: number): Promise<StoredMessage | null> {
    const { stream } = this.#calls.target;
    const message = await this.#calls.manage(({ streams }) => streams.getMessage(stream, { seq: place }));
    return message === null ? null : storedMessage(message);
  }

  async append({ after, shipper, run, bytes }: Outgoing): Promise<void> {
    const { timeoutMs } = this.#calls;
    const { jetstream, subject, stream } = this.#calls.target;
    // Each shipper has a subject of its own. If its last message is the stream's last message, no
    // other shipper has written since.
    // The stream's name is not expected: older servers would keep the message out of its mirrors.
    const expect = { lastSequence: after, lastSubjectSequence: run === null ? 0 : after };
    // The client gives up by itself. A second timer for each message would be a cost for nothing.
    const stored = await this.#calls.timed(() =>
      jetstream.publish(`${subject}.${shipper}`, bytes, { timeout: timeoutMs, expect })
    );
    if (stored.stream === stream) return;
    throw new WALShipError(
      "unsuitable",
      `Cannot ship to stream ${stream}: subject ${subject} belongs to stream ${stored.stream}`,
    );
  }
}

/** True if a stream that captures `pattern` stores messages of a subject. */
function isOf(subject: string, pattern: string): boolean {
  const [words, parts] = [subject.split("."), pattern.split(".")];
  const isOpen = parts.at(-1) === ">";
  return (isOpen || parts.length === words.length) &&
    parts.every((part, at) => (part === ">" ? at < words.length : part === "*" || part === words[at]));
}

/** What an operator should know of the connection, which the caller has opened. */
function* connectionWarnings({ options }: NatsConnection): Generator<string> {
  const { reconnect, maxReconnectAttempts = -1 } = options ?? {};
  if (reconnect !== false && maxReconnectAttempts < 0) return;
  yield "The connection gives up when the server is down for a while, and shipping then ends; " +
    "connect with maxReconnectAttempts: -1";
}

/** What an operator should know of a stream. */
function* warningsOf(config: StreamInfo["config"], version: string): Generator<string> {
  if (config.max_age > 0) {
    yield "The stream's messages expire, also the last one: a log that is idle for so long is shipped no further";
  }
  if (config.storage === "memory") {
    yield "The stream is in memory, so a restart of its servers loses what it has confirmed";
  } else if (config.num_replicas < 2) {
    yield isBefore(version, FIRST_SYNCING)
      ? `Server ${version} syncs every two minutes, so a power cut loses what it has confirmed; ` +
        "use 3 replicas, and keepRecords"
      : 'Only one server stores the stream, and whether it syncs cannot be seen; set sync_interval to "always", ' +
        "or use 3 replicas";
  }
  // A shipper has one subject for all of its messages, whatever a full stream refuses.
  const isSubjectLimited = config.max_msgs_per_subject > 0 && !config.discard_new_per_subject;
  if (config.discard === "old" || isSubjectLimited) {
    yield "The stream removes old messages when it is full; followers that lag are then refused";
  }
}

function isBefore(version: string, other: readonly number[]): boolean {
  const parts = version.split(/[.-]/).map(Number);
  const index = other.findIndex((part, at) => part !== (parts[at] ?? 0));
  return index >= 0 && (parts[index] ?? 0) < other[index]!;
}
