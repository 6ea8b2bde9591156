// The other process of W14. It writes a record every few milliseconds, and prints when each was
// acknowledged. The value of the last one is 0.

import process from "node:process";
import { openLog } from "../peers/wal.ts";
import { epochMs } from "./epoch.ts";
import { dirname } from "node:path";

const LEAST_PAUSE_MS = 2;
const MOST_PAUSE_MS = 4;

const [path, warmMs, ms] = process.argv.slice(2) as [string, string, string];
const log = await openLog(dirname(path), { followers: true });
console.log("open");
const warm = performance.now() + Number(warmMs);
const end = warm + Number(ms);
const times: (number | null)[] = [];
for (let isLast = false; !isLast;) {
  await new Promise((resolve) =>
    setTimeout(resolve, LEAST_PAUSE_MS + Math.random() * (MOST_PAUSE_MS - LEAST_PAUSE_MS))
  );
  const now = performance.now();
  isLast = now >= end;
  await log.logInsert(1, 2, 3, isLast ? 0 : 4);
  times.push(now < warm ? null : epochMs());
}
console.log(JSON.stringify(times));
log.close();
