// The other process of W15. It follows a log until it is killed, and goes on where it is lapped.

import process from "node:process";
import { WAL, WALLaggedError } from "../../mod.ts";

const path = process.argv[2]!;
console.log("ready");
for (let from = 1;;) {
  using follower = WAL.follow(path, { from });
  try {
    for await (const { lsn } of follower) from = lsn + 1;
  } catch (error) {
    if (!(error instanceof WALLaggedError)) throw error;
    from = error.lastLsn + 1;
  }
}
