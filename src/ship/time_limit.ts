// A limit for the time that an answer takes.

import { clearTimeout, setTimeout } from "node:timers";

/** Waits for an answer. Rejects after the time limit, and then nobody hears of the call. */
export async function within<T>(timeoutMs: number, call: () => Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([call(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
