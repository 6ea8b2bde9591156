// The cost of a record's checksum: by the codec, and by what JavaScript has.

import { bench, do_not_optimize, run, summary } from "mitata";
import { crc32 } from "node:zlib";
import { FileMemory } from "../../ffi/file_memory.ts";
import { codecOf, INITIAL_STATE } from "../../src/format/codec.ts";
import { checksum } from "../peers/checksum.ts";

const RECORDS = 1024;
const BYTES = 64;
const WORDS = BYTES / 4;
const PAIR_BYTES = 32;
const file = new FileMemory(RECORDS * BYTES);
const codec = codecOf(file, INITIAL_STATE);
const bytes = file.bytes();
const words = new Int32Array(file.buffer, file.at, RECORDS * WORDS);
const packed = Uint8Array.from({ length: RECORDS * PAIR_BYTES }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24);
const INSERT = 0x41;
let n = 0;

/** Makes all records, whose LSNs begin with 1. */
function encode(): void {
  codec.encode(0, packed, RECORDS, {
    kind: INSERT,
    lastKind: INSERT,
    lsn: 1,
    distance: 1,
    nanosLow: 0,
    nanosHigh: 0,
    seq: 0,
  });
}

encode();
if (codec.verify(0, RECORDS, 1).good !== RECORDS) throw new Error("the codec does not know its own records");

summary(() => {
  bench("codec, sealing one record", () => {
    codec.seal((n++ & (RECORDS - 1)) * BYTES, 1);
  });

  bench("CRC-32C of 60 bytes, slicing by 16", () => {
    do_not_optimize(checksum(words, (n++ & (RECORDS - 1)) * WORDS + 1));
  });

  bench("zlib.crc32 of a subarray", () => {
    const at = (n++ & (RECORDS - 1)) * BYTES;
    do_not_optimize(crc32(bytes.subarray(at + 4, at + BYTES)));
  });
});

summary(() => {
  bench("codec, sealing 1024 records", () => {
    codec.seal(0, RECORDS);
  });

  bench("codec, verifying 1024 records", () => {
    do_not_optimize(codec.verify(0, RECORDS, 1));
  });

  bench("codec, making 1024 records of packed pairs", encode);

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
