// Opens a log: the region, the header, recovery, and then its repair or its salvage.

import { FileMemory } from "../../ffi/file_memory.ts";
import { memoryRegion } from "../../ffi/memory.ts";
import { type OpenRequest, type Region, RegionError, type Storage } from "../../ffi/region.ts";
import type { HeaderWriter } from "../engine/header_writer.ts";
import { toWALError } from "../errors.ts";
import { type Header, readHeaders, type SetPlace } from "../format/header.ts";
import { MAX_CAPACITY, RING_AT } from "../format/layout.ts";
import { newLogId } from "../format/lineage.ts";
import { checksumSeed, Slots } from "../format/record.ts";
import { capacityOf, fileBytesOf, rangesOf, roundFileBytes } from "../format/ring.ts";
import type { RecoveryReport } from "../types.ts";
import { emptyImage } from "./image.ts";
import {
  isClean,
  type LsnRange,
  recover,
  refutingRange,
  type Verdict,
  verifiedRanges,
  type Verify,
} from "./recovery.ts";
import { corruption, cutFile, noHeader, unsupportedRecord } from "./refusals.ts";
import { repair } from "./repair.ts";
import { type Salvaged, salvageTo } from "./replacement.ts";
import { type Expected, makeReport, sizeWarningOf, warningsOf } from "./report.ts";

/** What opening needs to know. */
export interface LogRequest extends Expected {
  readonly path: string | null;
  readonly storage: () => Storage;
  readonly create: boolean;
  readonly salvage: boolean;
  readonly verify: Verify;
  readonly barrierOnly: boolean;
  readonly allowUnsafeFileSystem: boolean;
  /** Nanoseconds since 1970. */
  readonly nowNanos: bigint;
  readonly pid: number;
  /** Refuses a log by its header, before anything is written. */
  readonly admit?: ((header: Header) => void) | undefined;
  /** The report of an opening that has just recovered and closed the log, for this one. */
  readonly recovered?: RecoveryReport | undefined;
  /** The place in a set that a log gets which is made. */
  readonly place?: SetPlace | undefined;
}

/** An opened log. Everything up to its head is durable, and the header says that it is open. */
export interface OpenedLog {
  readonly region: Region;
  readonly slots: Slots;
  readonly writer: HeaderWriter;
  readonly verdict: Verdict;
  readonly report: RecoveryReport;
  /** What an operator should know of this opening, one sentence each. */
  readonly warnings: readonly string[];
  /** What an operator should know of the file's size, until it is resized. */
  readonly sizeWarning: string | null;
}

/** Opens, recovers, repairs. */
export function openLog(request: LogRequest): OpenedLog {
  const startMs = performance.now();
  try {
    return openRegion(request, makeRegion(request), startMs, null);
  } catch (error) {
    throw toWALError(error, request.path, 0);
  }
}

/**
 * The newest header of a log that nobody has open. The log is made if it is asked for, and not
 * opened.
 */
export function peekAt(request: LogRequest): Header {
  try {
    const region = makeRegion(request);
    try {
      region.pageIn(0, RING_AT, "load");
      const pair = readHeaders(region.memory.bytes());
      if (pair.newest === null) throw noHeader(region.path, pair, region.memory.bytes());
      return pair.newest;
    } finally {
      region.close();
    }
  } catch (error) {
    throw toWALError(error, request.path, 0);
  }
}

function openRegion(request: LogRequest, region: Region, startMs: number, salvaged: Salvaged | null): OpenedLog {
  try {
    const memory = readableMemory(request, region, () => region.pageIn(0, RING_AT, "load"));
    const pair = readHeaders(memory.bytes());
    const header = pair.newest;
    if (header === null) {
      // For a header that cannot be read, the medium's error says more than zeros in its place.
      if (memory !== region.memory) region.pageIn(0, RING_AT, "load");
      throw noHeader(region.path, pair, memory.bytes());
    }
    request.admit?.(header);
    const recovered = reportFor(header, request.recovered);
    const verify = salvaged === null && recovered === undefined ? request.verify : false;
    const maySalvage = request.salvage && region.path !== null && salvaged === null;
    const isCut = fileBytesOf(header.capacity) > memory.sizeBytes;
    if (isCut && !maySalvage) throw cutFile(region.path, region.memory.sizeBytes, header);
    const ring = isCut
      ? extended(memory, region, header)
      : memory === region.memory
      ? readableMemory(request, region, () => readAhead(region, header, verify))
      : memory;
    const slots = Slots.ofRing(ring, header.capacity, checksumSeed(header.logId));
    const verdict = recover(slots, header, verify);
    if (verdict.unsupported !== 0) throw unsupportedRecord(region, slots, verdict);
    if (ring !== region.memory || verdict.damaged.length > 0) {
      if (!maySalvage) throw corruption(region, slots, verdict);
      const { next, ...done } = salvageTo(region, slots, header, verdict, request.nowNanos);
      // Only now, because the lock of the damaged file keeps others out until the new file is
      // locked.
      region.close();
      return openRegion(request, next, startMs, done);
    }
    const writer = repair(region, slots, pair, header, verdict, request.pid);
    const found = makeReport(region, pair, header, verdict, salvaged, startMs);
    const report = found.clean ? recovered ?? found : found;
    const warnings = warningsOf(request, region, header);
    return { region, slots, writer, verdict, report, warnings, sizeWarning: sizeWarningOf(request, region) };
  } catch (error) {
    region.close();
    throw error;
  }
}

/** The report of the last opening; undefined if the log has changed since. */
function reportFor(
  { lineage, tail, cleanHead }: Header,
  recovered: RecoveryReport | undefined,
): RecoveryReport | undefined {
  const isSame = recovered?.logId === lineage.logId && recovered.firstLsn === tail &&
    recovered.lastLsn === cleanHead - 1;
  return isSame ? recovered : undefined;
}

/**
 * The region's bytes, after `read` has paged them in. If some cannot be read and salvage is asked
 * for, a copy with zeros in their place.
 */
function readableMemory(request: LogRequest, region: Region, read: () => void): FileMemory {
  try {
    read();
    return region.memory;
  } catch (error) {
    const isUnreadable = error instanceof RegionError && error.reason === "IO";
    if (!isUnreadable || !request.salvage) throw error;
    return region.readable();
  }
}

/** Pages in what recovery will read. */
function readAhead(region: Region, header: Header, verify: Verify): void {
  if (region.created) return;
  const { tail, cleanHead, capacity, logId } = header;
  const read = ({ first, last }: LsnRange) => {
    for (const { offset, length } of rangesOf(first, last, capacity)) region.pageIn(offset, length, "load");
  };
  if (cleanHead !== 0) read(refutingRange(header, verify));
  const isCleanLog = isClean(Slots.ofRing(region.memory, capacity, checksumSeed(logId)), header, verify);
  if (isCleanLog) verifiedRanges(header, verify).forEach(read);
  else read({ first: tail, last: tail + capacity - 1 });
}

function makeRegion(request: LogRequest): Region {
  const sizeBytes = roundFileBytes(request.sizeBytes);
  const capacity = Math.min(capacityOf(sizeBytes), MAX_CAPACITY);
  const initialBytes = () => emptyImage(capacity, newLogId(), request.nowNanos, request.place);
  if (request.path === null) {
    const region = memoryRegion(sizeBytes); // first, because it says what a runtime lacks
    region.memory.bytes().set(initialBytes());
    return region;
  }
  const open: OpenRequest = {
    create: request.create,
    sizeBytes,
    minimumBytes: RING_AT,
    initialBytes,
    readOwnerPid,
    allowUnsafeFileSystem: request.allowUnsafeFileSystem,
    barrierOnly: request.barrierOnly,
  };
  return request.storage().open(request.path, open);
}

function readOwnerPid(firstBytes: Uint8Array): number | null {
  if (firstBytes.byteLength < RING_AT / 2) return null;
  const pid = readHeaders(firstBytes.slice()).newest?.openerPid ?? 0;
  return pid === 0 ? null : pid;
}

/** A copy with zeros where a cut file has no bytes, because zeros never verify. */
function extended(memory: FileMemory, region: Region, header: Header): FileMemory {
  let copy: FileMemory;
  try {
    copy = new FileMemory(fileBytesOf(header.capacity));
  } catch {
    // A header that asks for more bytes than there is memory counts as damaged.
    throw cutFile(region.path, region.memory.sizeBytes, header);
  }
  copy.bytes().set(memory.bytes());
  return copy;
}
