// A table as a source. It is asked again and again, less and less often while nothing comes.

import { setTimeout } from "node:timers/promises";
import { LONGEST_TIMER_MS } from "../arguments/numbers.ts";
import type { LSN } from "../types.ts";
import type { Bounds, Source, StoredMessage } from "./ports.ts";
import { PostgresCalls } from "./postgres_calls.ts";
import type { PostgresTable } from "./postgres_types.ts";

/** The first pause after a message, and the sum of pauses after which one is told. */
const FIRST_PAUSE_MS = 1;
const TOLD_PAUSE_MS = 1000;

/** A table that a follower reads. */
export class PostgresSource implements Source {
  readonly #calls: PostgresCalls;
  readonly #pollIntervalMs: number;

  constructor(source: PostgresTable, timeoutMs: number, pollIntervalMs: number) {
    this.#calls = new PostgresCalls(source, timeoutMs);
    this.#pollIntervalMs = pollIntervalMs;
  }

  bounds(): Promise<Bounds> {
    return this.#calls.bounds();
  }

  async at(place: number): Promise<StoredMessage | null> {
    const [message] = await this.#calls.messages(this.#calls.statements.at, place);
    return message ?? null;
  }

  async placeNear(lsn: LSN): Promise<number> {
    const [row] = await this.#calls.query(this.#calls.statements.placeNear, [lsn]);
    return Number(row?.["place"] ?? 0);
  }

  async *read(from: number, signal: AbortSignal): AsyncGenerator<StoredMessage | null> {
    let pauseMs = FIRST_PAUSE_MS;
    let pausedMs = 0;
    for (let place = from; !signal.aborted;) {
      const messages = await this.#calls.messages(this.#calls.statements.readFrom, place);
      if (messages.length > 0) {
        yield* messages;
        place = messages.at(-1)!.place + 1;
        pauseMs = FIRST_PAUSE_MS;
        pausedMs = 0;
        continue;
      }
      await setTimeout(pauseMs, undefined, { signal }).catch(() => {});
      pausedMs += pauseMs;
      pauseMs = pauseAfter(pauseMs, this.#pollIntervalMs);
      if (pausedMs < TOLD_PAUSE_MS || signal.aborted) continue;
      yield null;
      pausedMs = 0;
    }
  }
}

/** The pause after another one in which nothing came. Only asking finds rows, so it has a limit. */
export function pauseAfter(pauseMs: number, pollIntervalMs: number): number {
  const longestMs = pollIntervalMs > LONGEST_TIMER_MS ? TOLD_PAUSE_MS : pollIntervalMs;
  return Math.max(FIRST_PAUSE_MS, Math.min(2 * pauseMs, longestMs));
}
