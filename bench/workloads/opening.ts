// W9: the time that open() takes.

import type { Measurements } from "../measure.ts";
import type { WALOptions } from "../../mod.ts";
import { openLog } from "../peers/wal.ts";
import type { CellRequest } from "./workload.ts";

/** Opens a log with the default options. */
export function opening(request: CellRequest): Promise<Measurements> {
  return timeOpen(request, {});
}

/** Opens a log and reads every record. */
export function openingVerified(request: CellRequest): Promise<Measurements> {
  return timeOpen(request, { verify: true });
}

async function timeOpen(request: CellRequest, options: WALOptions): Promise<Measurements> {
  const start = performance.now();
  const log = await openLog(request.directory, options);
  const openMs = performance.now() - start;
  const records = log.length;
  await log.close();
  return { openMs, records };
}
