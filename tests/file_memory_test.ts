// FileMemory: where a file lies in it, and how it is used again (H52).

import { assert, assertEquals, assertThrows } from "@std/assert";
import { CODEC_BYTES, FileMemory } from "../ffi/file_memory.ts";
import { memoryRegion } from "../ffi/memory.ts";
import { RegionError } from "../ffi/region.ts";
import { collectGarbage } from "./support/region.ts";
import { test } from "./support/test.ts";

const SIZE = 65536;

/** A memory that WebAssembly sees, once those that earlier tests forgot are collected. */
function seen(sizeBytes: number): FileMemory & { memory: WebAssembly.Memory } {
  collectGarbage();
  const made = new FileMemory(sizeBytes);
  assert(made.memory !== null, "a memory that WebAssembly sees");
  return made as FileMemory & { memory: WebAssembly.Memory };
}

function giveBack(used: FileMemory): void {
  used.bytes().fill(0);
  used.detach();
  used.recycle();
}

test("FileMemory holds zeros after the codec's part, where JavaScript and WebAssembly see them", () => {
  const made = seen(SIZE);
  assert(made.at >= CODEC_BYTES);
  assertEquals([made.sizeBytes, made.bytes().length, made.buffer], [SIZE, SIZE, made.memory.buffer as ArrayBuffer]);
  assert(made.bytes().every((byte) => byte === 0));
  made.bytes(16384, 2).set([1, 2]);
  assertEquals([...new Uint8Array(made.memory.buffer, made.at + 16384, 3)], [1, 2, 0]);
  giveBack(made);
});

test("FileMemory.detach() takes the bytes from each view, once, and keeps the size", () => {
  for (const made of [seen(SIZE), new FileMemory(new ArrayBuffer(SIZE))]) {
    const bytes = made.bytes();
    made.detach();
    made.detach();
    assertEquals([bytes.length, made.buffer.byteLength, made.sizeBytes], [0, 0, SIZE]);
    assertThrows(() => made.bytes(), TypeError);
  }
});

test("FileMemory.recycle() gives the memory to a later file, with zeros and with the codec's part", () => {
  const first = seen(SIZE);
  new Uint8Array(first.buffer)[7] = 9;
  first.bytes().fill(3);
  giveBack(first);
  const kept: FileMemory[] = [];
  // Others that were free before may come first.
  while (kept.at(-1)?.memory !== first.memory && kept.length < 8) kept.push(new FileMemory(SIZE - 1));
  const again = kept.at(-1)!;
  assertEquals(again.memory, first.memory);
  assertEquals(new Uint8Array(again.buffer)[7], 9);
  assert(again.bytes().every((byte) => byte === 0));
  // Whoever gives it back twice does not make two files share it.
  first.recycle();
  assert(new FileMemory(SIZE - 1).memory !== first.memory);
  kept.forEach(giveBack);
  assertThrows(() => new FileMemory(SIZE).recycle(), Error);
});

test("FileMemory holds zeros where the memory of a closed log in memory is used again", () => {
  const region = memoryRegion(SIZE);
  const { memory } = region.memory;
  region.memory.bytes().fill(5);
  region.close();
  const kept = [new FileMemory(SIZE)];
  while (kept.at(-1)!.memory !== memory && kept.length < 8) kept.push(new FileMemory(SIZE));
  assertEquals(kept.at(-1)!.memory, memory);
  assert(kept.at(-1)!.bytes().every((byte) => byte === 0));
  kept.forEach(giveBack);
});

test("FileMemory.toMap() begins the file at a page, wherever the memory lies, and has all of its last page", () => {
  for (const pageBytes of [4096, 16384, 65536]) {
    for (const base of [0x10000, 0x11000, 0x1f000, 0x14000]) {
      const made = FileMemory.toMap(20001, pageBytes, () => base);
      if (made === null) continue;
      assertEquals((base + made.at) % pageBytes, 0);
      assert(made.at >= CODEC_BYTES);
      assert(made.at + Math.ceil(20001 / pageBytes) * pageBytes <= made.buffer.byteLength);
      giveBack(made);
    }
  }
});

test("FileMemory of a file that is too long for WebAssembly is not a WebAssembly memory", () => {
  const most = 2 ** 32 - CODEC_BYTES;
  assertEquals(FileMemory.toMap(most + 1, 4096, () => 0), null);
  assertEquals(FileMemory.toMap(most, 65536, () => 4096), null);
});

test("FileMemory that cannot be had is NO_SPACE", () => {
  for (const bytes of [2 ** 52, Infinity]) {
    const error = assertThrows(() => new FileMemory(bytes), RegionError);
    assertEquals(error.reason, "NO_SPACE");
  }
});
