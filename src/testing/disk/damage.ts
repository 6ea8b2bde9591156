// Damage: what a medium does to bytes at rest, and what a stray write does.

import type { SimulatedTree } from "./simulated_tree.ts";

/**
 * Which bytes are damaged. With `"medium"`, programs read good bytes from the page cache until the
 * kernel reads the medium again. With `"both"`, the page cache is damaged too.
 */
export type DamagedPlace = "medium" | "both";

const SECTOR_BYTES = 512;

/**
 * Damages the files of a disk, closed, crashed or open. Sectors have 512 bytes and are counted from
 * the file's first byte. Every method throws `RangeError` for bytes that the file does not have.
 *
 * @example A bit of an acknowledged record turns over
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { SimulatedDisk } from "@cidstore/wal/testing";
 *
 * const disk = new SimulatedDisk();
 * const options = { storage: disk.storage, now: disk.clock.now, size: 65536 };
 * {
 *   await using wal = WAL.open("/sim/log", options);
 *   await wal.logInsert(1, 2, 3, 4);
 * }
 * disk.damage.flipBit("/sim/log", 16_384 + 40, 3);
 * try {
 *   WAL.open("/sim/log", options);
 * } catch (error) {
 *   console.log((error as { code: string }).code); // CORRUPT
 * }
 * ```
 */
export class DiskDamage {
  readonly #machine: { readonly tree: SimulatedTree };
  readonly #note: (text: string) => void;

  /** @internal Made by the disk. */
  constructor(machine: { readonly tree: SimulatedTree }, note: (text: string) => void) {
    this.#machine = machine;
    this.#note = note;
  }

  /** Turns over one bit, 0 to 7. */
  flipBit(path: string, offset: number, bit: number, where: DamagedPlace = "both"): void {
    const old = this.#read(path, offset, 1, where)[0]!;
    this.overwrite(path, offset, Uint8Array.of(old ^ (1 << bit)), where);
  }

  /** Fills sectors with zeros, or another byte. */
  wipeSectors(path: string, first: number, count = 1, where: DamagedPlace = "both", byte = 0): void {
    this.overwrite(path, first * SECTOR_BYTES, new Uint8Array(count * SECTOR_BYTES).fill(byte), where);
  }

  /** Exchanges two sectors. */
  swapSectors(path: string, one: number, other: number, where: DamagedPlace = "both"): void {
    const first = this.#read(path, one * SECTOR_BYTES, SECTOR_BYTES, where);
    const second = this.#read(path, other * SECTOR_BYTES, SECTOR_BYTES, where);
    this.overwrite(path, one * SECTOR_BYTES, second, where);
    this.overwrite(path, other * SECTOR_BYTES, first, where);
  }

  /**
   * Puts a copy of a sector in another's place: a write that went to two places, or to the wrong
   * one.
   */
  copySector(path: string, from: number, to: number, where: DamagedPlace = "both"): void {
    this.overwrite(path, to * SECTOR_BYTES, this.#read(path, from * SECTOR_BYTES, SECTOR_BYTES, where), where);
  }

  /**
   * Brings back what a sector of the medium held `back` writes ago. The disk needs the option
   * `keepVersions`.
   *
   * @returns false if that is not known.
   */
  staleSector(path: string, sector: number, back = 1, where: DamagedPlace = "both"): boolean {
    const old = this.#machine.tree.file("read", path).file.medium.older(sector, back);
    if (old === null) return false;
    this.overwrite(path, sector * SECTOR_BYTES, old, where);
    return true;
  }

  /** Puts any bytes in the place of others. */
  overwrite(path: string, offset: number, bytes: Uint8Array, where: DamagedPlace = "both"): void {
    this.#machine.tree.file("damage", path).file.damage(offset, bytes, where);
    this.#note(`damage: ${path} bytes ${offset}+${bytes.length} (${where})`);
  }

  #read(path: string, offset: number, length: number, where: DamagedPlace): Uint8Array {
    const image = this.#machine.tree.file("read", path).file.image(where === "both" ? "cache" : "medium");
    if (offset < 0 || offset + length > image.length) throw new RangeError(`${path} has ${image.length} bytes`);
    return image.subarray(offset, offset + length);
  }
}
