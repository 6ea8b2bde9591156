/**
 * Ships a log to a stream of NATS JetStream, and feeds stores on other machines from there: each
 * record once, and in order.
 *
 * The stream belongs to one log, and nothing else is written to it. The client is the caller's:
 * `@nats-io/transport-node` with `@nats-io/jetstream`, 3.0.2 or later. docs/shipping.md says how to
 * set up a stream, and what its acknowledgements are worth.
 *
 * @example One process ships its log, and another one follows
 * ```ts ignore
 * import { jetstream } from "@nats-io/jetstream";
 * import { connect } from "@nats-io/transport-node";
 * import { consume, WAL } from "@cidstore/wal";
 * import { followFrom, shipTo } from "@cidstore/wal/ship/jetstream";
 * import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
 *
 * const connection = await connect({ servers: "nats.example", maxReconnectAttempts: -1 });
 * const client = jetstream(connection);
 * const target = { connection, jetstream: client, stream: "ORDERS", subject: "orders" };
 *
 * // The process that writes:
 * await using wal = WAL.open("orders.wal");
 * const shipper = shipTo(target);
 * await using shipping = consume(wal, shipper, { name: "ship", onError: () => "retry" });
 *
 * // On another machine:
 * const store = new SQLiteStore("orders.sqlite");
 * await using following = followFrom(target, store, { onError: () => "retry" });
 * ```
 *
 * @module
 */

import {
  checkClient,
  checkStreamName,
  checkSubject,
  type FollowFromOptions,
  type ShipOptions,
  takeFollower,
  takeShipOptions,
} from "../arguments/shipping.ts";
import { checkObject } from "../arguments/objects.ts";
import type { ApplicableStore } from "../types.ts";
import { follow, type Following } from "./following.ts";
import { JetStreamSource } from "./jetstream_source.ts";
import { JetStreamTarget } from "./jetstream_target.ts";
import type { JetStream } from "./jetstream_types.ts";
import { type Shipper, TargetShipper } from "./shipper.ts";

export { WALShipError } from "../errors.ts";
export type { FollowFromOptions, ShipOptions } from "../arguments/shipping.ts";
export type { AppliedRun, ConsumerStats, WALRecord, WALShipFault } from "../types.ts";
export type { Following } from "./following.ts";
export type {
  ConsumerConfig,
  FetchedMessages,
  JetStream,
  JetStreamClient,
  JetStreamManager,
  NatsConnection,
  PullConsumer,
  StreamInfo,
} from "./jetstream_types.ts";
export type { Shipper } from "./shipper.ts";

/**
 * A store that ships what it is given to a stream. Hand it to `consume()`.
 *
 * The log keeps its records until the stream has confirmed them. While the server is down, the
 * consumer retries if `onError` says so, and the ring fills up. Each message is stored only if it
 * comes directly after the last one, so the stream has no record twice, and a shipper that was
 * replaced is refused with `WALShipError`.
 *
 * JetStream may confirm a message before it is on the medium. `warnings` says so where it can be
 * seen.
 *
 * @param target the connection, its JetStream client, the stream, and a subject of the stream.
 * @returns a store. It belongs to one log at a time.
 * @throws {TypeError} or {RangeError} if an argument cannot be used. Nothing is sent yet.
 *
 * @example
 * ```ts ignore
 * import { jetstream } from "@nats-io/jetstream";
 * import { connect } from "@nats-io/transport-node";
 * import { consume, WAL } from "@cidstore/wal";
 * import { shipTo } from "@cidstore/wal/ship/jetstream";
 *
 * const connection = await connect({ servers: "nats.example", maxReconnectAttempts: -1 });
 * const client = jetstream(connection);
 * const target = { connection, jetstream: client, stream: "ORDERS", subject: "orders" };
 * await using wal = WAL.open("orders.wal");
 * const shipper = shipTo(target);
 * const options = { name: "ship", keepRecords: 100_000, onError: () => "retry" as const };
 * await using shipping = consume(wal, shipper, options);
 * await wal.logInsert(1, 2, 3, 4);
 * await wal.whenApplied(); // on its way
 * console.log(shipper.warnings);
 * ```
 */
export function shipTo(target: JetStream, options: ShipOptions = {}): Shipper {
  const { timeoutMs, ...taken } = takeShipOptions(options);
  return new TargetShipper(new JetStreamTarget(takeTarget(target), timeoutMs), taken);
}

/**
 * Feeds a store from the stream of a log, as `consume()` feeds one from the log itself. All that
 * `Store` says of consumers holds: a store with `appliedLsn()` gets each record once.
 *
 * The follower finds its place in the stream by the store's LSN. It verifies each record, and ends
 * with `WALShipError` if records are missing, if two histories are in the stream, or if the store
 * is of another log. Such an error is never skipped. A message becomes one run, which
 * `applyBatch()` applies as a whole.
 *
 * It throws nothing of the server: `done` rejects.
 *
 * @param source as the target of `shipTo()`.
 * @throws {TypeError} or {RangeError} if an argument cannot be used.
 *
 * @example
 * ```ts ignore
 * import { jetstream } from "@nats-io/jetstream";
 * import { connect } from "@nats-io/transport-node";
 * import { followFrom } from "@cidstore/wal/ship/jetstream";
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 *
 * const connection = await connect({ servers: "nats.example", maxReconnectAttempts: -1 });
 * const client = jetstream(connection);
 * const source = { connection, jetstream: client, stream: "ORDERS", subject: "orders" };
 * await using following = followFrom(source, new MemoryStore(), { onError: () => "retry" });
 * console.log(following.applied, await following.lag());
 * await following.done; // until it fails
 * ```
 */
export function followFrom(source: JetStream, store: ApplicableStore, options: FollowFromOptions = {}): Following {
  const { consumer, copy, timeoutMs } = takeFollower(store, options);
  return follow(new JetStreamSource(takeTarget(source), timeoutMs), consumer, copy);
}

/** Reads each property once. @throws {TypeError} or {RangeError} if one cannot be used. */
function takeTarget(target: JetStream): JetStream {
  checkObject(target, "target");
  const { connection, jetstream, stream, subject } = target;
  checkClient(connection, "connection", "isClosed");
  checkClient(jetstream, "jetstream", "jetstreamManager");
  checkStreamName(stream);
  checkSubject(subject);
  return { connection, jetstream, stream, subject };
}
