// The part of a file that survives power loss.

import type { Random } from "../random.ts";

/** Older contents of a sector that are kept for `older()`. */
const VERSIONS_KEPT = 8;
const SECTOR_BYTES = 512;

/** A file's place on the medium. */
export class Medium {
  #bytes = new Uint8Array(0);
  #sizeBytes = 0;
  /** For each sector, its content before each write, the newest last. */
  readonly #versions: Map<number, Uint8Array[]> | null;

  constructor(keepVersions: boolean) {
    this.#versions = keepVersions ? new Map() : null;
  }

  /** The file's size after power loss. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** How many bytes there is room for: more than the size while the file grows. */
  get length(): number {
    return this.#bytes.length;
  }

  /** Makes room. */
  grow(lengthBytes: number): void {
    if (this.#bytes.length < lengthBytes) this.#bytes = resized(this.#bytes, lengthBytes);
  }

  /** Makes a size durable: bytes past it read as zeros. */
  resize(sizeBytes: number): void {
    this.#bytes.fill(0, sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  /** Writes bytes. */
  store(offset: number, bytes: Uint8Array): void {
    if (this.#versions !== null) {
      const last = Math.floor((offset + bytes.length - 1) / SECTOR_BYTES);
      for (let sector = Math.floor(offset / SECTOR_BYTES); sector <= last; sector++) {
        const versions = this.#versions.get(sector) ?? [];
        versions.push(this.#bytes.slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES));
        this.#versions.set(sector, versions.slice(-VERSIONS_KEPT));
      }
    }
    this.#bytes.set(bytes, offset);
  }

  /** Writes any subset of the bytes: a prefix, a suffix, or here and there. */
  tear(offset: number, bytes: Uint8Array, random: Random): void {
    const result = this.#bytes.slice(offset, offset + bytes.length);
    const cut = random.below(bytes.length + 1);
    const how = random.below(3);
    for (let i = 0; i < bytes.length; i++) {
      if (how === 0 ? i < cut : how === 1 ? i >= cut : random.chance(0.5)) result[i] = bytes[i]!;
    }
    this.store(offset, result);
  }

  /** Damages bytes: no write, so no older content is kept. */
  damage(offset: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, offset);
  }

  /** What a sector held `back` writes ago; null if that is not known. */
  older(sector: number, back: number): Uint8Array | null {
    return this.#versions?.get(sector)?.at(-back) ?? null;
  }

  /** The bytes of a range as they are, not a copy. */
  view(start: number, end: number): Uint8Array {
    return this.#bytes.subarray(start, end);
  }

  /** A copy of the file, as power loss would leave it. */
  image(): Uint8Array<ArrayBuffer> {
    return resized(this.#bytes.slice(), this.#sizeBytes);
  }

  /** Drops all bytes past the size, as power loss does. */
  cut(): void {
    this.#bytes = resized(this.#bytes, this.#sizeBytes);
  }

  clone(): Medium {
    const copy = new Medium(this.#versions !== null);
    copy.#bytes = this.#bytes.slice();
    copy.#sizeBytes = this.#sizeBytes;
    for (const [sector, versions] of this.#versions ?? []) copy.#versions!.set(sector, [...versions]);
    return copy;
  }
}

/** The bytes at a length: cut, or filled up with zeros. The same array if it has that length. */
export function resized(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  if (bytes.length === length) return bytes;
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}
