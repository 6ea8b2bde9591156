// Calls to PostgreSQL: time limits, what its errors mean, and what rows are as messages.

import { WALShipError } from "../errors.ts";
import type { WALShipFault } from "../types.ts";
import { type Bounds, MovedOn, type StoredMessage } from "./ports.ts";
import { quotedName, Statements } from "./postgres_statements.ts";
import type { PostgresRow, PostgresTable } from "./postgres_types.ts";
import { within } from "./time_limit.ts";

/** How the server refuses a message whose place another one has taken. */
const OVERTAKEN = /^(23505|40)/;
/** What a refusal of the server means, by the beginning of its SQLSTATE. The first that fits. */
const MEANINGS: readonly (readonly [state: string, fault: WALShipFault, why: string])[] = [
  ["40", "unreachable", "the server has cancelled the statement"],
  ["42P01", "gone", "there is no such table; create it first"],
  ["3F000", "gone", "there is no such schema; create it first"],
  ["42501", "refused", "the server denies access"],
  ["42", "unsuitable", "it is no table of tableSql()"],
  ["54", "oversized", "a message is too long for the server"],
  ["XX00", "damaged", "the server cannot read it"],
  ["08", "unreachable", "the connection has failed"],
  ["57P0", "unreachable", "the server stops or starts"],
  ["", "refused", "the server refuses"],
];
/** A state of SQL. Codes of the system, such as EPIPE, begin with a letter that no state has. */
const SQLSTATE = /^[0-9FHPX][0-9A-Z]{4}$/;
/** What `pg` and `postgres` say of a client that was ended for good. */
const CLOSED = /is not queryable|after calling end on the pool|CONNECTION_ENDED/;

/** The calls that shippers and followers have in common. */
export class PostgresCalls {
  readonly statements: Statements;
  /** The table's name, quoted. */
  readonly table: string;
  readonly #client: PostgresTable["client"];
  readonly #timeoutMs: number;

  constructor(target: PostgresTable, timeoutMs: number) {
    this.table = quotedName(target);
    this.statements = new Statements(this.table);
    this.#client = target.client;
    this.#timeoutMs = timeoutMs;
  }

  /** Runs a statement that stores. @throws {WALShipError} or {MovedOn} */
  async store(text: string, values: (number | string | Uint8Array)[]): Promise<readonly PostgresRow[]> {
    try {
      return await this.query(text, values);
    } catch (error) {
      const { cause, message } = error as WALShipError;
      throw OVERTAKEN.test(stateOf(cause) ?? "") ? new MovedOn(message, { cause }) : error;
    }
  }

  /** Runs a statement, and waits for a limited time. @throws {WALShipError} */
  async query(text: string, values: (number | string | Uint8Array)[]): Promise<readonly PostgresRow[]> {
    let result: { readonly rows: readonly PostgresRow[] };
    try {
      result = await within(this.#timeoutMs, async () => await this.#client.query(text, values));
    } catch (error) {
      throw this.#meaning(error);
    }
    const rows: unknown = Object(result).rows;
    if (Array.isArray(rows)) return rows;
    throw this.fault("unsuitable", "the client's query() does not resolve to an object with an array of rows");
  }

  /** The places that the table has. */
  async bounds(): Promise<Bounds> {
    const [row] = await this.query(this.statements.bounds, []);
    const last = Number(row?.["last"] ?? 0);
    return { first: Number(row?.["first"] ?? last + 1), last };
  }

  /** Messages. The statement gives `place` and `bytes`. */
  async messages(text: string, place: number): Promise<StoredMessage[]> {
    return (await this.query(text, [place])).map(({ place, bytes }) => {
      if (bytes instanceof Uint8Array) return { place: Number(place), bytes };
      throw this.fault("unsuitable", `the client gives a bytea as ${typeof bytes}, and not as a Uint8Array`);
    });
  }

  /** An error that names the table. */
  fault(fault: WALShipFault, why: string, cause?: unknown): WALShipError {
    return new WALShipError(fault, `Cannot use table ${this.table}: ${why}`, { cause });
  }

  /** What an error means. */
  #meaning(cause: unknown): WALShipError {
    const { code, message } = Object(cause) as { readonly [property: string]: unknown };
    const state = stateOf(cause);
    if (state === undefined) {
      const [fault, why] = CLOSED.test(`${String(code)} ${String(message)}`)
        ? ["closed", "the client is closed"] as const
        : ["unreachable", "the server cannot be reached"] as const;
      return this.fault(fault, `${why}: ${String(message)}`, cause);
    }
    const [, fault, why] = MEANINGS.find(([beginning]) => state.startsWith(beginning))!;
    return this.fault(fault, `${why}: ${String(message)} (${state})`, cause);
  }
}

/** The SQLSTATE of an error; undefined if it is not the server's. */
function stateOf(error: unknown): string | undefined {
  const { code, errno } = Object(error) as { readonly [property: string]: unknown };
  return [code, errno].find((given): given is string => typeof given === "string" && SQLSTATE.test(given));
}
