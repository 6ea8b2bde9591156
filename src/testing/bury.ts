// Ends a log whose machine has crashed.

import type { WAL } from "../wal.ts";

/** Stops the log's timers and its consumer. What it throws is that it is dead. */
export function bury(wal: WAL | null): void {
  try {
    wal?.close();
  } catch { /* it says that it is dead */ }
}
