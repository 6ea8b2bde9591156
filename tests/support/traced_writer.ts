// A process that works on a log while its system calls are tampered with, and prints what it was
// promised and what it was refused.
// Arguments: path, flush. Lines: "ack lsn", "error action name code isWALError", "end".

import process from "node:process";
import { WAL, WALError, type WALOptions } from "../../mod.ts";

const [path, flush] = process.argv.slice(2);

async function attempt(action: string, body: () => unknown): Promise<boolean> {
  try {
    await body();
    return true;
  } catch (error) {
    const { name, code } = error as { name?: string; code?: string };
    console.log("error", action, name, code, error instanceof WALError);
    if (!(error instanceof WALError)) console.log(error instanceof Error ? error.stack : error);
    return false;
  }
}

const wal = new WAL(path, { size: 65536, flush: flush as WALOptions["flush"], idleHeaderDelayMs: Infinity });
if (await attempt("open", () => wal.open())) {
  for (let i = 0; i < 4; i++) {
    await attempt("append", async () => {
      const appended = wal.logInsert(i, 1, 1, 1);
      const lsn = wal.head - 1;
      await appended;
      console.log("ack", lsn);
    });
  }
  await attempt("batch", async () => {
    const appended = wal.batchInsert([[7, 1, 1, 1], [8, 1, 1, 1]]);
    const lsn = wal.head - 1;
    await appended;
    console.log("ack", lsn);
  });
  await attempt("flush", () => {
    const lsn = wal.logInsertSync(9, 1, 1, 1);
    wal.flush();
    console.log("ack", lsn);
  });
  await attempt("checkpoint", () => console.log("ack", wal.checkpoint(wal.durable)));
  await attempt("close", () => wal.close());
}
console.log("end");
