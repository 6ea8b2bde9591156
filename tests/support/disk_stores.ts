// Stores on a real disk that never call home.step(): in SQLite and in files. Some keep their LSN
// with their data, others in a write of its own.

import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import type { WALRecord } from "../../mod.ts";
import type { StoreEntry, StoreHome } from "../../testing.ts";
import { after, type Saved } from "./wrong_stores.ts";

/** A multi-value map in memory that is saved after each run. */
abstract class MapStore {
  protected map: Saved = { entries: [], applied: 0 };

  applyBatch(records: readonly WALRecord[]): void | Promise<void> {
    const map = { entries: after(this.map.entries, records), applied: records.at(-1)!.lsn };
    const saved = this.save(map);
    if (saved === undefined) return void (this.map = map);
    return saved.then(() => void (this.map = map));
  }

  appliedLsn(): number {
    return this.map.applied;
  }

  entries(): readonly StoreEntry[] {
    return this.map.entries;
  }

  protected abstract save(map: Saved): void | Promise<void>;
}

function textOf(entries: readonly StoreEntry[]): string {
  return entries.map((entry) => entry.join(" ")).join("\n");
}

function entriesOf(text: string): StoreEntry[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => line.split(" ").map(BigInt) as unknown as StoreEntry);
}

/** What is common to node:sqlite and bun:sqlite. */
export interface AnyDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): { run(...values: (string | number)[]): unknown; get(): unknown };
  close(): void;
}

/** The map and the LSN are two rows. */
abstract class SQLStore extends MapStore {
  protected readonly database: AnyDatabase;

  constructor(home: StoreHome, open: (path: string) => AnyDatabase = (path) => new DatabaseSync(path)) {
    super();
    this.database = open(join(home.directory, "store.sqlite"));
    this.database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = OFF;
      CREATE TABLE IF NOT EXISTS state (entries TEXT, applied INTEGER);
      INSERT INTO state SELECT '', 0 WHERE NOT EXISTS (SELECT * FROM state);`);
    const row = this.database.prepare("SELECT entries, applied FROM state").get() as {
      entries: string;
      applied: number;
    };
    this.map = { entries: entriesOf(row.entries), applied: row.applied };
  }

  close(): void {
    this.database.close();
  }

  protected saveEntries({ entries }: Saved): void {
    this.database.prepare("UPDATE state SET entries = ?").run(textOf(entries));
  }

  protected saveApplied({ applied }: Saved): void {
    this.database.prepare("UPDATE state SET applied = ?").run(applied);
  }
}

/** Right: both in one transaction. */
export class OneTransaction extends SQLStore {
  protected override save(map: Saved): void {
    this.database.exec("BEGIN");
    this.saveEntries(map);
    this.saveApplied(map);
    this.database.exec("COMMIT");
  }
}

/** Right: a transaction in one text. */
export class OneText extends SQLStore {
  protected override save({ entries, applied }: Saved): void {
    this.database.exec(
      `BEGIN; UPDATE state SET entries = '${textOf(entries)}'; UPDATE state SET applied = ${applied}; COMMIT`,
    );
  }
}

/** Wrong: each write is a transaction of its own. */
export class TwoCommits extends SQLStore {
  protected override save(map: Saved): void {
    this.saveEntries(map);
    this.saveApplied(map);
  }
}

/** Wrong: the LSN is first. */
export class TwoTransactions extends SQLStore {
  protected override save(map: Saved): void {
    for (const save of [() => this.saveApplied(map), () => this.saveEntries(map)]) {
      this.database.exec("BEGIN");
      save();
      this.database.exec("COMMIT");
    }
  }
}

/** Wrong: two statements in one text are two transactions. */
export class TwoStatements extends SQLStore {
  protected override save({ entries, applied }: Saved): void {
    this.database.exec(
      `UPDATE state SET entries = '${textOf(entries)}'; -- and the LSN;\nUPDATE state SET applied = ${applied}`,
    );
  }
}

abstract class FileStore extends MapStore {
  protected readonly directory: string;

  constructor(home: StoreHome) {
    super();
    this.directory = home.directory;
    const [data, lsn] = [this.read("data"), this.read("lsn")];
    this.map = { entries: entriesOf(data), applied: Number(lsn) };
  }

  protected read(name: string): string {
    const path = join(this.directory, name);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** Puts a whole file in the place of an old one. */
  protected replaceFile(name: string, text: string): void {
    const path = join(this.directory, name);
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }
}

/** Right: a new file for each run, and a file that names it. */
export class Generations extends FileStore {
  constructor(home: StoreHome) {
    super(home);
    const current = this.read("current");
    if (current === "") return;
    this.map = { entries: entriesOf(this.read(current)), applied: Number(current.split("-")[1]) };
  }

  protected override save({ entries, applied }: Saved): void {
    const name = `generation-${applied}`;
    writeFileSync(join(this.directory, name), textOf(entries));
    this.replaceFile("current", name);
    for (const other of readdirSync(this.directory)) {
      if (other !== name && other !== "current") rmSync(join(this.directory, other));
    }
  }
}

/** Right: two files that belong together, mended at the next start from a journal of both. */
export class Journalled extends FileStore {
  constructor(home: StoreHome) {
    super(home);
    const [data, lsn] = this.read("journal").split("\n\n");
    if (lsn === undefined) return;
    this.map = { entries: entriesOf(data!), applied: Number(lsn) };
    this.#write(this.map);
  }

  protected override save(map: Saved): void {
    this.replaceFile("journal", `${textOf(map.entries)}\n\n${map.applied}`);
    this.#write(map);
  }

  #write({ entries, applied }: Saved): void {
    this.replaceFile("data", textOf(entries));
    this.replaceFile("lsn", String(applied));
    rmSync(join(this.directory, "journal"));
  }
}

/** Wrong: the LSN's file is written after the data's. */
export class LsnFileLast extends FileStore {
  protected override save({ entries, applied }: Saved): void {
    this.replaceFile("data", textOf(entries));
    this.replaceFile("lsn", String(applied));
  }
}

/** Wrong: the LSN's file is written before the data's. */
export class LsnFileFirst extends FileStore {
  protected override save({ entries, applied }: Saved): void {
    writeFileSync(join(this.directory, "lsn"), String(applied));
    this.replaceFile("data", textOf(entries));
  }
}

/** Wrong: as `LsnFileLast`, off the thread. */
export class AsyncLsnFileLast extends FileStore {
  protected override async save({ entries, applied }: Saved): Promise<void> {
    const path = join(this.directory, "data");
    await writeFile(`${path}.new`, textOf(entries));
    await rename(`${path}.new`, path);
    await writeFile(join(this.directory, "lsn"), String(applied));
  }
}

/** Wrong, and there is no way to see it: one file is written to twice. */
export class OneFileTwice extends FileStore {
  constructor(home: StoreHome) {
    super(home);
    const [lsn = "0", ...lines] = this.read("both").split("\n");
    this.map = { entries: entriesOf(lines.join("\n")), applied: Number(lsn) };
  }

  protected override save({ entries, applied }: Saved): void {
    const path = join(this.directory, "both");
    writeFileSync(path, `${this.map.applied}\n${textOf(entries)}`);
    writeFileSync(path, `${applied}\n${textOf(entries)}`);
  }
}

/** Wrong: two properties of plain data. */
export class TwoProperties extends MapStore {
  readonly #disk: { entries: readonly StoreEntry[]; applied: number };

  constructor(home: StoreHome) {
    super();
    this.#disk = home.saved(() => ({ entries: [] as StoreEntry[], applied: 0 }));
    this.map = { ...this.#disk };
  }

  protected override save({ entries, applied }: Saved): void {
    this.#disk.entries = entries;
    this.#disk.applied = applied;
  }
}

/** What bun:sqlite has besides. */
interface BunDatabase extends AnyDatabase {
  run(sql: string, values: (string | number)[]): unknown;
  query(sql: string): { get(...values: (string | number)[]): unknown };
  transaction(body: () => void): () => void;
}

/** Opens a database with bun:sqlite; null in other runtimes. */
export const openInBun: ((path: string) => BunDatabase) | null = (() => {
  if (process.versions["bun"] === undefined) return null;
  const { Database } = process.getBuiltinModule("bun:sqlite") as unknown as {
    Database: new (path: string) => BunDatabase;
  };
  return (path: string) => new Database(path);
})();

/** A store that uses what only bun:sqlite has. */
abstract class BunStore extends SQLStore {
  protected readonly bun: BunDatabase;

  constructor(home: StoreHome) {
    super(home, openInBun!);
    this.bun = this.database as BunDatabase;
  }

  protected override saveEntries({ entries }: Saved): void {
    this.bun.run("UPDATE state SET entries = ?", [textOf(entries)]);
  }

  protected override saveApplied({ applied }: Saved): void {
    this.bun.query("UPDATE state SET applied = ? RETURNING applied").get(applied);
  }
}

/** Right: one transaction that is a function. */
export class BunTransaction extends BunStore {
  protected override save(map: Saved): void {
    this.bun.transaction(() => {
      this.saveEntries(map);
      this.saveApplied(map);
    })();
  }
}

/** Wrong: two of them. */
export class BunTransactions extends BunStore {
  protected override save(map: Saved): void {
    this.bun.transaction(() => this.saveEntries(map))();
    this.bun.transaction(() => this.saveApplied(map))();
  }
}

/** Wrong: two calls. */
export class BunCalls extends BunStore {
  protected override save(map: Saved): void {
    this.saveApplied(map);
    this.saveEntries(map);
  }
}
