// A progress bar on standard error, for what takes long and is watched.

import { sayPart } from "./output.ts";
import { atRight, bar, type Look, lookOf } from "./terminal.ts";

/** Milliseconds between two drawings. */
const EVERY_MS = 100;
/** What takes less gets no bar, which would only flash. */
const FIRST_MS = 300;

/** Shows how far something is; only on a terminal. Disposing it takes the bar away. */
export class Progress implements Disposable {
  readonly #title: string;
  readonly #look: Look;
  #drawnMs = performance.now() + FIRST_MS - EVERY_MS;
  #isDrawn = false;

  /** @param isQuiet nothing is drawn. */
  constructor(title: string, isQuiet: boolean) {
    this.#title = title;
    this.#look = isQuiet ? { columns: Infinity, color: false } : lookOf("stderr", true);
  }

  /** @param share of the work that is done, 0 to 1. */
  update(share: number): void {
    const nowMs = performance.now();
    if (this.#look.columns === Infinity || nowMs - this.#drawnMs < EVERY_MS) return;
    this.#drawnMs = nowMs;
    this.#isDrawn = true;
    sayPart(`\r${progressLine(this.#title, share, this.#look.columns)}`);
  }

  [Symbol.dispose](): void {
    if (this.#isDrawn) sayPart("\r\x1b[K");
    this.#isDrawn = false;
  }
}

/** The bar as a line that is one column shorter than the terminal, so that it never wraps. */
function progressLine(title: string, share: number, columns: number): string {
  const percent = atRight(`${Math.floor(Math.min(1, share) * 100)} %`, 6);
  const room = columns - 1 - title.length - 1 - percent.length;
  if (room < 10) return `${title}${percent}`;
  return `${title} ${bar(share, room).padEnd(room, "░")}${percent}`;
}
