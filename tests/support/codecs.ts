// The codec in both variants, each over a memory of its own.

import { CODEC_BYTES } from "../../ffi/file_memory.ts";
import { compileCodec, MemoryCodec } from "../../src/format/codec.ts";
import { SCALAR_CODEC, SIMD_CODEC } from "../../src/format/codec_module.ts";

/** A codec, and the memory that it works on. */
export interface TestCodec {
  readonly name: string;
  readonly module: WebAssembly.Module;
  /** Its file begins at `AT`. */
  readonly codec: MemoryCodec;
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
}

/** Where the records of tests may begin. */
export const AT: number = CODEC_BYTES + 4096;

/** Both variants, with room for this many records and as many bytes around them as before `AT`. */
export function testCodecs(seed: number, records: number): TestCodec[] {
  const pages = Math.ceil((AT + records * 64 + 4096) / 65536);
  return Object.entries({ simd: SIMD_CODEC, scalar: SCALAR_CODEC }).map(([name, base64]) => {
    const module = compileCodec(base64);
    const memory = new WebAssembly.Memory({ initial: pages });
    return {
      name,
      module,
      codec: new MemoryCodec(memory, AT, seed, module),
      memory,
      bytes: new Uint8Array(memory.buffer),
    };
  });
}
