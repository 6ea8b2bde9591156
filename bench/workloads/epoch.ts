// One clock for two processes.

/** Milliseconds since 1970, of the same clock in every process, in parts of a microsecond. */
export function epochMs(): number {
  return performance.timeOrigin + performance.now();
}
