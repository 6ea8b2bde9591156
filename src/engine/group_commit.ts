// Many waiting appends, one sync.
//
// Group commit: DeWitt, Katz, Olken, Shapiro, Stonebraker, Wood: "Implementation techniques for main memory database systems"
// (SIGMOD 1984). One sync is in flight; the next group gathers meanwhile. All callers of a group share one promise, since a
// promise for each costs more than the rest of an append.
//
// A large group is cut in two. The sync of what has been appended starts off the thread while the other callers still append, and from
// then on the two halves take turns: while one is being synced, the callers of the other one run.
//
// A sync acknowledges only what was stored before it was called. Its first failure is final: the kernel may have marked the
// pages clean, and a second sync would report success for data that never reached the medium (Rebello et al.: "Can
// applications recover from fsync failures?", USENIX ATC 2020).

import { LoopTurn, type Turn } from "../../ffi/turn.ts";
import type { FlushOption } from "../arguments/options.ts";
import { assert } from "../assert.ts";
import type { LSN } from "../types.ts";
import { Gathering } from "./gathering.ts";
import type { Positions } from "./positions.ts";
import { SyncPace } from "./sync_pace.ts";

/** What group commit asks of the log. Each method throws, or rejects, with the error that callers shall see. */
export interface CommitTarget {
  /** Makes the records durable before it returns, and checks that the file they are in is still the log's. */
  syncRecords(first: LSN, last: LSN): void;
  /** The same off the JavaScript thread. */
  syncRecordsAsync(first: LSN, last: LSN): Promise<void>;
  /** True if a header write was asked for. */
  headerWanted(): boolean;
  /** Writes the header, with the durable LSN as of now, and makes it durable. */
  syncHeader(): void;
  syncHeaderAsync(): Promise<void>;
  /**
   * The clock that syncs and turns are timed by, in milliseconds. A simulation's own makes each of
   * its runs the same.
   */
  nowMs(): number;
  /** Records or a header have become durable. Must not throw. */
  advanced(): void;
  /** A sync failed; the error is final. Must not throw. */
  failed(error: unknown): unknown;
}

interface Group {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A sync that runs off the thread. */
interface Flight {
  readonly group: Group | null;
  readonly first: LSN;
  readonly last: LSN;
  readonly startMs: number;
  /** Null if there is nothing to sync. */
  readonly synced: Promise<void> | null;
}

/** The commits of one open log. */
export class GroupCommit {
  readonly pace: SyncPace;
  readonly #target: CommitTarget;
  readonly #positions: Positions;
  readonly #turn: Turn;
  readonly #gathering: Gathering;
  /** Gathers callers until its sync starts. */
  #open: Group | null = null;
  /** Its sync runs off the thread. */
  #inFlight: Group | null = null;
  /** True while a sync runs off the thread. */
  asyncRunning = false;
  /** `schedule()` was called while a sync ran off the thread. */
  #again = false;
  /** Why nothing is committed any more; null while commits go on. */
  #end: { readonly error: unknown } | null = null;

  /**
   * @param positions group commit is the one writer of `durable`.
   * @param cutRecords a group of more records is cut in two; `Infinity` if none is.
   * @param turn tells when commits have held the event loop for long enough.
   */
  constructor(
    target: CommitTarget,
    positions: Positions,
    option: FlushOption,
    cutRecords: number = Infinity,
    turn: Turn = new LoopTurn(),
  ) {
    this.pace = new SyncPace(option);
    this.#target = target;
    this.#positions = positions;
    this.#turn = turn;
    this.#gathering = new Gathering(positions, option === "inline" ? Infinity : cutRecords, () => this.#gathered());
  }

  /** A promise that resolves when all that is appended now is durable: one for all callers of a group. */
  wait(): Promise<void> {
    if (this.#end !== null) return Promise.reject(this.#end.error);
    if (this.#open === null) {
      this.#open = Promise.withResolvers<void>();
      this.schedule();
    }
    const { promise } = this.#open;
    if (this.#gathering.isCut) this.#commitAsync();
    return promise;
  }

  /** Sees to it that a commit runs soon, whether or not somebody waits for it. */
  schedule(): void {
    if (this.asyncRunning) this.#again = true;
    if (this.#gathering.isOn || this.asyncRunning || this.#end !== null) return;
    this.#gathering.start();
  }

  /** Resolves when all that is appended now is durable; at once if it is. */
  flushAsync(): Promise<void> {
    return this.#positions.durable === this.#positions.head - 1 ? Promise.resolve() : this.wait();
  }

  /** Makes all that is appended durable before it returns. Throws what `syncRecords()` throws. */
  flush(): void {
    const first = this.#positions.durable + 1;
    const last = this.#positions.head - 1;
    if (last < first) return;
    this.#syncInline(first, last);
    assert(this.#positions.durable === last, "a flush makes everything durable that was appended");
    // A group whose sync still runs off the thread has been covered by this one.
    this.#inFlight?.resolve();
    this.#inFlight = null;
    this.#resolveOpen(last);
    this.#target.advanced();
  }

  /** Rejects all who wait, for good. */
  end(error: unknown): void {
    this.#end ??= { error };
    const groups = [this.#inFlight, this.#open];
    this.#inFlight = null;
    this.#open = null;
    for (const group of groups) group?.reject(error);
  }

  /**
   * Commits, unless commits have held the event loop for long enough. A sync off the thread may end
   * before the event loop has gone to sleep, so it ends no turn. While nobody waits there is no turn
   * to end: the commits are over soon.
   */
  #gathered(): void {
    if (this.#open === null || !this.#turn.isOver(this.#target.nowMs())) return this.#commit();
    this.#turn.end().then(() => {
      this.#turn.isOver(this.#target.nowMs()); // its time counts from here
      this.#commit();
    });
  }

  #commit(): void {
    this.#gathering.end();
    if (this.#end !== null) return;
    if (this.asyncRunning) {
      // The group that this was scheduled for has been cut: whoever came since goes with the next one.
      this.#again = true;
      return;
    }
    if (this.pace.mode === "offload") this.#commitAsync();
    else this.#commitInline();
  }

  #commitInline(): void {
    assert(!this.asyncRunning, "one sync is in flight at a time");
    this.#gathering.take();
    const first = this.#positions.durable + 1;
    const last = this.#positions.head - 1;
    try {
      if (last >= first) this.#syncInline(first, last);
      this.#resolveOpen(last);
      if (this.#target.headerWanted()) this.#target.syncHeader();
    } catch (error) {
      this.#target.failed(error);
      return;
    }
    this.#target.advanced();
    if (this.#target.headerWanted()) this.schedule(); // a tail is settled by two
  }

  async #commitAsync(): Promise<void> {
    assert(!this.asyncRunning, "one sync is in flight at a time");
    this.asyncRunning = true;
    try {
      for (let flight: Flight | null = this.#start(); flight !== null;) flight = await this.#land(flight);
    } catch (error) {
      if (this.#end === null) this.#target.failed(error);
    } finally {
      this.asyncRunning = false;
    }
    if (this.#end !== null) return;
    if (this.#again || this.#open !== null || this.#target.headerWanted()) this.schedule();
  }

  /** Starts to sync all that is appended, off the thread. */
  #start(): Flight {
    assert(this.#end === null, "nothing is synced after a failure");
    const group = this.#open;
    this.#open = null;
    this.#inFlight = group;
    this.#again = false;
    this.#gathering.take();
    const first = this.#positions.durable + 1;
    const last = this.#positions.head - 1;
    const synced = last < first ? null : this.#target.syncRecordsAsync(first, last);
    return { group, first, last, startMs: this.#target.nowMs(), synced };
  }

  /** Waits for a sync. @returns the next one, where the other half of a cut group is there already. */
  async #land({ group, first, last, startMs, synced }: Flight): Promise<Flight | null> {
    if (synced !== null) {
      await synced;
      if (this.#end !== null) return null;
      this.#account(this.#target.nowMs() - startMs, first, last, "offload");
    }
    const wantsHeader = this.#target.headerWanted();
    const goesOn = this.#gathering.isLarge(first) && !wantsHeader && this.#open !== null;
    const next = goesOn ? this.#start() : null;
    if (next === null) this.#inFlight = null;
    assert(last <= this.#positions.durable, "only durable records are acknowledged");
    group?.resolve();
    if (synced !== null) this.#target.advanced();
    if (next === null && wantsHeader && this.#end === null) {
      await this.#target.syncHeaderAsync();
      if (this.#end === null) this.#target.advanced();
    }
    if (next !== null && this.#end === null && this.#turn.isOver(this.#target.nowMs())) {
      next.synced?.catch(() => {}); // who lands it reports its failure, after this turn
      await this.#turn.end();
    }
    return next;
  }

  #syncInline(first: LSN, last: LSN): void {
    const startMs = this.#target.nowMs();
    this.#target.syncRecords(first, last);
    this.#account(this.#target.nowMs() - startMs, first, last, "inline");
  }

  #account(ms: number, first: LSN, last: LSN, where: "inline" | "offload"): void {
    assert(first <= this.#positions.durable + 1, "no record is left out between two syncs");
    assert(last < this.#positions.head, "only appended records are synced");
    if (last > this.#positions.durable) this.#positions.durable = last;
    this.#positions.assertConsistent();
    this.pace.note(ms, last - first + 1, where);
  }

  #resolveOpen(last: LSN): void {
    assert(last <= this.#positions.durable, "only durable records are acknowledged");
    const group = this.#open;
    this.#open = null;
    group?.resolve();
  }
}
