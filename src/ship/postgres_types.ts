// What shipping uses of a client of PostgreSQL. `Pool` and `Client` of `pg` have this method, so
// the package is not imported here.

/** A table, and the client that reaches it. */
export interface PostgresTable extends TableName {
  /** The caller's client. A `Pool` of `pg` outlives every outage, a `Client` outlives none. */
  readonly client: PostgresClient;
}

/** The name of a table. */
export interface TableName {
  /** The table's name as the server has it, without quotes; 1 to 63 bytes of UTF-8. */
  readonly table: string;
  /**
   * The schema's name, in the same form.
   *
   * @default {the first one in the search path}
   */
  readonly schema?: string | undefined;
}

/** What shipping uses of a client. */
export interface PostgresClient {
  /**
   * Runs one statement as a transaction of its own. An error of the server has its SQLSTATE as
   * `code` or `errno`.
   *
   * @param values parameters: numbers, texts, and `Uint8Array` for `bytea`.
   * @returns the rows. A `bytea` is a `Uint8Array`.
   */
  query(text: string, values: (number | string | Uint8Array)[]): Promise<{ readonly rows: readonly PostgresRow[] }>;
}

/** A row, by the names of its columns. */
export type PostgresRow = { readonly [column: string]: unknown };
