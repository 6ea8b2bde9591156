// The state of the consumer, its last failure, and the errors for callers that wait for it.

import type { Counts } from "../engine/counts.ts";
import type { Events } from "../engine/events.ts";
import { consumerName } from "../engine/holds.ts";
import { WALClosedError } from "../errors.ts";
import type { ConsumerStats, LSN } from "../types.ts";
import type { StoreAnswers } from "./store_answers.ts";

/** A call to a store is said to take long after this time. */
const LONG_CALL_MS = 1000;
/** So many skipped records are told by LSN. */
const SHOWN_SKIPS = 16;

/** Who else is told of what happens to a consumer. */
interface WatchingParts {
  readonly counts: Counts;
  readonly events: Events;
}

/** Watches the consumers of one opening of a log, one after the other. */
export class ConsumerWatch {
  readonly #name: string;
  readonly #consumer: string;
  readonly #answers: StoreAnswers;
  readonly #tell: WatchingParts | null;
  #state: ConsumerStats["state"] = "none";
  #attempts = 0;
  #lastError: unknown = null;
  #skipped = 0;
  #skippedLsns: readonly LSN[] = [];

  /** @param tell who else is told; null for a follower's consumer. */
  constructor(name: string, answers: StoreAnswers, tell: WatchingParts | null = null) {
    this.#name = name;
    this.#consumer = name === "" ? "the consumer" : consumerName(name);
    this.#answers = answers;
    this.#tell = tell;
  }

  /** Notes that a consumer begins. */
  begins(): void {
    this.#state = "running";
    this.#attempts = 0;
    this.#tell?.events.consumer(this.#name, "begins", null, 0);
  }

  /** Notes that the store failed, for the `attempts`-th time in a row. */
  fails(error: unknown, attempts: number): void {
    this.#state = "retrying";
    this.#attempts = attempts;
    this.#lastError = error;
    this.#tell?.counts.error(error);
    this.#tell?.events.consumer(this.#name, "retries", error, attempts);
  }

  /** Notes that the store works again. */
  recovers(): void {
    if (this.#attempts === 0) return;
    this.#state = "running";
    this.#attempts = 0;
  }

  /** Notes that records were left out, because the store cannot apply them. */
  skips(lsns: readonly LSN[]): void {
    this.#skipped += lsns.length;
    this.#skippedLsns = [...this.#skippedLsns, ...lsns].slice(-SHOWN_SKIPS);
    this.#tell?.events.consumer(this.#name, "skips", this.#lastError, this.#attempts, lsns);
    this.begins();
  }

  /** Notes that the consumer was stopped. */
  stops(): void {
    this.#state = "stopped";
    this.#attempts = 0;
    this.#tell?.events.consumer(this.#name, "stops", null, 0);
  }

  /** Notes that the consumer ended with an error, or was refused. */
  dies(error: unknown): void {
    this.#state = "failed";
    this.#attempts = Math.max(1, this.#attempts);
    this.#lastError = error;
    this.#tell?.events.consumer(this.#name, "fails", error, this.#attempts);
  }

  stats(): ConsumerStats {
    return {
      state: this.#state,
      attempts: this.#attempts,
      lastError: this.#lastError,
      callMs: this.#answers.callMs ?? 0,
      skipped: this.#skipped,
      skippedLsns: this.#skippedLsns,
    };
  }

  /** The error for callers that wait for a consumer although none runs. */
  absence(): unknown {
    if (this.#state === "failed") return this.#lastError;
    if (this.#isNamed) return new WALClosedError("wait for the consumer", this.#describe());
    const state = this.#state === "stopped" ? "no consumer runs, the last one was stopped" : "no consumer runs";
    return new WALClosedError("wait for the consumer", state);
  }

  /** Why the consumer makes no room, and the error behind that. */
  blame(): { why: string; cause: ErrorOptions } {
    return { why: `; ${this.#describe()}`, cause: this.#isFailing() ? { cause: this.#lastError } : {} };
  }

  /** What an operator should know. @param left the number of records that are not in the store. */
  warnings(left: number): string[] {
    const warnings = [];
    const isLong = (this.#answers.callMs ?? 0) > LONG_CALL_MS;
    if (left > 0 && (this.#isFailing() || isLong)) {
      warnings.push(asSentence(`${this.#describe()}, and ${left} record(s) are not in the store`));
    }
    if (this.#skipped > 0) {
      const last = this.#skippedLsns.at(-1);
      warnings.push(
        asSentence(`${this.#consumer} has skipped ${this.#skipped} record(s), the last one at LSN ${last}`),
      );
    }
    return warnings;
  }

  get #isNamed(): boolean {
    return this.#name !== "";
  }

  #isFailing(): boolean {
    return this.#state === "failed" || this.#state === "retrying";
  }

  #describe(): string {
    switch (this.#state) {
      case "none":
        return this.#isNamed ? `${this.#consumer} does not run` : "no consumer runs";
      case "stopped":
        return `${this.#consumer} was stopped`;
      case "failed":
        return `${this.#consumer} failed with ${textOf(this.#lastError)}`;
      case "retrying":
        return `${
          this.#isNamed ? `the store of ${this.#consumer}` : "the store"
        } failed ${this.#attempts} time(s) in a row, at last with ${textOf(this.#lastError)}`;
      case "running": {
        const { callMs } = this.#answers;
        return callMs === null
          ? `${this.#consumer} is running`
          : `${this.#consumer} has been waiting ${Math.round(callMs)} ms for its store to return from a call`;
      }
    }
  }
}

function asSentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}`;
}

/** A thrown value as a part of a sentence. */
function textOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  } catch {
    return "a value that has no text";
  }
}
