// A program that writes a log for followers: batches whose records tell their LSN, over many laps.
// Arguments: the path, and how many records to write.

import process from "node:process";
import { WAL } from "../../mod.ts";

const [path, count] = process.argv.slice(2);
await using wal = WAL.open(path!, { size: 65536, followers: true, idleHeaderDelayMs: 10 });
console.log(`open at ${wal.head}`);
const end = Number(count);
for (let turn = 0; wal.head <= end; turn++) {
  const first = wal.head;
  const length = 1 + (first * 7919) % 200;
  // The log is released late, so that followers that are close enough are not lapped.
  wal.truncate(Math.max(wal.tail - 1, wal.durable - 200));
  await wal.batchInsert(Array.from({ length }, (_, i) => [first + i, length, 3 * (first + i), first]));
  if (turn % 16 === 0) await new Promise((resolve) => setTimeout(resolve));
}
console.log(`done at ${wal.head}`);
