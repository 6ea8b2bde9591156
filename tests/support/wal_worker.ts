// A worker that opens a log where it is told to, and says how that ended.

import { WAL, WALLockedError } from "../../mod.ts";
import { answer } from "./worker.ts";

answer(opening);

function opening(path: string): string {
  try {
    WAL.open(path, { size: 65536 }).close();
    return "opened";
  } catch (error) {
    return error instanceof WALLockedError ? `${error.code} ${error.pid}` : String(error);
  }
}
