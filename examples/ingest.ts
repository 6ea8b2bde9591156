// The main job: content-addresses a directory tree through the log into SQLite. A child process
// does it and is killed on the way. Then this checks that nothing is missing, doubled or wrong.
//   deno task demo, npm run demo
//   deno run --allow-read --allow-write --allow-run --allow-ffi --allow-env \
//     examples/ingest.ts --help
//   bun examples/ingest.ts --help
//   node examples/ingest.ts --help

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { audit } from "./ingest/audit.ts";
import { runChild } from "./ingest/child.ts";
import { type Job, writeJob } from "./ingest/protocol.ts";
import { clearBar, count, drawBar, printReport, printVerdict } from "./ingest/report.ts";
import { type Command, type Life, Supervisor } from "./ingest/supervisor.ts";
import { readTree } from "./ingest/tree.ts";

const HELP =
  `Content-addresses a directory tree: logs an insert for each file, and applies the log to SQLite. The key is 128 bits
of the SHA-256 of the file's path, the value 128 bits of the SHA-256 of its bytes. SIGKILL ends the job on the way, and
it goes on. At the end everything is checked. It takes a second or more, so that the kills come before the end.

  ingest.ts [DIRECTORY] [options]

  --dir DIRECTORY    the tree (default: this project, with its node_modules); no symbolic links, no .git
  --kills N          how often the child is killed, 0 to 20 (default: 2)
  --size BYTES       size of the log, from 65536 (default: 131072, so that slots are reused)
  --outstanding N    inserts that may wait for the medium at the same time (default: 64)
  --store FILE       the SQLite store (default: a new one, removed at the end)
  --ship nats        ship the log by a nats-server of its own to a follower, which is killed once, and compare both stores
  --keep             keep the working directory
  --help             this text

Exit code 0: all files are in the store, once and right. 1: something is missing, doubled or wrong. 2: bad arguments, or
a tree without files.`;

/** The part of the tree that is durable when the last kill comes. */
const LAST_KILL_AT = 0.6;
const MOST_KILLS = 20;
/** A job that is to be killed takes this long at least, so that the kill comes before its end. */
const LEAST_MS = 1000;

interface Options {
  root: string;
  kills: number;
  logBytes: number;
  outstanding: number;
  storePath: string | null;
  ship: boolean;
  keep: boolean;
}

/** @throws {TypeError} or {RangeError} if an argument cannot be used. */
function readOptions(): Options | "help" {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dir: { type: "string" },
      kills: { type: "string", default: "2" },
      size: { type: "string", default: String(2 ** 17) },
      outstanding: { type: "string", default: "64" },
      store: { type: "string" },
      ship: { type: "string" },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const root = resolve(values.dir ?? positionals[0] ?? fileURLToPath(new URL("..", import.meta.url)));
  if (positionals.length > 1) throw new RangeError(`one directory, not ${positionals.length}`);
  if (!existsSync(root) || !statSync(root).isDirectory()) throw new RangeError(`${root} is no directory`);
  if (values.ship !== undefined && values.ship !== "nats") throw new RangeError(`--ship ${values.ship}: only nats`);
  return {
    root,
    kills: toInteger("--kills", values.kills, 0, MOST_KILLS),
    logBytes: toInteger("--size", values.size, 2 ** 16, 2 ** 32),
    outstanding: toInteger("--outstanding", values.outstanding, 1, 4096),
    storePath: values.store === undefined ? null : resolve(values.store),
    ship: values.ship !== undefined,
    keep: values.keep,
  };
}

function toInteger(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new RangeError(`${name} ${text}: an integer from ${least} to ${most} is wanted`);
}

/** Runs this file as the child, on the runtime at hand and with no more rights than needed. */
function childCommand(job: Job, ...words: string[]): Command {
  const script = [fileURLToPath(import.meta.url), ...words];
  if (!("Deno" in globalThis)) return { program: process.execPath, arguments: script };
  const writable = [job.logPath, job.storePath].map(dirname).join(",");
  const rights = ["--no-prompt", "--allow-read", `--allow-write=${writable}`, "--allow-ffi"];
  if (job.server !== null) rights.push("--allow-env", `--allow-net=${job.server}`);
  return { program: process.execPath, arguments: ["run", "--quiet", ...rights, ...script] };
}

/** Copies log and store as the kill left them, because the audit recovers what it opens. */
function copyRemains(job: Job, directory: string): { logPath: string; storePath: string } {
  mkdirSync(directory);
  const copy = (path: string): string => {
    const to = join(directory, basename(path));
    if (existsSync(path)) copyFileSync(path, to);
    return to;
  };
  copy(`${job.storePath}-wal`);
  return { logPath: copy(job.logPath), storePath: copy(job.storePath) };
}

/** Starts a process that feeds a second store from the server. */
async function startFollower(job: Job, server: string, work: string) {
  const { differences, FollowingProcess } = await import("./ingest/ship.ts");
  const [storePath, endPath] = [join(work, "follower.db"), join(work, "follower.end")];
  const command = childCommand(job, "--follower", server, storePath, endPath);
  const follower = new FollowingProcess(command, endPath);
  const compare = async () => {
    await follower.finish();
    const found = differences(job.storePath, storePath);
    if (found.length === 0) {
      console.log(`The follower, killed ${count(follower.kills, "time")}, has what the store has.`);
    }
    return found;
  };
  return { follower, compare };
}

/** @returns the exit code. */
async function ingest(options: Options, work: string): Promise<number> {
  const tree = await readTree(options.root);
  const { files, unreadable } = tree;
  if (files.length === 0) {
    for (const { path, reason } of unreadable) console.error(`unreadable (${reason}): ${path}`);
    console.error(`${options.root} has no files that can be read: nothing to do`);
    return 2;
  }
  console.log(`${count(files.length, "file")} in ${options.root}`);
  const leastMs = options.kills === 0 ? 0 : LEAST_MS;
  const job: Job = {
    root: options.root,
    files,
    logPath: join(work, "ingest.wal"),
    logBytes: options.logBytes,
    storePath: options.storePath ?? join(work, "ingest.db"),
    outstanding: options.outstanding,
    paceMs: leastMs / files.length,
    server: options.ship ? await (await import("./ingest/ship.ts")).startServer(work) : null,
  };
  const jobPath = join(work, "job.json");
  writeJob(jobPath, job);

  const lives: Life[] = [];
  const shipped = job.server === null ? null : await startFollower(job, job.server, work);
  const supervisor = new Supervisor(childCommand(job, "--child", jobPath), () => {
    const half = 2 * supervisor.acknowledged.size >= files.length;
    if (half && shipped?.follower.kills === 0) shipped.follower.kill();
    drawBar(supervisor.acknowledged.size, files.length, lives.length + 1);
  });
  const { problems, acknowledged } = supervisor;
  while (lives.at(-1)?.isDone !== true) {
    const killAt = lives.length < options.kills
      ? Math.ceil(files.length * LAST_KILL_AT * (lives.length + 1) / options.kills)
      : Infinity;
    const life = await supervisor.run(killAt);
    lives.push(life);
    clearBar();
    if (!life.wasKilled) break;
    const durable = count(acknowledged.size, "file");
    console.log(`child ${lives.length} killed when ${durable} ${acknowledged.size === 1 ? "was" : "were"} durable`);
    const { logPath, storePath } = copyRemains(job, join(work, `killed-${lives.length}`));
    const found = audit(logPath, storePath, {
      files,
      acknowledged,
      leastStoreLsn: supervisor.storeLsn,
      complete: false,
    });
    supervisor.storeLsn = found.storeLsn;
    problems.push(...found.problems.map((problem) => `after kill ${lives.length}: ${problem}`));
  }
  const last = lives[lives.length - 1]!;
  if (last.isDone) {
    const expectation = { files, acknowledged, leastStoreLsn: supervisor.storeLsn, complete: true };
    problems.push(...audit(job.logPath, job.storePath, expectation).problems);
    if (shipped !== null) problems.push(...await shipped.compare());
  } else {
    problems.push(`child ${lives.length} failed: ${last.failure}`);
  }
  printReport(tree, lives, supervisor, leastMs);
  return printVerdict(problems, files.length, lives.filter((life) => life.wasKilled).length) ? 0 : 1;
}

async function main(): Promise<number> {
  let options: Options | "help";
  try {
    options = readOptions();
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`);
    return 2;
  }
  if (options === "help") {
    console.log(HELP);
    return 0;
  }
  const why = options.ship ? (await import("./ingest/ship.ts")).whyNoServer() : null;
  if (why !== null) {
    console.error(why);
    return 2;
  }
  const work = mkdtempSync(join(tmpdir(), "ingest-"));
  if (options.keep) console.log(`working directory: ${work}`);
  else process.once("exit", () => rmSync(work, { recursive: true, force: true, maxRetries: 3 }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  try {
    return await ingest(options, work);
  } catch (error) {
    console.error(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

const [role, ...words] = process.argv.slice(2);
if (role === "--child") await runChild(words[0]!);
else if (role === "--follower") {
  const { runFollower } = await import("./ingest/ship.ts");
  await runFollower(...words as [server: string, storePath: string, endPath: string]);
} else process.exitCode = await main();
