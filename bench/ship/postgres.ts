// PostgreSQL as an engine: a server as it comes, which syncs each commit to a disk.

import { chmodSync } from "node:fs";
import { followFrom, shipTo, tableSql } from "../../src/ship/postgres.ts";
import { Database, PostgresServer } from "../../tests/support/postgres.ts";
import { type Engine, keepInFlight, RETRY } from "./engine.ts";

/** Starts a server. @param directory where its data is. */
export async function startPostgres(directory: string): Promise<Engine> {
  chmodSync(directory, 0o755); // the server has a user of its own
  const server = await PostgresServer.start({
    parent: directory,
    config: ["shared_buffers = 128MB", "autovacuum = on"],
  });
  const database = new Database(server);
  const { client } = database;
  const { rows } = await client.query("SHOW server_version");
  const remove = async (table: string) => void await client.query(`DROP TABLE ${table}`);
  let tables = 0;
  return {
    server: `PostgreSQL ${rows[0].server_version.split(" ")[0]}`,
    records: 200_000,
    memoryRecords: 2_000_000,
    makeTarget: async () => {
      const table = `log${++tables}`;
      await client.query(tableSql({ table }));
      const target = { client, table };
      return {
        shipTo: (options) => shipTo(target, options),
        followFrom: (store) => followFrom(target, store, RETRY),
        remove: () => remove(table),
      };
    },
    loops: {
      "client's loop": async () => {
        const table = `own${++tables}`;
        await client.query(`CREATE TABLE ${table} (place bigserial PRIMARY KEY, bytes bytea NOT NULL)`);
        await client.query(`ALTER TABLE ${table} ALTER COLUMN bytes SET STORAGE EXTERNAL`);
        const sql = `INSERT INTO ${table} (bytes) VALUES ($1)`;
        const pool = database.pool({ max: 32 });
        return {
          run: (payload, times, inFlight) => keepInFlight(times, inFlight, () => pool.query(sql, [payload])),
          remove: async () => {
            await pool.end();
            await remove(table);
          },
        };
      },
    },
    [Symbol.asyncDispose]: async () => {
      await database[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
