// A client of a simulated broker that understands the statements of shipping to PostgreSQL. It
// stands in for the server, so the conditions in the SQL are not tried by it.

import { assert } from "@std/assert";
import type { LSN } from "../../src/types.ts";
import type { Outgoing } from "../../src/ship/ports.ts";
import { MovedOn } from "../../src/ship/ports.ts";
import { quotedName, Statements } from "../../src/ship/postgres_statements.ts";
import type { PostgresRow, PostgresTable } from "../../src/ship/postgres_types.ts";
import type { SimulatedBroker } from "./simulated_broker.ts";

/** Parameters of a statement that stores: before the rows, and of each row. */
const [COMMON, PER_ROW] = [3, 4];

/** A broker as a table. */
export function tableOf(broker: SimulatedBroker): PostgresTable {
  const name = { table: "log" };
  const statements = new Statements(quotedName(name));
  const source = broker.source();
  const query = async (text: string, values: readonly unknown[]): Promise<readonly PostgresRow[]> => {
    const place = values[0] as number;
    switch (text) {
      case statements.inspect:
        return [{ fsync: "on", persistence: "p", is_ordered: true }];
      case statements.bounds: {
        const { first, last } = await source.bounds();
        return [last < first ? { first: null, last: null } : { first: String(first), last: String(last) }];
      }
      case statements.read:
      case statements.at: {
        const message = await source.at(place);
        return message === null || (text === statements.read && message.place !== place) ? [] : [{ ...message }];
      }
      case statements.readFrom: {
        await source.bounds();
        return broker.messages.filter((message) => message.place >= place).slice(0, 4).map((message) => ({
          ...message,
        }));
      }
      case statements.placeNear:
        return []; // an index need not know
    }
    const isClaim = text === statements.claim;
    const rows = isClaim ? [[place + 1, 0, 0, values[2]]] : chunks(values.slice(COMMON), PER_ROW);
    assert(isClaim || text === statements.append(rows.length), text);
    const messages = rows.map(([at, firstLsn, lastLsn, bytes]): Outgoing => ({
      after: at as number - 1,
      shipper: values[1] as string,
      run: isClaim ? null : { logId: values[2] as string, firstLsn: firstLsn as LSN, lastLsn: lastLsn as LSN },
      bytes: bytes as Uint8Array,
    }));
    try {
      await broker.append(...messages);
    } catch (error) {
      if (error instanceof MovedOn) return [];
      throw error;
    }
    return rows.map(([at]) => ({ place: String(at) }));
  };
  return { ...name, client: { query: async (text, values) => ({ rows: await query(text, values) }) } };
}

function chunks(values: readonly unknown[], size: number): unknown[][] {
  return Array.from({ length: values.length / size }, (_, index) => values.slice(index * size, (index + 1) * size));
}
