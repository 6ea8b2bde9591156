// Fault: a view of the log's memory outlives the mapping (H23, H52).
// Promise: close() detaches the memory before it is unmapped, so a stale access is a TypeError or
//   does nothing, and never crashes (G9).
// Method: close a real file's region at rest and while a sync off the thread is pending, and use
//   every kind of view afterwards.

import { assertEquals, assertThrows } from "@std/assert";
import { diskStorage } from "../../ffi/storage.ts";
import { openRequest, SIZE_BYTES } from "../support/region.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

test("Region.close() detaches every view before the memory goes", () => {
  using directory = tempDir();
  const region = diskStorage().open(`${directory.path}/log`, openRequest({ allowUnsafeFileSystem: true }));
  const { memory } = region;
  const { buffer } = memory;
  assertEquals(memory.sizeBytes, SIZE_BYTES);
  const bytes = memory.bytes();
  const words = new Int32Array(buffer, memory.at + 16384, 16);
  const view = new DataView(buffer);
  bytes[20000] = 7;
  region.close();
  assertEquals([buffer.byteLength, bytes.length, words.length], [0, 0, 0]);
  assertEquals([bytes[20000], words[0]], [undefined, undefined] as unknown as [number, number]);
  bytes[20000] = 8;
  assertThrows(() => view.getUint8(20000), TypeError);
  assertThrows(() => view.setUint8(20000, 8), TypeError);
  assertThrows(() => new Uint8Array(buffer), TypeError);
});

test("Region.close() detaches at once while a sync off the thread is pending, and that sync settles", async () => {
  using directory = tempDir();
  for (let i = 0; i < 20; i++) {
    const region = diskStorage().open(`${directory.path}/log`, openRequest({ allowUnsafeFileSystem: true }));
    const bytes = region.memory.bytes();
    bytes[20000] = i;
    const pending = region.syncAsync(0, SIZE_BYTES).then(() => "synced", () => "failed");
    region.close();
    assertEquals(bytes.length, 0);
    assertEquals(await pending, "synced");
  }
});
