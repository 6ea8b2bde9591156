// Running backups: each reads a copy piece by piece, and keeps the slots that it has still to read.

import type { EngineParts } from "../engine/parts.ts";
import type { RoomMaker } from "../engine/waiting_room.ts";
import { copyVerified } from "../read/cursor.ts";
import type { LSN } from "../types.ts";
import { imagePieces } from "./image.ts";

/** A log as it is copied. */
export interface LogCopy {
  readonly pieces: Iterable<Uint8Array>;
  readonly first: LSN;
  readonly last: LSN;
  /** Says that nothing more is read. */
  readonly end: () => void;
}

/** The one writer of `oldestUnread`. */
export class Backups {
  readonly #log: EngineParts;
  readonly #maker: RoomMaker;
  /** The oldest record that each backup has still to read: its slot is kept although it may be released. */
  readonly #unread = new Set<{ readonly lsn: LSN }>();

  constructor(log: EngineParts, maker: RoomMaker) {
    this.#log = log;
    this.#maker = maker;
  }

  /** A cleanly closed log with the durable records of this one, read as its pieces are asked for. `end()` must follow. */
  copy(): LogCopy {
    const { positions, health, memory, clock, header } = this.#log;
    health.mustBeGood("back up");
    const { tail: first, durable: last } = positions;
    const unread = { lsn: first };
    this.#unread.add(unread);
    this.#moveUnread();
    const pieces = imagePieces({
      capacity: positions.capacity,
      tail: first,
      head: last + 1,
      checkpoint: Math.min(positions.checkpointed, last),
      timeNanos: clock.nanos,
      timeSeq: clock.seq,
      createdNanos: header.latest.created,
      originId: header.lineage.logId,
      read: (from, to, seed) => {
        const copy = copyVerified(memory, from, to).reseal(seed);
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
    return { pieces: this.#whileGood(pieces, end), first, last, end };
  }

  /** The log may be closed, or fail, between two pieces. */
  *#whileGood(pieces: Iterable<Uint8Array>, end: () => void): Generator<Uint8Array, void, undefined> {
    for (const piece of pieces) {
      yield piece;
      this.#log.health.mustBeGood("back up");
    }
    end();
  }

  /** Lets in those who waited for a backup to read on. After the last backup, only a consumer can make room. */
  #moveUnread(): void {
    const { positions, health, header, room } = this.#log;
    positions.oldestUnread = Math.min(Infinity, ...Array.from(this.#unread, ({ lsn }) => lsn));
    positions.closeGate();
    positions.assertConsistent();
    if (room.length === 0 || health.poison !== null) return;
    if (this.#unread.size === 0) header.settleTail(positions.tail + positions.capacity);
    room.admit();
    if (this.#unread.size === 0 && !this.#maker.isRunning) room.turnAllAway();
  }
}
