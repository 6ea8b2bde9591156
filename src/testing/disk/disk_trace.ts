// What happened on a simulated disk: its system calls, and events between them.

import type { TraceEntry } from "./fault_plan.ts";
import { type Chooser, pieceText } from "./keep.ts";

/** Pieces that are named of those that were kept. */
const PIECES_NAMED = 8;

/** The calls and events so far, oldest first. */
export class DiskTrace {
  #entries: TraceEntry[] = [];
  readonly #limit: number;

  /** @param limit how many entries are kept at least; twice as many are kept at most. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get entries(): readonly TraceEntry[] {
    return this.#entries;
  }

  push(entry: TraceEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length >= 2 * this.#limit) this.#entries.splice(0, this.#limit);
  }

  /** An event that is no call. */
  note(subject: string): void {
    this.push({ step: 0, call: "event", subject, outcome: "" });
  }

  /** Which pieces were kept. */
  noteChoice(what: string, { kept, asked }: Chooser): void {
    const some = kept.slice(0, PIECES_NAMED).map(pieceText).join(", ");
    const more = kept.length > PIECES_NAMED ? ", …" : "";
    this.note(`${what}: kept ${kept.length} of ${asked}${some && ": "}${some}${more}`);
  }

  /** Goes back to what was so far at another time. */
  restore(entries: readonly TraceEntry[]): void {
    this.#entries = [...entries];
  }

  /** The last calls, for a failure's report. */
  lines(lastCalls: number): string[] {
    const entries = this.#entries.slice(-lastCalls);
    const hidden = this.#entries.length - entries.length;
    return [
      ...(hidden > 0 ? [`    … ${hidden} before`] : []),
      ...entries.map(({ step, call, subject, outcome }) =>
        call === "event" ? `        ${subject}` : `${String(step).padStart(7)} ${call} ${subject}: ${outcome}`
      ),
    ];
  }
}
