// A worker that opens a log where it is told to, and says how that ended.

import { WAL, WALLockedError } from "../../mod.ts";

const scope = globalThis as unknown as {
  onmessage: (event: { data: string }) => void;
  postMessage(answer: string): void;
};

scope.onmessage = ({ data }) => scope.postMessage(opening(data));

function opening(path: string): string {
  try {
    WAL.open(path, { size: 65536 }).close();
    return "opened";
  } catch (error) {
    return error instanceof WALLockedError ? `${error.code} ${error.pid}` : String(error);
  }
}
