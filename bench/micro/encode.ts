// The cost of one record before its sync: the whole append, and its parts.

import { bench, do_not_optimize, run, summary } from "mitata";
import { WAL } from "../../mod.ts";
import { makeValues } from "../peers/values.ts";

const VALUES = makeValues(4096);
const MASK = VALUES.length - 1;
const log = WAL.open(null, { size: 64 * 2 ** 20 });
const view = new DataView(new ArrayBuffer(2 ** 20));
const words = new BigUint64Array(view.buffer);
let n = 0;

summary(() => {
  bench("logInsertSync, warm memory", () => {
    if (log.length === log.capacity) {
      log.flush();
      log.truncate(log.durable);
    }
    const i = n++ & MASK;
    do_not_optimize(log.logInsertSync(VALUES[i]!, VALUES[i ^ 1]!, VALUES[i ^ 2]!, VALUES[i ^ 3]!));
  });

  bench("4 bigints by DataView", () => {
    const i = n++ & MASK;
    const at = i * 64;
    view.setBigUint64(at, VALUES[i]!, true);
    view.setBigUint64(at + 8, VALUES[i ^ 1]!, true);
    view.setBigUint64(at + 16, VALUES[i ^ 2]!, true);
    view.setBigUint64(at + 24, VALUES[i ^ 3]!, true);
  });

  bench("4 bigints by BigUint64Array", () => {
    const i = n++ & MASK;
    const at = i * 8;
    words[at] = VALUES[i]!;
    words[at + 1] = VALUES[i ^ 1]!;
    words[at + 2] = VALUES[i ^ 2]!;
    words[at + 3] = VALUES[i ^ 3]!;
  });

  bench("4 bigints checked to be 64 bits", () => {
    const i = n++ & MASK;
    do_not_optimize(isU64(VALUES[i]!) && isU64(VALUES[i ^ 1]!) && isU64(VALUES[i ^ 2]!) && isU64(VALUES[i ^ 3]!));
  });
});

function isU64(value: bigint): boolean {
  return value >= 0n && value <= 0xffff_ffff_ffff_ffffn;
}

await run({ throw: true });
log.close();
