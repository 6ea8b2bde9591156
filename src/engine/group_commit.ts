// Many waiting appends, one sync.
//
// Group commit: DeWitt, Katz, Olken, Shapiro, Stonebraker, Wood: "Implementation techniques for
// main memory database systems" (SIGMOD 1984). One sync is in flight, and the next group gathers
// meanwhile. All callers of a group share one promise, because a promise for each caller costs more
// than the rest of an append.
//
// A large group is cut in two. The sync of its first half runs off the thread, while the other
// callers still append. From then on the halves take turns: one is synced while the callers of the
// other half run.
//
// A sync acknowledges only records that were stored before it was called. The first failure is
// final, because the kernel may have marked the pages clean. A second sync would then report
// success for data that never reached the medium (Rebello et al.: "Can applications recover from
// fsync failures?", USENIX ATC 2020).

import type { Turn } from "../../ffi/turn.ts";
import type { FlushOption } from "../arguments/options.ts";
import { assert } from "../assert.ts";
import type { LSN } from "../types.ts";
import { Gathering } from "./gathering.ts";
import { Group } from "./group.ts";
import { Latecomers } from "./latecomers.ts";
import type { Positions } from "./positions.ts";
import { SyncPace } from "./sync_pace.ts";

/**
 * What group commit asks of the log. A method throws, or rejects, with the error that callers get.
 */
export interface CommitTarget {
  /**
   * Makes records durable before it returns, and checks that their file is still the log's.
   *
   * @returns when the sync ended, by `nowMs()`.
   */
  syncRecords(first: LSN, last: LSN): number;
  /** As `syncRecords()`, off the JavaScript thread. */
  syncRecordsAsync(first: LSN, last: LSN): Promise<void>;
  /** True if a header is due. */
  headerWanted(): boolean;
  /** Writes the header, which names the durable LSN, and makes the header durable. */
  syncHeader(): void;
  /** As `syncHeader()`, off the JavaScript thread. */
  syncHeaderAsync(): Promise<void>;
  /**
   * The clock that times syncs and turns, in milliseconds. A simulation has a clock of its own, so
   * that its runs can be repeated.
   */
  nowMs(): number;
  /** Records have become durable. Must not throw. */
  committed(first: LSN, last: LSN, ms: number, mode: "inline" | "offload"): void;
  /** Records or a header have become durable. Must not throw. */
  advanced(): void;
  /** A sync failed, and the failure is final. Must not throw. */
  failed(error: unknown): unknown;
}

/** A sync that runs off the thread. */
interface Flight {
  /** Null if nobody waits for it. */
  group: Group | null;
  readonly first: LSN;
  readonly last: LSN;
  startMs: number;
  /** Null if there is nothing to sync. */
  synced: Promise<void> | null;
}

/** The commits of one open log. */
export class GroupCommit {
  readonly pace: SyncPace;
  readonly #target: CommitTarget;
  readonly #positions: Positions;
  readonly #turn: Turn;
  readonly #gathering: Gathering;
  readonly #latecomers: Latecomers;
  /** The group that gathers callers, until its sync starts. */
  #open: Group | null = null;
  /** The sync that runs off the thread, until it has ended or another one has covered it. */
  #inFlight: Flight | null = null;
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
    cutRecords: number,
    turn: Turn,
  ) {
    this.pace = new SyncPace(option);
    this.#target = target;
    this.#positions = positions;
    this.#turn = turn;
    this.#latecomers = new Latecomers(turn, () => target.nowMs(), () => this.pace.averageMs);
    const commit = (nowMs: number) => this.#commit(nowMs);
    const gathered = () => this.#latecomers.letIn(commit);
    this.#gathering = new Gathering(positions, option === "inline" ? Infinity : cutRecords, gathered);
  }

  /**
   * The open group, with one more caller. Its promises resolve when everything appended so far is
   * durable.
   */
  join(): Group {
    if (this.#end !== null) return rejected(this.#end.error);
    if (this.#open === null) {
      this.#open = new Group();
      this.schedule();
      assert(this.asyncRunning || this.#gathering.isOn, "whoever waits has a commit to come");
    }
    this.#latecomers.callers++;
    const group = this.#open;
    if (this.#gathering.isCut) this.#commitAsync();
    return group;
  }

  /** Makes a commit run soon, whether or not anybody waits for one. */
  schedule(): void {
    if (this.asyncRunning) this.#again = true;
    if (this.#gathering.isOn || this.asyncRunning || this.#end !== null) return;
    this.#gathering.start();
  }

  /**
   * Resolves when a record is durable; at once if it already is.
   *
   * @param lsn the newest record if left out.
   * @throws {RangeError} or {TypeError} if it is no LSN that was appended, or 0.
   */
  whenDurable(lsn: LSN = this.#positions.last): Promise<void> {
    this.#positions.mustHave(lsn);
    if (lsn <= this.#positions.durable) return Promise.resolve();
    const flight = this.#inFlight;
    if (flight !== null && lsn <= flight.last) return (flight.group ??= new Group()).shared;
    return this.join().shared;
  }

  /**
   * Makes everything appended durable before it returns. Throws what `syncRecords()` throws.
   *
   * @param by makes everything durable in another way than by a sync, and throws if it cannot.
   */
  flush(by?: () => void): void {
    const first = this.#positions.durable + 1;
    const last = this.#positions.head - 1;
    if (by !== undefined) {
      const startMs = this.#target.nowMs();
      by();
      advance(this.#positions, this.#target, last, this.#target.nowMs() - startMs, "inline");
    } else if (last >= first) {
      this.#syncInline(first, last, this.#target.nowMs());
    } else {
      return;
    }
    assert(this.#positions.durable === last, "a flush makes everything durable that was appended");
    // This covers the group whose own sync still runs off the thread.
    this.#inFlight?.group?.resolve();
    this.#inFlight = null;
    this.#takeOpen()?.resolve();
    this.#target.advanced();
  }

  /** Rejects everybody who waits, and whoever comes later. */
  end(error: unknown): void {
    this.#end ??= { error };
    const groups = [this.#inFlight?.group, this.#takeOpen()];
    this.#inFlight = null;
    for (const group of groups) group?.reject(error);
  }

  #commit(nowMs: number): void {
    this.#gathering.end();
    if (this.#end !== null) return;
    if (this.asyncRunning) {
      // The group that gathered has been cut. Whoever came since then goes with the next sync.
      this.#again = true;
      return;
    }
    if (this.pace.mode === "offload") this.#commitAsync();
    else this.#commitInline(nowMs);
  }

  #commitInline(startMs: number): void {
    assert(!this.asyncRunning, "one sync is in flight at a time");
    this.#gathering.syncStarted();
    const first = this.#positions.durable + 1;
    const last = this.#positions.head - 1;
    try {
      if (last >= first) this.#syncInline(first, last, startMs);
      assert(last <= this.#positions.durable, "only durable records are acknowledged");
      this.#takeOpen()?.resolve();
      if (this.#target.headerWanted()) this.#target.syncHeader();
    } catch (error) {
      this.#target.failed(error);
      return;
    }
    this.#target.advanced();
    if (this.#target.headerWanted()) this.schedule(); // two header writes settle a tail
    assert(this.#open === null || this.#gathering.isOn, "whoever waits has a commit to come");
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
    assert(this.#open === null || this.#gathering.isOn, "whoever waits has a commit to come");
  }

  /** Starts to sync everything appended, off the thread. */
  #start(): Flight {
    assert(this.#end === null, "nothing is synced after a failure");
    const first = this.#positions.durable + 1;
    const last = this.#positions.head - 1;
    // If the sync cannot start, `end()` rejects the group.
    const flight: Flight = this.#inFlight = { group: this.#takeOpen(), first, last, startMs: 0, synced: null };
    this.#again = false;
    this.#gathering.syncStarted();
    if (first <= last) flight.synced = this.#target.syncRecordsAsync(first, last);
    flight.startMs = this.#target.nowMs();
    return flight;
  }

  /** Waits for a sync. @returns the sync of a cut group's other half, if that half has gathered. */
  async #land(flight: Flight): Promise<Flight | null> {
    const { first, last, startMs, synced } = flight;
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
    flight.group?.resolve();
    if (synced !== null) this.#target.advanced();
    if (next === null && wantsHeader && this.#end === null) {
      await this.#target.syncHeaderAsync();
      if (this.#end === null) this.#target.advanced();
    }
    if (next !== null && this.#end === null && this.#turn.isOver(this.#target.nowMs())) {
      next.synced?.catch(() => {}); // `#land()` reports the failure, after this turn
      await this.#turn.end();
    }
    return next;
  }

  #syncInline(first: LSN, last: LSN, startMs: number): void {
    assert(first <= last, "a sync makes records durable");
    const endMs = this.#target.syncRecords(first, last);
    this.#account(endMs - startMs, first, last, "inline");
  }

  #account(ms: number, first: LSN, last: LSN, where: "inline" | "offload"): void {
    assert(first <= this.#positions.durable + 1, "no record is left out between two syncs");
    assert(last < this.#positions.head, "only appended records are synced");
    advance(this.#positions, this.#target, last, ms, where);
    this.#positions.assertConsistent();
    this.pace.note(ms, last - first + 1, where);
  }

  /** The open group, which gets no more callers. */
  #takeOpen(): Group | null {
    const group = this.#open;
    this.#open = null;
    if (group !== null) this.#latecomers.groupClosed();
    return group;
  }
}

/** Records up to `last` are durable, some of them perhaps since an earlier sync. */
function advance(positions: Positions, target: CommitTarget, last: LSN, ms: number, where: "inline" | "offload"): void {
  const { durable } = positions;
  if (last <= durable) return;
  positions.durable = last;
  target.committed(durable + 1, last, ms, where);
}

/** A group that waits in vain. */
function rejected(error: unknown): Group {
  const group = new Group();
  group.reject(error);
  return group;
}
