// The cost of a record's checksum by what JavaScript has.

import { bench, do_not_optimize, run, summary } from "mitata";
import { crc32 } from "node:zlib";
import { checksum } from "../peers/checksum.ts";

const RECORDS = 1024;
const WORDS = 16;
const words = new Int32Array(RECORDS * WORDS).map((_, i) => Math.imul(i, 0x9e3779b1));
const bytes = new Uint8Array(words.buffer);
let n = 0;

summary(() => {
  bench("CRC-32C of 60 bytes, slicing by 16", () => {
    do_not_optimize(checksum(words, (n++ & (RECORDS - 1)) * WORDS + 1));
  });

  bench("zlib.crc32 of a subarray", () => {
    const at = (n++ & (RECORDS - 1)) * 64;
    do_not_optimize(crc32(bytes.subarray(at + 4, at + 64)));
  });
});

summary(() => {
  bench("CRC-32C, slicing by 16, × 1024", () => {
    let all = 0;
    for (let at = 0; at < RECORDS * WORDS; at += WORDS) all ^= checksum(words, at + 1);
    do_not_optimize(all);
  });

  bench("zlib.crc32 over 64 KiB", () => {
    do_not_optimize(crc32(bytes));
  });
});

await run({ throw: true });
