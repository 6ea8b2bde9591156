// Fault: the file holds anything: random bytes, or a good log with flipped bits, wiped, swapped or
//   stale sectors, cut short, or with fields altered under a right checksum. Callers pass anything
//   too (H3, H6, H8, H9, H19, H30, H33).
// Promise: damage to acknowledged records is a typed error and leaves the file as it was, or does
//   no harm. There is no crash, no hang, and no wrong or invented record. A bad argument throws
//   before a byte is written (G2, G3, G5, G12, G15).
// Method: every bit of small logs of many groups, then seeded damage, compared with what was
//   logged. FUZZ_SEED replays, FUZZ_ROUNDS makes the random parts longer.
//
// Coverage does not guide it, because no tool for that runs here. Jazzer.js instruments Node's
// modules by a native add-on. V8 and JavaScriptCore tell their own coverage only at the end of a
// run, too late to steer by.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { setImmediate } from "node:timers";
import process from "node:process";
import { WAL, WALCorruptError, WALError, type WALOptions } from "../../mod.ts";
import { INITIAL_STATE, updateCrc32c } from "../../src/format/codec.ts";
import * as layout from "../../src/format/layout.ts";
import { OPTION_NAMES } from "../../src/arguments/options.ts";
import { Random } from "../../src/testing/random.ts";
import { BytesStorage } from "../support/bytes_storage.ts";
import { sealInFile } from "../support/codec_reference.ts";
import { isMine, roundsOf, seedOf } from "../support/share.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";
import { turn } from "../support/turn.ts";

const SEED = Number(process.env["FUZZ_SEED"] ?? seedOf(20261));
const ROUNDS = Number(process.env["FUZZ_ROUNDS"] ?? 1);
const BYTES = layout.MINIMUM_FILE_BYTES;
const CAPACITY = (BYTES - layout.RING_AT) / layout.RECORD_BYTES;
const { RING_AT, RECORD_BYTES, HEADER_AT, HEADER_BYTES } = layout;
type Bytes = Uint8Array<ArrayBuffer>;

/** A log as it lies on disk, and what is in it. */
interface Sample {
  readonly name: string;
  readonly bytes: Bytes;
  readonly tail: number;
  readonly head: number;
  /** The last LSN of each batch, over all laps. */
  readonly ends: ReadonlySet<number>;
  /**
   * Records up to here are proved to be acknowledged even without the newest header copy, which
   * proves all of them.
   */
  readonly proved: number;
}

/** A log of many groups, among them batches; each record says its LSN. */
async function makeSample(name: string, laps: number, end: "closed" | "idle" | "killed"): Promise<Sample> {
  const storage = new BytesStorage();
  const wal = WAL.open("/fuzz", {
    storage,
    size: BYTES,
    flush: "inline",
    idleHeaderDelayMs: end === "idle" ? 0 : Infinity,
  });
  const ends = new Set<number>();
  const item = (lsn: number) => [lsn, lsn * 3, lsn * 5, lsn * 7] as const;
  const random = new Random(1).fork(name);
  const goal = laps * CAPACITY + 100;
  let proved = 0;
  while (wal.head < goal) {
    // What was durable before a group is written into each of its records.
    proved = wal.durable;
    for (let more = random.between(1, 6); more > 0; more--) {
      const lsn = wal.head;
      const size = random.chance(0.3) ? random.between(2, 7) : 1;
      if (size > 1) wal.batchInsertSync(Array.from({ length: size }, (_, i) => item(lsn + i)));
      else if (random.chance(0.2)) wal.logDeleteValueSync(...item(lsn));
      else if (random.chance(0.1)) wal.logReplaceSync(...item(lsn));
      else if (random.chance(0.12)) wal.logOperationSync(random.pick([32, 36, 63]), ...item(lsn));
      else wal.logInsertSync(...item(lsn));
      ends.add(wal.head - 1);
    }
    wal.flush();
    if (wal.length > CAPACITY / 2) wal.truncate(wal.durable - 40);
  }
  if (end === "idle") await new Promise((resolve) => setTimeout(resolve, 20));
  const { tail, head } = wal;
  if (end === "closed") wal.close();
  const bytes = storage.bytes!.slice();
  wal.close();
  return { name, bytes, tail, head, ends, proved };
}

// Where logs are copied to, again and again: new memory for each would take most of the time.
const DAMAGED: Bytes = new Uint8Array(BYTES);
const COPY: Bytes = new Uint8Array(3 * BYTES);

/** Copies bytes; the copy is good until the next one into the same memory. */
function copyOf(bytes: Bytes, into: Bytes): Bytes {
  const copy = into.subarray(0, bytes.length);
  copy.set(bytes);
  return copy;
}

/**
 * Does not use assert(), which makes a message for each of a hundred thousand errors: asking for a
 * stack takes longer than opening a log.
 */
function assertTyped(error: unknown): asserts error is WALError {
  if (!(error instanceof WALError)) throw new Error("open() threw what is no WALError", { cause: error });
}

/** What became of a damaged log. */
type Fate = "noticed" | "harmless" | "tail lost";

/**
 * Opens damaged bytes.
 *
 * @param isSingle only one place was damaged. Then all that was acknowledged is there, unless a
 * typed error says otherwise.
 */
function judge(sample: Sample, bytes: Bytes, isSingle: boolean): Fate {
  const before = copyOf(bytes, COPY);
  let wal: WAL;
  try {
    wal = WAL.open("/fuzz", { storage: new BytesStorage(bytes), create: false });
  } catch (error) {
    assertTyped(error);
    assert(Buffer.compare(bytes, before) === 0, `the file was changed, and then: ${error.message}`);
    return "noticed";
  }
  try {
    return judgeOpened(sample, wal, isSingle);
  } finally {
    wal.close();
  }
}

function judgeOpened(sample: Sample, wal: WAL, isSingle: boolean): Fate {
  const last = wal.head - 1;
  assert(wal.tail >= 1 && wal.tail <= wal.head && wal.length <= CAPACITY, `tail ${wal.tail}, head ${wal.head}`);
  assert(last < sample.head, `LSN ${last} was never logged`);
  assert(last < wal.tail || sample.ends.has(last), `LSN ${last} is within a batch`);
  let lsn = wal.tail;
  for (const cursor = wal.cursor(); cursor.next(); lsn++) {
    assertEquals(cursor.lsn, lsn);
    const found = cursor.keyHigh === BigInt(lsn) && cursor.keyLow === BigInt(lsn * 3) &&
      cursor.valueHigh === BigInt(lsn * 5) && cursor.valueLow === BigInt(lsn * 7);
    assert(found, `LSN ${lsn} is a record that was not logged there`);
  }
  assertEquals(lsn, wal.head);
  if (last === sample.head - 1) return "harmless";
  if (isSingle) assert(last >= sample.proved, `LSN ${last + 1} to ${sample.proved} were acknowledged and are gone`);
  return "tail lost";
}

/** Runs a damage, and says how to come back to it if it does harm. */
function run(sample: Sample, what: string, isSingle: boolean, damage: (bytes: Bytes) => Bytes | void): Fate {
  const bytes = copyOf(sample.bytes, DAMAGED);
  try {
    return judge(sample, damage(bytes) ?? bytes, isSingle);
  } catch (error) {
    throw new Error(`${sample.name}: ${what}, FUZZ_SEED=${SEED}\n${error}`, { cause: error });
  }
}

const samples: Sample[] = [];
/** Made once, by the first test that asks. */
async function allSamples(): Promise<Sample[]> {
  if (samples.length === 0) {
    samples.push(await makeSample("closed", 0, "closed"));
    samples.push(await makeSample("idle", 0, "idle"));
    samples.push(await makeSample("killed", 0, "killed"));
    samples.push(await makeSample("closed on the third lap", 2, "closed"));
    samples.push(await makeSample("idle on the third lap", 2, "idle"));
    samples.push(await makeSample("killed on the third lap", 2, "killed"));
  }
  return samples;
}

class Tally {
  readonly #counts = new Map<string, number>();

  add(fate: string): void {
    this.#counts.set(fate, (this.#counts.get(fate) ?? 0) + 1);
  }

  of(fate: string): number {
    return this.#counts.get(fate) ?? 0;
  }

  toString(): string {
    return [...this.#counts].map(([fate, count]) => `${count} ${fate}`).join(", ");
  }
}

/** The bytes of a log's retained records. */
function* recordBytes({ tail, head }: Sample): Generator<number> {
  for (let lsn = tail; lsn < head; lsn++) {
    const start = RING_AT + ((lsn - 1) % CAPACITY) * RECORD_BYTES;
    for (let at = start; at < start + RECORD_BYTES; at++) yield at;
  }
}

test("open() notices each flipped bit of a record, or it does no harm", async () => {
  const tally = new Tally();
  let damages = 0;
  const all = await allSamples();
  // Every bit of a short log that was closed; of the others one bit of each byte.
  for (const sample of all) {
    const isWhole = sample.name === "closed";
    const proves = !sample.name.startsWith("killed");
    for (const at of recordBytes(sample)) {
      if (!isMine(at)) continue;
      await turn();
      for (let bit = isWhole ? 0 : (at + Math.floor(at / 8)) % 8; bit < 8; bit += isWhole ? 1 : 8) {
        const fate = run(sample, `bit ${bit} of byte ${at}`, true, (bytes) => void (bytes[at]! ^= 1 << bit));
        damages++;
        tally.add(fate);
        // What a header or a later record proves, no bit can take away unnoticed.
        const lsn = sample.head - 1;
        const inLastGroup = !proves && isAbove(sample, at);
        assert(
          fate === "noticed" || inLastGroup,
          `${sample.name}: bit ${bit} of byte ${at}: ${fate}, up to LSN ${lsn}`,
        );
      }
    }
  }
  console.log(`${damages} flipped bits of records: ${tally}`);
  assert(damages >= roundsOf(50_000), `${damages} damages`);
});

/** Is the byte in a record that nothing proves to have been acknowledged? */
function isAbove({ tail, head, proved }: Sample, at: number): boolean {
  const slot = Math.floor((at - RING_AT) / RECORD_BYTES);
  for (let lsn = Math.max(tail, proved + 1); lsn < head; lsn++) if ((lsn - 1) % CAPACITY === slot) return true;
  return false;
}

test("open() survives each flipped bit outside of the records", async () => {
  const tally = new Tally();
  let damages = 0;
  for (const sample of await allSamples()) {
    const retained = new Set(recordBytes(sample));
    const random = new Random(SEED).fork(sample.name);
    for (let at = 0; at < BYTES; at++) {
      if (retained.has(at) || !isMine(at)) continue;
      const isField = HEADER_AT.some((start) => at >= start && (at < start + 108 || at === start + HEADER_BYTES - 4));
      // Paddings and free slots are all alike.
      if (!isField && !random.chance(0.02)) continue;
      await turn();
      for (let bit = 0; bit < 8; bit++) {
        if (!isField && bit !== at % 8) continue;
        const fate = run(sample, `bit ${bit} of byte ${at}`, true, (bytes) => void (bytes[at]! ^= 1 << bit));
        damages++;
        tally.add(fate);
        assert(fate === "harmless" || fate === "noticed", `${sample.name}: bit ${bit} of byte ${at}: ${fate}`);
      }
    }
  }
  console.log(`${damages} flipped bits elsewhere: ${tally}`);
  assert(tally.of("harmless") > damages / 2);
});

const DAMAGES: Record<string, (bytes: Bytes, random: Random, other: Bytes) => Bytes | void> = {
  "sector of zeros": (bytes, random) => void sector(bytes, random).fill(0),
  "sector of ones": (bytes, random) => void sector(bytes, random).fill(255),
  "sector of noise": (bytes, random) => void random.fill(sector(bytes, random)),
  "sector of the same log, elsewhere": (bytes, random) => {
    const source = sector(bytes, random).slice();
    sector(bytes, random).set(source.subarray(0, 512));
  },
  "sectors swapped": (bytes, random) => {
    const one = sector(bytes, random, 512);
    const two = sector(bytes, random, 512);
    const kept = one.slice();
    one.set(two);
    two.set(kept);
  },
  "sector of another log": (bytes, random, other) => {
    const size = 512;
    const at = random.below(BYTES / size) * size;
    bytes.set(other.subarray(at, at + size), at);
  },
  "page of zeros": (bytes, random) => {
    const at = random.below(BYTES / 4096) * 4096;
    bytes.fill(0, at, at + 4096);
  },
  "cut": (bytes, random) => bytes.slice(0, random.chance(0.3) ? random.below(BYTES) : random.below(BYTES / 512) * 512),
  "grown": (bytes, random) => {
    const longer = new Uint8Array(BYTES + random.between(1, 5) * 16384);
    longer.set(bytes);
    if (random.chance(0.5)) random.fill(longer.subarray(BYTES));
    return longer;
  },
  "many bits": (bytes, random) => {
    for (let more = random.between(2, 30); more > 0; more--) bytes[random.below(BYTES)]! ^= 1 << random.below(8);
  },
};

/** A random piece of a file, mostly where the records of a short log are. */
function sector(bytes: Bytes, random: Random, size: number = random.pick([512, 512, 4096])): Bytes {
  const end = random.chance(0.7) ? RING_AT + 8192 : BYTES;
  const at = random.below(end / size) * size;
  return bytes.subarray(at, at + size);
}

test("open() notices sectors wiped, swapped, stale, and files cut, or what is left is a prefix", async () => {
  const tally = new Tally();
  const all = await allSamples();
  const random = new Random(SEED).fork("sectors");
  for (let round = 0; round < roundsOf(3000 * ROUNDS); round++) {
    const sample = random.pick(all);
    const other = random.pick(all).bytes;
    const name = random.pick(Object.keys(DAMAGES));
    if (round % 8 === 0) await turn();
    tally.add(run(sample, `round ${round}, ${name}`, false, (bytes) => DAMAGES[name]!(bytes, random, other)));
  }
  console.log(`${roundsOf(3000 * ROUNDS)} sectors and the like: ${tally}`);
  assert(tally.of("noticed") > roundsOf(500) && tally.of("harmless") > roundsOf(100));
}, { timeoutMs: 600_000 * ROUNDS });

/** Numbers at which code goes wrong. */
const EDGES = [
  ...[
    0n,
    1n,
    2n,
    63n,
    64n,
    767n,
    768n,
    769n,
    65_536n,
    1n << 31n,
    (1n << 32n) - 1n,
    1n << 32n,
    (1n << 53n) - 1n,
    1n << 53n,
  ],
  ...[(1n << 53n) - 768n, (1n << 53n) - 769n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n],
];

function edge(random: Random, near: number): bigint {
  if (random.chance(0.3)) return BigInt.asUintN(64, BigInt(near + random.between(-2, 2)));
  return random.chance(0.15) ? random.uint64() : random.pick(EDGES);
}

const HEADER_U64 = [
  layout.HEADER_CAPACITY_AT,
  layout.HEADER_WRITE_COUNTER_AT,
  layout.HEADER_TAIL_AT,
  layout.HEADER_DURABLE_AT,
  layout.HEADER_CHECKPOINT_AT,
  layout.HEADER_TIME_NANOS_AT,
  layout.HEADER_CLEAN_HEAD_AT,
  layout.HEADER_CREATED_AT,
];
const HEADER_U32 = [
  layout.HEADER_VERSION_AT,
  layout.HEADER_RECORD_BYTES_AT,
  layout.HEADER_TIME_SEQ_AT,
  layout.HEADER_STATE_AT,
  layout.HEADER_OPENER_PID_AT,
];

/** Alters fields of a header copy and makes its checksum right. */
function forgeHeader(bytes: Bytes, copy: number, random: Random, near: number): string {
  const view = new DataView(bytes.buffer, HEADER_AT[copy], HEADER_BYTES);
  const changes: string[] = [];
  for (let more = random.between(1, 3); more > 0; more--) {
    const value = edge(random, near);
    if (random.chance(0.8)) {
      const at = random.pick(HEADER_U64);
      view.setBigUint64(at, value, true);
      changes.push(`u64 at ${at} = ${value}`);
    } else {
      const at = random.pick(HEADER_U32);
      view.setUint32(at, Number(value & 0xffffffffn), true);
      changes.push(`u32 at ${at} = ${value & 0xffffffffn}`);
    }
  }
  sealHeader(bytes, copy);
  return changes.join(", ");
}

function sealHeader(bytes: Bytes, copy: number): void {
  const block = new Uint8Array(bytes.buffer, HEADER_AT[copy], HEADER_BYTES);
  const view = new DataView(bytes.buffer, HEADER_AT[copy], HEADER_BYTES);
  const state = updateCrc32c(INITIAL_STATE, block.subarray(0, layout.HEADER_CRC_AT));
  view.setInt32(layout.HEADER_CRC_AT, ~state, true);
}

/** Alters fields of a record and makes its checksum right. */
function forgeRecord(bytes: Bytes, slot: number, random: Random, near: number): string {
  const at = RING_AT + slot * RECORD_BYTES;
  const view = new DataView(bytes.buffer, at, RECORD_BYTES);
  const field = random.pick(["lsn", "distance", "flags", "versionOp", "time", "value"]);
  const value = edge(random, near);
  if (field === "lsn") view.setBigUint64(layout.LSN_AT, value, true);
  if (field === "distance") view.setUint32(layout.DISTANCE_AT, Number(value & 0xffffffffn), true);
  if (field === "flags") view.setUint8(layout.FLAGS_AT, random.chance(0.7) ? 1 : random.below(256));
  if (field === "versionOp") view.setUint8(layout.VERSION_OP_AT, random.chance(0.5) ? 0x44 : random.below(256));
  if (field === "time") view.setBigUint64(layout.TIME_NANOS_AT, value, true);
  if (field === "value") view.setBigUint64(layout.VALUE_LOW_AT, value, true);
  sealInFile(bytes, at);
  return `${field} of slot ${slot} = ${value}`;
}

/** Whatever a hostile file says: a typed error, or a log that works and keeps its own rules. */
async function mustWork(bytes: Bytes, options: WALOptions = {}): Promise<string> {
  const before = copyOf(bytes, COPY);
  const startMs = performance.now();
  const storage = new BytesStorage(bytes);
  let wal: WAL;
  try {
    wal = WAL.open("/fuzz", { storage, create: false, ...options });
  } catch (error) {
    assertTyped(error);
    assert(Buffer.compare(bytes, before) === 0, "the file was changed, and open() threw");
    return error.code;
  } finally {
    const ms = performance.now() - startMs;
    assert(ms < 60_000, `open() took ${ms} ms`);
  }
  let code = "works";
  const uses: (() => unknown)[] = [
    () => wal.replay().length,
    () => wal.logInsert(1, 2, 3, 4),
    () => wal.batchInsert([[1, 2, 3, 4], [1, 2, 3, 4]]),
    () => wal.flush(),
    () => wal.truncate(wal.durable),
    () => wal.checkpoint(),
    () => wal.logInsertSync(1, 2, 3, 4),
    () => wal.replay().map((record) => record.time),
    () => wal.stats(),
    () => wal.close(),
    () => wal.open(),
    () => wal.replay(),
    () => wal.close(),
  ];
  for (const use of uses) {
    try {
      await use();
      if (wal.isOpen) {
        const { tail, applied, durable, head, capacity } = wal;
        const holds = tail >= 1 && tail - 1 <= applied && applied <= durable && durable < head &&
          head - tail <= capacity;
        assert(
          holds && Number.isSafeInteger(head),
          `tail ${tail}, applied ${applied}, durable ${durable}, head ${head}`,
        );
      }
    } catch (error) {
      // A ring may be said to hold one record only.
      if (error instanceof RangeError && error.message.endsWith("the ring holds 1")) continue;
      if (wal.isOpen) wal.close();
      assert(error instanceof WALError, `${use}: ${error instanceof Error ? error.stack : error}`);
      code = error.code;
      break;
    }
  }
  if (wal.isOpen) wal.close();
  return code;
}

test("open() stands hostile headers and records under right checksums", async () => {
  const tally = new Tally();
  const all = await allSamples();
  const random = new Random(SEED).fork("hostile");
  for (let round = 0; round < roundsOf(6000 * ROUNDS); round++) {
    if (round % 8 === 0) await turn();
    const sample = random.pick(all);
    const bytes = copyOf(sample.bytes, DAMAGED);
    const changes: string[] = [];
    const near = random.pick([sample.tail, sample.head, sample.proved, CAPACITY]);
    if (random.chance(0.6)) {
      for (const copy of random.pick([[0], [1], [0, 1]])) changes.push(forgeHeader(bytes, copy, random, near));
    } else {for (let more = random.between(1, 4); more > 0; more--) {
        changes.push(forgeRecord(bytes, random.below(160), random, near));
      }}
    try {
      tally.add(await mustWork(bytes, { verify: random.chance(0.8) }));
    } catch (error) {
      throw new Error(`${sample.name}, round ${round}, FUZZ_SEED=${SEED}: ${changes.join("; ")}\n${error}`, {
        cause: error,
      });
    }
  }
  console.log(`${roundsOf(6000 * ROUNDS)} forged logs: ${tally}`);
  assert(tally.of("works") > roundsOf(300) && tally.of("CORRUPT") > roundsOf(300));
}, { timeoutMs: 600_000 * ROUNDS });

test("open() refuses random bytes", async () => {
  const random = new Random(SEED).fork("noise");
  const tally = new Tally();
  for (let round = 0; round < roundsOf(1000 * ROUNDS); round++) {
    const bytes = new Uint8Array(random.pick([0, 1, 63, 4096, 16383, 16384, 16385, 20000, BYTES]));
    random.fill(bytes);
    // Reaches the checks after the first ones too.
    if (bytes.length >= RING_AT && random.chance(0.7)) {
      for (const copy of [0, 1]) {
        bytes.set(layout.MAGIC, HEADER_AT[copy]);
        const view = new DataView(bytes.buffer, HEADER_AT[copy], HEADER_BYTES);
        if (random.chance(0.8)) view.setUint32(layout.HEADER_VERSION_AT, layout.FORMAT_VERSION, true);
        if (random.chance(0.8)) view.setUint32(layout.HEADER_RECORD_BYTES_AT, RECORD_BYTES, true);
        if (random.chance(0.8)) {
          view.setBigUint64(layout.HEADER_CAPACITY_AT, BigInt(random.pick([1, CAPACITY, 1 << 20])), true);
        }
        if (random.chance(0.8)) sealHeader(bytes, copy);
      }
    }
    tally.add(await mustWork(bytes));
  }
  console.log(`${roundsOf(1000 * ROUNDS)} files of noise: ${tally}`);
  assertEquals(tally.of("works"), 0);
});

test("open() leaves a damaged file on disk as it is, and salvages on request", async () => {
  const parent = fs.existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  using directory = tempDir(parent);
  const all = await allSamples();
  const random = new Random(SEED).fork("files");
  const tally = new Tally();
  for (let round = 0; round < roundsOf(400 * ROUNDS); round++) {
    const sample = random.pick(all);
    const path = directory.join(`log${round}`);
    let bytes: Bytes = sample.bytes.slice();
    const name = random.pick(Object.keys(DAMAGES));
    bytes = DAMAGES[name]!(bytes, random, random.pick(all).bytes) ?? bytes;
    fs.writeFileSync(path, bytes);
    let wal: WAL | null = null;
    try {
      wal = WAL.open(path, { create: false });
    } catch (error) {
      assert(error instanceof WALError, `${sample.name}, round ${round}, ${name}, FUZZ_SEED=${SEED}: ${error}`);
      assert(Buffer.compare(fs.readFileSync(path), bytes) === 0, `round ${round}: the file was changed`);
      assertEquals(fs.readdirSync(directory.path).length, 1);
      tally.add(error.code);
      wal = error instanceof WALCorruptError ? salvaged(path, sample, bytes) : null;
    }
    wal?.close();
    for (const entry of fs.readdirSync(directory.path)) fs.rmSync(directory.join(entry));
  }
  console.log(`${roundsOf(400 * ROUNDS)} damaged files: ${tally}`);
  assert(tally.of("salvaged") === 0 && tally.of("CORRUPT") > roundsOf(50));
});

/**
 * Salvages. What is left must be logged records, each in its place, with the rest named as lost.
 */
function salvaged(path: string, sample: Sample, bytes: Bytes): WAL | null {
  let wal: WAL;
  try {
    wal = WAL.open(path, { create: false, recovery: "salvage" });
  } catch (error) {
    assert(error instanceof WALError, String(error));
    assert(Buffer.compare(fs.readFileSync(path), bytes) === 0, "salvage threw and changed the file");
    return null;
  }
  assert(Buffer.compare(fs.readFileSync(wal.recovery.damagedFile!), bytes) === 0, "the damaged file was not kept");
  const lost = new Set<number>();
  for (const { firstLsn, lastLsn } of wal.recovery.losses) {
    for (let lsn = firstLsn; lsn <= lastLsn; lsn++) lost.add(lsn);
  }
  for (const record of wal.replay()) {
    if (lost.has(record.lsn)) continue;
    const { lsn } = record;
    assert(record.keyHigh === BigInt(lsn) && record.valueLow === BigInt(lsn * 7), `LSN ${lsn} was not logged there`);
    assert(lsn < sample.head, `LSN ${lsn} was never logged`);
  }
  return wal;
}

test("WAL stands random arguments to every method, and writes nothing for a bad one", async () => {
  const storage = new BytesStorage();
  const wal = WAL.open("/fuzz", { storage, size: BYTES, idleHeaderDelayMs: Infinity });
  const wild = fc.oneof(
    fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withNullPrototype: true,
    }),
    fc.double(),
    fc.bigInt(),
    fc.constantFrom(
      0,
      -0,
      1,
      -1,
      2 ** 53,
      1n << 64n,
      (1n << 64n) - 1n,
      -1n,
      "1",
      Symbol("s"),
      null,
      undefined,
      () => 1,
    ),
  );
  const methods = [
    ...["logInsert", "logDelete", "logDeleteValue", "batchInsert", "batchDelete", "logInsertSync", "logDeleteSync"],
    ...[
      "logDeleteValueSync",
      "logReplace",
      "logReplaceSync",
      "logOperation",
      "logOperationSync",
      "batchInsertSync",
      "batchDeleteSync",
      "checkpoint",
      "truncate",
      "records",
      "cursor",
      "consumeAsync",
    ],
    ...["batch", "batchSync", "whenApplied", "whenDurable", "backup"],
  ].filter((name) => typeof (wal as unknown as Record<string, unknown>)[name] === "function");
  let calls = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...methods), fc.array(wild, { maxLength: 6 }), async (method, values) => {
      // A backup would write a file; whenApplied() may rightly wait for ever.
      if (method === "backup" && typeof values[0] === "string") return;
      const { head, tail } = wal;
      const before = storage.bytes!.slice(RING_AT);
      calls++;
      let isDone = true;
      try {
        const call = (wal as unknown as Record<string, (...values: unknown[]) => unknown>)[method]!;
        const result = call.apply(wal, values);
        if (method === "records" || method === "cursor") void result;
        else if (result instanceof Promise) {
          result.catch(() => {});
          // What waits for records that nobody appends is still waiting then.
          const turns = async () => {
            for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
          };
          await Promise.race([result, turns()]);
        }
      } catch (error) {
        isDone = false;
        const isExpected = error instanceof TypeError || error instanceof RangeError || error instanceof WALError;
        assert(isExpected, `${method}: ${error instanceof Error ? error.stack : String(error)}`);
      }
      if (!isDone) {
        assertEquals([wal.head, wal.tail], [head, tail], method);
        assert(Buffer.compare(storage.bytes!.subarray(RING_AT), before) === 0, `${method} threw and wrote`);
      }
      wal.flush();
      assert(wal.isOpen && !wal.stats().poisoned, `${method} broke the log`);
      if (wal.length > CAPACITY / 2 && !wal.stats().consuming) wal.truncate(wal.durable);
    }),
    { seed: SEED, numRuns: roundsOf(3000 * ROUNDS) },
  );
  assertEquals(wal.replay().length, wal.length);
  wal.close();
  console.log(`${calls} calls with random arguments`);
}, { timeoutMs: 600_000 * ROUNDS });

test("new WAL() stands random paths and options", () => {
  const options = fc.oneof(
    fc.anything(),
    fc.dictionary(fc.constantFrom(...OPTION_NAMES), fc.oneof(fc.anything(), fc.double())),
  );
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.anything()), options, (path, given) => {
      try {
        new WAL(path as string, given as WALOptions);
      } catch (error) {
        assert(error instanceof TypeError || error instanceof RangeError, String(error));
      }
    }),
    { seed: SEED, numRuns: roundsOf(3000 * ROUNDS) },
  );
});
