// Fault: a loop of the log's gives way to timers, but not to sockets (H44), because Deno's
//   `setImmediate` polls none.
// Promise: a server in the same process answers while writers append and a consumer works off a
//   backlog (G16).
// Method: another process asks a real server. Each step of the load takes longer than a turn, so
//   steps count turns. An answer may take some of them, but not the sixty that Deno's scheduler
//   lets pass without a poll. No clock judges.

import { assert } from "@std/assert";
import { stat } from "node:fs";
import { type Store, WAL, type WALRecord } from "../../mod.ts";
import { TURN_BUDGET_MS } from "../../ffi/turn.ts";
import { AskedServer, SERVER_KINDS } from "../support/asked_server.ts";
import { fill, openInMemory } from "../support/logs.ts";
import { withTempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

/**
 * Answers that are waited for, and the most steps of the load that they may take. A handful each is
 * usual.
 */
const ANSWERS = 20;
const MOST_STEPS = 30 * ANSWERS;
/** How often the answers are counted anew, as the process that asks may itself have to wait. */
const ATTEMPTS = 5;
/** Longer than a turn. */
const STEP_MS = 1.2 * TURN_BUDGET_MS;
const MODES = ["inline", "adaptive", "offload"] as const;

/** Works for at least so long, and lets nobody else run. */
function work(ms: number): void {
  const startMs = performance.now();
  while (performance.now() - startMs < ms);
}

/** Counts the steps of a load until the server has given its answers in few enough of them. */
class Steps {
  readonly #server: AskedServer;
  #before: number;
  #count = 0;
  #attempts = 1;

  constructor(server: AskedServer) {
    this.#server = server;
    this.#before = server.answers;
  }

  get #answers(): number {
    return this.#server.answers - this.#before;
  }

  get isOver(): boolean {
    return this.#answers >= ANSWERS || (this.#count >= MOST_STEPS && this.#attempts >= ATTEMPTS);
  }

  /** One step of many, or a whole one. */
  take(part = 1): void {
    work(part * STEP_MS);
    if (this.#count >= MOST_STEPS && !this.isOver) {
      this.#attempts++;
      this.#count = 0;
      this.#before = this.#server.answers;
    }
    this.#count += part;
  }

  check(): void {
    assert(this.#answers >= ANSWERS, `${this.#answers} answers in ${this.#count} turns, ${this.#attempts} times`);
  }
}

/** Writers that await each append until the server has given its answers. */
async function write(wal: WAL, steps: Steps, writers: number): Promise<void> {
  const writer = async () => {
    while (!steps.isOver) {
      await wal.logInsert(1, 2, 3, 4);
      steps.take(1 / writers);
      if (wal.length > wal.capacity / 2) wal.truncate(wal.durable);
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
}

for (const flush of MODES) {
  for (const [what, writers] of [["a writer awaits each append", 1], ["16 writers await each append", 16]] as const) {
    test(`WAL lets a server answer while ${what}, ${flush}`, () =>
      withTempDir(async (_, directory) => {
        await using server = await AskedServer.start("native");
        for (const path of [directory.join("log"), null]) {
          await using wal = WAL.open(path, { size: 2 ** 20, flush });
          const steps = new Steps(server);
          await write(wal, steps, writers);
          steps.check();
        }
      }));
  }
}

test("WAL lets a server answer while a writer appends and something else keeps the event loop awake", async () => {
  await using server = await AskedServer.start("native");
  using wal = openInMemory();
  const steps = new Steps(server);
  // A call off the thread ends whenever a turn does, so the event loop never goes to sleep by
  // itself.
  const look = () => stat(".", () => steps.isOver || look());
  look();
  await write(wal, steps, 1);
  steps.check();
});

/**
 * Stores that take a step for each record, or for each run. Runs are long when the store becomes
 * slow.
 */
const STORES: Readonly<Record<string, (take: (part?: number) => void) => Partial<Store>>> = {
  "a synchronous store": (take) => each(() => take()),
  "a store whose promises are ready": (take) =>
    each(async () => {
      await null;
      take();
    }),
  "a store that takes runs": (take) => ({
    applyBatch: (records) => records.filter(isSlow).forEach(() => take(0.1)),
  }),
  "a store that takes runs, and whose promises are ready": (take) => ({
    applyBatch: async (records) => {
      for (const _ of records.filter(isSlow)) {
        await null;
        take(0.1);
      }
    },
  }),
};

/** The first records, which cost nothing. */
const FAST = 3000;

function isSlow({ lsn }: WALRecord): boolean {
  return lsn > FAST;
}

function each(apply: () => void | Promise<void>): Store {
  return { insert: apply, delete: apply, deleteValue: apply };
}

for (const [what, makeStore] of Object.entries(STORES)) {
  for (const kind of SERVER_KINDS) {
    test(`consumeAsync() lets a server answer while ${what} is given a backlog, ${kind}`, async () => {
      await using server = await AskedServer.start(kind);
      await using wal = openInMemory({ size: 2 ** 22 });
      // Enough for all attempts, of stores that take a tenth of a step for each record.
      fill(wal, FAST + 10 * ATTEMPTS * MOST_STEPS + 1000);
      wal.flush();
      const steps = new Steps(server);
      const stop = new AbortController();
      const store = makeStore((part) => {
        if (steps.isOver) stop.abort();
        else steps.take(part);
      });
      await wal.consumeAsync(store as Store, { signal: stop.signal });
      steps.check();
    });
  }
}

test("WAL lets writers and a consumer share the event loop, and neither starves the other", async () => {
  await using wal = openInMemory({ size: 2 ** 20 });
  fill(wal, 8000);
  wal.flush();
  let applied = 0;
  const stop = new AbortController();
  const consuming = wal.consumeAsync(
    each(() => {
      applied++;
      work(STEP_MS / 10);
    }),
    { signal: stop.signal },
  );
  let appended = 0;
  for (const before = applied; applied - before < 1000;) {
    await wal.logInsert(1, 2, 3, 4);
    work(STEP_MS / 10);
    appended++;
  }
  stop.abort();
  await consuming;
  assert(appended >= 200, `${appended} records appended while ${applied} were applied`);
});
