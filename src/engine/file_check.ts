// Whether the file of an open log is still there: neither deleted, nor replaced, nor cut.

import type { Region } from "../../ffi/region.ts";
import type { Health } from "./health.ts";

/** An append checks the file first if the last check is longer ago than this. */
const CHECK_EVERY_MS = 5;

/** Checks the file of one open log. */
export class FileCheck {
  /** Where the file is mapped. */
  region: Region;
  readonly #health: Health;
  readonly #nowMs: () => number;
  #checkedMs = 0;

  /** @param nowMs measures the time between two checks. */
  constructor(region: Region, health: Health, nowMs: () => number) {
    this.region = region;
    this.#health = health;
    this.#nowMs = nowMs;
  }

  /** Checks the file, and poisons the log if the file is gone. @returns when the check began. */
  check(): number {
    const nowMs = this.#checkedMs = this.#nowMs();
    try {
      this.region.verify();
    } catch (error) {
      throw this.#health.fail(error);
    }
    return nowMs;
  }

  /** Checks the file if the last check is not recent. */
  checkNowAndThen(): void {
    if (Math.abs(this.#nowMs() - this.#checkedMs) > CHECK_EVERY_MS) this.check();
  }
}
