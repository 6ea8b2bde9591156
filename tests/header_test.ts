import { assertEquals, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import {
  claimedVersion,
  type Header,
  type HeaderFault,
  readHeader,
  readHeaders,
  writeHeader,
} from "../src/format/header.ts";
import { headerBytes, LOG_ID, type ReferenceHeader } from "./support/reference.ts";
import { test } from "./support/test.ts";

function memory(a: Uint8Array, b: Uint8Array = a): Uint8Array {
  const bytes = new Uint8Array(16384);
  bytes.set(a, 0);
  bytes.set(b, 4096);
  return bytes;
}

const ZEROS = new Uint8Array(4096);

/** A header copy with a wrong checksum. */
function broken(header: ReferenceHeader = {}): Uint8Array {
  const bytes = headerBytes(header);
  bytes[3000]! ^= 1;
  return bytes;
}

const FAULTS: readonly [what: string, bytes: Uint8Array, fault: HeaderFault][] = [
  ["zeros", ZEROS, "magic"],
  ["one letter of the magic", headerBytes({ magic: [0x89, 0x43, 0x49, 0x44, 0x57, 0x41, 0x4c, 0x0d] }), "magic"],
  ["version 0", headerBytes({ version: 0 }), "version"],
  ["version 2", headerBytes({ version: 2 }), "version"],
  ["version 2 with unknown contents", broken({ version: 2, recordBytes: 128, capacity: 0 }), "version"],
  ["another record size", headerBytes({ recordBytes: 128 }), "sizes"],
  ["no capacity", headerBytes({ capacity: 0 }), "sizes"],
  ["a flipped bit", broken(), "checksum"],
  ["a tail of 0", headerBytes({ tail: 0 }), "fields"],
  ["a capacity that distance cannot span", headerBytes({ capacity: 2 ** 32 }), "fields"],
  ["a tail that is no safe integer", headerBytes({ tail: 2 ** 60 }), "fields"],
  ["an end that is no safe integer", headerBytes({ tail: Number.MAX_SAFE_INTEGER - 700 }), "fields"],
  ["a write counter that is no safe integer", headerBytes({ writeCounter: 2 ** 60 }), "fields"],
  ["a durable LSN past the ring", headerBytes({ tail: 5, durable: 773 }), "fields"],
  ["a checkpoint past the ring", headerBytes({ tail: 5, checkpoint: 773 }), "fields"],
  ["a clean head below the tail", headerBytes({ tail: 5, cleanHead: 4 }), "fields"],
  ["a clean head past the ring", headerBytes({ tail: 5, cleanHead: 774 }), "fields"],
  ["an origin's LSN that is no safe integer", headerBytes({ originId: LOG_ID, originLsn: 2 ** 53 }), "fields"],
  ["a fork's LSN that is no safe integer", headerBytes({ publicId: LOG_ID, forkLsn: 2 ** 53 }), "fields"],
];

for (const [what, bytes, fault] of FAULTS) {
  test(`readHeader() finds fault with ${what}: ${fault}`, () => {
    assertEquals(readHeader(memory(bytes), 0), fault);
    assertEquals(readHeader(memory(ZEROS, bytes), 1), fault);
  });

  test(`readHeaders() takes the other copy where one has ${what}`, () => {
    const good = headerBytes({ tail: 3 });
    const first = readHeaders(memory(good, bytes));
    assertEquals([first.newest?.tail, first.newestCopy, first.copies[1]], [3, 0, fault]);
    const second = readHeaders(memory(bytes, good));
    assertEquals([second.newest?.tail, second.newestCopy, second.copies[0]], [3, 1, fault]);
    assertEquals(readHeaders(memory(bytes, bytes)).newest, null);
  });
}

test("readHeader() accepts the highest values that are consistent", () => {
  const tail = Number.MAX_SAFE_INTEGER - 768;
  const limit = { tail, durable: tail + 767, checkpoint: tail + 767, cleanHead: tail + 768 };
  assertNotEquals(typeof readHeader(memory(headerBytes(limit)), 0), "string");
  assertNotEquals(typeof readHeader(memory(headerBytes({ capacity: 0xffffffff })), 0), "string");
  assertNotEquals(typeof readHeader(memory(headerBytes({ tail: 9, cleanHead: 9 })), 0), "string");
});

test("readHeader() takes a clean head only where the state says so", () => {
  const header = readHeader(memory(headerBytes({ state: 0, cleanHead: 5 })), 0) as Header;
  assertEquals(header.cleanHead, 0);
});

const ID = "000102030405060708090a0b0c0d0e0f";
const OTHER_ID = "ff".repeat(16);
const OTHER = new Uint8Array(16).fill(0xff);

test("readHeader() ignores the LSNs of an origin and a fork that are not set", () => {
  const header = readHeader(memory(headerBytes({ originLsn: 7, forkId: OTHER, forkLsn: 2 ** 60 })), 0) as Header;
  assertEquals(header.lineage, { logId: ID, origin: null, fork: null });
});

test("readHeader() finds the log that a copy was made from", () => {
  const header = readHeader(memory(headerBytes({ originId: OTHER, originLsn: 50 })), 0) as Header;
  assertEquals(header.lineage, { logId: ID, origin: { logId: OTHER_ID, lastLsn: 50 }, fork: null });
});

test("readHeader() finds the id that a log had before its fork", () => {
  const fields = { publicId: OTHER, forkId: LOG_ID, forkLsn: 9, originId: LOG_ID, originLsn: 3 };
  const header = readHeader(memory(headerBytes(fields)), 0) as Header;
  assertEquals(header.lineage, {
    logId: OTHER_ID,
    origin: { logId: ID, lastLsn: 3 },
    fork: { logId: ID, lastLsn: 9 },
  });
});

test("writeHeader() writes origin and fork where readHeader() reads them, and zeros without them", () => {
  const all = { publicId: OTHER, forkId: LOG_ID, forkLsn: 0x0102030405, originId: OTHER, originLsn: 0x060708 };
  for (const fields of [all, { originId: OTHER, originLsn: 1 }, { publicId: OTHER, forkId: LOG_ID, forkLsn: 1 }, {}]) {
    const bytes = headerBytes(fields);
    const written = new Uint8Array(16384);
    writeHeader(written, 0, readHeader(memory(bytes), 0) as Header);
    assertEquals([...written.subarray(0, 4096)], [...bytes]);
  }
});

test("readHeaders() takes the copy with the higher write counter", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 53 - 1 }), fc.integer({ min: 0, max: 2 ** 53 - 1 }), (one, other) => {
      const pair = readHeaders(
        memory(headerBytes({ writeCounter: one, tail: 1 }), headerBytes({ writeCounter: other, tail: 2 })),
      );
      assertEquals(pair.newestCopy, one >= other ? 0 : 1);
      assertEquals(pair.newest?.writeCounter, Math.max(one, other));
      assertEquals(pair.newest?.tail, pair.newestCopy + 1);
    }),
    { numRuns: 30 },
  );
});

test("readHeaders() is never misled by a single flipped bit: the other copy counts", () => {
  const good = headerBytes({ writeCounter: 4, tail: 7 });
  const newer = headerBytes({ writeCounter: 5, tail: 9 });
  // Each bit of the fields, and one bit of some bytes of the padding.
  for (let bit = 0; bit < 4096 * 8; bit += bit < 176 * 8 || bit >= 4092 * 8 ? 1 : 509) {
    const bytes = newer.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    const pair = readHeaders(memory(good, bytes));
    assertEquals(pair.newest?.tail, 7, `bit ${bit}`);
    assertEquals(typeof pair.copies[1], "string", `bit ${bit}`);
  }
});

test("readHeaders() is never misled by a torn copy", () => {
  const good = headerBytes({ writeCounter: 4, tail: 7 });
  const older = headerBytes({ writeCounter: 3, tail: 6, durable: 8 });
  const newer = headerBytes({ writeCounter: 5, tail: 9, durable: 10 });
  for (let cut = 512; cut < 4096; cut += 512) {
    const prefix = Uint8Array.from(newer, (byte, i) => i < cut ? byte : older[i]!);
    const suffix = Uint8Array.from(newer, (byte, i) => i >= cut ? byte : older[i]!);
    for (const torn of [prefix, suffix]) assertEquals(readHeaders(memory(good, torn)).newest?.tail, 7);
  }
});

test("writeHeader() overwrites every byte of its block", () => {
  const bytes = new Uint8Array(16384).fill(0xff);
  const header = readHeader(memory(headerBytes({ tail: 3, writeCounter: 2 })), 0) as Header;
  writeHeader(bytes, 1, header);
  assertEquals([...bytes.subarray(4096, 8192)], [...headerBytes({ tail: 3, writeCounter: 2 })]);
  assertEquals(bytes.subarray(0, 4096).every((byte) => byte === 0xff), true);
});

test("readHeader() keeps no view into the memory it read", () => {
  const bytes = memory(headerBytes());
  const header = readHeader(bytes, 0) as Header;
  bytes.fill(0xee);
  assertEquals([...header.logId], Array.from({ length: 16 }, (_, i) => i));
});

test("claimedVersion() is the version of a copy that cannot be read", () => {
  assertEquals(claimedVersion(memory(broken({ version: 77 })), 0), 77);
});
