// Fault: power fails while a header copy is written (H1, H9).
// Promise: one good copy is on the medium at any time (G12).
// Method: a region that notes its calls; both ways of writing, mixed.

import { FileMemory } from "../ffi/file_memory.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Region } from "../ffi/region.ts";
import { WALAssertionError } from "../src/assert.ts";
import { readHeader, readHeaders } from "../src/format/header.ts";
import { HeaderWriter } from "../src/engine/header_writer.ts";
import type { HeaderPositions } from "../src/format/header.ts";
import { headerBytes } from "./support/reference.ts";
import { makeHeader } from "./support/rings.ts";
import { test } from "./support/test.ts";

function start(newestCopy: 0 | 1 = 0) {
  const bytes = new Uint8Array(16384);
  bytes.set(headerBytes({ writeCounter: newestCopy === 0 ? 8 : 7, tail: 1 }), 0);
  bytes.set(headerBytes({ writeCounter: newestCopy === 0 ? 7 : 8, tail: 1 }), 4096);
  /** What is on the medium. */
  const medium = bytes.slice();
  const syncs: number[] = [];
  const pending: (() => void)[] = [];
  let failure: Error | null = null;
  const land = (offset: number, length: number) => {
    if (failure !== null) throw failure;
    medium.set(bytes.subarray(offset, offset + length), offset);
  };
  const region = {
    memory: new FileMemory(bytes.buffer),
    sync(offset: number, length: number) {
      syncs.push(offset);
      // Before it has landed, any part of it may have: the other copy must be good by itself.
      assert(typeof readHeader(medium.slice(), offset === 0 ? 1 : 0) === "object");
      land(offset, length);
    },
    pageIn() {},
    syncAsync(offset: number, length: number) {
      syncs.push(offset);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      pending.push(() => {
        try {
          land(offset, length);
          resolve();
        } catch (error) {
          reject(error);
        }
      });
      return promise;
    },
  } as unknown as Region;
  const writer = new HeaderWriter(region, makeHeader({ writeCounter: 8, tail: 1 }), newestCopy);
  return { writer, bytes, syncs, pending, medium, fail: (error: Error) => failure = error };
}

function at(tail: number): HeaderPositions {
  return { tail, durable: tail, checkpoint: 0, timeNanos: 1n, timeSeq: 0, cleanHead: 0, consumers: [], openerPid: 5 };
}

for (const newest of [0, 1] as const) {
  test(`write() goes to the older copy first, then in turn (the newest is copy ${"AB"[newest]})`, () => {
    const { writer, syncs, medium } = start(newest);
    for (let tail = 2; tail <= 5; tail++) {
      writer.write(at(tail));
      const { newest } = readHeaders(medium.slice());
      assertEquals([newest?.tail, newest?.writeCounter, newest?.openerPid], [tail, 7 + tail, 5]);
    }
    assertEquals(syncs, newest === 0 ? [4096, 0, 4096, 0] : [0, 4096, 0, 4096]);
    assertEquals([writer.syncs, writer.latest.tail], [4, 5]);
  });
}

test("write() while a writeAsync() is pending makes that one durable before it touches the other copy", async () => {
  const { writer, syncs, pending, medium } = start();
  const first = writer.writeAsync(at(2));
  writer.write(at(3));
  assertEquals(syncs, [4096, 4096, 0]);
  assertEquals(readHeaders(medium.slice()).newest?.tail, 3);
  pending[0]!();
  await first;
  writer.write(at(4));
  assertEquals(readHeaders(medium.slice()).newest?.tail, 4);
});

test("writeAsync() twice at a time is a bug of ours", async () => {
  const { writer, pending } = start();
  const first = writer.writeAsync(at(2));
  await assertRejects(() => writer.writeAsync(at(3)), WALAssertionError);
  pending[0]!();
  await first;
  const third = writer.writeAsync(at(3));
  pending[1]!();
  await third;
});

test("HeaderWriter leaves the other copy good when a sync fails", async () => {
  const { writer, pending, medium, fail } = start();
  const error = new Error("no");
  fail(error);
  assertThrows(() => writer.write(at(2)), Error, "no");
  assertEquals(readHeaders(medium.slice()).newest?.tail, 1);
  const other = start();
  other.fail(error);
  const writing = other.writer.writeAsync(at(2));
  other.pending[0]!();
  await assertRejects(() => writing, Error, "no");
  assertEquals([readHeaders(other.medium.slice()).newest?.tail, pending.length], [1, 0]);
});

test("settledTail is the lower tail of two durable copies, whoever writes", async () => {
  const { writer, pending } = start();
  assertEquals(writer.settledTail, 1);
  writer.write(at(5));
  assertEquals(writer.settledTail, 1);
  const second = writer.writeAsync(at(7));
  assertEquals(writer.settledTail, 1, "not yet durable");
  pending[0]!();
  await second;
  assertEquals(writer.settledTail, 5);
  const third = writer.writeAsync(at(8));
  writer.write(at(9));
  assertEquals(writer.settledTail, 8);
  pending[1]!();
  await third;
  assertEquals(writer.settledTail, 8);
  writer.write(at(9));
  assertEquals(writer.settledTail, 9);
});

test("HeaderWriter settles no tail when a sync fails", () => {
  const { writer, fail } = start();
  writer.write(at(5));
  fail(new Error("no"));
  assertThrows(() => writer.write(at(7)), Error, "no");
  assertEquals(writer.settledTail, 1);
});

for (const newest of [0, 1] as const) {
  test(`makeDurable() makes the newest copy durable and changes no byte of it (copy ${"AB"[newest]})`, () => {
    const { writer, bytes, medium, syncs } = start(newest);
    const offset = 4096 * newest;
    // A copy written anew would lose this byte, and for a moment all of them: a kill would tear it.
    bytes[offset + 4000] = 7;
    const before = bytes.slice();
    writer.makeDurable();
    assertEquals(bytes, before);
    assertEquals([syncs, medium[offset + 4000]], [[offset], 7]);
  });
}
