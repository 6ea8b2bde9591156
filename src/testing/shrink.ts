// Makes a failing plan short: tries simpler plans, and keeps each that fails in the same way.

/** Simpler plans, in turn. Each `yield` says whether that plan failed in the same way. */
export type Simpler<P, Best = void> = Generator<P, Best, boolean>;

/**
 * The last of the simpler plans that fails in the same way; null if none does.
 *
 * @param attempt runs a plan, and returns its failure if that is of the same kind.
 * @param mayGoOn ends the search by false, because a failure must be reported in seconds.
 */
export async function shrink<P, F>(
  plans: Simpler<P>,
  attempt: (plan: P) => Promise<F | null>,
  mayGoOn: () => boolean,
): Promise<F | null> {
  let best: F | null = null;
  let next = plans.next();
  while (!next.done && mayGoOn()) {
    const failure = await attempt(next.value);
    if (failure !== null) best = failure;
    next = plans.next(failure !== null);
  }
  return best;
}

/**
 * Leaves out parts that the failure does not need, larger ones first.
 *
 * Zeller, Hildebrandt: "Simplifying and isolating failure-inducing input" (IEEE TSE 2002), with
 * complements only.
 */
export function* leavingOut<T>(parts: readonly T[]): Simpler<readonly T[], readonly T[]> {
  let best = parts;
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < best.length;) {
      const fewer = [...best.slice(0, start), ...best.slice(start + size)];
      if (yield fewer) best = fewer;
      else start += size;
    }
  }
  return best;
}

/** Replaces each part by the first of its simpler forms that still fails. */
export function* simplifying<T>(parts: readonly T[], simpler: (part: T) => readonly T[]): Simpler<readonly T[]> {
  let best = parts;
  for (let i = 0; i < best.length; i++) {
    for (const part of simpler(best[i]!)) {
      const changed = best.with(i, part);
      if (!(yield changed)) continue;
      best = changed;
      break;
    }
  }
}
