// A durable queue of jobs. A job is moved from "ready" to "taken" by one atomic batch, so that a
// crash leaves it in one of the two, never in both and never in none. This program kills a worker
// process three times and checks that each job was done.
//   deno run --allow-all examples/job_queue.ts
//   bun examples/job_queue.ts
//   node examples/job_queue.ts

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { consume, type Consumption, WAL } from "@cidstore/wal";
import { halvesToBytes } from "@cidstore/wal/keys";
import { SQLiteStore } from "@cidstore/wal/stores/sqlite";

/** The upper half of a job's key is its state, the lower half its number. */
const READY = 1n;
const TAKEN = 2n;

/** A job: its number, and 128 bits that say what is to be done. */
interface Job {
  readonly number: bigint;
  readonly task: Uint8Array;
}

/** Jobs in the order in which they were added. Each is done at least once. */
class JobQueue implements AsyncDisposable {
  readonly #wal: WAL;
  readonly #store: SQLiteStore;
  readonly #consumer: Consumption;
  readonly #ready: Job[] = [];
  #next = 1n;

  private constructor(directory: string) {
    this.#store = new SQLiteStore(join(directory, "jobs.db"));
    this.#wal = WAL.open(join(directory, "jobs.wal"), { size: 2 ** 20 });
    this.#consumer = consume(this.#wal, this.#store);
  }

  /** Opens a queue. What was taken and not finished, because the process died, is ready again. */
  static async open(directory: string): Promise<JobQueue> {
    const queue = new JobQueue(directory);
    await queue.#load();
    return queue;
  }

  /** Resolves when the job is durable. */
  async add(task: Uint8Array): Promise<void> {
    const job = { number: this.#next++, task };
    await this.#wal.logInsert(halvesToBytes(READY, job.number), task);
    this.#ready.push(job);
  }

  /** The oldest job that is ready; undefined if there is none. */
  async take(): Promise<Job | undefined> {
    const job = this.#ready.shift();
    if (job !== undefined) await this.#move(job, READY, TAKEN);
    return job;
  }

  /** Forgets a job that was done. */
  async finish({ number }: Job): Promise<void> {
    await this.#wal.logDelete(halvesToBytes(TAKEN, number));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#consumer.stop();
    await this.#wal[Symbol.asyncDispose]();
    this.#store.close();
  }

  async #load(): Promise<void> {
    await this.#wal.whenApplied(); // the store lacks what was logged just before the crash
    const jobs = Array.from(this.#store, ([state, number, high, low]) => ({
      state,
      number,
      task: halvesToBytes(high, low),
    }));
    jobs.sort((a, b) => a.number < b.number ? -1 : 1);
    await Promise.all(jobs.filter(({ state }) => state === TAKEN).map((job) => this.#move(job, TAKEN, READY)));
    this.#ready.push(...jobs);
    this.#next = (jobs.at(-1)?.number ?? 0n) + 1n;
  }

  async #move({ number, task }: Job, from: bigint, to: bigint): Promise<void> {
    await this.#wal.batch([
      { type: "delete", key: halvesToBytes(from, number) },
      { type: "insert", key: halvesToBytes(to, number), value: task },
    ]);
  }
}

const JOBS = 200;
const KILLS = 3;
const WORKERS = 4;

/** What the child does: four workers, each doing one job after the other. */
async function work(directory: string): Promise<void> {
  await using queue = await JobQueue.open(directory);
  const worker = async (): Promise<void> => {
    for (let job = await queue.take(); job !== undefined; job = await queue.take()) {
      await setTimeout(1); // the work
      console.log(job.number);
      await queue.finish(job);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
}

/** Runs the child. Kills it once it has done so many jobs. @returns whether it came to its end. */
async function run(directory: string, done: Map<string, number>, killAt: number): Promise<boolean> {
  const flags = "Deno" in globalThis ? ["run", "--quiet", "--allow-all"] : process.execArgv;
  const script = [fileURLToPath(import.meta.url), directory];
  const child = spawn(process.execPath, [...flags, ...script], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  let lines = 0;
  createInterface({ input: child.stdout }).on("line", (number) => {
    done.set(number, (done.get(number) ?? 0) + 1);
    if (++lines === killAt) child.kill("SIGKILL");
  });
  const [code] = await ended as [number | null];
  return code === 0;
}

async function main(): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), "job-queue-"));
  {
    await using queue = await JobQueue.open(directory);
    await Promise.all(Array.from({ length: JOBS }, () => queue.add(crypto.getRandomValues(new Uint8Array(16)))));
  }
  const done = new Map<string, number>();
  for (let kill = 0; kill < KILLS; kill++) {
    await run(directory, done, JOBS / (KILLS + 1));
    console.log(`worker killed, ${done.size} of ${JOBS} jobs done`);
  }
  const isAtEnd = await run(directory, done, Infinity);
  rmSync(directory, { recursive: true });
  const again = [...done.values()].filter((times) => times > 1).length;
  console.log(`${done.size} of ${JOBS} jobs done, ${again} of them more than once`);
  return isAtEnd && done.size === JOBS && again <= KILLS * WORKERS;
}

const [directory] = process.argv.slice(2);
if (directory !== undefined) await work(directory);
else if (!await main()) process.exitCode = 1;
