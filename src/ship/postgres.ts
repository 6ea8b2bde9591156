/**
 * Ships a log to a table of PostgreSQL, and feeds stores on other machines from there: each record
 * once, and in order.
 *
 * The table belongs to one log, and nothing else is written to it. The client is the caller's: a
 * `Pool` of `pg`, or anything with its `query()`. docs/shipping.md says how to make the table, how
 * to remove old rows, and how this differs from JetStream.
 *
 * @example One process ships its log, and another one follows
 * ```ts ignore
 * import pg from "pg";
 * import { consume, WAL } from "@cidstore/wal";
 * import { followFrom, shipTo, tableSql } from "@cidstore/wal/ship/postgres";
 * import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
 *
 * const client = new pg.Pool({ host: "postgres.example" });
 * client.on("error", () => {}); // a lost connection; the next statement makes a new one
 * const target = { client, table: "orders" };
 * await client.query(tableSql(target)); // once
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
  checkTableName,
  type FollowFromOptions,
  type ShipOptions,
  takeFollower,
  takeShipOptions,
} from "../arguments/shipping.ts";
import { checkObject } from "../arguments/objects.ts";
import type { ApplicableStore } from "../types.ts";
import { follow, type Following } from "./following.ts";
import { PostgresSource } from "./postgres_source.ts";
import { definition, quotedName } from "./postgres_statements.ts";
import { PostgresTarget } from "./postgres_target.ts";
import type { PostgresTable, TableName } from "./postgres_types.ts";
import { type Shipper, TargetShipper } from "./shipper.ts";

export { WALShipError } from "../errors.ts";
export type { FollowFromOptions, ShipOptions } from "../arguments/shipping.ts";
export type { AppliedRun, ConsumerStats, WALRecord, WALShipFault } from "../types.ts";
export type { Following } from "./following.ts";
export type { PostgresClient, PostgresRow, PostgresTable, TableName } from "./postgres_types.ts";
export type { Shipper } from "./shipper.ts";

/**
 * The statements that make a table for {@linkcode shipTo}. They do nothing if there is one. Run
 * them once, as the table's owner. The schema must be there.
 *
 * @returns SQL without parameters, which `query()` takes as it is.
 * @throws {TypeError} or {RangeError} if a name cannot be used.
 *
 * @example
 * ```ts
 * import { tableSql } from "@cidstore/wal/ship/postgres";
 *
 * console.log(tableSql({ schema: "logs", table: "orders" }));
 * ```
 */
export function tableSql(name: TableName): string {
  return definition(quotedName(takeName(name)));
}

/**
 * A store that ships what it is given to a table. Hand it to `consume()`.
 *
 * The log keeps its records until the server has committed them. While the server is down, the
 * consumer retries if `onError` says so, and the ring fills up. Each message is stored only if it
 * comes directly after the last one, so the table has no record twice, and a shipper that was
 * replaced is refused with `WALShipError`.
 *
 * A commit waits for the server's sync, even if `synchronous_commit` is `off` elsewhere. `warnings`
 * says what else can be seen of the server's promises.
 *
 * @param target the client, and the name of a table that {@linkcode tableSql} has made.
 * @returns a store. It belongs to one log at a time.
 * @throws {TypeError} or {RangeError} if an argument cannot be used. Nothing is sent yet.
 *
 * @example
 * ```ts ignore
 * import pg from "pg";
 * import { consume, WAL } from "@cidstore/wal";
 * import { shipTo } from "@cidstore/wal/ship/postgres";
 *
 * const client = new pg.Pool({ host: "postgres.example" });
 * client.on("error", () => {});
 * await using wal = WAL.open("orders.wal");
 * const shipper = shipTo({ client, table: "orders" });
 * await using shipping = consume(wal, shipper, { name: "ship", onError: () => "retry" });
 * await wal.logInsert(1, 2, 3, 4);
 * await wal.whenApplied(); // on its way
 * console.log(shipper.warnings);
 * ```
 */
export function shipTo(target: PostgresTable, options: ShipOptions = {}): Shipper {
  const { timeoutMs, ...taken } = takeShipOptions(options);
  return new TargetShipper(new PostgresTarget(takeTarget(target), timeoutMs), taken);
}

/**
 * Feeds a store from the table of a log, as `consume()` feeds one from the log itself. All that
 * `Store` says of consumers holds: a store with `appliedLsn()` gets each record once.
 *
 * The follower finds its place in the table by the store's LSN. It verifies each record, and ends
 * with `WALShipError` if records are missing, if two histories are in the table, or if the store is
 * of another log. Such an error is never skipped. A message becomes one run, which `applyBatch()`
 * applies as a whole.
 *
 * It asks for new rows 1 ms after the last one, and less and less often while none comes, down to
 * once in `pollIntervalMs`, or once a second if that is `Infinity`. It throws nothing of the
 * server: `done` rejects.
 *
 * @param source as the target of `shipTo()`. Its client may reach a standby.
 * @throws {TypeError} or {RangeError} if an argument cannot be used.
 *
 * @example
 * ```ts ignore
 * import pg from "pg";
 * import { followFrom } from "@cidstore/wal/ship/postgres";
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 *
 * const client = new pg.Pool({ host: "postgres.example" });
 * client.on("error", () => {});
 * const source = { client, table: "orders" };
 * await using following = followFrom(source, new MemoryStore(), { onError: () => "retry" });
 * console.log(following.applied, await following.lag());
 * await following.done; // until it fails
 * ```
 */
export function followFrom(source: PostgresTable, store: ApplicableStore, options: FollowFromOptions = {}): Following {
  const { consumer, copy, timeoutMs } = takeFollower(store, options);
  return follow(new PostgresSource(takeTarget(source), timeoutMs, consumer.pollIntervalMs), consumer, copy);
}

/** Reads each property once. @throws {TypeError} or {RangeError} if one cannot be used. */
function takeTarget(target: PostgresTable): PostgresTable {
  checkObject(target, "target");
  const { client } = target;
  checkClient(client, "client", "query");
  return { client, ...takeName(target) };
}

/** Reads each property once. @throws {TypeError} or {RangeError} if one cannot be used. */
function takeName(name: TableName): TableName {
  checkObject(name, "target");
  const { table, schema } = name;
  checkTableName(table, "table");
  if (schema !== undefined) checkTableName(schema, "schema");
  return { table, schema };
}
