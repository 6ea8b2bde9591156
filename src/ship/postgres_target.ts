// A table as a target. One statement is on its way at a time, so that all arrive in order. What
// comes meanwhile is stored by the next one, and so by one sync.

import { assert } from "../assert.ts";
import { type Bounds, MovedOn, type Outgoing, type StoredMessage, type Target } from "./ports.ts";
import { PostgresCalls } from "./postgres_calls.ts";
import { MAX_BYTES } from "./postgres_statements.ts";
import type { PostgresTable } from "./postgres_types.ts";

/** The most bytes in a statement of several messages. */
const STATEMENT_BYTES = 4 << 20;

/** A message that waits for the statement before it. */
interface Waiting extends Outgoing, PromiseWithResolvers<void> {}

/** A table that a shipper writes. */
export class PostgresTarget implements Target {
  readonly maxBytes = MAX_BYTES;
  readonly #calls: PostgresCalls;
  #waiting: Waiting[] = [];
  #isSending = false;

  constructor(target: PostgresTable, timeoutMs: number) {
    this.#calls = new PostgresCalls(target, timeoutMs);
  }

  async warnings(): Promise<readonly string[]> {
    const { table, statements } = this.#calls;
    const [row] = await this.#calls.query(statements.inspect, [table]);
    if (row === undefined) throw this.#calls.fault("gone", "there is no such table; create it first");
    if (row["is_ordered"] !== true) {
      throw this.#calls.fault("unsuitable", "its places are not unique; make it by the statements of tableSql()");
    }
    const warnings: string[] = [];
    if (row["fsync"] === "off") {
      warnings.push("The server does not sync (fsync is off), so a power cut loses or damages what it has confirmed");
    }
    if (row["persistence"] !== "p") warnings.push("The table is not logged, so a crash of the server empties it");
    return warnings;
  }

  bounds(): Promise<Bounds> {
    return this.#calls.bounds();
  }

  async read(place: number): Promise<StoredMessage | null> {
    const [message] = await this.#calls.messages(this.#calls.statements.read, place);
    return message ?? null;
  }

  append(message: Outgoing): Promise<void> {
    // A client may hold a statement back for longer than the caller leaves the bytes as they are.
    const waiting = { ...message, bytes: message.bytes.slice(), ...Promise.withResolvers<void>() };
    this.#waiting.push(waiting);
    if (!this.#isSending) void this.#sendAll();
    return waiting.promise;
  }

  /** Sends what waits until nothing does. Never rejects. */
  async #sendAll(): Promise<void> {
    this.#isSending = true;
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, groupLength(this.#waiting));
      try {
        await this.#store(group);
        for (const { resolve } of group) resolve();
      } catch (error) {
        // Those that wait come after them, so they cannot be stored before.
        for (const { reject } of [...group, ...this.#waiting.splice(0)]) reject(error);
      }
    }
    this.#isSending = false;
  }

  async #store(group: readonly Waiting[]): Promise<void> {
    const [{ after, shipper, run, bytes }] = group as [Waiting];
    const { statements } = this.#calls;
    const stored = run === null
      ? await this.#calls.store(statements.claim, [after, shipper, bytes])
      : await this.#calls.store(statements.append(group.length), [
        after,
        shipper,
        run.logId,
        ...group.flatMap(valuesOf),
      ]);
    if (stored.length !== group.length) throw new MovedOn(`place ${after} is not the last one of this shipper`);
  }
}

/** How many of the first messages go into one statement. */
function groupLength(waiting: readonly Waiting[]): number {
  let bytes = 0;
  const end = waiting.findIndex((next, index) => {
    bytes += next.bytes.length;
    return index > 0 && (bytes > STATEMENT_BYTES || !follows(waiting[index - 1]!, next));
  });
  return end < 0 ? waiting.length : end;
}

/** True if a run comes directly after another one of the same shipper. */
function follows(before: Outgoing, next: Outgoing): boolean {
  return before.run !== null && next.run !== null && next.after === before.after + 1 &&
    next.shipper === before.shipper && next.run.logId === before.run.logId &&
    next.run.firstLsn === before.run.lastLsn + 1;
}

/** What a row has of its own. */
function valuesOf({ after, run, bytes }: Outgoing): (number | Uint8Array)[] {
  assert(run !== null, "only runs share a statement");
  return [after + 1, run.firstLsn, run.lastLsn, bytes];
}
