// Figures from samples: quantiles, medians, and what a cell reports.

/** What a cell measured: plain figures, and perhaps a distribution. */
export interface Measurements {
  readonly [name: string]: number | readonly number[];
}

/** Quantiles of latency distributions; limit/limit.c has the same. */
export const QUANTILES: readonly number[] = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1];

/** The nearest sample at or below a quantile. */
export function quantile(sorted: Float64Array, q: number): number {
  return sorted[Math.floor(q * (sorted.length - 1))]!;
}

/** p50, p99 and the whole distribution of samples in microseconds. */
export function summarize(samplesUs: Float64Array): Measurements {
  const sorted = samplesUs.slice().sort();
  return {
    p50Us: quantile(sorted, 0.5),
    p99Us: quantile(sorted, 0.99),
    quantilesUs: QUANTILES.map((q) => quantile(sorted, q)),
  };
}

/** The middle value, or the mean of the two middle ones; NaN if there is none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Samples of a duration, kept in one array so that taking one allocates nothing. */
export class Samples {
  #values = new Float64Array(1 << 16);
  #count = 0;

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const more = new Float64Array(2 * this.#count);
      more.set(this.#values);
      this.#values = more;
    }
    this.#values[this.#count++] = value;
  }

  get values(): Float64Array {
    return this.#values.subarray(0, this.#count);
  }
}
