// A worker for the tests of openers: opens a log, says how that ended, closes it when told to.

import { WAL, WALError, WALLockedError } from "../../mod.ts";
import { answer } from "./worker.ts";

let wal: WAL | null = null;

answer((message) => {
  try {
    if (message === "close") {
      wal?.close();
      return "closed";
    }
    wal = WAL.open(message, { size: 65536, idleHeaderDelayMs: Infinity });
    wal.logInsertSync(1, 1, 1, 1);
    return `opened ${wal.head}`;
  } catch (error) {
    const pid = error instanceof WALLockedError ? ` ${error.pid}` : "";
    return error instanceof WALError ? `${error.code}${pid}` : String(error);
  }
});
