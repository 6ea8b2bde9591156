// The slots of a log's file, of which a window is in memory: whoever looks at a slot or at a run of
// slots outside of it moves it there. So a log of many gigabytes takes no more memory than a small
// one.

import * as fs from "node:fs";
import { FileMemory } from "../mod.ts";
import { RECORD_BYTES } from "../src/format/layout.ts";
import { Slots } from "../src/format/record.ts";
import { offsetOf } from "../src/format/ring.ts";
import { errnoOf } from "./exit_codes.ts";

/** More slots than anybody asks for at once. */
const WINDOW_SLOTS = 16_384;
/** Where bytes cannot be read, so many are given up at once. */
const SECTOR_BYTES = 4096;
const SECTOR_SLOTS = SECTOR_BYTES / RECORD_BYTES;

/** Reads slots where they lie. Bytes that are not there, or that cannot be read, are zeros. */
export class WindowedSlots extends Slots {
  /** How many slots a window has. */
  static readonly SLOTS: number = WINDOW_SLOTS;
  readonly #descriptor: number;
  readonly #watch: () => void;
  /** The window begins with this slot, and has so many. */
  #first = 0;
  #length = 0;

  /**
   * @param capacity slots of the file.
   * @param seed from which checksums start.
   * @param watch is told that the window moves.
   */
  constructor(descriptor: number, capacity: number, seed: number, watch: () => void) {
    super(new FileMemory(WINDOW_SLOTS * RECORD_BYTES), 0, WINDOW_SLOTS, seed);
    this.#descriptor = descriptor;
    this.#watch = watch;
    this.count = capacity;
  }

  override verifyRun(slot: number, lsn: number, count: number): ReturnType<Slots["verifyRun"]> {
    this.#moveTo(slot, count);
    return super.verifyRun(slot, lsn, count);
  }

  override bytesOf(slot: number, count: number): Uint8Array<ArrayBuffer> {
    this.#moveTo(slot, count);
    return super.bytesOf(slot, count);
  }

  override wordOf(slot: number): number {
    return this.offsetOf(slot) / 4;
  }

  protected override offsetOf(slot: number): number {
    this.#moveTo(slot, 1);
    return (slot - this.#first) * RECORD_BYTES;
  }

  /** Reads a slot again, which a writer may have stored meanwhile. */
  refresh(slot: number): void {
    readInto(this.#descriptor, offsetOf(slot), this.bytesOf(slot, 1));
  }

  /** Forgets the window, because the file may have changed. */
  forget(): void {
    this.#length = 0;
  }

  #moveTo(slot: number, count: number): void {
    if (slot >= this.#first && slot + count <= this.#first + this.#length) return;
    this.#first = slot - slot % SECTOR_SLOTS;
    this.#length = Math.min(WINDOW_SLOTS, this.count - this.#first);
    this.#watch();
    readInto(this.#descriptor, offsetOf(this.#first), this.memory.bytes(0, this.#length * RECORD_BYTES));
  }
}

/**
 * Reads bytes, with zeros where the medium cannot read and after the file's end.
 *
 * @returns the offsets of the sectors that the medium cannot read.
 */
export function readInto(descriptor: number, offset: number, into: Uint8Array): number[] {
  const unreadable: number[] = [];
  for (let at = 0; at < into.length;) {
    try {
      const count = fs.readSync(descriptor, into, at, into.length - at, offset + at);
      if (count === 0) into.fill(0, at);
      at = count === 0 ? into.length : at + count;
    } catch (error) {
      if (errnoOf(error) !== "EIO") throw error;
      const end = Math.min(into.length, at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES);
      if (!readSector(descriptor, offset + at, into.subarray(at, end))) unreadable.push(offset + at);
      at = end;
    }
  }
  return unreadable;
}

/** @returns false if the medium cannot read it. */
function readSector(descriptor: number, offset: number, into: Uint8Array): boolean {
  into.fill(0);
  try {
    fs.readSync(descriptor, into, 0, into.length, offset);
    return true;
  } catch (error) {
    if (errnoOf(error) !== "EIO") throw error;
    return false;
  }
}
