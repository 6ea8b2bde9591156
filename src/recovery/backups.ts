// Backups: each copies the log piece by piece, and keeps the slots that it has still to read.

import type { Storage } from "../../ffi/region.ts";
import type { EngineParts } from "../engine/parts.ts";
import { lastWhole } from "../engine/ring_memory.ts";
import { toWALError, WALTruncatedError } from "../errors.ts";
import type { LogState } from "../format/header.ts";
import { fileBytesOf, roundFileBytes } from "../format/ring.ts";
import { copyVerified, reusedBytes } from "../read/copies.ts";
import type { LSN } from "../types.ts";
import { imagePieces } from "./image.ts";

/** A log as it is copied. */
interface LogCopy {
  readonly pieces: Iterable<Uint8Array>;
  readonly first: LSN;
  readonly last: LSN;
  /** The size of the copied file. */
  readonly sizeBytes: number;
  /** Frees the slots that the copy kept. It must be called when the copy ends, also by an error. */
  readonly end: () => void;
}

/** The one writer of `oldestUnread`. */
export class Backups {
  readonly #log: EngineParts;
  /**
   * The oldest record that each backup has still to read. Its slot is kept, even if it is released.
   */
  readonly #unread = new Set<{ readonly lsn: LSN }>();

  constructor(log: EngineParts) {
    this.#log = log;
  }

  /**
   * Writes a copy.
   *
   * @param through the last record to copy; `Infinity` for all that are durable.
   * @returns the first and last LSN of the copy.
   */
  write(path: string, storage: () => Storage, through: LSN): { first: LSN; last: LSN } {
    const { pieces, first, last, sizeBytes, end } = this.#copy(through);
    try {
      storage().write(path, pieces, sizeBytes);
    } catch (error) {
      throw this.#log.health.counts.error(toWALError(error, path, last));
    } finally {
      end();
    }
    return { first, last };
  }

  /** As `write()`, without holding the event loop between two pieces. */
  async writeAsync(path: string, storage: () => Storage, through: LSN): Promise<{ first: LSN; last: LSN }> {
    const { pieces, first, last, sizeBytes, end } = this.#copy(through);
    try {
      const target = storage();
      if (target.writeAsync === undefined) target.write(path, pieces, sizeBytes);
      else await target.writeAsync(path, pieces, sizeBytes);
    } catch (error) {
      throw this.#log.health.counts.error(toWALError(error, path, last));
    } finally {
      end();
    }
    return { first, last };
  }

  /**
   * A cleanly closed log with the durable records of this one up to `through`. Its pieces read the
   * records when they are asked for.
   */
  #copy(through: LSN): LogCopy {
    const { positions, health, memory, header } = this.#log;
    health.mustBeGood("back up");
    const state = this.#stateAt(through);
    const first = state.tail;
    const last = state.head - 1;
    const unread = { lsn: first };
    this.#unread.add(unread);
    this.#moveUnread();
    const bytes = reusedBytes();
    const pieces = imagePieces({
      header: header.latest,
      state,
      read: (from, to, seed) => {
        const copy = copyVerified(memory, from, to, 0, bytes).reseal(seed);
        if (from === unread.lsn) {
          unread.lsn = to + 1;
          this.#moveUnread();
        }
        return copy;
      },
    });
    const end = () => {
      if (this.#unread.delete(unread)) this.#moveUnread();
    };
    const sizeBytes = roundFileBytes(fileBytesOf(positions.capacity));
    return { pieces: this.#whileGood(pieces, end), first, last, sizeBytes, end };
  }

  /**
   * The state of a copy. Without records, it has the log's time, because nothing says which time
   * the released records had. A copy has no consumers, because those of the log go on with the log.
   */
  #stateAt(through: LSN): LogState {
    const { positions, memory, header, slots } = this.#log;
    const { tail, durable } = positions;
    const state: LogState = { ...header.state, consumers: [] };
    if (through >= durable) return { ...state, head: durable + 1 };
    // Before LSN 1 there was nothing that could have been released.
    if (through < tail && tail > 1) throw memory.counted(new WALTruncatedError(through, tail));
    memory.file.check();
    const last = lastWhole(memory, through);
    if (last < tail) return { ...state, head: tail };
    const slot = memory.verified(last);
    return { ...state, head: last + 1, timeNanos: slots.timeNanosAt(slot), timeSeq: slots.timeSeqAt(slot) };
  }

  /** Stops the copy if the log is closed or fails between two pieces. */
  *#whileGood(pieces: Iterable<Uint8Array>, end: () => void): Generator<Uint8Array, void, undefined> {
    for (const piece of pieces) {
      yield piece;
      this.#log.health.mustBeGood("back up");
    }
    end();
  }

  /**
   * Lets in appends that waited until a backup had read a slot. After the last backup, only a
   * consumer can make room.
   */
  #moveUnread(): void {
    const { positions, health, header, room } = this.#log;
    positions.oldestUnread = Math.min(Infinity, ...Array.from(this.#unread, ({ lsn }) => lsn));
    positions.closeGate();
    positions.assertConsistent();
    if (room.length === 0 || health.poison !== null) return;
    if (this.#unread.size === 0) header.settleTail(positions.tail + positions.capacity);
    room.admit();
  }
}
