// How a file's page cache is written back to its medium.
//
// Stores through a mapping cannot be observed, so a page is dirty if the page cache differs from
// what the kernel believes the medium to hold. That belief is the medium's own content, except for
// pages in `#believed` (a write-back failed or was lost, and the page counts as clean all the same)
// and pages in `#queued` (being written, and perhaps stored into again).

import { Buffer } from "node:buffer";
import type { Random } from "../random.ts";
import type { Medium } from "./medium.ts";
import { PageCache } from "./page_cache.ts";
import { WriteErrors } from "./write_errors.ts";

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

/** What really happens to pages that are written. */
export type WriteEffect = { readonly kind: "written" } | { readonly kind: "lost" } | {
  readonly kind: "misplaced";
  readonly byBytes: number;
};

const WRITTEN: WriteEffect = { kind: "written" };

/** A file's page cache and medium. Pages and pieces are numbered from the file's first byte. */
export class SimulatedFile {
  /** Bytes written to the medium so far, whole pages. */
  bytesWritten = 0;
  readonly errors: WriteErrors;
  /** What programs see. */
  readonly cache: PageCache = new PageCache();
  /** What power loss would leave. */
  readonly medium: Medium;
  /** The bytes of pages that count as clean, although the medium has other bytes. */
  #believed = new Map<number, Uint8Array>();
  /** Pages on their way to the medium. */
  #queued = new Map<number, Uint8Array>();
  /** The unit in which the kernel writes back. */
  readonly pageBytes: number;
  /** The unit in which the medium writes. A page is a multiple of it. */
  readonly pieceBytes: number;

  constructor(pageBytes: number, pieceBytes: number, medium: Medium, errors: WriteErrors = new WriteErrors()) {
    this.pageBytes = pageBytes;
    this.pieceBytes = pieceBytes;
    this.medium = medium;
    this.errors = errors;
  }

  /** As programs see it. */
  get sizeBytes(): number {
    return this.cache.sizeBytes;
  }

  /** Cuts or grows the file, as programs see it. */
  resize(sizeBytes: number): void {
    if (sizeBytes < this.sizeBytes) {
      const firstGone = Math.ceil(sizeBytes / this.pageBytes);
      for (const images of [this.#believed, this.#queued]) {
        for (const page of images.keys()) if (page >= firstGone) images.delete(page);
      }
    }
    this.cache.resize(sizeBytes);
    this.medium.grow(sizeBytes);
  }

  /** Writes into the page cache; grows the file where it must. */
  write(bytes: Uint8Array, offset: number): void {
    if (offset + bytes.length > this.sizeBytes) this.resize(offset + bytes.length);
    this.cache.write(bytes, offset);
    this.touch(offset, bytes.length);
  }

  /** Makes pages dirty without a change, as a write fault or a store of the same bytes does. */
  touch(offset: number, length: number): void {
    for (const page of this.#pages(offset, length)) this.#believed.delete(page);
  }

  /** Drops clean pages from the page cache: the next read of them comes from the medium. */
  evict(): void {
    for (const page of this.#pages(0, this.sizeBytes)) {
      if (!this.#believed.has(page) || this.#queued.has(page) || this.#isDirty(page)) continue;
      this.#cached(page).set(this.#stored(page));
      this.#believed.delete(page);
    }
  }

  // Writing back.

  /** Writes the dirty pages of a range, and the size: a sync. */
  sync(offset: number, length: number, effect: WriteEffect = WRITTEN): void {
    for (const page of this.#pages(offset, length)) {
      this.#finishQueued(page);
      if (this.#isDirty(page)) this.#writePage(page, this.#cached(page), effect);
    }
    this.syncSize();
  }

  /** Makes the size durable. */
  syncSize(): void {
    this.medium.resize(this.sizeBytes);
  }

  /**
   * A sync that fails. Some pieces may still be written. Then the pages stay dirty, or count as
   * clean.
   */
  failSync(offset: number, length: number, leaveDirty: boolean, decide: Decide): void {
    for (const page of this.#pages(offset, length)) {
      this.#finishQueued(page);
      if (!this.#isDirty(page)) continue;
      this.#landPage(page, this.#cached(page), decide, null);
      if (!leaveDirty) this.#believed.set(page, this.#cached(page).slice());
    }
  }

  /** Takes the dirty pages of a range as they are now, to be written later. */
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
      const bytes = this.#cached(page).slice();
      this.#queued.set(page, bytes);
      images.push({ page, bytes });
    }
    return images;
  }

  /** Writes pages that `beginSync()` took, unless they were written before. */
  finishSync(images: readonly PageImage[], effect: WriteEffect = WRITTEN): void {
    for (const { page, bytes } of images) {
      if (this.#queued.get(page) !== bytes) continue;
      this.#queued.delete(page);
      this.#writePage(page, bytes, effect);
    }
    this.syncSize();
  }

  /** Gives up pages that `beginSync()` took, because writing them failed. */
  failQueued(images: readonly PageImage[], leaveDirty: boolean): void {
    for (const { page, bytes } of images) {
      if (this.#queued.get(page) !== bytes) continue;
      this.#queued.delete(page);
      if (!leaveDirty) this.#believed.set(page, bytes);
    }
  }

  /**
   * The pieces that are queued or dirty, in the order in which `losePower()` decides about them.
   * Power loss may keep or lose each.
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
    this.cache.detach();
    this.#landAll(decide, random);
    this.#believed.clear();
    this.#queued.clear();
    this.medium.cut();
    this.cache.load(this.medium.image());
    this.errors.clear();
  }

  // Damage.

  /**
   * Puts bytes on the medium without the kernel. With `"both"`, the page cache gets them too, as if
   * the kernel had read them.
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
        this.#believed.set(page, this.#cached(page).slice());
      }
    }
    this.medium.damage(offset, bytes);
    if (where === "both") this.cache.write(bytes, offset);
  }

  // Inspection.

  /** A copy of what programs see, or of what power loss would leave. */
  image(of: "cache" | "medium"): Uint8Array<ArrayBuffer> {
    return of === "cache" ? this.cache.image() : this.medium.image();
  }

  /** A copy without mapping, on which a history can go on in another way. */
  clone(): SimulatedFile {
    const copy = new SimulatedFile(this.pageBytes, this.pieceBytes, this.medium.clone(), this.errors.clone());
    copy.cache.load(this.cache.image());
    copy.bytesWritten = this.bytesWritten;
    // Copies, because damage changes images.
    for (const [page, bytes] of this.#believed) copy.#believed.set(page, bytes.slice());
    for (const [page, bytes] of this.#queued) copy.#queued.set(page, bytes.slice());
    return copy;
  }

  // Within.

  /** The pages of a range that are inside both the file and the page cache. */
  *#pages(offset: number, length: number): Generator<number> {
    this.cache.assertAttached();
    const end = Math.min(offset + length, this.cache.end);
    for (let page = Math.floor(offset / this.pageBytes); page * this.pageBytes < end; page++) yield page;
  }

  /** A page in the page cache. */
  #cached(page: number): Uint8Array {
    const start = page * this.pageBytes;
    return this.cache.view(start, Math.min(start + this.pageBytes, this.cache.end));
  }

  /** A page on the medium. */
  #stored(page: number): Uint8Array {
    const start = page * this.pageBytes;
    return this.medium.view(start, Math.min(start + this.pageBytes, this.cache.end));
  }

  #isDirty(page: number): boolean {
    const cached = this.#cached(page);
    const queued = this.#queued.get(page);
    if (queued !== undefined) return differ(cached, queued);
    const believed = this.#believed.get(page);
    if (believed === undefined) return differ(cached, this.#stored(page));
    if (!differ(cached, believed)) return false;
    // The page was stored into since, so the next write-back writes all of it.
    this.#believed.delete(page);
    return differ(cached, this.#stored(page));
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
      this.medium.store(at, bytes);
      this.#believed.delete(page);
      return;
    }
    if (effect.kind === "misplaced") {
      const elsewhere = at + effect.byBytes;
      const victim = Math.floor(elsewhere / this.pageBytes);
      if (elsewhere >= 0 && elsewhere + bytes.length <= this.medium.length) {
        if (!this.#believed.has(victim) && !this.#isDirty(victim)) {
          this.#believed.set(victim, this.#cached(victim).slice());
        }
        this.medium.store(elsewhere, bytes);
      }
    }
    this.#believed.set(page, bytes.slice());
  }

  /** Decides about each piece that is not on the medium yet, and stores those that arrive. */
  #landAll(decide: Decide, random: Random | null): void {
    for (const page of this.#pages(0, this.sizeBytes)) {
      const queued = this.#queued.get(page);
      if (queued !== undefined) this.#landPage(page, queued, decide, random);
      if (!this.#isDirty(page)) continue;
      // Later bytes of a page arrive only after the earlier ones.
      const base = queued ?? this.#stored(page);
      this.#landPage(page, this.#cached(page), decide, random, base, queued !== undefined);
    }
    if (this.sizeBytes === this.medium.sizeBytes) return;
    if (decide({ kind: "size", from: this.medium.sizeBytes, to: this.sizeBytes }) !== false) this.syncSize();
  }

  #landPage(
    page: number,
    bytes: Uint8Array,
    decide: Decide,
    random: Random | null,
    base: Uint8Array = this.#stored(page),
    afterQueued = false,
  ): void {
    for (let start = 0; start < bytes.length; start += this.pieceBytes) {
      const end = Math.min(start + this.pieceBytes, bytes.length);
      if (!differ(bytes.subarray(start, end), base.subarray(start, end))) continue;
      const offset = page * this.pageBytes + start;
      const fate = decide({ kind: "bytes", offset, length: end - start });
      if (fate === false) continue;
      if (afterQueued) this.#finishQueued(page);
      const piece = bytes.subarray(start, end);
      if (fate === "torn" && random !== null) this.medium.tear(offset, piece, random);
      else this.medium.store(offset, piece);
    }
  }
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
