// An append allocates nothing once it is compiled. The test counts the collections that appends
// cause, because no clock and no machine changes that count.

import { assert, assertEquals } from "@std/assert";
import { projectUrl, runSnippet } from "./support/child.ts";
import { runtime } from "./support/runtime.ts";
import { test } from "./support/test.ts";

const APPENDS = 4_000_000;

/** The calls of which each is a program of its own. */
const CALLS: Readonly<Record<string, string>> = {
  "logInsertSync() of halves": "wal.logInsertSync(key, 2n, i, 4n)",
  "logInsertSync() of bytes": "wal.logInsertSync(keyBytes, valueBytes)",
  "logInsertSync() of both in turns":
    "i & 1 ? wal.logInsertSync(key, 2n, i, 4n) : wal.logInsertSync(keyBytes, valueBytes)",
  "logDeleteSync() of bytes": "wal.logDeleteSync(keyBytes)",
};

/** Appends, and marks in the trace where the counting starts and ends. */
const programOf = (call: string) => `
  import { WAL } from ${JSON.stringify(projectUrl("mod.ts"))};
  const wal = WAL.open(null, { size: 2 ** 20, idleHeaderDelayMs: Infinity });
  const key = 2n ** 63n + 5n;
  const keyBytes = new Uint8Array(16).fill(0x81);
  const valueBytes = new Uint8Array(16).fill(0x92);
  function append(count) {
    for (let i = 0; i < count; i++) {
      ${call};
      if (wal.length === wal.capacity) {
        wal.flush();
        wal.truncate(wal.durable);
      }
    }
  }
  append(500_000);
  globalThis.gc();
  console.log("start");
  append(${APPENDS});
  console.log("end");
  wal.close();
`;

for (const [name, call] of Object.entries(CALLS)) {
  test(`${name} allocates nothing`, async () => {
    const { code, stdout, stderr } = await runSnippet(programOf(call), {
      denoFlags: ["--allow-all", "--no-check", "--v8-flags=--trace-gc,--expose-gc"],
      nodeFlags: ["--trace-gc", "--expose-gc", "--min-semi-space-size=16"],
    });
    assertEquals(code, 0, stderr);
    const counted = stdout.split("start\n")[1]!.split("end\n")[0]!;
    const collections = counted.split("\n").filter((line) => /Scavenge|Mark-Compact|Minor/.test(line));
    // A single small object in each append would fill the young generation of 16 to 32 MiB several
    // times.
    assert(
      collections.length <= 1,
      `${collections.length} collections in ${APPENDS} appends\n${collections.join("\n")}`,
    );
  }, { skip: runtime === "bun" && "JavaScriptCore does not report its collections" });
}
