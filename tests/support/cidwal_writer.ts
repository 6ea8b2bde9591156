// Writes a log until it is killed: single records and batches, with releases, so that the ring goes
// round. Usage: PATH. Prints a line when the log has been written for the first time.

import process from "node:process";
import { WAL } from "../../mod.ts";

const [path] = process.argv.slice(2) as [string];
const wal = WAL.open(path, { size: 2 ** 18 });
for (let turn = 0;; turn++) {
  const waiting: Promise<unknown>[] = [];
  for (let index = 0; index < 40; index++) {
    const n = wal.head;
    if (index % 5 > 0) waiting.push(wal.logInsert(1, n, 2, n));
    else waiting.push(wal.batchInsert([[3, n, 2, 1], [3, n, 2, 2], [3, n, 2, 3]]));
  }
  await Promise.all(waiting);
  if (wal.length > wal.capacity / 2) wal.truncate(wal.durable - wal.capacity / 4);
  if (turn === 0) console.log("writing");
  await new Promise((resolve) => setTimeout(resolve, 2));
}
