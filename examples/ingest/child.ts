// The child, which works and is killed. It logs an insert for each file that is neither in the log
// nor in the store, and applies the log to the store.

import { join } from "node:path";
import process from "node:process";
import { type AppliedRun, consume, type Consumption, OpType, WAL, type WALRecord } from "../../mod.ts";
import { bytesToHalves, bytesToHex } from "../../src/keys.ts";
import { shipTo } from "../../src/ship/jetstream.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { type Message, readJob } from "./protocol.ts";
import { forEachAtOnce, hashFile, type TreeFile } from "./tree.ts";

const REPORT_EVERY_MS = 20;
const SHIPPER = "ship";

/** A store that reports which runs it has. */
class ReportingStore extends SQLiteStore {
  override applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    super.applyBatch(records, run);
    send({ type: "applied", firstLsn: run.firstLsn, lastLsn: run.lastLsn });
  }
}

/** Does the job in a file. */
export async function runChild(jobPath: string): Promise<void> {
  const { root, files, logPath, logBytes, storePath, outstanding, paceMs, server } = readJob(jobPath);
  using store = new ReportingStore(storePath);
  await using wal = WAL.open(logPath, { size: logBytes });
  const missing = findMissing(files, wal, store);
  const { fileSystem, durableMedium } = wal.stats();
  const found = files.length - missing.length;
  send({ type: "open", recovery: wal.recovery, storeLsn: store.appliedLsn(), found, fileSystem, durableMedium });

  let acknowledged: [index: number, microseconds: number][] = [];
  const report = (): void => {
    const { head, appended, syncs, recordsPerSync } = wal.stats();
    send(
      { type: "acknowledged", files: acknowledged },
      { type: "statistics", lastLsn: head - 1, appended, syncs, recordsPerSync },
    );
    acknowledged = [];
  };
  const reporter = setInterval(report, REPORT_EVERY_MS);
  const startMs = performance.now();
  const ingest = async (index: number, nth: number): Promise<void> => {
    const earlyMs = startMs + nth * paceMs - performance.now();
    if (earlyMs > 1) await sleep(earlyMs);
    const { path, key, value } = files[index]!;
    if (!await isUnchanged(join(root, path), value)) send({ type: "changed", file: index });
    const start = performance.now();
    await wal.logInsert(key, value);
    acknowledged.push([index, Math.round((performance.now() - start) * 1000)]);
  };

  const ingestAll = async (): Promise<void> => {
    await forEachAtOnce(missing, outstanding, ingest);
    // Whoever slows the job down to kill it gets some time to do so, however small the job is.
    await sleep(missing.length * paceMs / 2);
  };

  const consumer = consume(wal, store);
  const shipping = server === null ? null : await ship(wal, server);
  try {
    await Promise.race([consumer.done, shipping?.done ?? consumer.done, ingestAll()]);
    await wal.whenApplied();
    if (shipping !== null) await wal.whenApplied(undefined, { name: SHIPPER });
  } finally {
    clearInterval(reporter);
    report();
  }
  await consumer.stop();
  await shipping?.stop();
  wal.close();
  store.close();
  send({ type: "done" });
}

/** Ships the log beside the store's consumer. Only a run that ships needs the client. */
async function ship(wal: WAL, server: string): Promise<Consumption> {
  const { connectTo } = await import("./ship.ts");
  const target = await connectTo(server);
  const shipping = consume(wal, shipTo(target), { name: SHIPPER, onError: () => "retry" });
  const close = () => target.close();
  shipping.done.then(close, close);
  return shipping;
}

/** The files that an earlier life has not logged. */
function findMissing(files: readonly TreeFile[], wal: WAL, store: SQLiteStore): number[] {
  const logged = new Set<string>();
  for (const { opType, key, value } of wal.records()) {
    if (opType === OpType.Insert) logged.add(bytesToHex(key) + bytesToHex(value));
  }
  const missing: number[] = [];
  files.forEach(({ key, value }, index) => {
    const isLogged = logged.has(bytesToHex(key) + bytesToHex(value));
    if (!isLogged && !store.has(...bytesToHalves(key), ...bytesToHalves(value))) missing.push(index);
  });
  return missing;
}

/** Reads and hashes a file, which is the work of this job. True if the hash is the expected one. */
async function isUnchanged(path: string, value: TreeFile["value"]): Promise<boolean> {
  try {
    return bytesToHex((await hashFile(path)).hash) === bytesToHex(value);
  } catch {
    return false;
  }
}

function send(...messages: Message[]): void {
  process.stdout.write(messages.map((message) => JSON.stringify(message) + "\n").join(""));
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
