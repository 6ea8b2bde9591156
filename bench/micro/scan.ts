// The cost of reading a log: each figure is for all of its records.

import { bench, do_not_optimize, run, summary } from "mitata";
import { WAL } from "../../mod.ts";
import { decodeRun, encodeRun } from "../../src/runs.ts";
import { makeValues } from "../peers/values.ts";

const VALUES = makeValues(4096);
const RECORDS = 10_000;
const log = WAL.open(null, { size: 2 ** 20 });
for (let n = 0; n < RECORDS; n++) {
  const i = n % (VALUES.length - 3);
  log.logInsertSync(VALUES[i]!, VALUES[i + 1]!, VALUES[i + 2]!, VALUES[i + 3]!);
}

log.flush();
const encoded = log.encodeRun();
const records = log.replay();

summary(() => {
  bench(`cursor, ${RECORDS} records`, () => {
    let sum = 0;
    for (const cursor = log.cursor(); cursor.next();) sum += cursor.timeSeq;
    do_not_optimize(sum);
  });

  bench("cursor, keys read", () => {
    let sum = 0n;
    for (const cursor = log.cursor(); cursor.next();) sum ^= cursor.keyHigh ^ cursor.keyLow;
    do_not_optimize(sum);
  });

  bench("records(), keys read", () => {
    let sum = 0n;
    for (const record of log.records()) sum ^= record.keyHigh ^ record.keyLow;
    do_not_optimize(sum);
  });

  bench("WAL.encodeRun()", () => {
    do_not_optimize(log.encodeRun());
  });

  bench("decodeRun()", () => {
    do_not_optimize(decodeRun(encoded.bytes, encoded));
  });

  bench("encodeRun() of records", () => {
    do_not_optimize(encodeRun(records, encoded));
  });

  bench("replay()", () => {
    do_not_optimize(log.replay());
  });

  bench("replay(), keys read", () => {
    let sum = 0n;
    for (const record of log.replay()) sum ^= record.keyHigh ^ record.keyLow;
    do_not_optimize(sum);
  });
});

await run({ throw: true });
log.close();
