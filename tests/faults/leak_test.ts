// Fault: thousands of logs are opened and closed: cleanly, after a failure, with a sync in flight,
//   or refused (H23, H24).
// Promise: no descriptor, no mapping and no memory is left (G9).
// Method: count /proc/self/fd and /proc/self/maps, and bound the growth of resident memory once the
//   process is warm. CYCLES makes it longer.

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { WAL, WALFileGoneError, WALFormatError, WALLockedError } from "../../mod.ts";
import { closeGone } from "../support/logs.ts";
import { collectGarbage, held } from "../support/region.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const CYCLES = Number(process.env["CYCLES"] ?? 2000);
const BYTES = 65536;
const MIB = 2 ** 20;
const notLinux = process.platform !== "linux" && "looks into /proc";

const descriptors = () => fs.readdirSync("/proc/self/fd").length;
const mappings = () => fs.readFileSync("/proc/self/maps", "utf8").split("\n").length;

/** Lets everything end that is under way, and lets go of the memory of logs that are closed. */
async function settle(): Promise<void> {
  collectGarbage();
  await new Promise((resolve) => setTimeout(resolve, 20));
  collectGarbage();
}

test(`WAL leaks no descriptor, mapping or memory over ${CYCLES} openings and closings`, async () => {
  using directory = tempDir(fs.existsSync("/dev/shm") ? "/dev/shm" : tmpdir());
  const path = directory.join("log");
  const text = directory.join("text");
  fs.writeFileSync(text, "no log, and longer than the shortest log can be. ".repeat(400));
  let warm = { descriptors: 0, rss: 0, mappings: 0 };
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const wal = WAL.open(path, { size: BYTES, flush: cycle % 2 === 0 ? "inline" : "offload" });
    wal.logInsertSync(cycle, 1, 1, 1);
    if (cycle % 4 === 0) await wal.logInsert(cycle, 2, 2, 2);
    if (cycle % 16 === 1) {
      // A sync in flight keeps the mapping until it ends.
      const pending = wal.logInsert(cycle, 3, 3, 3);
      await null;
      wal.close();
      await pending;
    }
    if (cycle % 10 === 0 && wal.isOpen) assertThrows(() => WAL.open(path), WALLockedError);
    if (cycle % 10 === 1) assertThrows(() => WAL.open(text), WALFormatError);
    if (wal.isOpen) wal.truncate(wal.durable);
    if (cycle % 50 === 2) {
      fs.unlinkSync(path);
      try {
        wal.logInsertSync(1, 1, 1, 1);
      } catch (error) {
        assertInstanceOf(error, WALFileGoneError);
      }
      closeGone(wal);
    }
    wal.close();
    if (cycle === CYCLES >> 1) {
      await settle();
      warm = { descriptors: descriptors(), rss: process.memoryUsage().rss, mappings: mappings() };
    }
  }
  await settle();
  assertEquals(held(directory.path), []);
  const grown = (process.memoryUsage().rss - warm.rss) / MIB;
  console.log(`${CYCLES} cycles: ${grown.toFixed(1)} MiB more in the second half`);
  assert(descriptors() <= warm.descriptors + 2, `${descriptors()} descriptors, ${warm.descriptors} half-way`);
  // The heap of the runtime maps memory too; each leaked log would be one more.
  assert(mappings() < warm.mappings + CYCLES / 10, `${mappings()} mappings, ${warm.mappings} half-way`);
  assert(grown < 48 + CYCLES / 200, `${grown} MiB`);
}, { skip: notLinux, timeoutMs: 600_000 + CYCLES * 200 });
