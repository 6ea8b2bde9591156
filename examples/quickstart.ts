// Logs, closes, finds it all again, and applies it to a store. Makes two files in the working
// directory. Run it twice.
//   deno run --allow-ffi --allow-read=. --allow-write=. examples/quickstart.ts
//   bun examples/quickstart.ts
//   node examples/quickstart.ts

import { consume, OpType, WAL } from "@cidstore/wal";
import { SQLiteStore } from "@cidstore/wal/stores/sqlite";

{
  await using wal = WAL.open("quickstart.wal", { size: 2 ** 20 });
  await wal.logInsert(0xfeedn, 0x01n, 0xcafen, 0x01n); // key and value, 128 bits each; resolves when it is durable
  await Promise.all([2n, 3n, 4n].map((n) => wal.logInsert(0xfeedn, n, 0xcafen, n))); // one sync for all of them
  wal.logDeleteSync(0xfeedn, 0x02n); // outlives the process at once …
  wal.flush(); // … and power loss now
}

await using wal = WAL.open("quickstart.wal"); // after a crash it would look just the same
for (const { lsn, opType, keyLow, valueLow } of wal.replay()) {
  if (opType === OpType.Insert) console.log(`LSN ${lsn}: insert key …${keyLow}`);
  else if (opType === OpType.Delete) console.log(`LSN ${lsn}: delete key …${keyLow}`);
  else if (opType === OpType.Checkpoint) console.log(`LSN ${lsn}: checkpoint, the store has LSN 1 to ${valueLow}`);
}

using store = new SQLiteStore("quickstart.db"); // or any object with insert, delete and deleteValue
const consumer = consume(wal, store);
await wal.whenApplied();
await consumer.stop(); // the store is durable, and the log has released the records
console.log(`${store.keyCount} keys in the store; left in the log: ${wal.length} record, the checkpoint that says so`);
