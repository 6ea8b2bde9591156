// Stores to be tested beside another one: some can be filled again, and some are wrong, each in its
// own way.

import type { WALRecord } from "../../mod.ts";
import type { StoreHome } from "../../testing.ts";
import { GoodStore, GoodSyncingStore } from "./wrong_stores.ts";

/** Can be filled again, in two writes. */
export class RefillableStore extends GoodStore {
  refill(records: readonly WALRecord[]): void | Promise<void> {
    this.home.step();
    this.disk.saved = { entries: [], applied: 0 }; // a crash here leaves an empty store
    return this.applyBatch(records);
  }
}

/** The same in memory, and on disk when it is told to. */
export class RefillableSyncingStore extends GoodSyncingStore {
  refill(records: readonly WALRecord[]): void | Promise<void> {
    this.memory = { entries: [], applied: 0 };
    return this.applyBatch(records);
  }
}

/** Wrong: leaves out the last record, when it is filled again. */
export class RefillsTooLittle extends RefillableStore {
  override refill(records: readonly WALRecord[]): void | Promise<void> {
    const { lsn } = records.at(-1)!;
    super.refill(records.slice(0, -1));
    this.disk.saved = { ...this.disk.saved, applied: lsn };
  }

  override applyBatch(records: readonly WALRecord[]): void {
    if (records.length > 0) return void super.applyBatch(records);
  }
}

/** Wrong: skips a record in seven. */
export class SkipsSome extends GoodStore {
  override applyBatch(records: readonly WALRecord[]): void {
    const { lsn } = records.at(-1)!;
    const some = records.filter((record) => record.lsn % 7 !== 3);
    if (some.length > 0) super.applyBatch(some);
    this.disk.saved = { ...this.disk.saved, applied: lsn };
  }
}

/** Right, and at the mercy of its neighbour. */
export class Forgetful extends GoodStore {
  forget(): void {
    this.disk.saved = { ...this.disk.saved, entries: this.entries().slice(1) };
  }
}

/** Right alone. It takes the first pair of its neighbour away. */
export class Disturbs extends GoodStore {
  readonly #neighbour: () => Forgetful | null;

  constructor(home: StoreHome, neighbour: () => Forgetful | null) {
    super(home);
    this.#neighbour = neighbour;
  }

  override applyBatch(records: readonly WALRecord[]): void {
    super.applyBatch(records);
    this.#neighbour()?.forget();
  }
}
