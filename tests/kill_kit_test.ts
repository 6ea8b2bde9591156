// The kit's kill test: a right program passes, one that acknowledges too early or cannot recover is
// found (H27), and a test that tries nothing fails.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { WAL } from "../mod.ts";
import { SQLiteStore } from "../src/stores/sqlite.ts";
import { BrokenPromiseError, type KillCommand, type KillRound, killTest, type KillTestOptions } from "../testing.ts";
import { projectUrl, runtimeBinary } from "./support/child.ts";
import { runtime } from "./support/runtime.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const FLAGS: readonly string[] = runtime === "deno" ? ["run", "--allow-all", "--no-config", "--no-lock"] : [];

/** A way to start a program that is written in JavaScript. It gets its directory as argument. */
function program(source: string): (round: KillRound) => KillCommand {
  return ({ directory }) => {
    const path = `${directory}/program.mjs`;
    if (!existsSync(path)) writeFileSync(path, `${PRELUDE}\n${source}`);
    return { command: runtimeBinary(), args: [...FLAGS, path, directory] };
  };
}

const PRELUDE = `
  import { existsSync, readFileSync, renameSync, writeFileSync, writeSync } from "node:fs";
  import process from "node:process";
  const path = process.argv[2] + "/number";
  const saved = existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
  const save = (number) => {
    writeFileSync(path + ".new", String(number));
    renameSync(path + ".new", path);
  };
  const print = (text) => {
    for (;;) {
      try {
        return writeSync(1, text + "\\n");
      } catch (error) {
        if (error.code !== "EAGAIN") throw error; // Node does not wait where the pipe is full
      }
    }
  };`;

/** Saves each number, and says then that it has. */
const COUNTER = "for (let number = saved + 1;; number++) { save(number); print(number); }";

/** The number that the program has saved is the last that it acknowledged, or the next one. */
function verifyNumber(acknowledged: readonly string[], { directory }: KillRound): void {
  const path = `${directory}/number`;
  const saved = existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
  const last = Number(acknowledged.at(-1) ?? 0);
  if (saved < last) throw new Error(`${last} is lost, the file has ${saved}`);
}

function optionsFor(source: string, directory: TempDir): KillTestOptions {
  return { spawn: program(source), verify: verifyNumber, rounds: 4, temporary: directory.path };
}

test("killTest() kills a right program again and again, and verifies all that it acknowledged", async () => {
  using directory = tempDir();
  const seen: number[] = [];
  const rounds: number[] = [];
  const { kills, acknowledged } = await killTest({
    ...optionsFor(COUNTER, directory),
    verify: (acknowledged, round) => {
      verifyNumber(acknowledged, round);
      const numbers = acknowledged.map(Number);
      // A number that was saved may have been killed before it was printed.
      assertEquals(numbers, [...new Set(numbers)].sort((one, other) => one - other));
      assertEquals(numbers[0], 1, "what was acknowledged in earlier rounds is verified again");
      seen.push(acknowledged.length);
      rounds.push(round.round);
    },
  });
  assertEquals([kills, rounds], [4, [1, 2, 3, 4]]);
  assert(seen[0]! > 0 && acknowledged === seen.at(-1), seen.join());
  assertEquals(readdirSync(directory.path), []);
});

test("killTest() finds a program that acknowledges before it saves, and keeps its files", async () => {
  using directory = tempDir();
  const source = "for (let number = saved + 1;; number++) { print(number); if (number % 7 === 0) save(number); }";
  const error = await assertRejects(
    () => killTest({ ...optionsFor(source, directory), rounds: 50 }),
    BrokenPromiseError,
  );
  assertMatch(
    error.message,
    /^G1 is broken \(.*\): verify\(\) failed after kill \d+, with \d+ acknowledged: Error: \d+ is lost, the file has \d+\n {2}Its files are in /,
  );
  const [, files] = /Its files are in (.*)/.exec(error.message)!;
  assert(existsSync(`${files}/program.mjs`));
  rmSync(files!, { recursive: true });
});

test("killTest() finds a program that cannot go on after a kill", async () => {
  using directory = tempDir();
  const source = `if (saved > 0) throw new Error("the file is locked"); ${COUNTER}`;
  const error = await assertRejects(() => killTest(optionsFor(source, directory)), BrokenPromiseError);
  assertMatch(
    error.message,
    /^G1 is broken .*ended by itself with code 1 in round 2, .*after 1 kills it cannot go on\n/,
  );
  assertStringIncludes(error.message, "the file is locked");
});

test("killTest() drives a program by what the workload writes and reads, with values of any type", async () => {
  using directory = tempDir();
  const source = `
    let rest = "";
    process.stdin.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split("\\n");
      rest = lines.pop();
      for (const line of lines) {
        save(Number(line));
        print("saved " + line);
      }
    });`;
  const { acknowledged } = await killTest<{ number: number }>({
    spawn: program(source),
    rounds: 4,
    temporary: directory.path,
    workload: async ({ lines, write, acknowledge, round, signal }) => {
      let number = 1000 * round;
      write(`${number}\n`);
      for await (const line of lines) {
        assertEquals(line, `saved ${number}`);
        acknowledge({ number });
        if (!signal.aborted) write(`${++number}\n`);
      }
    },
    verify: (acknowledged, round) => {
      verifyNumber(acknowledged.map(({ number }) => String(number)), round);
    },
  });
  assert(acknowledged > 0);
});

/** Two consumers on one log. The index has a file for its LSN, and one for its data or none. */
const TWO_CONSUMERS = (hasData: boolean) => `
  import { WAL } from ${JSON.stringify(projectUrl("mod.ts"))};
  import { SQLiteStore } from ${JSON.stringify(projectUrl("src/stores/sqlite.ts"))};
  const fail = (error) => { console.error(error); process.exit(1); };
  const database = new SQLiteStore(process.argv[2] + "/database");
  const index = ${hasData} ? new SQLiteStore(process.argv[2] + "/index") : {
    appliedLsn: () => saved,
    applyBatch: (records) => save(records.at(-1).lsn),
  };
  const wal = WAL.open(process.argv[2] + "/log", { size: 65536 });
  wal.consumeAsync(database, { name: "database" }).catch(fail);
  wal.consumeAsync(index, { name: "index" }).catch(fail);
  for (let number = wal.head;; number = wal.head) {
    await wal.logInsert(1, number, 2, number);
    print(String(number));
  }`;

/** Lets both stores catch up, and looks for each number in both. */
async function verifyBoth(acknowledged: readonly string[], { directory }: KillRound): Promise<void> {
  await using wal = WAL.open(`${directory}/log`, { size: 65536 });
  for (const name of ["database", "index"]) {
    using store = new SQLiteStore(`${directory}/${name}`);
    wal.consumeAsync(store, { name }).catch(() => {}); // whenApplied() rejects with it
    await wal.whenApplied(wal.head - 1, { name });
    const lost = acknowledged.find((number) => !store.has(1n, BigInt(number), 2n, BigInt(number)));
    if (lost !== undefined) throw new Error(`${lost} is not in the ${name}`);
  }
}

test("killTest() kills a program with two consumers, and finds the store that lacks what the log has released", async () => {
  using directory = tempDir();
  const options = { ...optionsFor(TWO_CONSUMERS(true), directory), verify: verifyBoth, mostAcknowledged: 400 };
  assert((await killTest(options)).acknowledged > 0);
  const { message } = await assertRejects(
    () => killTest({ ...options, spawn: program(TWO_CONSUMERS(false)), rounds: 50 }),
    BrokenPromiseError,
  );
  assertMatch(message, /^G1 is broken .*(is not in the index|the store has LSN \d+.*, but the log has released)/);
});

test("killTest() fails where nothing was tried", async () => {
  using directory = tempDir();
  const cases: readonly (readonly [Partial<KillTestOptions> & { source?: string }, RegExp])[] = [
    [{ source: "print(1);" }, /Nothing was tried: the program ended by itself with code 0 in round 1/],
    [{ source: "throw new Error('no disk');" }, /ended by itself with code 1 in round 1[^]*no disk/],
    [{ source: "setInterval(() => {}, 1000);", timeoutMs: 500 }, /acknowledged nothing in 500 ms of round 1/],
    [{ source: COUNTER, workload: () => {} }, /The program acknowledged nothing in 4 rounds/],
    [{ spawn: () => ({ command: "/no/such/program" }) }, /Cannot start "\/no\/such\/program"/],
  ];
  for (const [{ source = "", ...options }, message] of cases) {
    const error = await assertRejects(() => killTest({ ...optionsFor(source, directory), ...options }), TypeError);
    assertMatch(error.message, message);
    assertEquals(readdirSync(directory.path), []);
  }
});

/** A limit that passes in each of its tests: long enough for a shell to start on a busy machine. */
const LONG_ENOUGH_MS = 5000;
/** Starts at once, on a busy machine too. */
const SHELL: KillCommand = { command: "/bin/sh", args: ["-c", "while :; do echo 1; sleep 0.01; done"] };

test("killTest() fails where a program that the command started outlives it", async () => {
  using directory = tempDir();
  let pid: number | undefined;
  const ended = assertRejects(
    () =>
      killTest({
        spawn: () => ({ command: "/bin/sh", args: ["-c", `(while :; do sleep 0.01; done) & echo $!; wait`] }),
        workload: async ({ lines, acknowledge }) => {
          for await (const line of lines) {
            pid = Number(line);
            acknowledge(line);
          }
        },
        verify: () => {},
        mostAcknowledged: 1,
        timeoutMs: LONG_ENOUGH_MS,
        temporary: directory.path,
      }),
    TypeError,
    "a program that it started lives on",
  );
  await ended.finally(() => {
    if (pid !== undefined) process.kill(pid, "SIGKILL");
  });
});

test("killTest() says when the workload fails, and when something does not end", async () => {
  using directory = tempDir();
  const options: KillTestOptions = {
    spawn: () => SHELL,
    verify: () => {},
    mostAcknowledged: 2,
    timeoutMs: LONG_ENOUGH_MS,
    temporary: directory.path,
  };
  const never = () => new Promise<void>(() => {});
  const goesOn: KillTestOptions["workload"] = ({ acknowledge }) => {
    acknowledge("1");
    acknowledge("2");
    return never();
  };
  const cases: readonly (readonly [Partial<KillTestOptions>, string])[] = [
    [
      { workload: () => Promise.reject(new RangeError("no such key")) },
      "The workload failed, though the program was not killed: RangeError: no such key",
    ],
    [{ verify: never }, `verify() did not end in ${LONG_ENOUGH_MS} ms in round 1`],
    [{ workload: goesOn }, "The program is dead, and the workload does not end"],
    [{ mostAcknowledged: 2 ** 30 }, "Round 1 waits for "],
  ];
  // At the same time, because most of them wait for the limit.
  await Promise.all(
    cases.map(([option, message]) => assertRejects(() => killTest({ ...options, ...option }), Error, message)),
  );
  assertEquals(readdirSync(directory.path), []);
});

test("killTest() refuses options that it cannot use, before it starts anything", async () => {
  using directory = tempDir();
  let starts = 0;
  const options = optionsFor(COUNTER, directory);
  const spawn = (round: KillRound) => {
    starts++;
    return options.spawn(round);
  };
  const wrong: readonly (readonly [object, ErrorConstructor])[] = [
    [{ spawn: "node" }, TypeError],
    [{ verify: undefined }, TypeError],
    [{ workload: [] }, TypeError],
    [{ round: 3 }, TypeError],
    [{ rounds: 0 }, RangeError],
    [{ rounds: 1.5 }, RangeError],
    [{ rounds: "3" }, RangeError],
    [{ mostAcknowledged: 0 }, RangeError],
    [{ timeoutMs: -1 }, RangeError],
    [{ timeoutMs: 2 ** 31 }, RangeError],
  ];
  for (const [option, type] of wrong) {
    await assertRejects(() => killTest({ ...options, spawn, ...option } as KillTestOptions), type);
  }
  for (const command of [null, undefined, "node", {}, { command: "" }, { command: 7 }, { command: "x", args: [1] }]) {
    await assertRejects(
      () => killTest({ ...options, spawn: () => command as KillCommand }),
      TypeError,
      "spawn() must return",
    );
  }
  assertEquals([starts, readdirSync(directory.path)], [0, []]);
});
