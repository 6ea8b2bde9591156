// A worker for the tests of openers: opens a log, says how that ended, closes it when told to.

import { WAL, WALError, WALLockedError } from "../../mod.ts";

const scope = globalThis as unknown as {
  onmessage: (event: { data: string }) => void;
  postMessage(answer: string): void;
};

let wal: WAL | null = null;

scope.onmessage = ({ data }) => {
  try {
    if (data === "close") {
      wal?.close();
      scope.postMessage("closed");
    } else {
      wal = WAL.open(data, { size: 65536 });
      wal.logInsertSync(1, 1, 1, 1);
      scope.postMessage(`opened ${wal.head}`);
    }
  } catch (error) {
    const pid = error instanceof WALLockedError ? ` ${error.pid}` : "";
    scope.postMessage(error instanceof WALError ? `${error.code}${pid}` : String(error));
  }
};
