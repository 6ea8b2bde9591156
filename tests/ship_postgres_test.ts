// Shipping over a real PostgreSQL server: what arrives, who is refused, what is told (H76, H77,
// H78, H79).

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import pg from "pg";
import postgres from "postgres";
import { consume, type Consumption, type LSN, WAL, WALStoreError } from "../mod.ts";
import { followFrom, type PostgresTable, shipTo, tableSql, WALShipError } from "../src/ship/postgres.ts";
import { MovedOn } from "../src/ship/ports.ts";
import { quotedName, Statements } from "../src/ship/postgres_statements.ts";
import { pauseAfter } from "../src/ship/postgres_source.ts";
import { PostgresTarget } from "../src/ship/postgres_target.ts";
import { newShipperId, writeShipment } from "../src/ship/shipment.ts";
import { TargetShipper } from "../src/ship/shipper.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { Random } from "../testing.ts";
import { mountSkip } from "./support/loop_device.ts";
import { Database, noPostgres, PASSWORD } from "./support/postgres.ts";
import { runtime } from "./support/runtime.ts";
import {
  appending,
  BAD_MESSAGES,
  caughtUp,
  eventually,
  faultOf,
  feedThreeStores,
  fill,
  hasShipped,
  messageOf,
  outgoing,
  type RecordsOfLog,
  RETRY,
  SHIPPER,
} from "./support/shipping.ts";
import { tempDir } from "./support/temp.ts";
import { test, type TestOptions } from "./support/test.ts";

/** Sockets outlive a test by a moment, and Deno would call that a leak. */
const OPTIONS: TestOptions = { skip: noPostgres, sanitize: false };

const ship = (wal: WAL, target: PostgresTable): Consumption => consume(wal, shipTo(target), RETRY);
const reader = (target: PostgresTable) => new PostgresTarget(target, 60_000);

/** Runs a statement on the table `T`. */
async function run({ client, ...name }: PostgresTable, sql: string): Promise<void> {
  await client.query(sql.replace(/\bT\b/, quotedName(name).replaceAll("$", "$$$$")), []);
}

test("shipTo() and followFrom() give each store what the log has", async () => {
  await using database = await Database.use();
  await feedThreeStores(await database.target(), 100, ship, followFrom);
}, OPTIONS);

test("shipTo() and followFrom() go on when the server was killed and comes back", async () => {
  await using database = await Database.use();
  const { server } = database;
  const target = await database.target();
  await server.kill();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const store = new MemoryStore();
  const faults = new Set<unknown>();
  const retry = {
    onError: (error: unknown) => {
      faults.add((error as WALShipError).fault);
      return "retry" as const;
    },
  };
  const shipping = consume(wal, shipTo(target), retry);
  const following = followFrom(target, store, RETRY);
  await fill(wal, 50);
  await eventually(() => faults.size > 0, "a failure");
  await server.restart();
  for (let kill = 1; kill <= 2; kill++) {
    await fill(wal, 50, 100 * kill);
    await server.kill();
    await fill(wal, 50, 100 * kill + 50); // a target that is down costs nothing but lag
    await server.restart();
  }
  await caughtUp(store, wal);
  assertEquals([...faults], ["unreachable"]);
  await server.kill();
  await wal.logInsert(1, 2, 3, 5);
  await following.stop();
  await shipping.stop();
  await server.restart();
}, OPTIONS);

test("shipTo() and followFrom() find their rows by an index, also in a table without statistics", async () => {
  await using database = await Database.use();
  const target = await database.target();
  const ROWS = 20_000;
  await run(
    target,
    `INSERT INTO T (place, shipper, log_id, first_lsn, last_lsn, bytes)
     SELECT row, '${SHIPPER}', '${SHIPPER}', row, row, '' FROM generate_series(1, ${ROWS}) AS row`,
  );
  const statements = new Statements(quotedName(target));
  const runs = [1, 2].flatMap((next) => [ROWS + next, ROWS + next, ROWS + next, new Uint8Array(9)]);
  const given: [text: string, values: (number | string | Uint8Array)[]][] = [
    [statements.claim, [ROWS, SHIPPER, new Uint8Array(9)]],
    [statements.append(1), [ROWS, SHIPPER, SHIPPER, ...runs.slice(0, 4)]],
    [statements.append(2), [ROWS, SHIPPER, SHIPPER, ...runs]],
    [statements.bounds, []],
    ...[statements.read, statements.at, statements.readFrom, statements.placeNear].map((text) =>
      [text, [7]] as [string, number[]]
    ),
  ];
  for (const [text, values] of given) {
    const { rows } = await database.client.query(`EXPLAIN ${text}`, values);
    const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
    assert(!plan.includes("Seq Scan"), `${text}\n${plan}`);
  }
}, OPTIONS);

test("followFrom() asks for rows less and less often, but not for ever", () => {
  for (const [pollIntervalMs, longestMs] of [[0, 1], [100, 100], [60_000, 60_000], [1e12, 1000], [Infinity, 1000]]) {
    let pauseMs = 1;
    for (let pause = 0; pause < 100; pause++) pauseMs = pauseAfter(pauseMs, pollIntervalMs!);
    assertEquals(pauseMs, longestMs);
  }
  assertEquals([pauseAfter(1, Infinity), pauseAfter(2, 3), pauseAfter(4, 100)], [2, 3, 8]);
});

test("shipTo() is told that another shipper has taken over", async () => {
  await using database = await Database.use();
  using directory = tempDir();
  const target = await database.target();
  await using wal = WAL.open(directory.join("a"), { size: 1 << 20 });
  const shipping = ship(wal, target);
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  // The same log in another place, as after a move to another machine whose old process lives on.
  wal.flush();
  fs.copyFileSync(directory.join("a"), directory.join("b"));
  await using copy = WAL.open(directory.join("b"));
  const fenced = faultOf(shipping.done);
  const successor = consume(copy, shipTo(target));
  await copy.logInsert(1, 2, 3, 5);
  await hasShipped(reader(target), copy);
  await wal.logInsert(1, 2, 3, 6);
  assertEquals(await fenced, "fenced"); // although onError says "retry"
  const follower = new MemoryStore();
  const following = followFrom(target, follower);
  await eventually(() => follower.appliedLsn() >= 2, "both records");
  assertEquals([4n, 5n, 6n].map((value) => follower.has(1n, 2n, 3n, value)), [true, true, false]);
  await following.stop();
  await successor.stop();
}, OPTIONS);

/** A log of 40 records. */
function fortyRecords(): RecordsOfLog & { readonly wal: WAL } {
  const wal = WAL.open(null, { size: 1 << 20 });
  for (let i = 0; i < 40; i++) wal.logInsertSync(1, i, 2, 3);
  wal.flush();
  return { wal, logId: wal.logId, records: wal.replay() };
}

test("shipTo() has the server refuse what does not come directly after the last message", async () => {
  await using database = await Database.use();
  const target = await database.target();
  const log = fortyRecords();
  using _wal = log.wal;
  const [old, young] = [newShipperId(), newShipperId()];
  const table = reader(target);
  const send = (...message: Parameters<typeof outgoing>) => table.append(outgoing(...message));
  const claim = (shipper: string, after: number) => send(shipper, after);
  const refused = (promise: Promise<void>) => assertRejects(() => promise, MovedOn);

  await refused(claim(old, 1));
  await claim(old, 0);
  await refused(claim(young, 0));
  await refused(send(young, 1, messageOf(log, 1, 5)));
  await refused(send(old, 0, messageOf(log, 1, 5)));
  await send(old, 1, messageOf(log, 1, 5));
  await refused(send(old, 1, messageOf(log, 1, 5))); // a repeat
  await refused(send(old, 2, messageOf(log, 7, 8))); // a gap
  await refused(send(old, 2, messageOf(log, 5, 8))); // a fork
  await refused(send(old, 2, messageOf(log, 1, 8)));
  await refused(send(old, 2, messageOf(log, 6, 8, { logId: "f".repeat(32) })));
  await refused(send(old, 3, messageOf(log, 6, 8)));
  // Several in one statement: all of them, or none.
  const several = (after: number) =>
    [[6, 7], [8, 9], [10, 12]].map(([first, last], index) =>
      send(old, after + index, messageOf(log, first!, last!)).then(() => "stored", () => "refused")
    );
  assertEquals(await Promise.all(several(1)), ["refused", "refused", "refused"]);
  assertEquals(await Promise.all(several(2)), ["stored", "stored", "stored"]);
  assertEquals(await table.bounds(), { first: 1, last: 5 });
  await claim(young, 5);
  // As if the server had lost its end, and had given place 6 to another message.
  await refused(send(old, 6, messageOf(log, 13, 14)));
  await refused(send(old, 5, messageOf(log, 13, 14)));
  await send(young, 6, messageOf(log, 13, 14));
  // At once, over two connections: one of them is stored.
  const both = [newShipperId(), newShipperId()].map((shipper) =>
    reader(target).append(outgoing(shipper, 7)).then(() => 1, () => 0)
  );
  assertEquals((await Promise.all<number>(both)).reduce((sum, stored) => sum + stored), 1);
  assertEquals(await table.bounds(), { first: 1, last: 8 });
  // Whatever comes while a statement is on its way.
  const next = newShipperId();
  await Promise.all([
    claim(young, 8),
    send(young, 9, messageOf(log, 15, 16)),
    claim(next, 10),
    send(next, 11, messageOf(log, 17, 18)),
    send(next, 12, messageOf(log, 19, 20)),
  ]);
  // A hole is not filled, and nobody writes before the last row.
  await run(target, "DELETE FROM T WHERE place IN (10, 12)");
  await refused(send(young, 9, messageOf(log, 15, 16)));
  await refused(claim(young, 9));
  await refused(send(next, 11, messageOf(log, 17, 18)));
  assertEquals(await table.bounds(), { first: 1, last: 13 });
}, OPTIONS);

test("shipTo() refuses a log of another lineage, and names the way back", async () => {
  await using database = await Database.use();
  using directory = tempDir();
  const target = await database.target();
  await using wal = WAL.open(directory.join("a"), { size: 1 << 20 });
  await fill(wal, 3);
  const shipping = ship(wal, target);
  await wal.whenApplied(9);
  await shipping.stop();
  wal.backup(directory.join("b"));
  await using restored = WAL.open(directory.join("b"));
  await restored.logInsert(1, 2, 3, 4);
  const again = ship(restored, target);
  const error = await assertRejects(() => again.done, WALShipError);
  assertEquals((error as WALShipError).fault, "lineage");
  for (const part of [wal.logId, restored.logId, "backup()"]) assertStringIncludes(error.message, part);
  await using other = WAL.open(null);
  await other.logInsert(1, 2, 3, 4);
  await assertRejects(() => consume(other, shipTo(target)).done, WALStoreError, wal.logId);
}, OPTIONS);

test("followFrom() refuses a store of another log, and takes one that a backup has filled", async () => {
  await using database = await Database.use();
  using directory = tempDir();
  const target = await database.target();
  await using wal = WAL.open(directory.join("a"), { size: 1 << 20 });
  await fill(wal, 3);
  // A log that has shipped and released its beginning: a new store comes from a backup.
  wal.backup(directory.join("b"));
  const through = wal.durable;
  wal.truncate(through);
  const shipping = consume(wal, shipTo(target, { startAfter: through }));
  await fill(wal, 3, 3);
  await hasShipped(reader(target), wal);
  assertEquals(await faultOf(followFrom(target, new MemoryStore()).done), "gone");
  const foreign = new MemoryStore(through, "0123456789abcdef0123456789abcdef");
  assertEquals(await faultOf(followFrom(target, foreign).done), "lineage");
  await using backup = WAL.open(directory.join("b"));
  const store = new MemoryStore();
  const filling = consume(backup, store);
  await backup.whenApplied();
  await filling.stop();
  assertEquals(await faultOf(followFrom(target, store).done), "lineage");
  const following = followFrom(target, store, { copy: backup.recovery });
  await caughtUp(store, wal);
  assertEquals(store.appliedLog(), wal.logId);
  await following.stop();
  await shipping.stop();
}, OPTIONS);

/** Puts a message into a table by hand, as only its owner can. */
async function put(target: PostgresTable, bytes: Uint8Array, lsns: readonly (LSN | null)[] = [null, null]) {
  const [first, last] = lsns;
  await target.client.query(
    `INSERT INTO ${quotedName(target)} (place, shipper, log_id, first_lsn, last_lsn, bytes)
     SELECT coalesce(max(place), 0) + 1, $1::uuid, $2::uuid, $3::bigint, $4::bigint, $5::bytea FROM ${
      quotedName(target)
    }`,
    [SHIPPER, (last === null ? null : SHIPPER) as string, first as number, last as number, bytes],
  );
}

for (const [what, { bytes, fault, ships }] of Object.entries(BAD_MESSAGES)) {
  test(`followFrom() stops before a row that is ${what}`, async () => {
    await using database = await Database.use();
    const target = await database.target();
    const log = fortyRecords();
    using wal = log.wal;
    await put(target, messageOf(log, 1, 10), [1, 10]);
    await put(target, messageOf(log, 11, 20), [11, 20]);
    const live = new MemoryStore();
    const following = followFrom(target, live);
    await eventually(() => live.appliedLsn() === 20, "the good messages");
    await put(target, bytes(log));
    assertEquals(await faultOf(following.done), fault);
    assertEquals(live.appliedLsn(), 20);
    // A follower that begins later says the same.
    if (["gap", "fork"].includes(fault)) await put(target, messageOf(log, 31, 35));
    for (const applied of [0, 15]) {
      const late = new MemoryStore(applied, applied === 0 ? null : log.logId);
      const refused = await faultOf(followFrom(target, late).done);
      assert([fault, "gap", "fork"].includes(refused), refused);
      assert(late.appliedLsn() <= 20, `LSN ${late.appliedLsn()}`);
    }
    if (ships === "goes on") return;
    const error = await assertRejects(() => consume(wal, shipTo(target)).done);
    assertEquals(error instanceof WALStoreError ? "lineage" : (error as WALShipError).fault, ships);
  }, OPTIONS);
}

test("followFrom() believes the messages, and not the columns beside them", async () => {
  await using database = await Database.use();
  const target = await database.target();
  const log = fortyRecords();
  using _wal = log.wal;
  const columns = [[30, 40], [1, 1], [21, 30], [11, 19]] as const;
  for (const [index, lsns] of columns.entries()) {
    await put(target, messageOf(log, 10 * index + 1, 10 * index + 10), lsns);
    await put(target, messageOf(log, 10 * index + 1, 10 * index + 10)); // a repeat, byte for byte
  }
  for (const applied of [0, 5, 10, 15, 20, 30, 39, 40]) {
    const store = new MemoryStore(applied, applied === 0 ? null : log.logId);
    const following = followFrom(target, store);
    await eventually(async () => {
      await Promise.race([following.done, null]);
      return following.applied === 40;
    }, "the last record");
    assertEquals(store.size, 40 - applied);
    await following.stop();
  }
}, OPTIONS);

test("followFrom() refuses rows in another order, and is told that those that it needs were removed", async () => {
  await using database = await Database.use();
  const log = fortyRecords();
  using _wal = log.wal;
  const mixed = await database.target();
  for (const [first, last] of [[11, 20], [1, 10], [21, 30]] as const) await put(mixed, messageOf(log, first, last));
  const store = new MemoryStore();
  const fault = await faultOf(followFrom(mixed, store).done);
  assert(["gone", "gap", "fork"].includes(fault), fault);
  assertEquals(store.size, 0);

  const target = await database.target();
  for (const first of [1, 11, 21, 31]) await put(target, messageOf(log, first, first + 9), [first, first + 9]);
  await put(target, writeShipment(null, SHIPPER));
  // As docs/shipping.md says it.
  await run(target, "UPDATE T SET stored_at = now() - interval '8 days' WHERE place < 3");
  await run(
    target,
    `DELETE FROM T WHERE stored_at < now() - interval '7 days'
     AND place < (SELECT max(place) FROM ${quotedName(target)} WHERE first_lsn IS NOT NULL)`,
  );
  assertEquals(await reader(target).bounds(), { first: 3, last: 5 });
  assertEquals(await faultOf(followFrom(target, new MemoryStore(), RETRY).done), "gone");
  const later = new MemoryStore(25, log.logId);
  const following = followFrom(target, later);
  await eventually(() => later.appliedLsn() === 40, "the last record");
  await following.stop();
  await run(target, "DELETE FROM T WHERE place = 3");
  assertEquals(await faultOf(followFrom(target, new MemoryStore(25, log.logId)).done), "gone");
}, OPTIONS);

test("shipTo() refuses a run that is too long for a message, and the server a row that is", async () => {
  await using database = await Database.use();
  const target = await database.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  await wal.batchInsert(Array.from({ length: 300 }, (_, i) => [1, i, 2, 3] as const));
  const small = Object.assign(Object.create(reader(target)), { maxBytes: 16384 });
  assertEquals(reader(target).maxBytes, 16 << 20);
  const shipper = new TargetShipper(
    { ...small, warnings: () => Promise.resolve([]), bounds: () => reader(target).bounds() },
    { inFlight: 1, startAfter: undefined },
  );
  assertEquals(await faultOf(consume(wal, shipper, RETRY).done), "oversized");
  assertEquals(wal.tail, 1);
  const tooLong = "INSERT INTO T (place, shipper, bytes) VALUES (1, gen_random_uuid(), repeat('x', 16777217)::bytea)";
  const error = await assertRejects(() => run(target, tooLong));
  assertEquals((error as { code?: string }).code, "23514");
}, OPTIONS);

test("shipTo() and followFrom() are told that there is no table, that it was emptied or dropped", async () => {
  await using database = await Database.use();
  const target = await database.target();
  const none = [{ ...target, table: "none" }, { ...target, schema: "none" }];
  await using wal = WAL.open(null, { size: 1 << 20 });
  for (const each of none) {
    assertEquals(await faultOf(followFrom(each, new MemoryStore(), RETRY).done), "gone");
    assertEquals(await faultOf(consume(wal, shipTo(each), RETRY).done), "gone");
  }
  const shipping = consume(wal, shipTo(target), RETRY);
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  await eventually(() => wal.tail > 1, "the confirmation");
  await run(target, "TRUNCATE T");
  await wal.logInsert(1, 2, 3, 5);
  // The records are in the log no more, so nothing can fill the table again.
  await assertRejects(() => shipping.done, WALStoreError);
  const again = consume(wal, shipTo(target, { startAfter: wal.tail - 1 }), RETRY);
  await wal.whenApplied();
  const following = followFrom(target, new MemoryStore(wal.tail - 1, wal.logId), RETRY);
  const faults = [again, following].map(({ done }) => faultOf(done));
  await run(target, "DROP TABLE T");
  await wal.logInsert(1, 2, 3, 6);
  assertEquals(await Promise.all(faults), ["gone", "gone"]);
}, OPTIONS);

test("shipTo() refuses a table that could not refuse repeats, and one of something else", async () => {
  await using database = await Database.use();
  const [loose, other] = [await database.target(), await database.target()];
  await run(loose, `ALTER TABLE T DROP CONSTRAINT ${quotedName({ table: `${loose.table}_pkey` })}`);
  await run(other, "ALTER TABLE T DROP COLUMN shipper");
  await using wal = WAL.open(null);
  await wal.logInsert(1, 2, 3, 4);
  assertEquals(await faultOf(consume(wal, shipTo(loose), RETRY).done), "unsuitable");
  assertEquals(await faultOf(consume(wal, shipTo(other), RETRY).done), "unsuitable");
  await run(other, "ALTER TABLE T DROP COLUMN place");
  assertEquals(await faultOf(followFrom(other, new MemoryStore(), RETRY).done), "unsuitable");
}, OPTIONS);

test("shipTo() ships a tail again that the server had confirmed and has lost, and followFrom() goes on", async () => {
  await using database = await Database.use();
  const { server } = database;
  const target = await database.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const options = { name: "ship", keepRecords: 300, pollIntervalMs: 10, ...RETRY };
  const shipping = consume(wal, shipTo(target), options);
  const store = new MemoryStore();
  const following = followFrom(target, store, RETRY);
  await fill(wal, 200);
  await hasShipped(reader(target), wal);
  await eventually(() => wal.tail > 100, "the release");
  await server.kill();
  fs.cpSync(server.data, server.path("copy"), { recursive: true });
  await server.restart();
  const before = wal.durable;
  await fill(wal, 20, 200);
  await caughtUp(store, wal);
  await eventually(() => wal.tail > before - 300, "the release");
  // As a server that was restored, or a standby that had not got the end.
  await server.kill();
  fs.rmSync(server.data, { recursive: true });
  fs.renameSync(server.path("copy"), server.data);
  server.own(server.data);
  await server.restart();
  await fill(wal, 20, 220);
  await appending(wal, store);
  await caughtUp(store, wal);
  const late = new MemoryStore();
  await using _late = followFrom(target, late, RETRY);
  await caughtUp(late, wal);
  await following.stop();
  await shipping.stop();
}, OPTIONS);

test("shipTo() is refused if the log has released what the server has lost", async () => {
  await using database = await Database.use();
  const target = await database.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const shipping = consume(wal, shipTo(target), { pollIntervalMs: 10, ...RETRY });
  for (const from of [0, 10]) {
    await fill(wal, 10, from);
    await hasShipped(reader(target), wal);
  }
  const { rows: [left] } = await target.client.query(`SELECT last_lsn FROM ${quotedName(target)} WHERE place = 2`, []);
  // Of these, a few may be checkpoints.
  await eventually(() => wal.tail - 1 > Number(left!["last_lsn"]) + 5, "the release of what the server loses");
  await run(target, "DELETE FROM T WHERE place > 2");
  await fill(wal, 1, 20);
  await assertRejects(() => shipping.done, WALStoreError, "released");
}, OPTIONS);

test("shipTo() loses nothing when the server's disk is full", async () => {
  await using database = await Database.use();
  const { server } = database;
  const target = await database.target();
  const disk = server.path("disk");
  fs.mkdirSync(disk);
  spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", disk]);
  try {
    server.own(disk);
    await database.client.query(`CREATE TABLESPACE small LOCATION '${disk}'`);
    await run(target, "ALTER TABLE T SET TABLESPACE small");
    await using wal = WAL.open(null, { size: 8 << 20 });
    const faults = new Set<unknown>();
    const shipping = consume(wal, shipTo(target), {
      onError: (error) => {
        faults.add((error as WALShipError).fault);
        return "retry";
      },
    });
    for (let i = 0; i < 40; i++) await wal.batchInsert(Array.from({ length: 1000 }, (_, j) => [i, j, 2, 3] as const));
    await eventually(() => faults.size > 0, "a failure");
    spawnSync("mount", ["-o", "remount,size=64m", disk]);
    const store = new MemoryStore();
    const following = followFrom(target, store, RETRY);
    await eventually(() => store.size === 40_000, "all records");
    await following.stop();
    await shipping.stop();
    assertEquals([...faults], ["refused"]);
  } finally {
    await run(target, "DROP TABLE T");
    await database.client.query("CHECKPOINT");
    await database.client.query("DROP TABLESPACE small");
    // The server has files of the table open for a while after they are gone.
    spawnSync("umount", ["--lazy", disk]);
  }
}, { ...OPTIONS, skip: noPostgres !== false ? noPostgres : mountSkip() });

test("shipTo() and followFrom() are told that the server denies access, and need no more than they use", async () => {
  await using database = await Database.use();
  const target = await database.target();
  const name = quotedName(target);
  for (const role of ["writer", "follower", "nobody"]) {
    await database.client.query(`CREATE ROLE ${role} LOGIN PASSWORD '${PASSWORD}'`);
  }
  await database.client.query(`GRANT SELECT, INSERT ON ${name} TO writer; GRANT SELECT ON ${name} TO follower`);
  const as = (user: string, password = PASSWORD) => ({ ...target, client: database.pool({ user, password }) });
  await using wal = WAL.open(null, { size: 1 << 20 });
  await fill(wal, 3);
  assertEquals(await faultOf(consume(wal, shipTo(as("nobody"))).done), "refused");
  assertEquals(await faultOf(consume(wal, shipTo(as("follower"))).done), "refused");
  assertEquals(await faultOf(consume(wal, shipTo(as("writer", "wrong"))).done), "refused");
  assertEquals(await faultOf(followFrom(as("nobody"), new MemoryStore()).done), "refused");
  const shipping = ship(wal, as("writer"));
  const store = new MemoryStore();
  const following = followFrom(as("follower"), store);
  await caughtUp(store, wal);
  await following.stop();
  await shipping.stop();
  const closed = as("writer");
  await closed.client.end();
  assertEquals(await faultOf(followFrom(closed, new MemoryStore(), RETRY).done), "closed");
  assertEquals(await faultOf(consume(wal, shipTo(closed), RETRY).done), "closed");
}, OPTIONS);

test("shipTo() and followFrom() work over TLS, with a certificate that the client knows", async () => {
  await using database = await Database.use();
  const { server, client } = database;
  const target = await database.target();
  server.own(server.path("tls"));
  const [key, cert] = [server.path("tls/key.pem"), server.path("tls/cert.pem")];
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
  ], { stdio: "ignore" });
  server.own(server.path("tls"));
  server.configure("ssl = on", `ssl_key_file = '${key}'`, `ssl_cert_file = '${cert}'`);
  await client.query("SELECT pg_reload_conf()");
  await eventually(async () => (await client.query("SHOW ssl")).rows[0].ssl === "on", "the configuration");
  const over = (ssl: pg.PoolConfig["ssl"]) => ({ ...target, client: database.pool({ host: "localhost", ssl }) });
  await using wal = WAL.open(null, { size: 1 << 20 });
  await fill(wal, 3);
  const known = over({ ca: fs.readFileSync(cert, "utf8") });
  const shipping = ship(wal, known);
  const store = new MemoryStore();
  const following = followFrom(known, store);
  await caughtUp(store, wal);
  await following.stop();
  await shipping.stop();
  assertEquals(await faultOf(followFrom(over({}), new MemoryStore()).done), "unreachable");
}, {
  ...OPTIONS,
  skip: noPostgres !== false ? noPostgres : spawnSync("openssl", ["version"]).status !== 0 && "no openssl",
});

test("shipTo() waits for the server's sync although synchronous_commit is off", async () => {
  await using database = await Database.use();
  const target = await database.target();
  const client = database.pool({ options: "-c synchronous_commit=off", max: 1 });
  const lag = async () => {
    const { rows } = await client.query("SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn() AS bytes");
    return Number(rows[0].bytes);
  };
  const log = fortyRecords();
  using _wal = log.wal;
  const [table, shipper] = [reader({ ...target, client }), newShipperId()];
  await table.append(outgoing(shipper, 0));
  assertEquals(await lag(), 0);
  await table.append(outgoing(shipper, 1, messageOf(log, 1, 40)));
  assertEquals(await lag(), 0);
  assertEquals((await client.query("SHOW synchronous_commit")).rows[0].synchronous_commit, "off");
}, OPTIONS);

test("shipTo() warns of what a server may lose", async () => {
  await using database = await Database.use();
  const { client } = database;
  const target = await database.target();
  const warningsNow = async () => {
    const store = shipTo(target);
    assertEquals(store.warnings, []);
    await store.appliedLsn();
    return store.warnings.join("\n");
  };
  assertEquals(await warningsNow(), "");
  await run(target, "ALTER TABLE T SET UNLOGGED");
  assertStringIncludes(await warningsNow(), "crash");
  const setFsync = async (value: string) => {
    await client.query(`ALTER SYSTEM SET fsync = ${value}`);
    await client.query("SELECT pg_reload_conf()");
    await eventually(async () => (await client.query("SHOW fsync")).rows[0].fsync === value, "the configuration");
  };
  await setFsync("off");
  assertStringIncludes(await warningsNow(), "fsync");
  await setFsync("on");
}, OPTIONS);

test("shipTo() and followFrom() try again when the server has cancelled a statement", async () => {
  await using database = await Database.use();
  const target = await database.target();
  // As a standby says it whose primary has removed the rows that a statement reads.
  const cancelled = `DO $$ BEGIN RAISE EXCEPTION 'conflict with recovery' USING ERRCODE = '40001'; END $$`;
  const random = new Random(40001);
  const query: PostgresTable["client"]["query"] = (text, values) =>
    random.below(3) === 0 ? database.client.query(cancelled) : database.client.query(text, values);
  const restless = { ...target, client: { query } };
  const faults = new Set<unknown>();
  const options = {
    onError: (error: unknown) => {
      faults.add((error as WALShipError).fault);
      return "retry" as const;
    },
  };
  await using wal = WAL.open(null, { size: 1 << 20 });
  const shipping = consume(wal, shipTo(restless), options);
  const store = new MemoryStore();
  const following = followFrom(restless, store, options);
  await fill(wal, 30);
  await caughtUp(store, wal);
  assertEquals([...faults], ["unreachable"]);
  await following.stop();
  await shipping.stop();
  const broken = { ...target, client: { query: () => database.client.query(cancelled) } };
  assertEquals(await faultOf(followFrom(broken, new MemoryStore()).done), "unreachable");
}, OPTIONS);

test("shipTo() settles what a statement has done whose answer came too late", async () => {
  await using database = await Database.use();
  const target = await database.target();
  await using wal = WAL.open(null, { size: 1 << 20 });
  const faults = new Set<unknown>();
  const shipping = consume(wal, shipTo(target, { timeoutMs: 100 }), {
    onError: (error) => {
      faults.add((error as WALShipError).fault);
      return "retry";
    },
  });
  await fill(wal, 5);
  await wal.whenApplied();
  const other = await database.client.connect();
  try {
    await other.query(`BEGIN; LOCK TABLE ${quotedName(target)} IN SHARE MODE`); // reading goes on
    await fill(wal, 5, 5);
    await eventually(() => faults.size > 0, "a failure");
  } finally {
    await other.query("COMMIT");
    other.release();
  }
  const store = new MemoryStore();
  const following = followFrom(target, store, RETRY);
  await caughtUp(store, wal);
  assertEquals([...faults], ["unreachable"]);
  await following.stop();
  await shipping.stop();
}, OPTIONS);

test("shipTo() and followFrom() take other clients by one function", async () => {
  await using database = await Database.use();
  const { config } = database.server;
  const url = `postgres://owner:${PASSWORD}@127.0.0.1:${config.port}/postgres`;
  const sql = postgres(url, { onnotice: () => {} });
  const single = new pg.Client(config);
  await single.connect();
  const clients: [string, PostgresTable["client"]][] = [
    ["pg.Client", single],
    ["postgres", { query: async (text, values) => ({ rows: await sql.unsafe(text, values) }) }],
  ];
  // deno-lint-ignore no-explicit-any
  const bun = (globalThis as any).Bun === undefined ? null : new (globalThis as any).Bun.SQL(url);
  if (runtime === "bun") {
    clients.push(["Bun.SQL", { query: async (text, values) => ({ rows: await bun.unsafe(text, values) }) }]);
  }
  for (const [name, client] of clients) {
    const target = { client, schema: "public", table: database.server.newTable() };
    await client.query(tableSql(target), []);
    await client.query(tableSql(target), []); // which changes nothing
    await using wal = WAL.open(null, { size: 1 << 20 });
    await fill(wal, 30);
    const shipping = ship(wal, target);
    const store = new MemoryStore();
    const following = followFrom(target, store);
    await caughtUp(store, wal);
    assertEquals(await faultOf(followFrom({ ...target, table: "none" }, new MemoryStore()).done), "gone", name);
    await following.stop();
    await shipping.stop();
  }
  await sql.end();
  await single.end();
  await bun?.end();
  for (const [name, client] of clients) {
    if (name === "Bun.SQL") continue;
    assertEquals(await faultOf(followFrom({ client, table: "none" }, new MemoryStore()).done), "closed", name);
  }
}, OPTIONS);
