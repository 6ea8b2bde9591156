// How long to wait before a failed call is made again.

const FIRST_RETRY_MS = 10;
const LONGEST_RETRY_MS = 1000;

/** Milliseconds before the next attempt, after so many failed ones in a row. */
export function retryDelayMs(attempts: number): number {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts - 1, 20));
}
