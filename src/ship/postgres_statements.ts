// The statements of shipping, for one table. In each of them the server itself decides, as one
// transaction, whether a message comes directly after the last one.
//
// A row is a message: a run, or a claim with the last LSN of the run before it. So the row before
// is all that a new one is compared with. Two that come at once have the same place, and the
// primary key refuses the second.

import { assert } from "../assert.ts";
import type { TableName } from "./postgres_types.ts";

/** The most bytes in a message. */
export const MAX_BYTES = 16 << 20;
/** Messages that are read at once, and about how many bytes. */
const READ_MESSAGES = 64;
const READ_BYTES = 4 << 20;
/** Parameters of a run's statement: those for all rows, and those for each row. */
const COMMON_PARAMETERS = 3;
const ROW_PARAMETERS = 4;

/** A name as SQL has it, whatever is in it. */
export function quotedName({ schema, table }: TableName): string {
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
  return schema === undefined ? quoted(table) : `${quoted(schema)}.${quoted(table)}`;
}

/** Makes the table. */
export function definition(table: string): string {
  return `
CREATE TABLE IF NOT EXISTS ${table} (
  place bigint PRIMARY KEY CHECK (place > 0),
  shipper uuid NOT NULL,
  log_id uuid,
  first_lsn bigint UNIQUE,
  last_lsn bigint,
  stored_at timestamptz NOT NULL DEFAULT now(),
  bytes bytea NOT NULL CHECK (octet_length(bytes) <= ${MAX_BYTES}),
  CHECK ((log_id IS NULL) = (last_lsn IS NULL)),
  CHECK (first_lsn IS NULL OR (last_lsn IS NOT NULL AND first_lsn BETWEEN 1 AND last_lsn))
);
ALTER TABLE ${table} ALTER COLUMN bytes SET STORAGE EXTERNAL;
`.trimStart();
}

/** True in each statement that stores: its commit waits for a sync, whatever the settings say. */
const IS_SYNCED =
  "(current_setting('synchronous_commit') <> 'off' OR set_config('synchronous_commit', 'on', true) IS NOT NULL)";

/** The statements for one table. */
export class Statements {
  /** $1 the place before, $2 the shipper, $3 the message. One row if it is stored. */
  readonly claim: string;
  /** The oldest place, and the last one. */
  readonly bounds: string;
  /** $1 the place. */
  readonly read: string;
  /** $1 the place. The oldest message at it or after it. */
  readonly at: string;
  /** $1 the place. Messages from it on. */
  readonly readFrom: string;
  /** $1 an LSN. The place of the last run that begins at or before it. */
  readonly placeNear: string;
  /** $1 the table's name. What is to be known of it. */
  readonly inspect: string;
  readonly #table: string;

  constructor(table: string) {
    this.#table = table;
    this.claim = `
INSERT INTO ${table} (place, shipper, log_id, last_lsn, bytes)
SELECT $1::bigint + 1, $2::uuid, before.log_id, before.last_lsn, $3::bytea
FROM (VALUES (1)) AS one LEFT JOIN ${table} AS before ON before.place = $1
WHERE coalesce((SELECT max(place) FROM ${table}), 0) = $1
  AND ${IS_SYNCED}
RETURNING place`;
    this.bounds = `SELECT min(place) AS first, max(place) AS last FROM ${table}`;
    this.read = `SELECT place, bytes FROM ${table} WHERE place = $1`;
    this.at = `SELECT place, bytes FROM ${table} WHERE place >= $1 ORDER BY place LIMIT 1`;
    // Sizes are known without a look at the bytes, which are stored elsewhere.
    this.readFrom = `
SELECT place, bytes FROM (
  SELECT place, bytes, octet_length(bytes) AS size, sum(octet_length(bytes)) OVER (ORDER BY place) AS total
  FROM (SELECT place, bytes FROM ${table} WHERE place >= $1 ORDER BY place LIMIT ${READ_MESSAGES}) AS next
) AS measured WHERE total - size < ${READ_BYTES} ORDER BY place`;
    this.placeNear = `SELECT place FROM ${table} WHERE first_lsn <= $1 ORDER BY first_lsn DESC LIMIT 1`;
    this.inspect = `
SELECT current_setting('fsync') AS fsync, relpersistence::text AS persistence, EXISTS (
  SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
  WHERE indrelid = pg_class.oid AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL
    AND indnkeyatts = 1 AND attname = 'place'
) AS is_ordered
FROM pg_class WHERE oid = to_regclass($1)`;
  }

  /**
   * Stores runs, each after the one before it. $1 the place before, $2 the shipper, $3 the log, and
   * for each run its place, its first and last LSN, and the message. A row for each if all are
   * stored, and none otherwise.
   */
  append(count: number): string {
    assert(count > 0, "something is stored");
    const rows = Array.from({ length: count }, (_, row) => {
      const at = COMMON_PARAMETERS + row * ROW_PARAMETERS;
      return `($${at + 1}::bigint, $${at + 2}::bigint, $${at + 3}::bigint, $${at + 4}::bytea)`;
    });
    return `
INSERT INTO ${this.#table} (place, shipper, log_id, first_lsn, last_lsn, bytes)
SELECT next.place, $2::uuid, $3::uuid, next.first_lsn, next.last_lsn, next.bytes
FROM ${this.#table} AS before, (VALUES ${rows.join(", ")}) AS next (place, first_lsn, last_lsn, bytes)
WHERE before.place = $1::bigint AND before.shipper = $2
  AND (before.log_id IS NULL OR (before.log_id = $3 AND before.last_lsn + 1 = $${COMMON_PARAMETERS + 2}))
  AND (SELECT max(place) FROM ${this.#table}) = $1
  AND ${IS_SYNCED}
RETURNING place`;
  }
}
