// Opens a log: the region, the header, recovery, and the repairs that make its verdict true on the medium.

import { type OpenRequest, type Region, RegionError, type Storage } from "../../ffi/region.ts";
import { memoryRegion } from "../../ffi/memory.ts";
import type { ReadSource } from "../read/cursor.ts";
import { toWALError, WALCorruptError, WALFormatError } from "../errors.ts";
import {
  claimedVersion,
  type CopyIndex,
  hasChecksum,
  type Header,
  type HeaderPair,
  openPositions,
  readHeaders,
} from "../format/header.ts";
import { HeaderWriter } from "../engine/header_writer.ts";
import { emptyImage } from "./image.ts";
import { newLogId } from "../format/lineage.ts";
import { FORMAT_VERSION, MAX_CAPACITY, RECORD_BYTES, RING_AT } from "../format/layout.ts";
import { checksumSeed, Slots } from "../format/record.ts";
import {
  isClean,
  type LsnRange,
  recover,
  refutingRange,
  type Verdict,
  verifiedRanges,
  type Verify,
} from "./recovery.ts";
import { capacityOf, fileBytesOf, lossOf, offsetOf, rangesOf, roundFileBytes, slotOf } from "../format/ring.ts";
import { salvage } from "./salvage.ts";
import type { Loss, LSN, RecoveryReport } from "../types.ts";

/** Smallest page of the platforms we support: a store to each makes every page dirty, whatever the page size. */
const PAGE_BYTES = 4096;

/** Names tried for a damaged file, where there is one of the same millisecond already. */
const MOST_NAMES = 100;
/** UTF-8, on every file system that a log may lie on. */
const MOST_NAME_BYTES = 255;

/** What opening needs to know. */
export interface LogRequest {
  readonly path: string | null;
  /** The id of the log that was open before, by the same caller; null at first. */
  readonly lastId: string | null;
  readonly storage: () => Storage;
  readonly sizeBytes: number;
  readonly sizeIsGiven: boolean;
  readonly create: boolean;
  readonly salvage: boolean;
  readonly verify: Verify;
  readonly barrierOnly: boolean;
  readonly allowUnsafeFileSystem: boolean;
  /** Nanoseconds since 1970. */
  readonly nowNanos: bigint;
  readonly pid: number;
}

/** An opened log: everything up to its head is durable, and the header says that it is open. */
export interface OpenedLog {
  readonly region: Region;
  readonly slots: Slots;
  readonly writer: HeaderWriter;
  readonly verdict: Verdict;
  readonly report: RecoveryReport;
  /** What an operator should know of this opening, one sentence each. */
  readonly warnings: readonly string[];
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

/** What a salvage has done, for the opening of the new file. */
interface Salvaged {
  readonly losses: readonly Loss[];
  readonly damagedFile: string;
}

function openRegion(request: LogRequest, region: Region, startMs: number, salvaged: Salvaged | null): OpenedLog {
  try {
    const memory = readableMemory(request, region, () => region.pageIn(0, RING_AT, "load"));
    const pair = readHeaders(memory);
    // Zeros in the place of what cannot be read say nothing: the medium's error does.
    if (pair.newest === null && memory !== region.buffer) region.pageIn(0, RING_AT, "load");
    const header = chooseHeader(pair, memory, region);
    const verify = salvaged === null ? request.verify : false;
    const maySalvage = request.salvage && region.path !== null && salvaged === null;
    const isCut = fileBytesOf(header.capacity) > memory.byteLength;
    if (isCut && !maySalvage) throw cutFile(region, header);
    const ring = isCut
      ? extended(memory, region, header)
      : memory === region.buffer
      ? readableMemory(request, region, () => readAhead(region, header, verify))
      : memory;
    const slots = Slots.ofRing(ring, header.capacity, checksumSeed(header.logId));
    const verdict = recover(slots, header, verify);
    if (verdict.unsupported !== 0) throw unsupportedRecord(region, slots, verdict);
    if (ring !== region.buffer || verdict.damaged.length > 0) {
      if (!maySalvage) throw corruption(region, slots, verdict);
      const { next, ...done } = salvageTo(request, region, slots, header, verdict);
      // Not before: until the new file is in its place and locked, the lock of the damaged one keeps everyone else out.
      region.close();
      return openRegion(request, next, startMs, done);
    }
    const writer = repair(region, slots, pair, header, verdict, request.pid);
    const report = makeReport(region, pair, header, verdict, salvaged, startMs);
    return { region, slots, writer, verdict, report, warnings: warningsOf(request, region, header) };
  } catch (error) {
    region.close();
    throw error;
  }
}

/**
 * The region's bytes, once `read` has brought them into memory; where some cannot be read and salvage is asked for, a copy with zeros
 * in their place.
 */
function readableMemory(request: LogRequest, region: Region, read: () => void): ArrayBuffer {
  try {
    read();
    return region.buffer;
  } catch (error) {
    const isUnreadable = error instanceof RegionError && error.reason === "IO";
    if (!isUnreadable || !request.salvage) throw error;
    return region.readable();
  }
}

/** Has the kernel read what recovery will look at. */
function readAhead(region: Region, header: Header, verify: Verify): void {
  if (region.created) return;
  const { tail, cleanHead, capacity, logId } = header;
  const read = ({ first, last }: LsnRange) => {
    for (const { offset, length } of rangesOf(first, last, capacity)) region.pageIn(offset, length, "load");
  };
  if (cleanHead !== 0) read(refutingRange(header, verify));
  const isCleanLog = isClean(Slots.ofRing(region.buffer, capacity, checksumSeed(logId)), header, verify);
  if (isCleanLog) verifiedRanges(header, verify).forEach(read);
  else read({ first: tail, last: tail + capacity - 1 });
}

function makeRegion(request: LogRequest): Region {
  const sizeBytes = roundFileBytes(request.sizeBytes);
  const capacity = Math.min(capacityOf(sizeBytes), MAX_CAPACITY);
  const initialBytes = () => emptyImage(capacity, newLogId(), request.nowNanos);
  if (request.path === null) {
    const region = memoryRegion(sizeBytes);
    new Uint8Array(region.buffer).set(initialBytes());
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
  const pid = readHeaders(firstBytes.slice().buffer).newest?.openerPid ?? 0;
  return pid === 0 ? null : pid;
}

function chooseHeader(pair: HeaderPair, memory: ArrayBuffer, region: Region): Header {
  if (pair.newest !== null) return pair.newest;
  const where = JSON.stringify(region.path);
  if (pair.copies.every((copy) => copy === "magic")) {
    throw new WALFormatError(region.path, 0, `Cannot open ${where}: it is not a log of this library`);
  }
  const other = copyOfOtherVersion(pair, memory);
  if (other !== null) {
    const version = claimedVersion(memory, other);
    throw new WALFormatError(
      region.path,
      0,
      `Cannot open ${where}: its format version is ${version}, this library reads version ${FORMAT_VERSION}`,
    );
  }
  throw new WALCorruptError(
    region.path,
    [],
    `Cannot open ${where}: both header copies are damaged (${pair.copies.map(String).join(", ")})`,
  );
}

/** The copy that another version has written: one version field alone may be damaged, unless the checksum says that it is not. */
function copyOfOtherVersion({ copies }: HeaderPair, memory: ArrayBuffer): CopyIndex | null {
  if (copies[0] === "version" && (copies[1] === "version" || hasChecksum(memory, 0))) return 0;
  return copies[1] === "version" && hasChecksum(memory, 1) ? 1 : null;
}

/** A copy with zeros where a cut file has no bytes: zeros never verify. */
function extended(memory: ArrayBuffer, region: Region, header: Header): ArrayBuffer {
  let copy: Uint8Array<ArrayBuffer>;
  try {
    copy = new Uint8Array(fileBytesOf(header.capacity));
  } catch {
    // A header that asks for more than there is memory is no better than a damaged one.
    throw cutFile(region, header);
  }
  copy.set(new Uint8Array(memory));
  return copy.buffer;
}

function cutFile(region: Region, header: Header): WALCorruptError {
  const bytes = region.buffer.byteLength;
  return new WALCorruptError(
    region.path,
    [],
    `Cannot open ${JSON.stringify(region.path)}: the file was cut to ${bytes} bytes, its header says ${
      fileBytesOf(header.capacity)
    }`,
  );
}

function corruption(region: Region, slots: Slots, verdict: Verdict): WALCorruptError {
  const losses = verdict.damaged.map(({ first, last }) => lossOf(first, last, slots.count));
  const loss = losses[0]!;
  return new WALCorruptError(
    region.path,
    losses,
    `Cannot open ${
      JSON.stringify(region.path)
    }: LSN ${loss.firstLsn} at byte ${loss.offset} was acknowledged and is damaged` +
      (losses.length > 1 || loss.lastLsn > loss.firstLsn ? ", and others are" : ""),
  );
}

function unsupportedRecord(region: Region, slots: Slots, verdict: Verdict): WALFormatError {
  const offset = offsetOf(slotOf(verdict.unsupported, slots.count));
  return new WALFormatError(
    region.path,
    offset,
    `Cannot open ${
      JSON.stringify(region.path)
    }: LSN ${verdict.unsupported} at byte ${offset} was written by a later version`,
  );
}

function salvageTo(
  request: LogRequest,
  region: Region,
  slots: Slots,
  header: Header,
  verdict: Verdict,
): Salvaged & { readonly next: Region } {
  const path = region.path!;
  const source: ReadSource = { path, tail: verdict.tail, slots: () => slots, check: () => {}, forget: () => {} };
  const saved = salvage(source, slots, {
    tail: verdict.tail,
    proved: verdict.proved,
    overwritten: verdict.damaged.find(({ last }) => last < verdict.tail) ?? null,
    checkpoint: verdict.checkpoint,
    timeNanos: verdict.timeNanos,
    timeSeq: verdict.timeSeq,
    createdNanos: header.created,
    originId: header.lineage.logId,
  });
  const sizeBytes = roundFileBytes(fileBytesOf(slots.count));
  let nameBytes = MOST_NAME_BYTES;
  for (let attempt = 0;; attempt++) {
    const suffix = `.damaged-${request.nowNanos}${attempt === 0 ? "" : `-${attempt}`}`;
    const damagedFile = damagedPath(path, suffix, nameBytes);
    try {
      const next = region.replace(saved.pieces(), sizeBytes, damagedFile);
      return { losses: saved.losses, damagedFile, next };
    } catch (error) {
      const errno = error instanceof RegionError ? error.details.errno : undefined;
      // A path has a limit too. The suffix alone is shorter than the temporary name, which did fit.
      if (errno === "ENAMETOOLONG" && nameBytes > 0) nameBytes = 0;
      else if (errno !== "EEXIST" || attempt === MOST_NAMES) throw error;
    }
  }
}

/** A path with a suffix: whole characters of the name are left out where both together would be longer than a name may be. */
function damagedPath(path: string, suffix: string, nameBytes: number): string {
  const encoder = new TextEncoder();
  const nameAt = path.lastIndexOf("/") + 1;
  let left = nameBytes - suffix.length;
  let kept = "";
  for (const character of path.slice(nameAt)) {
    left -= encoder.encode(character).length;
    if (left < 0) break;
    kept += character;
  }
  return path.slice(0, nameAt) + kept + suffix;
}

/**
 * Makes the verdict true on the medium, in an order in which a crash between any two steps leads to the same verdict: what is
 * accepted becomes durable, then the header says so, then debris is erased; and both header copies say that the log is
 * open before the first append.
 */
function repair(
  region: Region,
  slots: Slots,
  pair: HeaderPair,
  header: Header,
  verdict: Verdict,
  pid: number,
): HeaderWriter {
  const writer = new HeaderWriter(region, header, pair.newestCopy);
  const positions = openPositions(verdict, verdict.head - 1, pid);
  if (!region.created) writer.settle();
  if (verdict.clean) {
    writer.write(positions);
    writer.write(positions);
    return writer;
  }
  dirtyAndSync(region, slots, Math.max(verdict.tail, verdict.proved + 1), verdict.head - 1);
  if (verdict.debris.length === 0 && !header.erasing) {
    writer.write(positions);
    return writer;
  }
  writer.write({ ...positions, erasing: true });
  erase(region, slots, verdict.debris);
  // Erased before, but by a recovery that did not end: nothing may be left there but what is in memory.
  if (header.erasing) dirtyAndSync(region, slots, verdict.head, verdict.tail + slots.count - 1);
  writer.write(positions);
  return writer;
}

/**
 * What recovery read may be in the page cache only: after a kill it is dirty still, after a failed sync it is marked clean though
 * it was never written. So each page that is not proved to be durable is stored to again, and synced: here those of
 * the slots of `first` to `last`.
 */
function dirtyAndSync(region: Region, slots: Slots, first: LSN, last: LSN): void {
  for (const { offset, length } of rangesOf(first, last, slots.count)) {
    region.pageIn(offset, length, "store");
    const words = slots.words;
    for (let at = offset; at < offset + length; at += PAGE_BYTES) {
      // Atomic, so that no compiler may drop a store of what is there already.
      Atomics.store(words, at / 4, Atomics.load(words, at / 4));
    }
    Atomics.store(words, (offset + length) / 4 - 1, Atomics.load(words, (offset + length) / 4 - 1));
    region.sync(offset, length);
  }
}

function erase(region: Region, slots: Slots, debris: readonly number[]): void {
  if (debris.length === 0) return;
  let lowest = slots.count;
  let highest = 0;
  let prefaulted = -1;
  for (const slot of debris) {
    const page = Math.floor(offsetOf(slot) / PAGE_BYTES);
    if (page !== prefaulted) region.pageIn(page * PAGE_BYTES, PAGE_BYTES, "store");
    prefaulted = page;
    slots.erase(slot);
    lowest = Math.min(lowest, slot);
    highest = Math.max(highest, slot);
  }
  region.sync(offsetOf(lowest), offsetOf(highest) + RECORD_BYTES - offsetOf(lowest));
}

/** What was not expected to be found. */
function warningsOf({ lastId, sizeIsGiven, sizeBytes }: LogRequest, region: Region, { lineage }: Header): string[] {
  const warnings: string[] = [];
  if (region.path === null) return warnings;
  const { logId, origin, fork } = lineage;
  if (lastId !== null && ![logId, origin?.logId, fork?.logId].includes(lastId)) {
    warnings.push(
      `This is another log than the one that was open before (${logId}, not ${lastId}): it was replaced, or mounted over`,
    );
  }
  const wanted = roundFileBytes(sizeBytes);
  const bytes = region.buffer.byteLength;
  if (sizeIsGiven && wanted !== bytes) {
    warnings.push(
      `The log has ${bytes} bytes, not the ${wanted} of the option size: a log keeps the size it was made with`,
    );
  }
  return warnings;
}

function makeReport(
  region: Region,
  pair: HeaderPair,
  { lineage }: Header,
  verdict: Verdict,
  salvaged: Salvaged | null,
  startMs: number,
): RecoveryReport {
  return {
    created: region.created,
    clean: verdict.clean && salvaged === null,
    logId: lineage.logId,
    origin: lineage.origin,
    records: verdict.head - verdict.tail,
    firstLsn: verdict.tail,
    lastLsn: verdict.head - 1,
    tornRecords: verdict.torn,
    phantomsErased: verdict.phantoms,
    headerDamaged: pair.copies.some((copy) => typeof copy === "string"),
    losses: salvaged?.losses ?? [],
    damagedFile: salvaged?.damagedFile ?? null,
    durationMs: performance.now() - startMs,
  };
}
