// Whether a group waits for callers that are still to come.
//
// The requests of a server arrive one by one. If the first one started a sync at once, all others
// would wait for this sync and then for another one. So a group that has fewer callers than the
// last group lets turns of the event loop pass, in which more requests arrive. A lone writer never
// waits, because each of its groups has one caller, as the last group had.

import type { Turn } from "../../ffi/turn.ts";

/** The callers of the open group of one log, and those that it may still get. */
export class Latecomers {
  /** How many callers the open group has. */
  callers = 0;
  /** How many callers the last group had. */
  #expected = 0;
  /** How many callers the group had when it began to wait for a turn; 0 before that. */
  #seen = 0;
  #sinceMs = 0;
  readonly #turn: Turn;
  readonly #nowMs: () => number;
  readonly #syncMs: () => number;

  /**
   * @param turn tells when commits have held the event loop for long enough.
   * @param syncMs how long a sync takes.
   */
  constructor(turn: Turn, nowMs: () => number, syncMs: () => number) {
    this.#turn = turn;
    this.#nowMs = nowMs;
    this.#syncMs = syncMs;
  }

  /**
   * Calls `commit` at once, or after turns of the event loop: while more callers are awaited, and
   * if commits have held the event loop for long enough. A sync off the thread may end before the
   * event loop has gone to sleep, so it ends no turn. While nobody waits there is no turn to end:
   * the commits are over soon.
   */
  letIn(commit: (nowMs: number) => void): void {
    const nowMs = this.#nowMs();
    if (this.callers > 0) {
      const isTurnOver = this.#turn.isOver(nowMs);
      if (this.#areAwaited(nowMs) || isTurnOver) {
        this.#turn.end().then(() => this.letIn(commit));
        return;
      }
    }
    commit(nowMs);
  }

  /** Notes that the group gets no more callers. */
  groupClosed(): void {
    this.#expected = this.callers;
    this.callers = this.#seen = 0;
  }

  /**
   * True if the group waits for one more turn. It waits for one turn, and then while each turn
   * brings callers, but no longer than a sync takes. A longer wait would cost the first callers
   * more than a sync of their own.
   */
  #areAwaited(nowMs: number): boolean {
    if (this.callers >= this.#expected) return false;
    if (this.#seen === 0) this.#sinceMs = nowMs;
    else if (this.callers === this.#seen || nowMs - this.#sinceMs > this.#syncMs()) return false;
    this.#seen = this.callers;
    return true;
  }
}
