// Fault: the medium gives an error for a part of the file, where a load from the map would be a
//   SIGBUS (H18, H19).
// Promise: the error is typed and the process goes on. `recovery: "salvage"` opens all that can be
//   read and lists the rest (G5, G8).
// Method: on ext4 a device that ends within the log, with room before the cut for a new file; on
//   btrfs pages that no longer fit their checksums. All in a child, because a signal ends it.

import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { OpType } from "../../mod.ts";
import { projectUrl, runSnippet } from "../support/child.ts";
import { type LoopDevice, loopDevice, loopDeviceSkip } from "../support/loop_device.ts";
import { share } from "../support/share.ts";
import { test } from "../support/test.ts";

/** A journal past the end of what is left would fail first. */
const EXT4 = "ext4 without a journal";
const PAGE = 4096;
const RING_AT = 16384;
const RECORDS_PER_PAGE = 64;
const RECORDS = 20_000;
const LOG_BYTES = 4 << 20;
const KEY_HIGH = 0x5ca1ab1e0ddba11n;

/** What opening in a child came to. */
interface End {
  /** The error's name; null if it opened. */
  readonly error: string | null;
  readonly losses: { firstLsn: number; lastLsn: number; offset: number }[];
  readonly damagedFile: string | null;
  /** LSN and opcode, and whether the record is what was written. */
  readonly records: [lsn: number, opType: number, isWhole: boolean][];
}

/** Runs a snippet with the library; it has to end by itself. */
async function inChild(path: string, body: string): Promise<string> {
  const { code, signal, stdout, stderr } = await runSnippet(`
    import { WAL, WALError } from "${projectUrl("mod.ts")}";
    const path = ${JSON.stringify(path)};
    ${body}
    console.log("end");`);
  const lines = stdout.trimEnd().split("\n");
  assertEquals([code, signal, lines.pop()], [0, null, "end"], `${stdout.slice(0, 2000)}\n${stderr}`);
  return lines.join("\n");
}

/** Makes a log of records that know, from one page to the next, that those before are durable. */
function makeLog(path: string): Promise<string> {
  return inChild(
    path,
    `const wal = WAL.open(path, { size: ${LOG_BYTES} });
    for (let i = 1; i <= ${RECORDS}; i++) {
      wal.logInsertSync(${KEY_HIGH}n, i, 0, 0);
      if (i % ${RECORDS_PER_PAGE} === 0) wal.flush();
    }
    wal.close();`,
  );
}

/** Opens a log, and appends to it once it is open. */
async function open(path: string, options: string): Promise<End> {
  const end = await inChild(
    path,
    `const end = { error: null, losses: [], damagedFile: null, records: [] };
    try {
      const wal = WAL.open(path, ${options});
      const { losses, damagedFile } = wal.recovery;
      Object.assign(end, { losses, damagedFile });
      for (const { lsn, opType, keyHigh, keyLow } of wal.records()) {
        end.records.push([lsn, opType, keyHigh === ${KEY_HIGH}n && keyLow === BigInt(lsn)]);
      }
      await wal.logInsert(${KEY_HIGH}n, wal.head, 0, 0);
      wal.close();
    } catch (error) {
      end.error = error instanceof WALError ? error.name : "no WALError: " + error;
    }
    console.log(JSON.stringify(end));`,
  );
  return JSON.parse(end);
}

/** Throws unless everything was opened but these LSNs, and goes on strictly from then on. */
async function assertSalvaged(
  path: string,
  options: string,
  ranges: readonly [first: number, last: number][],
): Promise<void> {
  const end = await open(path, `{ recovery: "salvage", ${options} }`);
  assertEquals([end.error, end.losses.map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn])], [null, ranges]);
  assertHolds(end, RECORDS, ranges);
  assert(end.damagedFile !== null && fs.existsSync(end.damagedFile), String(end.damagedFile));
  const strict = await open(path, `{ ${options} }`);
  assertEquals([strict.error, strict.losses, strict.damagedFile], [null, [], null]);
  assertHolds(strict, RECORDS + 1, ranges);
}

function assertHolds({ records }: End, count: number, ranges: readonly [first: number, last: number][]): void {
  assertEquals(records.length, count);
  for (const [index, [lsn, opType, isWhole]] of records.entries()) {
    const isLost = ranges.some(([first, last]) => lsn >= first && lsn <= last);
    assertEquals([lsn, opType, isWhole], [index + 1, isLost ? OpType.Checkpoint : OpType.Insert, !isLost]);
  }
}

/** Fills the device with files of 1 MiB, `most` at most. Each page says whose it is. */
function fill(device: LoopDevice, prefix: string, most: number): void {
  for (let number = 0; number < most; number++) {
    const page = new Uint8Array(PAGE);
    page.set(new TextEncoder().encode(`filler ${prefix}${number}\n`));
    const file = fs.openSync(`${device.path}/${prefix}${number}`, "w");
    try {
      for (let i = 0; i < 256; i++) fs.writeSync(file, page, 0, PAGE);
      // Now, so that the blocks are given out in this order.
      fs.fsyncSync(file);
    } catch {
      return;
    } finally {
      fs.closeSync(file);
    }
  }
}

/**
 * Where on the device each page of records is, by its number in the log, and where each file of
 * `fill()` ends.
 */
function layout(device: LoopDevice): { pages: Map<number, number>; fillers: Map<string, number> } {
  const pages = new Map<number, number>();
  const fillers = new Map<string, number>();
  for (const [at, bytes] of device.pages()) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, PAGE);
    if (view.getBigUint64(32, true) === KEY_HIGH) {
      pages.set((Number(view.getBigUint64(40, true)) - 1) / RECORDS_PER_PAGE, at);
    }
    const name = /^filler (.*)\n/.exec(new TextDecoder().decode(bytes.subarray(0, 32)))?.[1];
    if (name !== undefined) fillers.set(name, at + PAGE);
  }
  return { pages, fillers };
}

/** Where on the device there are such pages. */
function blocksLike(device: LoopDevice, pages: readonly Uint8Array[]): number[] {
  const found: number[] = [];
  for (const [at, bytes] of device.pages()) if (pages.some((page) => Buffer.compare(page, bytes) === 0)) found.push(at);
  return found;
}

/** The bytes of a log that was made on the device, and is not there any more. */
async function makeLogBytes(device: LoopDevice): Promise<Uint8Array> {
  const path = `${device.path}/whole`;
  await makeLog(path);
  const bytes = fs.readFileSync(path);
  fs.rmSync(path);
  return bytes;
}

/**
 * Copies a log onto the device, where the pages at these offsets cannot be read.
 *
 * @returns its path.
 */
function spoiledCopy(device: LoopDevice, name: string, bytes: Uint8Array, lost: readonly number[]): string {
  const path = `${device.path}/${name}`;
  const copy = fs.openSync(path, "w");
  fs.writeSync(copy, bytes);
  fs.fsyncSync(copy);
  fs.closeSync(copy);
  // Wherever such a page is: copies of before may lie on the device too.
  device.spoil(blocksLike(device, lost.map((offset) => bytes.subarray(offset, offset + PAGE))));
  return path;
}

test(
  "WAL.open() rejects a log whose medium ends within it, and salvage opens what is left",
  async () => {
    using device = loopDevice(EXT4, 64);
    const path = `${device.path}/log`;
    // All room is taken, so that what is freed before the cut is the only room for a new file.
    fill(device, "before", 24);
    await makeLog(path);
    fill(device, "after", Infinity);
    const { pages, fillers } = layout(device);
    const firstLost = Math.floor(RECORDS / 2 / RECORDS_PER_PAGE);
    const cut = pages.get(firstLost)!;
    // Else this would not be the fault that it should be.
    for (const [page, at] of pages) assertEquals([page, at < cut], [page, page < firstLost]);
    const inFront = [...fillers].filter(([, end]) => end <= cut);
    assert(inFront.length >= 8, `${inFront.length} MiB before the log`);
    for (const [name] of inFront) fs.rmSync(`${device.path}/${name}`);
    device.cutAt(cut);

    assertEquals((await open(path, "{}")).error, "WALIOError");
    await assertSalvaged(path, "", [[firstLost * RECORDS_PER_PAGE + 1, RECORDS]]);
  },
  { skip: loopDeviceSkip(EXT4) },
);

test(
  "WAL ends with no signal when it looks at a page in the middle of a log, which open() has not read",
  async () => {
    using device = loopDevice("btrfs", 256);
    const bytes = await makeLogBytes(device);
    const lost = RING_AT + 100 * PAGE;
    const calls = {
      truncate: "wal.truncate(6420)",
      checkpoint: "wal.checkpoint(6420)",
      stats: "wal.checkpoint(6400); wal.stats(); wal.truncate(6420)",
      records: "for (const record of wal.records({ from: 6300 })) void record;",
      cursor: "for (const cursor = wal.cursor(); cursor.next();) cursor.lsn;",
      consumer: "await wal.consumeAsync(store, { batchSize: 6330 })",
      appliedLsn: "await wal.consumeAsync({ ...store, appliedLsn: () => 6420 }, { batchSize: 10 })",
      backup: "await wal.backup(path + '.backup')",
    };
    for (const [name, call] of share(Object.entries(calls))) {
      const path = spoiledCopy(device, name, bytes, [lost]);
      const output = await inChild(
        path,
        `const store = { insert() {}, delete() {}, deleteValue() {} };
        const wal = WAL.open(path, { allowUnsafeFileSystem: true });
        try {
          ${call};
          console.log("no error");
        } catch (error) {
          console.log(error.name);
        }`,
      );
      assertEquals([name, output], [name, "WALIOError"]);
    }
  },
  { skip: loopDeviceSkip("btrfs") },
);

test(
  "WAL.open() rejects a log with pages that cannot be read, and salvage opens everything around them",
  async () => {
    using device = loopDevice("btrfs", 256);
    // A log has no checksums of btrfs: it is overwritten in place. A copy of one has.
    const bytes = await makeLogBytes(device);
    const pagesOf = (...pages: number[]) => pages.map((page) => RING_AT + page * PAGE);
    const lsnsOf = (page: number, count = 1): [number, number] => [
      page * RECORDS_PER_PAGE + 1,
      (page + count) * RECORDS_PER_PAGE,
    ];
    /** The page that the last record and the slot after it are in. */
    const headPage = Math.floor(RECORDS / RECORDS_PER_PAGE);
    const atHead: [number, number] = [headPage * RECORDS_PER_PAGE + 1, RECORDS];
    const cases: { name: string; lost: number[]; ranges: [number, number][]; options?: string }[] = [
      { name: "one", lost: pagesOf(100), ranges: [lsnsOf(100)] },
      { name: "one-verified", lost: pagesOf(100), ranges: [lsnsOf(100)], options: "verify: true" },
      { name: "one-unverified", lost: pagesOf(100), ranges: [lsnsOf(100)], options: "verify: false" },
      { name: "head", lost: pagesOf(headPage), ranges: [atHead] },
      { name: "head-unverified", lost: pagesOf(headPage), ranges: [atHead], options: "verify: false" },
      { name: "several", lost: pagesOf(0, 7, 8, 200), ranges: [lsnsOf(0), lsnsOf(7, 2), lsnsOf(200)] },
      { name: "header", lost: [0], ranges: [] },
      { name: "header-and-more", lost: [0, ...pagesOf(50)], ranges: [lsnsOf(50)] },
      { name: "other-header", lost: [PAGE, ...pagesOf(50)], ranges: [lsnsOf(50)] },
    ];
    for (const { name, lost, ranges, options = "" } of share(cases)) {
      const path = spoiledCopy(device, name, bytes, lost);
      const unsafe = "allowUnsafeFileSystem: true";
      assertEquals((await open(path, `{ ${unsafe}, ${options} }`)).error, "WALIOError", name);
      await assertSalvaged(path, unsafe, ranges);
    }
  },
  { skip: loopDeviceSkip("btrfs") },
);
