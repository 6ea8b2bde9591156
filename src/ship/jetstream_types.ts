// What shipping uses of the NATS clients. The classes of `@nats-io/nats-core` and
// `@nats-io/jetstream` have these members, so the packages are not imported here.

/** A stream, and the client that reaches it. */
export interface JetStream {
  /** The caller's connection. With `maxReconnectAttempts: -1` it outlives every outage. */
  readonly connection: NatsConnection;
  /** `jetstream(connection)` of `@nats-io/jetstream`. */
  readonly jetstream: JetStreamClient;
  /** The stream's name. */
  readonly stream: string;
  /**
   * The first part of the messages' subjects. The stream captures `<subject>.*`, and nothing else.
   */
  readonly subject: string;
}

/** What shipping uses of a connection of `@nats-io/transport-node`. */
export interface NatsConnection {
  /** What the server said of itself. */
  readonly info?: { readonly max_payload: number; readonly version: string } | undefined;
  /** What it was opened with, where the client shows that. */
  readonly options?: { readonly reconnect?: boolean; readonly maxReconnectAttempts?: number } | undefined;
  /** True once the connection is closed for good. */
  isClosed(): boolean;
}

/** What shipping uses of a client of `@nats-io/jetstream`. */
export interface JetStreamClient {
  /** Publishes a message and waits for the acknowledgement. */
  publish(
    subject: string,
    payload: Uint8Array,
    options: { timeout: number; expect: { lastSequence: number; lastSubjectSequence: number } },
  ): Promise<{ readonly seq: number; readonly stream: string }>;
  /** Makes a manager. */
  jetstreamManager(checkAPI?: boolean): Promise<JetStreamManager>;
  /** Gives access to the consumers of streams. */
  readonly consumers: {
    /** A consumer by its name. */
    get(stream: string, name: string): Promise<PullConsumer>;
  };
}

/** What shipping uses of a manager of `@nats-io/jetstream`. */
export interface JetStreamManager {
  /** The streams. */
  readonly streams: {
    /** Configuration and state of a stream. */
    info(stream: string): Promise<StreamInfo>;
    /** One message; null if there is none. */
    getMessage(
      stream: string,
      query: { seq: number },
    ): Promise<{ readonly seq: number; readonly data: Uint8Array } | null>;
  };
  /** The consumers that the server keeps. */
  readonly consumers: {
    /** Makes a consumer. */
    add(stream: string, config: ConsumerConfig): Promise<{ readonly name: string }>;
    /** Removes a consumer. */
    delete(stream: string, name: string): Promise<boolean>;
  };
}

/** What shipping reads of a stream. */
export interface StreamInfo {
  /** Its configuration. */
  readonly config: {
    /** The subjects whose messages it stores. A mirror has none. */
    readonly subjects?: readonly string[] | undefined;
    /** When messages are removed. */
    readonly retention: string;
    /** True if it confirms nothing. */
    readonly no_ack?: boolean | undefined;
    /** Where messages are stored. */
    readonly storage: string;
    /** How many servers store them. */
    readonly num_replicas: number;
    /** What is removed, or refused, when the stream is full. */
    readonly discard: string;
    /** The most messages of one subject, −1 for no limit. */
    readonly max_msgs_per_subject: number;
    /** True if `discard` is true of that limit too. If not, old messages are removed. */
    readonly discard_new_per_subject?: boolean | undefined;
    /** Nanoseconds after which messages are removed, 0 for never. */
    readonly max_age: number;
    /** The most bytes in a message, −1 for no limit. */
    readonly max_msg_size: number;
  };
  /** Its messages. */
  readonly state: {
    /** How many there are. */
    readonly messages: number;
    /** The sequence number of the oldest. */
    readonly first_seq: number;
    /** The sequence number of the newest that there was. */
    readonly last_seq: number;
  };
}

/** How a follower reads. */
export interface ConsumerConfig {
  /** From a sequence number on. */
  deliver_policy: "by_start_sequence";
  /** The first sequence number. */
  opt_start_seq: number;
  /** Messages need no acknowledgement, because the store knows its place. */
  ack_policy: "none";
  /** Nanoseconds after which the server forgets the consumer. */
  inactive_threshold: number;
  /** The consumer has no state that is worth a disk. */
  mem_storage: boolean;
}

/** A consumer that asks for messages. */
export interface PullConsumer {
  /** Asks for messages, and waits for them. */
  fetch(options: { max_messages: number; expires: number }): Promise<FetchedMessages>;
  /** Asks the server about the consumer. */
  info(): Promise<unknown>;
}

/** Messages as they arrive. */
export interface FetchedMessages extends AsyncIterable<{ readonly seq: number; readonly data: Uint8Array }> {
  /** Ends the iteration. */
  stop(error?: Error): void;
}
