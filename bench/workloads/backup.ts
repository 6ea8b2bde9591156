// W10: copying a full log, against a plain verified copy of its file.

import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Measurements } from "../measure.ts";
import { quantile } from "../measure.ts";
import { openLog } from "../peers/wal.ts";
import { watch } from "./event_loop.ts";
import type { CellRequest } from "./workload.ts";

const PIECE_BYTES = 2 ** 20;
const STATS_CALLS = 100_000;
/**
 * The offset of the first slot, and the bytes of a record: the salvaged log is damaged in its
 * middle.
 */
const RING_AT = 16384;
const RECORD_BYTES = 64;

/**
 * Verifies each record in place, then copies the file by large reads and writes, and syncs the
 * copy.
 */
export async function plainCopy(request: CellRequest): Promise<Measurements> {
  const log = await openLog(request.directory, { verify: false });
  const start = performance.now();
  let records = 0;
  for (const cursor = log.cursor(); cursor.next();) records++;
  copyFile(log.path!, join(request.directory, "copy"), log.size);
  const copyMs = performance.now() - start;
  await log.close();
  return { copyMs, records };
}

function copyFile(from: string, to: string, sizeBytes: number): void {
  const [source, copy] = [openSync(from, "r"), openSync(to, "wx")];
  const piece = new Uint8Array(PIECE_BYTES);
  for (let at = 0; at < sizeBytes; at += PIECE_BYTES) {
    writeSync(copy, piece, 0, readSync(source, piece, 0, PIECE_BYTES, at), at);
  }
  fsyncSync(copy);
  closeSync(source);
  closeSync(copy);
}

/** `backup()`. */
export async function backup(request: CellRequest): Promise<Measurements> {
  const log = await openLog(request.directory, { verify: false });
  const start = performance.now();
  const { first, last } = log.backup(join(request.directory, "copy"));
  const copyMs = performance.now() - start;
  await log.close();
  return { copyMs, records: last - first + 1 };
}

/** `backupAsync()`, and how long it holds the event loop. */
export async function backupAsync(request: CellRequest): Promise<Measurements> {
  const log = await openLog(request.directory, { verify: false });
  const delay = watch();
  const start = performance.now();
  const { first, last } = await log.backupAsync(join(request.directory, "copy"));
  const copyMs = performance.now() - start;
  const delays = delay.stop();
  await log.close();
  return {
    copyMs,
    records: last - first + 1,
    delayP50Ms: quantile(delays, 0.5),
    delayP99Ms: quantile(delays, 0.99),
    delayMaxMs: quantile(delays, 1),
  };
}

/** Opens a log with one damaged record, which `recovery: "salvage"` copies without it. */
export async function salvage(request: CellRequest): Promise<Measurements> {
  const path = join(request.directory, "peer.wal");
  const file = openSync(path, "r+");
  const at = RING_AT + Math.floor(request.parameter / 2) * RECORD_BYTES + 40;
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, at);
  byte[0]! ^= 1;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
  const start = performance.now();
  const log = await openLog(request.directory, { recovery: "salvage" });
  const copyMs = performance.now() - start;
  const { records, losses } = log.recovery;
  await log.close();
  if (losses.length !== 1) throw new Error(`${losses.length} losses`);
  return { copyMs, records };
}

/** `stats()` of a log that has synced, called again and again. */
export async function stats(request: CellRequest): Promise<Measurements> {
  const log = await openLog(request.directory, {});
  log.logInsertSync(1, 2, 3, 4);
  log.flush();
  let syncs = 0;
  for (let n = 0; n < STATS_CALLS / 10; n++) syncs += log.stats().syncs;
  const start = performance.now();
  for (let n = 0; n < STATS_CALLS; n++) syncs += log.stats().syncs;
  const elapsedMs = performance.now() - start;
  await log.close();
  return { callUs: elapsedMs * 1e3 / STATS_CALLS, syncs };
}
