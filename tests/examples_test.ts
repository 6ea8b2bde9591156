// The examples, run as a user runs them; and that the main job notices what it is there to notice.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { audit, type Expectation } from "../examples/ingest/audit.ts";
import { hashFile, readTree, type TreeFile } from "../examples/ingest/tree.ts";
import { OpType, WAL, WALStoreError } from "../mod.ts";
import { bytesToHalves } from "../src/keys.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { SQLiteStore } from "../src/stores/sqlite.ts";
import { type ChildResult, projectUrl, runScript, runSnippet, spawnScript } from "./support/child.ts";
import { makeRecord } from "./support/store_records.ts";
import { commonNats, noNats } from "./support/nats.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const SMALL_FLAGS = ["--no-prompt", "--allow-ffi", "--allow-read=.", "--allow-write=."];
const INGEST_FLAGS = [
  "--no-prompt",
  "--allow-ffi",
  "--allow-read",
  "--allow-write",
  "--allow-run",
  "--allow-env",
];

test("examples/quickstart.ts runs with the rights it names, and again", async () => {
  using directory = tempDir();
  const run = () => runScript("examples/quickstart.ts", { cwd: directory.path, denoFlags: SMALL_FLAGS });
  const first = await run();
  assertEquals([first.code, first.stderr], [0, ""]);
  assertStringIncludes(first.stdout, "LSN 1: insert key …1\n");
  const end = "3 keys in the store; left in the log: 1 record, the checkpoint that says so\n";
  assertStringIncludes(first.stdout, `LSN 5: delete key …2\n${end}`);
  const second = await run();
  assertEquals([second.code, second.stderr], [0, ""]);
  assertMatch(second.stdout, /^LSN 6: checkpoint, the store has LSN 1 to 5\nLSN 7: insert /);
  assertStringIncludes(second.stdout, `LSN 11: delete key …2\n${end}`);
});

test("README.md has programs that run one after the other, and again with the files that they left", async () => {
  using directory = tempDir();
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const [quickStart, feed, ...others] = Array.from(readme.matchAll(/```ts\n([^]*?)```/g), ([, program]) =>
    program!
      .replace('"@cidstore/wal"', JSON.stringify(projectUrl("mod.ts")))
      .replace('"@cidstore/wal/stores/sqlite"', JSON.stringify(projectUrl("src/stores/sqlite.ts"))));
  assertEquals(others, []);
  const run = async (source: string) => {
    const { code, stdout, stderr } = await runSnippet(source, { cwd: directory.path });
    assertEquals([code, stderr], [0, ""]);
    return stdout;
  };
  for (const records of [6, 7, 7]) {
    assertEquals(await run(quickStart!), `${records}\n`);
    assertEquals(await run(feed!), "4\n");
  }
});

test("WALStoreError says why a log that has released its records refuses a store that forgets", async () => {
  using directory = tempDir();
  const run = async () => {
    await using wal = WAL.open(directory.join("log"), { size: 65536 });
    await wal.logInsert(1, 2, 3, 4);
    const consuming = wal.consumeAsync(new MemoryStore());
    consuming.catch(() => {});
    await wal.whenApplied();
  };
  await run();
  await assertRejects(
    run,
    WALStoreError,
    "(it is empty: a store in memory forgets with its process), but the log has released",
  );
});

test("examples/own_store.ts runs with the rights it names, and goes on from its file", async () => {
  using directory = tempDir();
  const run = async () => {
    const { code, stdout, stderr } = await runScript("examples/own_store.ts", {
      cwd: directory.path,
      denoFlags: SMALL_FLAGS,
    });
    assertEquals([code, stderr], [0, ""]);
    return Number(/^LSN (\d+) is in the file$/m.exec(stdout)?.[1]);
  };
  // A consumer that has nothing to do writes a checkpoint, so a slow machine may have one more.
  const first = await run();
  assert(first >= 4, String(first));
  const second = await run();
  assert(second >= first + 5, `${second} after ${first}`);
  const saved = JSON.parse(readFileSync(directory.join("own_store.json"), "utf8"));
  const [one, two] = ["1".padStart(32, "0"), `${"1".padStart(16, "0")}${"1".padStart(16, "0")}`];
  assertEquals([saved.appliedLsn, saved.keys[one]], [second, [one, two]]);
  assert(!existsSync(directory.join("own_store.json.tmp")));
});

test("examples/point_in_time.ts restores the store of a minute ago, and again", async () => {
  using directory = tempDir();
  for (let run = 0; run < 2; run++) {
    const { code, stdout, stderr } = await runScript("examples/point_in_time.ts", {
      cwd: directory.path,
      denoFlags: SMALL_FLAGS,
    });
    const pairs = [1, 2, 3, 4, 5].map((n) => `key …${n} → …${n}\n`).join("");
    const said = `LSN 1 to 6 are restored; LSN 7 to 11 are left out\n${pairs}`;
    assertEquals([code, stdout, stderr], [0, said, ""]);
  }
});

test("examples/two_consumers.ts keeps for the index what it lacks while it is stopped, and again", async () => {
  using directory = tempDir();
  for (let run = 0; run < 2; run++) {
    const { code, stdout, stderr } = await runScript("examples/two_consumers.ts", {
      cwd: directory.path,
      denoFlags: SMALL_FLAGS,
    });
    const said = "database: runs, has all\nindex: does not run, lacks records\n" +
      "value 7 has the keys 1, 3, 5; 5 pairs in the database\n";
    assertEquals([code, stdout, stderr], [0, said, ""]);
  }
});

test("examples/*.ts import the package by its name, so that a copy of one runs too", () => {
  const directory = new URL(projectUrl("examples/"));
  const files = readdirSync(directory).filter((name) => name.endsWith(".ts"));
  assert(files.length > 5);
  const relative = files.filter((name) => readFileSync(new URL(name, directory), "utf8").includes('from "../'));
  assertEquals(relative, []);
});

test("examples/follow.ts prints what its other process logs", async () => {
  const { code, stdout, stderr } = await runScript("examples/follow.ts");
  const said = [1, 2, 3, 4, 5].map((n) => `LSN ${n}: ${n} is ${n * n}\n`).join("");
  assertEquals([code, stdout, stderr], [0, said, ""]);
});

test("examples/shards.ts fills four shards, and eight from their stores", async () => {
  const { code, stdout, stderr } = await runScript("examples/shards.ts");
  const said = [
    "4 shards: 237 + 260 + 268 + 235 pairs",
    "8 shards: 107 + 135 + 132 + 107 + 130 + 125 + 136 + 128 pairs",
    "key 999 is in shard 1 of 4 and 1 of 8: true",
  ];
  assertEquals([code, stdout, stderr], [0, `${said.join("\n")}\n`, ""]);
});

test("examples/ship_nats.ts fills the store of another process", async () => {
  await using nats = await commonNats();
  const { code, stdout, stderr } = await runScript("examples/ship_nats.ts", { args: [nats.address] });
  assertEquals([code, stderr], [0, ""], stdout);
  for (const n of [1, 2, 3, 4, 5]) assertStringIncludes(stdout, `${n} is ${n * n}\n`);
}, { skip: noNats, sanitize: false });

test("examples/key_value/crash.ts finds each change that the killed server has answered", async () => {
  using directory = tempDir();
  const { code, stdout, stderr } = await runScript("examples/key_value/crash.ts", { env: { TMPDIR: directory.path } });
  assertEquals([code, stderr], [0, ""], stdout);
  assertMatch(stdout, /^(killed after 5\d\d answers, with \d+ unanswered\n){3}ended with exit code 0\n/);
  assertStringIncludes(stdout, "each name has the content that was answered\n");
});

test("examples/key_value/server.ts answers bad requests, and leaves a clean log at SIGTERM", async () => {
  using directory = tempDir();
  const rights = ["--allow-ffi", "--allow-net=127.0.0.1", "--allow-read=.", "--allow-write=."];
  await using server = spawnScript("examples/key_value/server.ts", {
    args: ["0"],
    cwd: directory.path,
    denoFlags: rights,
  });
  const url = `http://127.0.0.1:${(await server.line(/^ready on /)).slice("ready on ".length)}`;
  const ask = async (method: string, name: string, body?: string): Promise<[number, string]> => {
    const response = await fetch(`${url}/${name}`, { method, ...(body === undefined ? {} : { body }) });
    return [response.status, await response.text()];
  };
  const name = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  const content = "00112233445566778899aabbccddeeff";
  assertEquals(await ask("GET", name), [404, ""]);
  for (const body of ["0011", `${content}00`, `${content.slice(1)}g`, content.repeat(100)]) {
    assertEquals((await ask("PUT", name, body))[0], 400, body);
  }
  assertEquals((await ask("PUT", "name", content))[0], 400);
  assertEquals((await ask("POST", name, content))[0], 405);
  assertEquals(await ask("GET", name), [404, ""]);
  for (const body of ["f".repeat(32), content]) assertEquals(await ask("PUT", name, body), [204, ""]);
  assertEquals(await ask("GET", name), [200, content]);
  assertEquals(await ask("DELETE", name), [204, ""]);
  assertEquals(await ask("GET", name), [404, ""]);
  process.kill(server.pid, "SIGTERM"); // after server.kill() Deno would give no exit code
  const { code, stderr } = await server.result;
  assertEquals([code, stderr], [0, ""]);
  using wal = WAL.open(directory.join("names.wal"), { create: false });
  assert(wal.recovery.clean && wal.applied >= 3);
});

test("examples/job_queue.ts does each job, though its worker is killed", async () => {
  using directory = tempDir();
  const { code, stdout, stderr } = await runScript("examples/job_queue.ts", { env: { TMPDIR: directory.path } });
  assertEquals([code, stderr], [0, ""], stdout);
  assertMatch(stdout, /^(worker killed, \d+ of 200 jobs done\n){3}200 of 200 jobs done, \d+ of them more than once\n$/);
});

/** A tree with a nested directory, an empty file, and what the job leaves out. */
function makeTree(directory: TempDir, files: number = 60): string {
  const root = directory.join("tree");
  mkdirSync(`${root}/sub/deep`, { recursive: true });
  mkdirSync(`${root}/.git`);
  writeFileSync(`${root}/.git/config`, "left out");
  writeFileSync(`${root}/empty`, "");
  symlinkSync(`${root}/empty`, `${root}/link`);
  for (let i = 1; i < files; i++) writeFileSync(`${root}/${i % 2 ? "" : "sub/deep/"}file ${i}.txt`, `content ${i % 7}`);
  return root;
}

function runIngest(
  directory: TempDir,
  args: readonly string[],
  denoFlags: readonly string[] = INGEST_FLAGS,
  env: Readonly<Record<string, string>> = {},
): Promise<ChildResult> {
  const temporary = directory.join("tmp");
  mkdirSync(temporary, { recursive: true });
  return runScript("examples/ingest.ts", { args, denoFlags, env: { TMPDIR: temporary, ...env } });
}

test("examples/ingest.ts is killed twice and has every file in the end", async () => {
  using directory = tempDir();
  const root = makeTree(directory);
  const { code, stdout, stderr } = await runIngest(directory, [root, "--size", "65536"]);
  assertEquals([code, stderr], [0, ""], stdout);
  assertStringIncludes(stdout, "60 files in ");
  assertMatch(
    stdout,
    /child 1 killed when \d\d files were durable\nchild 2 killed when \d\d files were durable\n/,
  );
  assertMatch(stdout, /SIGKILL[^]*SIGKILL[^]*done/);
  for (const figure of ["acknowledgements per second", "acknowledgement p99", "records per sync"]) {
    assertStringIncludes(stdout, figure);
  }
  assertMatch(stdout, /All 60 files are in the store, once and right, after 2 SIGKILLs\.\n$/);
  assertEquals(existsSync(directory.join("tmp")) && (await readTree(directory.join("tmp"))).files, []);
});

test("examples/ingest.ts ships to a follower that is killed, and compares both stores", async () => {
  using directory = tempDir();
  const root = makeTree(directory);
  const flags = [...INGEST_FLAGS, "--allow-net=127.0.0.1"];
  const { code, stdout, stderr } = await runIngest(directory, [root, "--kills", "1", "--ship", "nats"], flags);
  assertEquals([code, stderr], [0, ""], stdout);
  assertStringIncludes(stdout, "The follower, killed 1 time, has what the store has.\n");
}, { skip: noNats });

test("examples/ingest.ts says that it needs a server to ship", async () => {
  using directory = tempDir();
  const root = makeTree(directory, 2);
  const { code, stdout, stderr } = await runIngest(directory, [root, "--ship", "nats"], INGEST_FLAGS, {
    PATH: "/none",
  });
  assertEquals([code, stdout], [2, ""]);
  assertStringIncludes(stderr, "there is none: install it");
});

test("examples/ingest.ts speaks of one file as of one, and says that a small tree was slowed down", async () => {
  using directory = tempDir();
  const root = makeTree(directory, 1);
  writeFileSync(`${root}/empty`, "not empty");
  const killed = await runIngest(directory, [root, "--kills", "1"]);
  assertEquals([killed.code, killed.stderr], [0, ""], killed.stdout);
  assertMatch(killed.stdout, /^1 file in .*\nchild 1 killed when 1 file was durable\n/);
  assertMatch(killed.stdout, /bytes +. ["']?9["']? /);
  assertMatch(killed.stdout, /acknowledgements per second . ["']?-["']? /);
  assertMatch(killed.stdout, /\nSlowed down .*\nThe one file is in the store, once and right, after 1 SIGKILL\.\n$/);
  const spared = await runIngest(directory, [root, "--kills", "0"]);
  assertMatch(spared.stdout, /\n[^S].*\nThe one file is in the store, once and right, after 0 SIGKILLs\.\n$/);
});

test("examples/ingest.ts puts what is in the tree into the store it is given", async () => {
  using directory = tempDir();
  const root = makeTree(directory, 30);
  const storePath = directory.join("given.db");
  const { code, stdout } = await runIngest(directory, ["--dir", root, "--store", storePath, "--kills", "1"]);
  assertEquals(code, 0, stdout);
  using store = new SQLiteStore(storePath);
  assertEquals(store.size, 30);
  const { hash } = await hashFile(`${root}/sub/deep/file 2.txt`);
  const { files } = await readTree(root);
  const file = files.find(({ path }) => path === "sub/deep/file 2.txt")!;
  assertEquals(store.values(...bytesToHalves(file.key)), [bytesToHalves(hash)]);
});

test("examples/ingest.ts ends with exit code 1 where the store has a wrong value, a foreign key or another log's LSN", async () => {
  using directory = tempDir();
  const root = makeTree(directory, 10);
  const { files } = await readTree(root);
  const prefilled: [string, RegExp, (store: SQLiteStore) => void][] = [
    ["wrong", /PROBLEM: the store has two values for empty\n/, (store) => {
      store.insert(...bytesToHalves(files.find(({ path }) => path === "empty")!.key), 1n, 2n);
    }],
    ["foreign", /PROBLEM: the store has 0{15}10{15}2, which is no file\n/, (store) => store.insert(1n, 2n, 3n, 4n)],
    [
      "other log",
      /PROBLEM: child 1 failed: exit code 1 [^]*the store has LSN 7, but the log has not handed out more than LSN 0/,
      (store) => {
        const record = { lsn: 7, opType: 1, version: 1, time: [0n, 0, 0] } as const;
        store.insert(...bytesToHalves(files[0]!.key), ...bytesToHalves(files[0]!.value), {
          ...record,
          keyHigh: 0n,
          keyLow: 0n,
          valueHigh: 0n,
          valueLow: 0n,
        });
      },
    ],
  ];
  for (const [name, problem, fill] of prefilled) {
    const storePath = directory.join(`${name}.db`);
    {
      using store = new SQLiteStore(storePath);
      fill(store);
    }
    const { code, stdout } = await runIngest(directory, [root, "--store", storePath, "--kills", "0"]);
    assertEquals(code, 1, stdout);
    assertMatch(stdout, problem);
    assertMatch(stdout, /FAILED: \d+ problems?\n$/);
  }
});

test("examples/ingest.ts names its options, and refuses others with exit code 2", async () => {
  using directory = tempDir();
  const help = await runIngest(directory, ["--help"]);
  assertEquals(help.code, 0);
  for (const option of ["--dir", "--kills", "--size", "--store", "--keep"]) assertStringIncludes(help.stdout, option);
  for (
    const args of [["--kills", "x"], ["--kills", "-1"], ["--size", "100"], ["--no-such"], [directory.join("missing")]]
  ) {
    const { code, stderr } = await runIngest(directory, args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(stderr, "--help");
  }
  mkdirSync(directory.join("empty"));
  const nothing = await runIngest(directory, [directory.join("empty")]);
  assertEquals([nothing.code, nothing.stdout], [2, ""]);
  assertStringIncludes(nothing.stderr, "no files");
});

test("readTree() names what it cannot read, and leaves out links and .git", async () => {
  using directory = tempDir();
  const root = makeTree(directory, 5);
  writeFileSync(`${root}/secret`, "");
  chmodSync(`${root}/secret`, 0);
  const { files, unreadable } = await readTree(root);
  const names = ["empty", "file 1.txt", "file 3.txt", "sub/deep/file 2.txt", "sub/deep/file 4.txt"];
  if (process.getuid?.() === 0) names.push("secret");
  assertEquals(files.map(({ path }) => path).sort(), names.sort());
  if (process.getuid?.() !== 0) assertEquals(unreadable, [{ path: "secret", reason: "EACCES" }]);
  assertEquals((await readTree(directory.join("missing"))).unreadable.map(({ reason }) => reason), ["ENOENT"]);
});

// Fault: the library loses, doubles or invents something.
// Promise: the main job's check notices, whatever it is.
// Method: make log and store of three files as they should be, then do one thing wrong.
test("audit() finds what is missing, doubled or wrong", async () => {
  using directory = tempDir();
  const { files } = await readTree(makeTree(directory, 3));
  const [first, second, third] = files as [TreeFile, TreeFile, TreeFile];
  const insert = (wal: WAL, { key, value }: TreeFile) => wal.logInsertSync(key, value);
  const inStore = (count: number) => (store: SQLiteStore, wal: WAL) => store.applyBatch(wal.replay().slice(0, count));
  interface Case {
    problem: RegExp | null;
    log?: (wal: WAL) => void;
    store?: (store: SQLiteStore, wal: WAL) => void;
    expect?: Partial<Expectation>;
  }
  const cases: Record<string, Case> = {
    "all is well": { problem: null },
    "all is well, and the store lags": { problem: null, store: inStore(1), expect: { complete: false } },
    "not in the store at the end": { problem: /is not in the store$/, store: inStore(2) },
    "a wrong value": {
      problem: /wrong value for/,
      store: (store, wal) => {
        inStore(3)(store, wal);
        store.deleteValue(...bytesToHalves(first.key), ...bytesToHalves(first.value));
        store.insert(...bytesToHalves(first.key), 0n, 0n);
      },
    },
    "two values": {
      problem: /two values for/,
      store: (store, wal) => {
        inStore(3)(store, wal);
        store.insert(...bytesToHalves(first.key), 0n, 0n);
      },
    },
    "no such file": {
      problem: /is no file$/,
      store: (store, wal) => {
        inStore(3)(store, wal);
        store.insert(0n, 0n, 0n, 0n);
      },
    },
    "a store that went back": { problem: /went back from LSN 9 to 3$/, expect: { leastStoreLsn: 9 } },
    "a store ahead of its log": {
      problem: /has LSN 8, but the log ends at 3$/,
      store: (store, wal) => {
        inStore(3)(store, wal);
        store.applyBatch([makeRecord(8, OpType.Checkpoint)]);
      },
    },
    "released before it was applied": {
      problem: /was acknowledged, and is neither in store nor log$/,
      store: (store, wal) => {
        inStore(1)(store, wal);
        wal.truncate(2);
      },
      expect: { complete: false },
    },
    "the log's own checkpoint released, after a pause": {
      problem: null,
      store: (store, wal) => {
        inStore(3)(store, wal);
        wal.checkpoint(3);
        wal.flush();
        wal.truncate(4);
      },
    },
    "acknowledged and lost": {
      problem: /was acknowledged, and is neither in store nor log$/,
      log: (wal) => [first, second].forEach((file) => insert(wal, file)),
      store: inStore(2),
      expect: { complete: false },
    },
    "logged twice": {
      problem: /is in the log twice$/,
      log: (wal) => [first, second, third, first].forEach((file) => insert(wal, file)),
      store: inStore(4),
    },
    "never logged": {
      problem: /^LSN 4 was never logged$/,
      log: (wal) => {
        for (const file of files) insert(wal, file);
        wal.logInsertSync(first.key, new Uint8Array(16));
      },
      store: inStore(3),
      expect: { complete: false },
    },
    "applied, and the LSN not saved": {
      problem: /is LSN 3 and in the store, which is at LSN 2$/,
      store: (store, wal) => {
        inStore(2)(store, wal);
        store.insert(...bytesToHalves(third.key), ...bytesToHalves(third.value));
      },
    },
    "the LSN saved, and not applied": {
      problem: /is LSN 3 and not in the store, which is at LSN 3$/,
      store: (store, wal) => {
        inStore(3)(store, wal);
        store.delete(...bytesToHalves(third.key));
      },
      expect: { complete: false },
    },
  };
  for (const [name, { problem, log, store, expect }] of Object.entries(cases)) {
    const [logPath, storePath] = [directory.join(`${name}.wal`), directory.join(`${name}.db`)];
    {
      using wal = WAL.open(logPath, { size: 65536 });
      using database = new SQLiteStore(storePath);
      if (log === undefined) { for (const file of files) insert(wal, file); }
      else log(wal);
      wal.flush();
      (store ?? inStore(3))(database, wal);
    }
    const acknowledged = new Set(files.keys());
    const { problems } = audit(logPath, storePath, {
      files,
      acknowledged,
      leastStoreLsn: 0,
      complete: true,
      ...expect,
    });
    if (problem === null) assertEquals(problems, [], name);
    else assert(problems.some((text) => problem.test(text)), `${name}: ${problems.join("; ")}`);
  }
});
