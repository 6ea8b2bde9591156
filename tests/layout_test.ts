// The bytes on disk, written out: whoever changes them by accident breaks every log there is.

import { FileMemory } from "../ffi/file_memory.ts";
import { assertEquals } from "@std/assert";
import { type Header, readHeader, writeHeader } from "../src/format/header.ts";
import * as layout from "../src/format/layout.ts";
import { checksumSeed, Slots, SlotState } from "../src/format/record.ts";
import { fileBytesOf } from "../src/format/ring.ts";
import { WAL } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { LOG_ID, recordBytes, slowCrc } from "./support/reference.ts";
import { test } from "./support/test.ts";

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.trim().split(/\s+/), (byte) => parseInt(byte, 16));
}

/** Log id 00 01 … 0F; made by another program in another language. */
const RECORD = fromHex(`
  93 35 27 50  43  01  34 12  70 60 50 40 30 20 10 00
  11 22 33 44 55 66 77 88  ef be ad de  44 33 22 11
  f8 f9 fa fb fc fd fe ff  08 07 06 05 04 03 02 01
  a7 a6 a5 a4 a3 a2 a1 a0  b7 b6 b5 b4 b3 b2 b1 b0`);

const HEADER_START = `
  89 43 49 44 57 41 4c 0a  01 00 00 00  40 00 00 00  00 03 00 00 00 00 00 00
  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  77 66 55 44 33 22 11 00
  f0 e0 d0 c0 b0 a0 00 00  f1 e0 d0 c0 b0 a0 00 00  ef e0 d0 c0 b0 a0 00 00
  11 12 13 14 15 16 17 18  be ba fe ca`;
const HEADER_END = "21 22 23 24 25 26 27 28  ee ff c0 00";
const CLEAN = { start: `${HEADER_START} 01 00 00 00  f2 e0 d0 c0 b0 a0 00 00 ${HEADER_END}`, crc: "73 4f b4 da" };
const OPEN = { start: `${HEADER_START} 00 00 00 00  00 00 00 00 00 00 00 00 ${HEADER_END}`, crc: "21 a6 38 0d" };

const HEADER: Header = {
  capacity: 768,
  logId: LOG_ID,
  writeCounter: 0x0011223344556677,
  tail: 0xa0b0c0d0e0f0,
  durable: 0xa0b0c0d0e0f1,
  checkpoint: 0xa0b0c0d0e0ef,
  timeNanos: 0x1817161514131211n,
  timeSeq: 0xcafebabe,
  cleanHead: 0xa0b0c0d0e0f2,
  created: 0x2827262524232221n,
  openerPid: 0x00c0ffee,
  lineage: { logId: "000102030405060708090a0b0c0d0e0f", origin: null, fork: null },
  consumers: [],
};

function headerBlock({ start, crc }: typeof CLEAN): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(4096);
  block.set(fromHex(start));
  block.set(fromHex(crc), 4092);
  return block;
}

test("Slots reads these 64 bytes as a record", () => {
  const slots = new Slots(new FileMemory(RECORD.slice().buffer), 0, 1, checksumSeed(LOG_ID));
  assertEquals(slots.verify(0, 0x0010203040506070), SlotState.Record);
  assertEquals(slots.opTypeAt(0), 3);
  assertEquals(slots.batchGoesOn(0), true);
  assertEquals(slots.lsnAt(0), 0x0010203040506070);
  assertEquals(slots.timeNanosAt(0), 0x8877665544332211n);
  assertEquals(slots.timeSeqAt(0), 0xdeadbeef);
  assertEquals(slots.distanceAt(0), 0x11223344);
});

test("recordBytes() writes these 64 bytes", () => {
  const bytes = recordBytes({
    lsn: 0x0010203040506070,
    opType: 3,
    flags: 1,
    shard: 0x1234,
    nanos: 0x8877665544332211n,
    seq: 0xdeadbeef,
    distance: 0x11223344,
    keyHigh: 0xfffefdfcfbfaf9f8n,
    keyLow: 0x0102030405060708n,
    valueHigh: 0xa0a1a2a3a4a5a6a7n,
    valueLow: 0xb0b1b2b3b4b5b6b7n,
  });
  assertEquals([...bytes], [...RECORD]);
});

for (const [name, copy] of [["A", 0], ["B", 1]] as const) {
  for (const [state, bytes, cleanHead] of [["clean", CLEAN, HEADER.cleanHead], ["open", OPEN, 0]] as const) {
    test(`writeHeader() makes copy ${name} of a ${state} log these 4096 bytes, and no others`, () => {
      const memory = new Uint8Array(16384).fill(0xaa);
      writeHeader(memory, copy, { ...HEADER, cleanHead });
      const at = copy * 4096;
      assertEquals([...memory.subarray(at, at + 4096)], [...headerBlock(bytes)]);
      assertEquals(memory.filter((byte) => byte === 0xaa).length >= 12288, true);
      assertEquals(readHeader(memory, copy), { ...HEADER, cleanHead });
    });
  }
}

test("readHeader() finds the fields in these 4096 bytes", () => {
  const memory = new Uint8Array(16384);
  memory.set(headerBlock(CLEAN), 4096);
  assertEquals(readHeader(memory, 1), HEADER);
});

test("headerBlock() has a checksum of all of its bytes but the checksum's own", () => {
  const block = headerBlock(CLEAN);
  assertEquals(new DataView(block.buffer).getUint32(4092, true), slowCrc(block.subarray(0, 4092)));
});

test("src/format/layout.ts has the fields of a record lie side by side and fill 64 bytes", () => {
  const fields = [
    [layout.CRC_AT, 4],
    [layout.VERSION_OP_AT, 1],
    [layout.FLAGS_AT, 1],
    [layout.TIME_SHARD_AT, 2],
    [layout.LSN_AT, 8],
    [layout.TIME_NANOS_AT, 8],
    [layout.TIME_SEQ_AT, 4],
    [layout.DISTANCE_AT, 4],
    [layout.KEY_HIGH_AT, 8],
    [layout.KEY_LOW_AT, 8],
    [layout.VALUE_HIGH_AT, 8],
    [layout.VALUE_LOW_AT, 8],
  ] as const;
  let end = 0;
  for (const [at, bytes] of fields) {
    assertEquals(at, end);
    end += bytes;
  }
  assertEquals(end, layout.RECORD_BYTES);
});

test("fileBytesOf() gives the smallest file 768 slots, and slots fill a file to its end", () => {
  assertEquals(fileBytesOf(768), layout.MINIMUM_FILE_BYTES);
  assertEquals(layout.RING_AT % layout.FILE_GRANULE_BYTES, 0);
});

test("WAL writes its first record at byte 16384, and its header copies at 0 and 4096", () => {
  const disk = new SimulatedDisk();
  {
    using wal = WAL.open("/sim/log", { storage: disk.storage, size: 65536, now: () => 1000 });
    wal.logInsertSync(1, 2n, 3, 4n);
  }
  const file = disk.image("/sim/log");
  assertEquals(file.length, 65536);
  for (const at of [0, 4096]) assertEquals([...file.subarray(at, at + 8)], [...layout.MAGIC]);
  const logId = file.slice(24, 40);
  const expected = recordBytes({
    lsn: 1,
    nanos: 1_000_000_000n,
    keyHigh: 1n,
    keyLow: 2n,
    valueHigh: 3n,
    valueLow: 4n,
  }, logId);
  assertEquals([...file.subarray(16384, 16448)], [...expected]);
  assertEquals(file.subarray(8192, 16384).every((byte) => byte === 0), true);
  assertEquals(file.subarray(16448).every((byte) => byte === 0), true);
});
