// One file twice: its page cache, which programs see and map, and its medium, which survives power
// loss.
//
// Stores through a mapping cannot be observed, so a page is dirty if the page cache differs from
// what the kernel believes the medium to hold. That belief is the medium's own content, except for
// pages in `#believed` (a write-back failed or was lost, and the page counts as clean all the same)
// and pages in `#queued` (being written, and stored into again).

import { Buffer } from "node:buffer";
import type { Random } from "../random.ts";

/** What a crash may keep or lose of a file: bytes, or its new size. */
export type FilePiece =
  | { readonly kind: "bytes"; readonly offset: number; readonly length: number }
  | { readonly kind: "size"; readonly from: number; readonly to: number };

/** Whether a piece reaches the medium; `"torn"`: some of its bytes do. */
export type Fate = boolean | "torn";

/** Decides about a piece. */
export type Decide = (piece: FilePiece) => Fate;

/** A page on its way to the medium. */
export interface PageImage {
  readonly page: number;
  readonly bytes: Uint8Array;
}

/** How pages that are written really fare. */
export type WriteEffect = { readonly kind: "written" } | { readonly kind: "lost" } | {
  readonly kind: "misplaced";
  readonly byBytes: number;
};

/** Older contents of a sector that are kept for `older()`. */
const VERSIONS_KEPT = 8;
const SECTOR_BYTES = 512;
const WRITTEN: WriteEffect = { kind: "written" };

/** A file's page cache and medium. Pages and pieces are numbered from the file's first byte. */
export class SimulatedFile {
  /** As programs see it. */
  sizeBytes = 0;
  /** As it would be after power loss. */
  durableSizeBytes = 0;
  /** Bytes written to the medium so far, whole pages. */
  bytesWritten = 0;
  /**
   * Raised with each failed write-back (Linux: errseq_t); every open file description learns of it
   * once.
   */
  errorSequence = 0;
  errorName = "EIO";
  /** Some description has learned of the last error. */
  errorSeen = true;

  #cache = new Uint8Array(0);
  #medium = new Uint8Array(0);
  #mapping: ArrayBuffer | null = null;
  #believed = new Map<number, Uint8Array>();
  #queued = new Map<number, Uint8Array>();
  #versions: Map<number, Uint8Array[]> | null;
  /** What the kernel writes back at a time. */
  readonly pageBytes: number;
  /** What the medium writes at a time; divides a page. */
  readonly pieceBytes: number;

  constructor(pageBytes: number, pieceBytes: number, keepVersions: boolean) {
    this.pageBytes = pageBytes;
    this.pieceBytes = pieceBytes;
    this.#versions = keepVersions ? new Map() : null;
  }

  // The page cache.

  /** Hands out the page cache as a mapping. A second mapping is the same buffer. */
  map(lengthBytes: number): ArrayBuffer {
    this.#assertAttached();
    if (this.#mapping === null) {
      if (lengthBytes !== this.#cache.length) this.#cache = resized(this.#cache, lengthBytes);
      const buffer = this.#cache.buffer;
      // Whoever detaches the mapping must not take the page cache with it.
      Object.defineProperty(buffer, "transfer", {
        configurable: true,
        value: () => {
          if (this.#mapping === buffer) this.detach();
          return new ArrayBuffer(0);
        },
      });
      this.#mapping = buffer;
    }
    if (this.#mapping.byteLength !== lengthBytes) {
      throw new Error("Outside the fault model: two mappings of one file at a time, of different lengths");
    }
    return this.#mapping;
  }

  /**
   * Detaches the mapping, as the end of its process does: no stale view can reach the page cache
   * any more.
   */
  detach(): void {
    if (this.#mapping === null) return;
    this.#assertAttached();
    const moved = (ArrayBuffer.prototype as unknown as { transfer(): ArrayBuffer }).transfer.call(this.#mapping);
    this.#mapping = null;
    this.#cache = new Uint8Array(moved);
    // What lay past the end of the file was never part of it.
    if (this.#cache.length !== this.sizeBytes) this.#cache = resized(this.#cache, this.sizeBytes);
  }

  /** True while a mapping is handed out and not detached. */
  get mapped(): boolean {
    return this.#mapping !== null;
  }

  #assertAttached(): void {
    if (this.#mapping !== null && this.#mapping.byteLength === 0 && this.sizeBytes > 0) {
      throw new Error("The mapping was detached past buffer.transfer(), which the simulated disk cannot follow");
    }
  }

  /** Cuts or grows the file, as programs see it. */
  resize(sizeBytes: number): void {
    if (sizeBytes < this.sizeBytes) {
      const firstGone = Math.ceil(sizeBytes / this.pageBytes);
      for (const images of [this.#believed, this.#queued]) {
        for (const page of images.keys()) if (page >= firstGone) images.delete(page);
      }
      if (this.#mapping !== null) this.#cache.fill(0, sizeBytes, this.sizeBytes);
    }
    this.sizeBytes = sizeBytes;
    // A mapping keeps its length. Bytes past it then read as zeros.
    if (this.#mapping === null) this.#cache = resized(this.#cache, sizeBytes);
    if (this.#medium.length < sizeBytes) this.#medium = resized(this.#medium, sizeBytes);
  }

  /** Reads up to `bytes.length` bytes; returns how many there were. */
  read(bytes: Uint8Array, offset: number): number {
    const count = Math.max(0, Math.min(bytes.length, this.sizeBytes - offset));
    bytes.fill(0, 0, count);
    bytes.set(this.#cache.subarray(offset, offset + count), 0);
    return count;
  }

  /** Writes into the page cache; grows the file where it must. */
  write(bytes: Uint8Array, offset: number): void {
    if (offset + bytes.length > this.sizeBytes) this.resize(offset + bytes.length);
    if (offset + bytes.length > this.#cache.length) {
      throw new Error("Outside the fault model: a write past the end of a file's mapping");
    }
    this.#cache.set(bytes, offset);
    this.touch(offset, bytes.length);
  }

  /** Makes pages dirty without a change: a write fault does that, and a store of the same bytes. */
  touch(offset: number, length: number): void {
    for (const page of this.#pages(offset, length)) this.#believed.delete(page);
  }

  /** Drops clean pages from the page cache: the next look at them reads the medium. */
  evict(): void {
    for (const page of this.#pages(0, this.sizeBytes)) {
      if (!this.#believed.has(page) || this.#queued.has(page) || this.#isDirty(page)) continue;
      this.#page(this.#cache, page).set(this.#page(this.#medium, page));
      this.#believed.delete(page);
    }
  }

  // Writing back.

  /** Writes the dirty pages of a range, and the size: a sync. */
  sync(offset: number, length: number, effect: WriteEffect = WRITTEN): void {
    for (const page of this.#pages(offset, length)) {
      this.#finishQueued(page);
      if (this.#isDirty(page)) this.#writePage(page, this.#page(this.#cache, page), effect);
    }
    this.syncSize();
  }

  /** Makes the size durable. */
  syncSize(): void {
    this.#medium.fill(0, this.sizeBytes);
    this.durableSizeBytes = this.sizeBytes;
  }

  /**
   * A sync that fails: some pieces may still be written; then the pages count as clean, or stay
   * dirty.
   */
  failSync(offset: number, length: number, leaveDirty: boolean, decide: Decide): void {
    for (const page of this.#pages(offset, length)) {
      this.#finishQueued(page);
      if (!this.#isDirty(page)) continue;
      this.#landPage(page, this.#page(this.#cache, page), decide, null);
      if (!leaveDirty) this.#believed.set(page, this.#page(this.#cache, page).slice());
    }
  }

  /** Takes the dirty pages of a range as they are, to be written by and by. */
  beginSync(offset: number, length: number): PageImage[] {
    const images: PageImage[] = [];
    for (const page of this.#pages(offset, length)) {
      // A page has one write in flight; the next waits for it.
      const earlier = this.#queued.get(page);
      if (!this.#isDirty(page)) {
        if (earlier !== undefined) images.push({ page, bytes: earlier });
        continue;
      }
      this.#finishQueued(page);
      const bytes = this.#page(this.#cache, page).slice();
      this.#queued.set(page, bytes);
      images.push({ page, bytes });
    }
    return images;
  }

  /** The pages have reached the medium, unless they did before. */
  finishSync(images: readonly PageImage[], effect: WriteEffect = WRITTEN): void {
    for (const { page, bytes } of images) {
      if (this.#queued.get(page) !== bytes) continue;
      this.#queued.delete(page);
      this.#writePage(page, bytes, effect);
    }
    this.syncSize();
  }

  /** The pages have failed to reach the medium. */
  failQueued(images: readonly PageImage[], leaveDirty: boolean): void {
    for (const { page, bytes } of images) {
      if (this.#queued.get(page) !== bytes) continue;
      this.#queued.delete(page);
      if (!leaveDirty) this.#believed.set(page, bytes);
    }
  }

  /**
   * What is on the way or dirty: everything that power loss may keep or lose, in the order in which
   * `land()` asks.
   */
  pieces(): FilePiece[] {
    const pieces: FilePiece[] = [];
    this.#landAll((piece) => {
      pieces.push(piece);
      return false;
    }, null);
    return pieces;
  }

  /** Writes some of the dirty pieces, as a kernel does when it likes. */
  writeBack(decide: Decide, random: Random): void {
    this.#landAll(decide, random);
  }

  /** Power loss: some of the dirty pieces arrive, the page cache is gone. */
  losePower(decide: Decide, random: Random): void {
    this.detach();
    this.#landAll(decide, random);
    this.#believed.clear();
    this.#queued.clear();
    this.sizeBytes = this.durableSizeBytes;
    this.#medium = resized(this.#medium, this.sizeBytes);
    this.#cache = this.#medium.slice();
    this.errorSequence = 0;
    this.errorSeen = true;
  }

  // Damage.

  /**
   * Puts bytes on the medium without the kernel; into the page cache too, if the kernel is to
   * have read them.
   */
  damage(offset: number, bytes: Uint8Array, where: "medium" | "both"): void {
    if (offset < 0 || offset + bytes.length > this.sizeBytes) {
      throw new RangeError(`No such bytes: ${offset} to ${offset + bytes.length - 1} of ${this.sizeBytes}`);
    }
    for (const page of this.#pages(offset, bytes.length)) {
      const believed = this.#believed.get(page);
      const from = page * this.pageBytes;
      if (where === "both") {
        for (const image of [believed, this.#queued.get(page)]) {
          if (image !== undefined) overlay(image, from, bytes, offset);
        }
      } else if (believed === undefined && !this.#isDirty(page)) {
        this.#believed.set(page, this.#page(this.#cache, page).slice());
      }
    }
    this.#medium.set(bytes, offset);
    if (where === "both") this.#cache.set(bytes, offset);
  }

  /** What a sector of the medium held `back` writes ago; null if that is not known. */
  older(sector: number, back: number): Uint8Array | null {
    return this.#versions?.get(sector)?.at(-back) ?? null;
  }

  // Looking.

  /** A copy of what programs see, or of what power loss would leave. */
  image(of: "cache" | "medium"): Uint8Array<ArrayBuffer> {
    this.#assertAttached();
    const size = of === "cache" ? this.sizeBytes : this.durableSizeBytes;
    return resized((of === "cache" ? this.#cache : this.#medium).slice(), size);
  }

  /** A copy without mapping, on which a history can go on in another way. */
  clone(): SimulatedFile {
    const copy = new SimulatedFile(this.pageBytes, this.pieceBytes, this.#versions !== null);
    copy.sizeBytes = this.sizeBytes;
    copy.durableSizeBytes = this.durableSizeBytes;
    copy.bytesWritten = this.bytesWritten;
    copy.errorSequence = this.errorSequence;
    copy.errorName = this.errorName;
    copy.errorSeen = this.errorSeen;
    copy.#cache = this.image("cache");
    copy.#medium = this.#medium.slice();
    // Images are never changed once taken, but by damage.
    for (const [page, bytes] of this.#believed) copy.#believed.set(page, bytes.slice());
    for (const [page, bytes] of this.#queued) copy.#queued.set(page, bytes.slice());
    if (this.#versions !== null) copy.#versions = new Map([...this.#versions].map(([at, list]) => [at, [...list]]));
    return copy;
  }

  // Within.

  /** The pages of a range, as far as both the file and the page cache reach. */
  *#pages(offset: number, length: number): Generator<number> {
    this.#assertAttached();
    const end = Math.min(offset + length, this.sizeBytes, this.#cache.length);
    for (let page = Math.floor(offset / this.pageBytes); page * this.pageBytes < end; page++) yield page;
  }

  #page(of: Uint8Array, page: number): Uint8Array {
    const start = page * this.pageBytes;
    return of.subarray(start, Math.min(start + this.pageBytes, this.sizeBytes, this.#cache.length));
  }

  #isDirty(page: number): boolean {
    const cached = this.#page(this.#cache, page);
    const queued = this.#queued.get(page);
    if (queued !== undefined) return differ(cached, queued);
    const believed = this.#believed.get(page);
    if (believed === undefined) return differ(cached, this.#page(this.#medium, page));
    if (!differ(cached, believed)) return false;
    // Stored into since: the next write-back takes the whole page along.
    this.#believed.delete(page);
    return differ(cached, this.#page(this.#medium, page));
  }

  #finishQueued(page: number): void {
    const bytes = this.#queued.get(page);
    if (bytes === undefined) return;
    this.#queued.delete(page);
    this.#writePage(page, bytes, WRITTEN);
  }

  #writePage(page: number, bytes: Uint8Array, effect: WriteEffect): void {
    this.bytesWritten += bytes.length;
    const at = page * this.pageBytes;
    if (effect.kind === "written") {
      this.#store(at, bytes);
      this.#believed.delete(page);
      return;
    }
    if (effect.kind === "misplaced") {
      const elsewhere = at + effect.byBytes;
      const victim = Math.floor(elsewhere / this.pageBytes);
      if (elsewhere >= 0 && elsewhere + bytes.length <= this.#medium.length) {
        if (!this.#believed.has(victim) && !this.#isDirty(victim)) {
          this.#believed.set(victim, this.#page(this.#cache, victim).slice());
        }
        this.#store(elsewhere, bytes);
      }
    }
    this.#believed.set(page, bytes.slice());
  }

  /** Asks about everything that is not on the medium yet, and stores what is to arrive. */
  #landAll(decide: Decide, random: Random | null): void {
    for (const page of this.#pages(0, this.sizeBytes)) {
      const queued = this.#queued.get(page);
      if (queued !== undefined) this.#landPage(page, queued, decide, random);
      if (!this.#isDirty(page)) continue;
      // Later bytes do not overtake earlier ones of the same page: if they arrive, those have
      // arrived.
      const base = queued ?? this.#page(this.#medium, page);
      this.#landPage(page, this.#page(this.#cache, page), decide, random, base, queued !== undefined);
    }
    if (this.sizeBytes === this.durableSizeBytes) return;
    if (decide({ kind: "size", from: this.durableSizeBytes, to: this.sizeBytes }) !== false) this.syncSize();
  }

  #landPage(
    page: number,
    bytes: Uint8Array,
    decide: Decide,
    random: Random | null,
    base: Uint8Array = this.#page(this.#medium, page),
    afterQueued = false,
  ): void {
    for (let start = 0; start < bytes.length; start += this.pieceBytes) {
      const end = Math.min(start + this.pieceBytes, bytes.length);
      if (!differ(bytes.subarray(start, end), base.subarray(start, end))) continue;
      const offset = page * this.pageBytes + start;
      const fate = decide({ kind: "bytes", offset, length: end - start });
      if (fate === false) continue;
      if (afterQueued) this.#finishQueued(page);
      const torn = fate === "torn" && random !== null;
      this.#store(offset, torn ? this.#torn(offset, bytes.subarray(start, end), random) : bytes.subarray(start, end));
    }
  }

  /** Of the bytes that change, any subset: a prefix, a suffix, or here and there. */
  #torn(offset: number, bytes: Uint8Array, random: Random): Uint8Array {
    const result = this.#medium.slice(offset, offset + bytes.length);
    const cut = random.below(bytes.length + 1);
    const how = random.below(3);
    for (let i = 0; i < bytes.length; i++) {
      if (how === 0 ? i < cut : how === 1 ? i >= cut : random.chance(0.5)) result[i] = bytes[i]!;
    }
    return result;
  }

  #store(offset: number, bytes: Uint8Array): void {
    if (this.#versions !== null) {
      const last = Math.floor((offset + bytes.length - 1) / SECTOR_BYTES);
      for (let sector = Math.floor(offset / SECTOR_BYTES); sector <= last; sector++) {
        const versions = this.#versions.get(sector) ?? [];
        versions.push(this.#medium.slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES));
        this.#versions.set(sector, versions.slice(-VERSIONS_KEPT));
      }
    }
    this.#medium.set(bytes, offset);
  }
}

/** The bytes at a length: cut, or filled up with zeros. The same array if it has that length. */
function resized(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  if (bytes.length === length) return bytes;
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}

function overlay(image: Uint8Array, imageOffset: number, bytes: Uint8Array, offset: number): void {
  for (let i = 0; i < bytes.length; i++) {
    const at = offset + i - imageOffset;
    if (at >= 0 && at < image.length) image[at] = bytes[i]!;
  }
}

/** Whether the bytes of `a` differ from the first ones of `b`. */
function differ(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, a.length < b.length ? b.subarray(0, a.length) : b) !== 0;
}
