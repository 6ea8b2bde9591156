// Two stores of your own, crash-tested: one is right, the other has a mistake that is easy to make
// and hard to see.
//   deno run --allow-read --allow-write examples/test_your_store.ts
//   bun examples/test_your_store.ts
//   node examples/test_your_store.ts

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type LSN, OpType, type Store, WALOperationError, type WALRecord } from "@cidstore/wal";
import {
  BrokenPromiseError,
  crashTest,
  storeConformance,
  type StoreEntry,
  type StoreHome,
} from "@cidstore/wal/testing";

/** Pairs of a key and a value as text, in memory. After each run, `save()` writes all of them. */
abstract class TextStore implements Store {
  readonly directory: string;
  readonly lines: Set<string>;
  protected applied: LSN;

  protected constructor(directory: string, lines: Set<string>, applied: LSN) {
    this.directory = directory;
    this.lines = lines;
    this.applied = applied;
  }

  applyBatch(records: readonly WALRecord[]): void {
    const before = [...this.lines];
    try {
      for (const record of records) this.#apply(record);
      this.save(records[records.length - 1]!.lsn);
    } catch (error) {
      // All or none in memory too, because the log hands the run out again.
      this.lines.clear();
      for (const line of before) this.lines.add(line);
      throw error;
    }
  }

  appliedLsn(): LSN {
    return this.applied;
  }

  *entries(): IterableIterator<StoreEntry> {
    for (const line of this.lines) {
      yield line.split(" ").map(BigInt) as [bigint, bigint, bigint, bigint];
    }
  }

  protected abstract save(lsn: LSN): void;

  #apply({ lsn, opType, keyHigh, keyLow, valueHigh, valueLow }: WALRecord): void {
    const key = `${keyHigh} ${keyLow} `;
    const line = `${key}${valueHigh} ${valueLow}`;
    if (opType === OpType.Insert) this.lines.add(line);
    else if (opType === OpType.DeleteValue) this.lines.delete(line);
    else if (opType === OpType.Delete) this.#deleteKey(key);
    else if (opType === OpType.Replace) {
      this.#deleteKey(key);
      this.lines.add(line);
    } else throw new WALOperationError(lsn, opType, "this store does not know the type"); // skipped would be lost
  }

  #deleteKey(key: string): void {
    for (const line of this.lines) if (line.startsWith(key)) this.lines.delete(line);
  }
}

/** Right: the LSN is in the file of the data, which is replaced as a whole. */
class OneFile extends TextStore {
  readonly home: StoreHome;

  constructor(home: StoreHome) {
    const path = join(home.directory, "store");
    const [lsn = "0", ...lines] = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
    super(home.directory, new Set(lines), Number(lsn));
    this.home = home;
  }

  protected override save(lsn: LSN): void {
    const path = join(this.directory, "store");
    this.home.step(); // the test may crash the store, or make this write fail
    writeFileSync(`${path}.new`, [lsn, ...this.lines].join("\n"), { flush: true });
    this.home.step();
    renameSync(`${path}.new`, path);
    this.applied = lsn;
  }
}

/** Wrong: the LSN has a file of its own. After a crash between the writes, one file is newer. */
class TwoFiles extends TextStore {
  constructor(home: StoreHome) {
    const data = join(home.directory, "data");
    const applied = join(home.directory, "applied");
    const lines = existsSync(data) ? readFileSync(data, "utf8").split("\n").filter((line) => line !== "") : [];
    super(home.directory, new Set(lines), existsSync(applied) ? Number(readFileSync(applied, "utf8")) : 0);
  }

  protected override save(lsn: LSN): void {
    writeFileSync(join(this.directory, "applied"), String(lsn), { flush: true });
    writeFileSync(join(this.directory, "data"), [...this.lines].join("\n"), { flush: true });
    this.applied = lsn;
  }
}

/** Runs both tests on a store and prints what they find. @returns true if they find nothing. */
async function tryStore(name: string, open: (home: StoreHome) => TextStore): Promise<boolean> {
  const contents = (store: TextStore) => store.entries();
  let isRight = true;
  try {
    const { histories, crashes } = await crashTest({
      store: open,
      contents,
      workload: async ({ wal, random }) => {
        for (let i = 0; i < 4; i++) await wal.logInsert(1, random.below(3), 2, random.below(9));
        await wal.batchInsert([[1, 7, 2, 1], [1, 7, 2, 2], [1, 7, 2, 3]]);
        await wal.logDelete(1, random.below(3));
      },
      seeds: 5, // 20 unless it is said
    });
    console.log(`${name}: right in ${histories} histories with ${crashes} crashes`);
  } catch (error) {
    if (!(error instanceof BrokenPromiseError)) throw error;
    isRight = false;
    console.log(`${name}: ${error.message}`);
  }
  // In a test file: storeConformance(open, { contents, test: Deno.test }), or with test of
  // "bun:test".
  for (const { name: title, run } of storeConformance(open, { contents, name })) {
    try {
      await run();
      console.log(`ok      ${title}`);
    } catch (error) {
      isRight = false;
      console.log(`FAILED  ${title}`);
      if (!(error instanceof BrokenPromiseError)) throw error;
    }
  }
  return isRight;
}

const isRight = await tryStore("OneFile", (home) => new OneFile(home));
console.log();
const isWrong = !await tryStore("TwoFiles", (home) => new TwoFiles(home));
// The example fails unless the tests find the wrong store, and only that one.
process.exitCode = isRight && isWrong ? 0 : 1;
