// CRC-32C of a record as one writes it by hand in JavaScript: slicing by 16, for peers that have no
// WebAssembly.

const REFLECTED_POLYNOMIAL = 0x82f63b78;
/** Row r, at index 256·r: for each byte, its effect on the state when r more bytes follow it. */
const T = makeTable(16);

function makeTable(rows: number): Int32Array {
  const table = new Int32Array(rows * 256);
  for (let byte = 0; byte < 256; byte++) {
    let state = byte;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 0 ? state >>> 1 : (state >>> 1) ^ REFLECTED_POLYNOMIAL;
    table[byte] = state;
  }
  for (let i = 256; i < table.length; i++) table[i] = (table[i - 256]! >>> 8) ^ table[table[i - 256]! & 0xff]!;
  return table;
}

/** The checksum of 15 words, as a signed number: all words of a 64-byte record but its own. */
export function checksum(words: Int32Array, from: number): number {
  let state = -1;
  for (let i = from; i < from + 12; i += 4) {
    const a = state ^ words[i]!, b = words[i + 1]!, c = words[i + 2]!, d = words[i + 3]!;
    state = T[3840 + (a & 0xff)]! ^ T[3584 + ((a >>> 8) & 0xff)]! ^ T[3328 + ((a >>> 16) & 0xff)]! ^
      T[3072 + (a >>> 24)]! ^
      T[2816 + (b & 0xff)]! ^ T[2560 + ((b >>> 8) & 0xff)]! ^ T[2304 + ((b >>> 16) & 0xff)]! ^ T[2048 + (b >>> 24)]! ^
      T[1792 + (c & 0xff)]! ^ T[1536 + ((c >>> 8) & 0xff)]! ^ T[1280 + ((c >>> 16) & 0xff)]! ^ T[1024 + (c >>> 24)]! ^
      T[768 + (d & 0xff)]! ^ T[512 + ((d >>> 8) & 0xff)]! ^ T[256 + ((d >>> 16) & 0xff)]! ^ T[d >>> 24]!;
  }
  const a = state ^ words[from + 12]!, b = words[from + 13]!, c = words[from + 14]!;
  return ~(T[2816 + (a & 0xff)]! ^ T[2560 + ((a >>> 8) & 0xff)]! ^ T[2304 + ((a >>> 16) & 0xff)]! ^
    T[2048 + (a >>> 24)]! ^
    T[1792 + (b & 0xff)]! ^ T[1536 + ((b >>> 8) & 0xff)]! ^ T[1280 + ((b >>> 16) & 0xff)]! ^ T[1024 + (b >>> 24)]! ^
    T[768 + (c & 0xff)]! ^ T[512 + ((c >>> 8) & 0xff)]! ^ T[256 + ((c >>> 16) & 0xff)]! ^ T[c >>> 24]!);
}
