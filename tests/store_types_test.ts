// What the compiler says of stores: which objects are stores, and what it says of those that are
// none.

import { assertEquals, assertMatch } from "@std/assert";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  type ApplicableStore,
  type BatchStore,
  consume,
  type LSN,
  type RecordStore,
  type Store,
  WAL,
  type WALRecord,
} from "../mod.ts";
import { PROJECT_URL } from "./support/child.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";
import { skipWithoutTsc, typeErrors } from "./support/tsc.ts";

/** Appends a record and gives it to a store. */
async function applyOne(store: ApplicableStore): Promise<void> {
  await using wal = WAL.open(null, { size: 65536 });
  wal.logInsertSync(1, 2, 3, 4);
  const consuming = wal.consumeAsync(store);
  await wal.whenApplied();
  wal.close();
  await consuming;
}

class Runs implements Store {
  readonly lsns: LSN[] = [];
  applyBatch(records: readonly WALRecord[]): void {
    for (const { lsn } of records) this.lsns.push(lsn);
  }
}

class Singles implements Store {
  readonly lsns: LSN[] = [];
  insert(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void {
    this.lsns.push(record.lsn);
  }
  delete(): void {}
  deleteValue(): void {}
}

test("Store is what has applyBatch(), and what has the three methods: as a class and as a literal", async () => {
  const lsns: LSN[] = [];
  const runs: BatchStore = { applyBatch: (records) => void lsns.push(...records.map(({ lsn }) => lsn)) };
  const declared: Store = runs;
  const singles: RecordStore = {
    insert: (_kh, _kl, _vh, _vl, { lsn }) => void lsns.push(lsn),
    delete() {},
    deleteValue() {},
  };
  for (const store of [runs, declared, singles]) await applyOne(store);
  assertEquals(lsns, [1, 1, 1]);

  const classes = [new Runs(), new Singles()];
  for (const store of classes) await applyOne(store);
  assertEquals(classes.map((store) => store.lsns), [[1], [1]]);
});

test("consumeAsync() and consume() take a literal, and any value of a type that extends Store", async () => {
  const through = <S extends Store>(store: S): Promise<void> => applyOne(store);
  await through(new Runs());

  const wal = WAL.open(null, { size: 65536 });
  wal.logInsertSync(1, 2, 3, 4);
  const lsns: LSN[] = [];
  const consumption = consume(wal, {
    applyBatch(records) {
      for (const { lsn } of records) lsns.push(lsn);
    },
  });
  await wal.whenApplied();
  await consumption.stop();
  await wal.consumeAsync({ applyBatch: (records) => assertEquals(records, []) }, { signal: AbortSignal.abort() });
  wal.close();
  assertEquals(lsns, [1]);
});

/** Each is a type error; the message must say why. */
const NO_STORES: readonly [why: string, source: string, message: RegExp][] = [
  ["only sync()", `wal.consumeAsync({ sync() {} })`, /missing the following properties.*insert, delete, deleteValue/],
  ["only sync(), by consume()", `consume(wal, { sync() {} })`, /insert, delete, deleteValue/],
  ["two of three methods", `wal.consumeAsync({ insert() {}, delete() {} })`, /'deleteValue' is missing/],
  ["a misspelt method", `wal.consumeAsync({ applyBatch() {}, appliedLSN: () => 0 })`, /'appliedLSN' does not exist/],
  ["a misspelt method, declared", `const s: Store = { aplyBatch() {} }; s`, /Did you mean .*'applyBatch'/],
  ["a class that applies nothing", `wal.consumeAsync(new (class { sync() {} })())`, /insert, delete, deleteValue/],
  [
    "an LSN that is a text",
    `wal.consumeAsync({ applyBatch() {}, appliedLsn: () => "1" })`,
    /'string' is not assignable/,
  ],
  [
    "a class of another kind",
    `class S implements Store { put() {} } new S()`,
    /no properties in common with type 'Store'/,
  ],
];

test(
  "Store is not the type of an object that can apply no records, and the type error says what is missing",
  async () => {
    using directory = tempDir();
    const mod = fileURLToPath(new URL("mod.ts", PROJECT_URL));
    const files = NO_STORES.map(([, source], index) => {
      const imports = `import { consume, type Store, WAL } from ${JSON.stringify(mod)};\n`;
      writeFileSync(
        directory.join(`case_${index}.ts`),
        `${imports}const wal = new WAL();\nvoid [consume, wal, {} as Store];\n${source};\n`,
      );
      return `case_${index}.ts`;
    });
    const compilerOptions = {
      strict: true,
      exactOptionalPropertyTypes: true,
      module: "Preserve",
      target: "ESNext",
      noEmit: true,
      allowImportingTsExtensions: true,
      typeRoots: [fileURLToPath(new URL("node_modules", PROJECT_URL))],
      types: ["bun-types"],
      skipLibCheck: true,
    };
    writeFileSync(directory.join("tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    const errors = await typeErrors(directory.path);
    for (const [index, [why, , message]] of NO_STORES.entries()) {
      const found = errors.filter((error) => error.startsWith(`case_${index}.ts(`));
      assertEquals(found.length, 1, `${why}: ${errors.join("\n")}`);
      assertMatch(found[0]!, message);
    }
    assertEquals(errors.length, NO_STORES.length);
  },
  { skip: skipWithoutTsc },
);
