// What callers catch: the codes, as types and as values.

import { assertEquals } from "@std/assert";
import { WALClosedError, type WALErrorCode } from "../mod.ts";
import { SQLiteStoreError } from "../src/stores/sqlite.ts";
import { test } from "./support/test.ts";

/** Exhaustive: the compiler finds a code without an answer, and an answer without a code. */
function ownerOf(code: WALErrorCode): string {
  switch (code) {
    case "CLOSED":
    case "CONSUMING":
    case "FULL":
    case "TRUNCATED":
      return "caller";
    case "CORRUPT":
    case "FORMAT":
    case "GONE":
    case "LOCKED":
    case "NOT_FOUND":
      return "file";
    case "FILE_SYSTEM":
    case "IO":
    case "NO_SPACE":
    case "PERMISSION":
    case "PLATFORM":
    case "SYNC":
      return "system";
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
