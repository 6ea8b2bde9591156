// The one sleep of a consumer, and what ends it.

import { clearTimeout, setTimeout } from "node:timers";
import { LONGEST_TIMER_MS } from "../arguments/numbers.ts";

/** Why a wait for records ended. */
export type WakeReason = "durable" | "time" | "stopped";

/** Lets one consumer sleep at a time. */
export class Alarm {
  #wake: ((reason: WakeReason) => void) | null = null;

  /** @param endsWithRecords true if durable records end the sleep. */
  sleep(timeoutMs: number, signal: AbortSignal, endsWithRecords: boolean): Promise<WakeReason> {
    const { promise, resolve } = Promise.withResolvers<WakeReason>();
    const wake = (reason: WakeReason) => {
      if (reason === "durable" && !endsWithRecords) return;
      if (this.#wake === wake) this.#wake = null;
      if (timer !== null) clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      resolve(reason);
    };
    const abort = () => wake("stopped");
    const timer = timeoutMs > LONGEST_TIMER_MS ? null : setTimeout(() => wake("time"), timeoutMs);
    signal.addEventListener("abort", abort);
    this.#wake = wake;
    return promise;
  }

  /** Ends the sleep, if this reason ends it. */
  ring(reason: WakeReason): void {
    this.#wake?.(reason);
  }
}
