// Assembles `src/format/codec.wat` into `src/format/codec_module.ts`, twice: with the parts for
// processors that have vector instructions, and without.

import { Buffer } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import wabt from "wabt";

const SOURCE = new URL("../src/format/codec.wat", import.meta.url);
/** The file that is written. */
export const MODULE_FILE: URL = new URL("../src/format/codec_module.ts", import.meta.url);

/** The source of the codec. */
export function codecSource(): string {
  return readFileSync(SOURCE, "utf8");
}

const SIMD_PART = /^ *;; SIMD \{\n([^]*?)(?:^ *;; \} else \{\n([^]*?))?^ *;; \}\n/gm;

/** The source with its vector instructions, or without. */
export function variantOf(source: string, withSimd: boolean): string {
  return source.replaceAll(SIMD_PART, (_, simd: string, scalar: string | undefined) => withSimd ? simd : scalar ?? "");
}

/** The bytes of a module. */
export async function assemble(source: string): Promise<Uint8Array> {
  const features = { relaxed_simd: true };
  const module = (await wabt()).parseWat("codec.wat", source, features);
  try {
    module.resolveNames();
    module.validate();
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

/** What the generated file should say. */
export async function moduleText(): Promise<string> {
  const [simd, scalar] = await Promise.all([true, false].map(async (withSimd) => {
    const bytes = await assemble(variantOf(codecSource(), withSimd));
    return Buffer.from(bytes).toString("base64").replaceAll(/.{100}/g, "$&\n");
  }));
  return `// Made of \`codec.wat\` by \`scripts/codec.ts\`: \`npm run codec\` makes it anew.

/** The module in base64, for processors with vector instructions. */
export const SIMD_CODEC = \`
${simd}\`;

/** The same for other processors. */
export const SCALAR_CODEC = \`
${scalar}\`;
`;
}

if (import.meta.main) writeFileSync(MODULE_FILE, await moduleText());
