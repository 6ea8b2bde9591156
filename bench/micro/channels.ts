// What a channel costs for each commit: without a subscriber, and with one.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { bench, run, summary } from "mitata";
import { Events } from "../../src/engine/events.ts";

const events = new Events(() => ({ path: null, logId: "" }));
const ignore = (): void => {};
let lsn = 0;

/** Tells of 100 commits, so that the loop around each is cheap. */
function tell(): void {
  for (let i = 0; i < 100; i++) events.committed(++lsn, lsn, 0.1, "inline");
}

bench("100 commits without a subscriber", tell);
await run({ throw: true });

subscribe("cidstore:wal:commit", ignore);
summary(() => {
  // Waits, because subscribers are called in a microtask.
  bench("100 commits with a subscriber", async () => {
    tell();
    await null;
  });
});
await run({ throw: true });
unsubscribe("cidstore:wal:commit", ignore);
