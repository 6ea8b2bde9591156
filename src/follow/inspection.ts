// The figures of a log's file, for an operator: positions, fill, times, warnings.

import type { ReadableFile, ReadingSystem } from "../../ffi/readable_file.ts";
import { toWALError } from "../errors.ts";
import { createdMsOf } from "../format/header.ts";
import { NANOS_PER_MS } from "../format/layout.ts";
import { HEADER_LOOKS, HeaderReader, waitForWriter } from "./log_reader.ts";
import { FollowedLog } from "./followed_log.ts";
import type { LogInspection, LSN } from "../types.ts";

/** Inspects the log at a path. @throws as `WAL.inspect()`. */
export function inspectLog(path: string, reading: ReadingSystem): LogInspection {
  const log = new FollowedLog(path, reading, true);
  try {
    return inspectionOf(log);
  } catch (error) {
    throw toWALError(error, path, 0);
  } finally {
    log.close();
  }
}

function inspectionOf(log: FollowedLog): LogInspection {
  const { header, ends: { head, durable }, path } = log;
  const { file } = log.reader;
  const { capacity, tail, lineage, cleanHead, openerPid, checkpoint } = header;
  const length = head - tail;
  return {
    path,
    logId: lineage.logId,
    origin: lineage.origin,
    createdMs: createdMsOf(header),
    fileSystem: file.fileSystem(),
    sizeBytes: file.size(),
    capacity,
    length,
    fillRatio: length / capacity,
    head,
    tail,
    durable,
    checkpoint,
    consumers: header.consumers.map(({ name, lsn, isLost }) => ({ name, confirmed: lsn, isLost })),
    oldestMs: length === 0 ? null : timeMsOf(log, tail),
    newestMs: length === 0 ? null : timeMsOf(log, head - 1),
    clean: cleanHead !== 0,
    openerPid: openerPid === 0 ? null : openerPid,
    warnings: [...log.file.warnings, ...warningsOf(log)],
  };
}

/** Null if the record is damaged, or was overwritten meanwhile. */
function timeMsOf({ reader }: FollowedLog, lsn: LSN): number | null {
  return reader.has(lsn) ? Number(reader.slots.timeNanosAt(0) / NANOS_PER_MS) : null;
}

/** A copy that stays damaged. One that is being written is not. */
function damagedCopy(file: ReadableFile): "A" | "B" | null {
  const headers = new HeaderReader(file);
  for (let look = 1;; look++) {
    headers.read();
    const index = headers.pair.copies.findIndex((copy) => typeof copy === "string");
    if (index < 0) return null;
    if (look === HEADER_LOOKS) return index === 0 ? "A" : "B";
    waitForWriter();
  }
}

function warningsOf({ header, reader }: FollowedLog): string[] {
  const warnings = [];
  const damaged = damagedCopy(reader.file);
  if (damaged !== null) warnings.push(`Header copy ${damaged} is damaged: only the other copy is left`);
  if (header.erasing) warnings.push("A recovery has not ended: the next opening goes on with it");
  return warnings;
}
