// The cost of a record's checksum, and of its alternatives.

import { bench, do_not_optimize, run, summary } from "mitata";
import { crc32 } from "node:zlib";
import { crc32c, INITIAL_STATE, recordChecksum, updateWords } from "../../src/format/crc32c.ts";

const RECORDS = 1024;
const WORDS = 16;
const words = new Int32Array(RECORDS * WORDS).map((_, i) => Math.imul(i, 0x9e3779b1));
const bytes = new Uint8Array(words.buffer);
let n = 0;

summary(() => {
  bench("recordChecksum", () => {
    do_not_optimize(recordChecksum(INITIAL_STATE, words, (n++ & (RECORDS - 1)) * WORDS));
  });

  bench("updateWords, the same 60 bytes", () => {
    const at = (n++ & (RECORDS - 1)) * WORDS;
    do_not_optimize(updateWords(INITIAL_STATE, words, at + 1, at + WORDS));
  });

  bench("zlib.crc32 of a subarray", () => {
    const at = (n++ & (RECORDS - 1)) * 64;
    do_not_optimize(crc32(bytes.subarray(at + 4, at + 64)));
  });

  bench("byte by byte", () => {
    const at = (n++ & (RECORDS - 1)) * 64;
    do_not_optimize(crc32c(bytes.subarray(at + 4, at + 64)));
  });
});

summary(() => {
  bench("recordChecksum × 1024", () => {
    let all = 0;
    for (let at = 0; at < RECORDS * WORDS; at += WORDS) all ^= recordChecksum(INITIAL_STATE, words, at);
    do_not_optimize(all);
  });

  bench("zlib.crc32 over 64 KiB", () => {
    do_not_optimize(crc32(bytes));
  });
});

await run();
