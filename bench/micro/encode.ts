// The cost of one record before its sync: the whole append, and its parts.

import { bench, do_not_optimize, run, summary } from "mitata";
import { WAL } from "../../mod.ts";
import { bytesOf, makeValues } from "../peers/values.ts";

const VALUES = makeValues(4096);
const MASK = VALUES.length - 1;
const BYTES = bytesOf(VALUES);
const KEYS = Array.from({ length: BYTES.length / 16 }, (_, i) => BYTES.subarray(16 * i, 16 * (i + 1)));
const KEYS_MASK = KEYS.length - 1;
const log = WAL.open(null, { size: 64 * 2 ** 20 });
const view = new DataView(new ArrayBuffer(2 ** 20));
const words = new BigUint64Array(view.buffer);
let n = 0;

/** Makes room in a ring that is full. */
function makeRoom(): void {
  if (log.length < log.capacity) return;
  log.flush();
  log.truncate(log.durable);
}

// The first lap meets memory that nothing has touched.
while (log.length < log.capacity) log.logInsertSync(1, 2, 3, 4);
makeRoom();

summary(() => {
  bench("logInsertSync of bigints, warm memory", () => {
    makeRoom();
    const i = n++ & MASK;
    do_not_optimize(log.logInsertSync(VALUES[i]!, VALUES[i ^ 1]!, VALUES[i ^ 2]!, VALUES[i ^ 3]!));
  });

  bench("logInsertSync of bytes, warm memory", () => {
    makeRoom();
    const i = n++ & KEYS_MASK;
    do_not_optimize(log.logInsertSync(KEYS[i]!, KEYS[i ^ 1]!));
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
