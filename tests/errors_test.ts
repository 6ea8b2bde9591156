// What callers catch: the codes, as types and as values; and that there is nothing to catch in
// normal running.

import { assert, assertEquals } from "@std/assert";
import { WALClosedError, type WALErrorCode } from "../mod.ts";
import { SQLiteStoreError } from "../src/stores/sqlite.ts";
import { projectUrl, runSnippet } from "./support/child.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

/** Exhaustive: the compiler finds a code without an answer, and an answer without a code. */
function ownerOf(code: WALErrorCode): string {
  switch (code) {
    case "CLOSED":
    case "CONSUMING":
    case "FULL":
    case "LAGGED":
    case "RUN":
    case "TOO_SMALL":
    case "TRUNCATED":
      return "caller";
    case "CORRUPT":
    case "FORMAT":
    case "GONE":
    case "LOCKED":
    case "NOT_FOUND":
    case "REWOUND":
    case "SHARDS":
      return "file";
    case "FILE_SYSTEM":
    case "IO":
    case "NO_SPACE":
    case "PERMISSION":
    case "PLATFORM":
    case "SYNC":
      return "system";
    case "CONSUMER_LOST":
    case "OPERATION":
    case "SHIP":
    case "SQLITE":
    case "STORE":
      return "store";
    default:
      return code satisfies never;
  }
}

test("WALError.code is one of a list that a switch can exhaust", () => {
  const error = new WALClosedError("read");
  assertEquals([error.code, ownerOf(error.code)], ["CLOSED", "caller"]);
  assertEquals(ownerOf(new SQLiteStoreError("store.db", "Cannot open it").code), "store");
  // @ts-expect-error there is no such code
  const misspelt = error.code === "CLOSE";
  // @ts-expect-error a code left out is a type error
  const some: (code: WALErrorCode) => string = (code: "CLOSED" | "FULL") => code;
  assertEquals([misspelt, some("FULL")], [false, "FULL"]);
});

test("WAL makes no errors in normal running, not even such that it catches itself", async () => {
  using directory = tempDir();
  const { code, stdout, stderr } = await runSnippet(`
    const made = [];
    for (const name of ["Error", "TypeError", "RangeError"]) {
      globalThis[name] = new Proxy(globalThis[name], {
        construct(target, [message], maker) {
          const error = Reflect.construct(target, [message], maker);
          made.push(error.stack);
          return error;
        },
      });
    }
    const { consume, WAL } = await import("${projectUrl("mod.ts")}");
    const { MemoryStore } = await import("${projectUrl("src/stores/memory.ts")}");
    const path = ${JSON.stringify(directory.join("log"))};
    const wal = WAL.open(path, { size: 65536, allowUnsafeFileSystem: true });
    const capacity = wal.capacity;
    const store = new MemoryStore();
    const consumption = consume(wal, store);
    const inserts = Array.from({ length: 3 * capacity }, (_, i) => wal.logInsert(1, i, 2, i));
    console.log(wal.stats().waiting > 0);
    await Promise.all(inserts);
    const batch = inserts.slice(0, capacity / 2).map((_, i) => [3, i, 4, i]);
    await Promise.all([1, 2, 3, 4].map(() => wal.batchInsert(batch)));
    await wal.whenApplied();
    await consumption.stop();
    const stop = new AbortController();
    const consuming = wal.consumeAsync(store, { signal: stop.signal });
    await wal.logDelete(1, 1);
    await wal.backupAsync(path + ".backup");
    await wal.whenApplied();
    stop.abort();
    await consuming;
    const beforeClose = made.length;
    wal.close(); // makes what it rejects waiting calls with
    made.splice(beforeClose);
    wal.open();
    wal.replay();
    console.log(store.size);
    console.log(made.join("\\n"));
  `);
  assertEquals([code, stderr], [0, ""]);
  const [hasWaited, size, made] = stdout.split("\n", 3);
  assertEquals([hasWaited, made], ["true", ""], stdout);
  assert(Number(size) > 0, stdout);
});
