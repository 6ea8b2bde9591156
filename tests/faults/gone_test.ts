// Fault: while the log is open its file is deleted, replaced, renamed, cut or grown (H19, H36,
//   H54).
// Promise: after that nothing is acknowledged and each call throws WALFileGoneError. What was
//   acknowledged is where the file went. Wherever that can be, a cut file is noticed before it is
//   touched (G1, G8).
// Method: do it to a log at work, in each way and before each call. A cut file is used in a child,
//   because a touch past its end is a SIGBUS.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import { type Store, WAL, WALFileGoneError } from "../../mod.ts";
import { type ChildResult, projectUrl, runSnippet } from "../support/child.ts";
import { CALLS, closeGone } from "../support/logs.ts";
import { held } from "../support/region.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";
import process from "node:process";

const notLinux = process.platform !== "linux" && "looks into /proc";
const BYTES = 65536;
const store: Store = { insert() {}, delete() {}, deleteValue() {} };

/** What becomes of the file; returns where its bytes are then, or null. */
const LOSSES: Record<string, (path: string) => string | null> = {
  "deleted": (path) => {
    fs.unlinkSync(path);
    return null;
  },
  "renamed away": (path) => {
    fs.renameSync(path, `${path}.away`);
    return `${path}.away`;
  },
  "replaced by a copy": (path) => {
    fs.copyFileSync(path, `${path}.copy`);
    fs.renameSync(`${path}.copy`, path);
    return null;
  },
  "replaced by another log": (path) => {
    WAL.open(`${path}.other`, { size: BYTES }).close();
    fs.renameSync(`${path}.other`, path);
    return null;
  },
  "replaced by a directory": (path) => {
    fs.unlinkSync(path);
    fs.mkdirSync(path);
    return null;
  },
  "grown": (path) => {
    fs.truncateSync(path, BYTES + 16384);
    return path;
  },
};

/** What a caller does next. Each must fail. */
const EACH: typeof CALLS = {
  ...CALLS,
  records: (wal) => [...wal.records()],
  "records since": (wal) => wal.records({ since: 0n, until: 5n }),
  lsnAt: (wal) => wal.lsnAt(new Date()),
  encodeRun: (wal) => wal.encodeRun(),
  "backup through": (wal) => wal.backup("/never/written", { through: 3 }),
};

for (const [name, lose] of Object.entries(LOSSES)) {
  test(`WAL acknowledges nothing once its file is ${name}`, async () => {
    for (const flush of ["inline", "offload"] as const) {
      for (const [call, body] of Object.entries(EACH)) {
        using directory = tempDir();
        const path = directory.join("log");
        const wal = WAL.open(path, { size: BYTES, flush, idleHeaderDelayMs: Infinity });
        for (let i = 1; i <= 5; i++) await wal.logInsert(i, i, i, i);
        const where = lose(path);
        const message = `${call}, ${flush}`;
        const error = await assertRejects(async () => await body(wal), WALFileGoneError, "", message);
        assertEquals([error.code, error.durable, wal.durable], ["GONE", 5, 5], message);
        // From then on for good, at once, whatever comes back to the path.
        const { head } = wal;
        assertThrows(() => wal.logInsertSync(1, 1, 1, 1), WALFileGoneError);
        assertThrows(() => wal.flush(), WALFileGoneError);
        await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALFileGoneError);
        await assertRejects(() => wal.consumeAsync(store), WALFileGoneError);
        assertEquals([wal.head, wal.durable], [head, 5]);
        // Without unacknowledged records there is nothing to report. A log that may be another's is
        // not marked clean.
        closeGone(wal);
        if (process.platform === "linux") assertEquals(held(directory.path), []);
        if (where !== null && name !== "grown") {
          const found = WAL.open(where);
          assertEquals(found.recovery.clean, false);
          assert(found.durable >= 5);
          found.close();
        }
      }
    }
  });
}

test("consumeAsync() ends with WALFileGoneError, and confirms nothing to a file that is gone", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  // An offloaded sync may outlive the log that it fails.
  const wal = WAL.open(path, { size: BYTES, flush: "inline" });
  const applied: bigint[] = [];
  const consuming = wal.consumeAsync({ ...store, insert: (keyHigh) => void applied.push(keyHigh) }, {
    pollIntervalMs: 5,
  });
  consuming.catch(() => {});
  await wal.logInsert(1, 1, 1, 1);
  fs.unlinkSync(path);
  await assertRejects(() => wal.logInsert(2, 2, 2, 2), WALFileGoneError);
  await assertRejects(() => consuming, WALFileGoneError);
  assert(!applied.includes(2n), "a record that was never durable was applied");
  closeGone(wal);
});

test("close() of a log whose file went while it was idle does not mark another's file clean", () => {
  using directory = tempDir();
  const path = directory.join("log");
  const wal = WAL.open(path, { size: BYTES });
  wal.logInsertSync(1, 1, 1, 1);
  wal.flush();
  WAL.open(`${path}.other`, { size: BYTES }).close();
  const other = fs.readFileSync(`${path}.other`);
  fs.renameSync(`${path}.other`, path);
  wal.close();
  assertEquals(fs.readFileSync(path).equals(other), true);
});

/** Cuts the file of a log in a child, and then does something; the child tells how that ended. */
function cutIn(action: string, bytes: number, before: string = ""): Promise<ChildResult> {
  return runSnippet(`
    import * as fs from "node:fs";
    import { WAL } from "${projectUrl("mod.ts")}";
    const directory = fs.mkdtempSync("${fs.existsSync("/dev/shm") ? "/dev/shm" : "/tmp"}/wal-cut-");
    process.on("exit", () => fs.rmSync(directory, { recursive: true, force: true }));
    const path = directory + "/log";
    const wal = WAL.open(path, { size: ${BYTES}, flush: "inline", idleHeaderDelayMs: Infinity });
    for (let i = 1; i <= 5; i++) await wal.logInsert(i, i, i, i);
    ${before}
    fs.truncateSync(path, ${bytes});
    try {
      ${action}
      console.log("acknowledged");
    } catch (error) {
      console.log(error.name, error.code);
    }
    try {
      wal.close();
    } catch (error) {
      console.log("close", error.name);
    }
    console.log("end");`.replace("import * as fs", "import process from 'node:process';\n import * as fs"));
}

// The next append of a new turn looks at the file if the last look was 5 ms ago. A sync looks after
// its work and before it acknowledges.
const IDLE = "await new Promise((resolve) => setTimeout(resolve, 20));";

test(
  "flush() and replay() notice that the file was cut after an append of the same burst, before they seal it",
  async () => {
    // The last one ends the burst of a log that has failed.
    for (const action of ["wal.flush();", "wal.replay();", "try { wal.flush(); } finally { await null; }"]) {
      const { code, stdout, stderr } = await cutIn(action, 4096, "wal.logInsert(9, 9, 9, 9).catch(() => {});");
      assertEquals([code, stdout.split("\n")[0]], [0, "WALFileGoneError GONE"], `${action}: ${stdout}${stderr}`);
      assert(stdout.endsWith("end\n"), stdout);
    }
  },
  { skip: notLinux },
);

test("WAL notices that its file was cut while it was idle before it touches the file", async () => {
  for (const bytes of [0, 4096, 16384, 20480]) {
    for (
      const action of [
        "await wal.logInsert(9, 9, 9, 9);",
        "await wal.batchInsert([[9, 9, 9, 9]]);",
        'wal.batchSync([{ type: "delete", keyHigh: 9, keyLow: 9 }]);',
        "wal.logInsertSync(9, 9, 9, 9);",
        "wal.replay();",
        "wal.cursor().next();",
      ]
    ) {
      const { code, stdout, stderr } = await cutIn(action, bytes, IDLE);
      assertEquals(
        [code, stdout.split("\n")[0]],
        [0, "WALFileGoneError GONE"],
        `${action} of ${bytes}: ${stdout}${stderr}`,
      );
      assert(stdout.endsWith("end\n"), stdout);
    }
  }
}, { skip: notLinux });

test(
  "lsnAt(), encodeRun() and backup() through an LSN notice a cut of a moment ago before they touch the file",
  async () => {
    const actions = [
      "wal.lsnAt(new Date());",
      "[...wal.records({ since: 0n, until: 2n ** 64n - 1n })];",
      "wal.encodeRun();",
      "wal.encodeRun({ from: 2, to: 4 });",
      "wal.backup(path + '.copy', { through: 3 });",
    ];
    for (const action of actions) {
      const { code, stdout, stderr } = await cutIn(action, 4096);
      assertEquals([code, stdout.split("\n")[0]], [0, "WALFileGoneError GONE"], `${action}: ${stdout}${stderr}`);
    }
  },
  { skip: notLinux },
);

test("close(), truncate() and flush() of a file that was cut end the log and not the process", async () => {
  const appended = "wal.logInsertSync(6, 6, 6, 6);";
  const cases: [before: string, action: string, end: string][] = [
    [IDLE, "wal.close(); wal.open();", "WALFormatError"],
    [IDLE, "wal.stats(); wal.close(); wal.open();", "WALFormatError"],
    [IDLE, "wal.truncate(2);", "WALFileGoneError"],
    [IDLE, "wal.checkpoint(3);", "WALFileGoneError"],
    [appended, "wal.flush();", "WALFileGoneError"],
    [appended, "await wal.flushAsync();", "WALFileGoneError"],
    [appended, "await wal.whenDurable(wal.head - 1);", "WALFileGoneError"],
    [appended, "wal.close();", "WALFileGoneError"],
    [`const consuming = wal.consumeAsync({ applyBatch() {} }, 0.03); ${IDLE}`, "await consuming;", "WALFileGoneError"],
  ];
  for (const [before, action, end] of cases) {
    const { code, stdout, stderr } = await cutIn(action, 0, before);
    assertEquals(
      [code, stdout.includes(end), stdout.endsWith("end\n")],
      [0, true, true],
      `${action}: ${stdout}${stderr}`,
    );
  }
}, { skip: notLinux });

// This cannot be prevented. Any length of time can pass between a look and the store after it, and
// a store past the end is a SIGBUS. So a cut right before an append, within 5 ms after the last
// look, may kill the process. It must not be acknowledged.
test(
  "WAL whose file was cut a moment ago throws a typed error or ends with the process, and acknowledges nothing",
  async () => {
    const ends = new Map<string, number>();
    for (const bytes of [0, 16384]) {
      for (const action of ["await wal.logInsert(9, 9, 9, 9);", "wal.logInsertSync(9, 9, 9, 9); wal.flush();"]) {
        const { code, signal, stdout } = await cutIn(action, bytes);
        assert(!stdout.includes("acknowledged"), stdout);
        const isKilled = signal === "SIGBUS" || code === 135 || signal === "SIGTRAP" || code === 133;
        const end = isKilled ? "SIGBUS" : stdout.split("\n")[0]!;
        assert(isKilled || (code === 0 && end === "WALFileGoneError GONE"), `${code} ${signal} ${stdout}`);
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    }
    console.log([...ends].map(([end, count]) => `${count} ${end}`).join(", "));
  },
  { skip: notLinux },
);
