// W5: the scan without allocation. One cursor moves over the records in place. In `wal-unverified`
// the cursor is the first to read them since the log was opened.

import { OpType } from "../../mod.ts";
import type { Measurements } from "../measure.ts";
import { openLog } from "../peers/wal.ts";
import type { CellRequest } from "./workload.ts";

export async function scan(request: CellRequest): Promise<Measurements> {
  const log = await openLog(request.directory, { verify: request.system !== "wal-unverified" });
  const start = performance.now();
  let inserts = 0;
  for (const cursor = log.cursor(); cursor.next();) {
    if (cursor.opType === OpType.Insert) inserts++;
  }
  const scanned = performance.now();
  let keys = 0n;
  for (const cursor = log.cursor(); cursor.next();) {
    keys ^= cursor.keyHigh ^ cursor.keyLow ^ cursor.valueHigh ^ cursor.valueLow;
  }
  const read = performance.now();
  const records = log.length;
  await log.close();
  return {
    opsPerSecond: records / ((scanned - start) / 1e3),
    opsPerSecondFieldsRead: records / ((read - scanned) / 1e3),
    inserts,
    keys: Number(keys & 0xffffn),
  };
}
