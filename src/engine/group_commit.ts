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
import { Histogram } from "./histogram.ts";
import type { Positions } from "./positions.ts";
import type { LSN } from "../types.ts";

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

/** Microtask turns that a group stays open at least, so that callers woken by one sync join the next group through their own awaits. */
const LEAST_HOPS = 3;
/** Turns that it stays open at most while each turn still adds records. */
const MOST_HOPS = 16;
/** Adaptive: inline syncs that take longer than this on average go off the thread … */
const SLOW_SYNC_MS = 1;
/** … and come back once they take less than this there, waiting included. */
const FAST_SYNC_MS = 0.5;
/** Weight of the newest sync in the moving average. */
const AVERAGE_WEIGHT = 0.125;

/**
 * A group of more records than this is cut, because appending them takes as long as a sync, and longer than it takes to hear of
 * a sync that ran off the thread. A small ring's groups are cut before they fill it.
 */
const CUT_RECORDS = 1536;
const CUT_PART = 8;

/** @param syncsRangeAside as `Region.syncsRangeAside`. */
export function cutRecordsOf(capacity: number, syncsRangeAside: boolean): number {
  return syncsRangeAside ? Math.min(CUT_RECORDS, Math.ceil(capacity / CUT_PART)) : Infinity;
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
  readonly #target: CommitTarget;
  readonly #turn: Turn;
  readonly #option: FlushOption;
  readonly #positions: Positions;
  /** Gathers callers until its sync starts. */
  #open: Group | null = null;
  /** Its sync runs off the thread. */
  #inFlight: Group | null = null;
  #asyncRunning = false;
  /** `schedule()` was called while a sync ran off the thread. */
  #again = false;
  #scheduled = false;
  #hops = 0;
  #headAtHop: LSN = 0;
  /** Starts at nothing, so that one slow sync at the start decides nothing. */
  #averageMs = 0;
  #offload: boolean;
  readonly #cutRecords: number;
  /** The group is cut when the head is past this LSN; `Infinity` while it cannot be. */
  #cutAt: LSN = Infinity;
  #stopped = false;
  #stopError: unknown = null;
  /** Data syncs so far, and the records they made durable. */
  syncs = 0;
  synced = 0;
  readonly latency: Histogram = new Histogram();
  readonly #hop = () => this.#gather();
  readonly #next = () => {
    this.#turn.isOver(performance.now()); // its time counts from here
    this.#commit();
  };

  /**
   * @param positions group commit is the one writer of `durable`.
   * @param cutRecords how many records make a group one that is cut in two; `Infinity` for none.
   * @param turn tells when commits have held the event loop for long enough.
   */
  constructor(
    target: CommitTarget,
    positions: Positions,
    option: FlushOption,
    cutRecords: number = Infinity,
    turn: Turn = new LoopTurn(),
  ) {
    this.#turn = turn;
    this.#cutRecords = option === "inline" ? Infinity : cutRecords;
    this.#target = target;
    this.#option = option;
    this.#positions = positions;
    this.#offload = option === "offload";
  }

  /** Where the next commit waits. */
  get mode(): "inline" | "offload" {
    return this.#offload ? "offload" : "inline";
  }

  /** True while a sync runs off the thread. */
  get asyncRunning(): boolean {
    return this.#asyncRunning;
  }

  /** A promise that resolves when all that is appended now is durable: one for all callers of a group. */
  wait(): Promise<void> {
    if (this.#stopped) return Promise.reject(this.#stopError);
    if (this.#open === null) {
      this.#open = Promise.withResolvers<void>();
      this.schedule();
    }
    const { promise } = this.#open;
    if (this.#positions.head > this.#cutAt) this.#commitAsync();
    return promise;
  }

  /** Sees to it that a commit runs soon, whether or not somebody waits for it. */
  schedule(): void {
    if (this.#asyncRunning) this.#again = true;
    if (this.#scheduled || this.#asyncRunning || this.#stopped) return;
    this.#scheduled = true;
    this.#hops = 0;
    this.#cutAt = this.#positions.durable + 1 + this.#cutRecords;
    this.#headAtHop = this.#positions.head;
    queueMicrotask(this.#hop);
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
  stop(error: unknown): void {
    if (!this.#stopped) this.#stopError = error;
    this.#stopped = true;
    const groups = [this.#inFlight, this.#open];
    this.#inFlight = null;
    this.#open = null;
    for (const group of groups) group?.reject(error);
  }

  /** Waits a few microtasks for callers to join, then commits. */
  #gather(): void {
    assert(this.#scheduled, "a group gathers until its commit");
    const head = this.#positions.head;
    const hops = ++this.#hops;
    const grew = head !== this.#headAtHop;
    this.#headAtHop = head;
    if (hops < LEAST_HOPS || (grew && hops < MOST_HOPS)) {
      queueMicrotask(this.#hop);
      return;
    }
    // Commits off the thread give way while they wait.
    if (!this.#offload && this.#turn.isOver(performance.now())) this.#turn.end().then(this.#next);
    else this.#commit();
  }

  #commit(): void {
    this.#scheduled = false;
    if (this.#stopped) return;
    if (this.#asyncRunning) {
      // The group that this was scheduled for has been cut: whoever came since goes with the next one.
      this.#again = true;
      return;
    }
    if (this.#offload) this.#commitAsync();
    else this.#commitInline();
  }

  #commitInline(): void {
    assert(!this.#asyncRunning, "one sync is in flight at a time");
    this.#cutAt = Infinity;
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
    assert(!this.#asyncRunning, "one sync is in flight at a time");
    this.#asyncRunning = true;
    try {
      for (let flight: Flight | null = this.#start(); flight !== null;) flight = await this.#land(flight);
    } catch (error) {
      if (!this.#stopped) this.#target.failed(error);
    } finally {
      this.#asyncRunning = false;
    }
    if (this.#stopped) return;
    if (this.#again || this.#open !== null || this.#target.headerWanted()) this.schedule();
  }

  /** Starts to sync all that is appended, off the thread. */
  #start(): Flight {
    assert(!this.#stopped, "nothing is synced after a failure");
    const group = this.#open;
    this.#open = null;
    this.#inFlight = group;
    this.#again = false;
    this.#cutAt = Infinity;
    const first = this.#positions.durable + 1;
    const last = this.#positions.head - 1;
    const synced = last < first ? null : this.#target.syncRecordsAsync(first, last);
    return { group, first, last, startMs: performance.now(), synced };
  }

  /** Waits for a sync. @returns the next one, where the other half of a cut group is there already. */
  async #land({ group, first, last, startMs, synced }: Flight): Promise<Flight | null> {
    if (synced !== null) {
      await synced;
      if (this.#stopped) return null;
      this.#account(performance.now() - startMs, first, last, true);
    }
    const wantsHeader = this.#target.headerWanted();
    const isLarge = this.#positions.head - first > this.#cutRecords;
    const next = isLarge && !wantsHeader && this.#open !== null ? this.#start() : null;
    if (next === null) this.#inFlight = null;
    assert(last <= this.#positions.durable, "only durable records are acknowledged");
    group?.resolve();
    if (synced !== null) this.#target.advanced();
    if (next === null && wantsHeader && !this.#stopped) {
      await this.#target.syncHeaderAsync();
      if (!this.#stopped) this.#target.advanced();
    }
    // A sync may end before the event loop has gone to sleep, and then nobody else was served.
    if (!this.#stopped && this.#turn.isOver(performance.now())) {
      next?.synced?.catch(() => {}); // who lands it reports its failure, after this turn
      await this.#turn.end();
    }
    return next;
  }

  #syncInline(first: LSN, last: LSN): void {
    const startMs = performance.now();
    this.#target.syncRecords(first, last);
    this.#account(performance.now() - startMs, first, last, false);
  }

  #account(ms: number, first: LSN, last: LSN, wasOff: boolean): void {
    assert(first <= this.#positions.durable + 1, "no record is left out between two syncs");
    assert(last < this.#positions.head, "only appended records are synced");
    this.syncs++;
    this.synced += last - first + 1;
    this.latency.add(ms);
    if (last > this.#positions.durable) this.#positions.durable = last;
    this.#positions.assertConsistent();
    // Of a group that was cut, this is also the time in which its callers ran.
    if (wasOff && !this.#offload) return;
    this.#averageMs += (ms - this.#averageMs) * AVERAGE_WEIGHT;
    if (this.#option !== "adaptive") return;
    if (this.#offload) this.#offload = this.#averageMs > FAST_SYNC_MS;
    else this.#offload = this.#averageMs > SLOW_SYNC_MS;
  }

  #resolveOpen(last: LSN): void {
    assert(last <= this.#positions.durable, "only durable records are acknowledged");
    const group = this.#open;
    this.#open = null;
    group?.resolve();
  }
}
