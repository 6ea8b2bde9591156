// A program of your own, killed with SIGKILL at random moments. After each kill the test verifies
// that everything is there that the program has acknowledged.
//   deno run --allow-ffi --allow-read --allow-write --allow-run --allow-env \
//     examples/test_by_killing.ts
//   bun examples/test_by_killing.ts
//   node examples/test_by_killing.ts

import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { WAL } from "@cidstore/wal";
import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
import { killTest } from "@cidstore/wal/testing";

const RIGHTS = ["--allow-ffi", "--allow-read", "--allow-write"];

/** The program: it logs one number after the other, and prints each when it is durable. */
async function program(directory: string): Promise<void> {
  using store = new SQLiteStore(join(directory, "store.sqlite"));
  await using wal = WAL.open(join(directory, "log"), { size: 65536 });
  wal.consumeAsync(store).catch(fail);
  // A new number for each record, also after a kill.
  for (let number = wal.head;; number = wal.head) {
    await wal.logInsert(1, number, 2, number);
    process.stdout.write(`${number}\n`);
  }
}

function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}

/** Opens log and store as the program does, lets the store catch up, and looks for each number. */
async function verify(acknowledged: readonly string[], { directory }: { readonly directory: string }): Promise<void> {
  using store = new SQLiteStore(join(directory, "store.sqlite"));
  await using wal = WAL.open(join(directory, "log"), { size: 65536 });
  wal.consumeAsync(store).catch(fail);
  await wal.whenApplied();
  for (const line of acknowledged) {
    const number = BigInt(line);
    if (!store.has(1n, number, 2n, number)) throw new Error(`${line} is neither in the store nor in the log`);
  }
}

const [directory] = process.argv.slice(2);
if (directory !== undefined) {
  await program(directory);
} else {
  const self = fileURLToPath(import.meta.url);
  const flags = "Deno" in globalThis ? ["run", ...RIGHTS] : [];
  const { kills, acknowledged } = await killTest({
    spawn: ({ directory }) => ({ command: process.execPath, args: [...process.execArgv, ...flags, self, directory] }),
    verify,
    rounds: 10,
  });
  console.log(`${kills} kills, ${acknowledged} numbers acknowledged, none is lost`);
}
