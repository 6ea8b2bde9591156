// W5: recovery and replay of a log that another process filled.

import type { WAL } from "../../mod.ts";
import type { Measurements } from "../measure.ts";
import { memory } from "../memory.ts";
import { openLog } from "../peers/wal.ts";
import type { CellRequest } from "./workload.ts";

/** Memory that a record may take besides the file, by the target. */
const BYTES_PER_RECORD = 120;

/**
 * The most memory that this process has had, less what the bare runtime with the code took before.
 */
function peakBeyond(before: number): number {
  return memory().peakBytes - before;
}

/** Opens the log, which verifies every record. */
export async function verify(request: CellRequest): Promise<Measurements> {
  const before = memory().residentBytes;
  const start = performance.now();
  const log = await openLog(request.directory, { verify: true });
  const elapsedMs = performance.now() - start;
  const result = figures(log, elapsedMs, before);
  await log.close();
  return result;
}

/**
 * Reads every record into an array of objects, then the fields of each record, because lazy records
 * decode only then.
 */
export async function replayLog(request: CellRequest): Promise<Measurements> {
  const before = memory().residentBytes;
  const log = await openLog(request.directory, { verify: request.system !== "wal-unverified" });
  const start = performance.now();
  const records = log.replay();
  const elapsedMs = performance.now() - start;
  if (records.length !== log.length) throw new Error(`replayed ${records.length} of ${log.length} records`);
  const result = figures(log, elapsedMs, before);
  let keys = 0n;
  for (const record of records) keys ^= record.keyHigh ^ record.keyLow ^ record.valueHigh ^ record.valueLow;
  const readMs = performance.now() - start;
  await log.close();
  return { ...result, opsPerSecondFieldsRead: records.length / (readMs / 1e3), keys: Number(keys & 0xffffn) };
}

function figures(log: WAL, elapsedMs: number, residentBefore: number): Measurements {
  const peakBytes = peakBeyond(residentBefore);
  return {
    opsPerSecond: log.length / (elapsedMs / 1e3),
    peakMiB: peakBytes / 2 ** 20,
    processPeakMiB: memory().peakBytes / 2 ** 20,
    memoryShare: peakBytes / (log.size + BYTES_PER_RECORD * log.length),
  };
}
